/* The command line of bcda-export. */
#include "export.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

static const char usage[] =
    "Usage: bcda-export --url FHIR_URL --client-id ID --client-secret-file FILE [OPTION]...\n"
    "   or: bcda-export --url FHIR_URL --client-id ID --private-key-jwt FILE --kid ID [OPTION]...\n"
    "Exports claims data from BCDA, or from another FHIR Bulk Data server, as NDJSON.\n"
    "\n" OPTIONS_HELP_SERVER "\n"
    "Export\n" OPTIONS_HELP_TYPE OPTIONS_HELP_LEVEL
    "  --since INSTANT            only resources changed since, such as "
    "2024-01-31T00:00:00Z\n" OPTIONS_HELP_FILTER "\n"
    "Output and options\n"
    "  --out DIR                  the directory of <Type>-0001.ndjson and so on (default: the\n"
    "                             current one), and of Deleted-0001.ndjson and so on, which list\n"
    "                             the resources that the server has deleted; - is standard\n"
    "                             output, for resources only. A DIR that holds files of an\n"
    "                             earlier export is refused, except with:\n"
    "  --add                      add the files to those in DIR, with the next numbers\n"
    "  --replace                  replace the files in DIR when all new files are complete; if\n"
    "                             the export fails, DIR is not changed\n"
    "  --quarantine FILE          write invalid lines to FILE, as JSON with their bytes in\n"
    "                             base64 (default: DIR/bad-lines.jsonl; none with --out -)\n"
    "  --resume FILE              keep the state in FILE. A run that finds FILE resumes that\n"
    "                             export; if it has ended at the server, a new export is\n"
    "                             started. FILE is removed when the export is complete\n"
    "  --set NAME=VALUE           an option of the library, such as parallel=8\n"
    "  --spool DIR                the spool of files to verify with --set delivery=verified\n"
    "                             (default: the DIR of --out)\n"
    "  --quiet                    print errors and warnings only\n"
    "  --statistics               also print requests, retries, waits and the time of each stage\n"
    "  --metadata                 only print the metadata of the server\n"
    "  --help, --version\n"
    "\n"
    "Exit status\n"
    "  0    complete\n"
    "  1    failed: the export is not complete; the last lines say what to do\n"
    "  2    wrong usage: nothing was sent\n"
    "  3    complete, but it needs attention: there are invalid lines, the server reports\n"
    "       errors, a requested type has no file, there is no file at all, or the server\n"
    "       lists deletions and --out is -\n"
    "  130  interrupted by Ctrl-C (SIGINT); 143: by SIGTERM\n";

enum own_option {
    OPT_OUT = OPT_OF_PROGRAM,
    OPT_ADD,
    OPT_REPLACE,
    OPT_QUARANTINE,
    OPT_RESUME,
    OPT_METADATA
};

static const struct option long_options[] = {
    OPTIONS_TABLE,
    {"out", required_argument, NULL, OPT_OUT},
    {"add", no_argument, NULL, OPT_ADD},
    {"replace", no_argument, NULL, OPT_REPLACE},
    {"quarantine", required_argument, NULL, OPT_QUARANTINE},
    {"resume", required_argument, NULL, OPT_RESUME},
    {"metadata", no_argument, NULL, OPT_METADATA},
    {NULL, 0, NULL, 0},
};

static int args_set_option(struct args *a, int id, const char *text)
{
    int rc = options_set(&a->request, id, text);

    if (rc <= 0)
        return rc;
    switch (id) {
    case OPT_OUT:
        a->out = text;
        return 0;
    case OPT_QUARANTINE:
        a->quarantine = text;
        return 0;
    case OPT_RESUME:
        a->resume = text;
        return 0;
    case OPT_ADD:
        a->add = 1;
        return 0;
    case OPT_REPLACE:
        a->replace = 1;
        return 0;
    case OPT_METADATA:
        a->metadata = 1;
        return 0;
    default:
        return -1; /* getopt_long() has already printed the error */
    }
}

static const char *find_contradiction(const struct args *a)
{
    const char *wrong;

    if (!a->request.url)
        return "--url is needed";
    if (a->metadata)
        return NULL;
    wrong = options_contradiction(&a->request);
    if (wrong)
        return wrong;
    if (a->resume && strcmp(a->out, "-") == 0)
        return "--resume needs --out DIR: output to standard output cannot be undone";
    if (a->quarantine && (!*a->quarantine || strcmp(a->quarantine, "-") == 0))
        return "--quarantine needs a file";
    if (a->add && a->replace)
        return "--add and --replace contradict each other";
    if ((a->add || a->replace) && strcmp(a->out, "-") == 0)
        return "--add and --replace need --out DIR";
    return NULL;
}

int args_parse(struct args *a, int argc, char **argv, int *status)
{
    const char *wrong = NULL;
    int id;

    *a = (struct args){.out = "."};
    *status = EXIT_USAGE;
    while ((id = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        if (id == OPT_HELP || id == OPT_VERSION) {
            if (id == OPT_HELP)
                fputs(usage, stdout);
            else
                printf("bcda-export %s (libbcda %s)\n", BCDA_VERSION_STRING, bcda_version_string());
            *status = fflush(stdout) ? EXIT_FAILED : EXIT_COMPLETE;
            return -1;
        }
        if (args_set_option(a, id, optarg)) {
            fputs("Try bcda-export --help\n", stderr);
            return -1;
        }
    }
    options_choose_level(&a->request);
    wrong = optind < argc ? "an argument without an option before it" : find_contradiction(a);
    if (!wrong)
        return 0;
    complain("%s", wrong);
    fputs("Try bcda-export --help\n", stderr);
    return -1;
}
