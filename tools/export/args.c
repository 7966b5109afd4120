/* The command line of bcda-export. */
#include "export.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

static const char usage[] =
    "Usage: bcda-export --url FHIR_URL --client-id ID --client-secret-file FILE [OPTION]...\n"
    "Exports claims data from BCDA, or from another FHIR Bulk Data server, as NDJSON.\n"
    "\n"
    "Server and credentials\n"
    "  --url URL                  the FHIR API, such as https://sandbox.bcda.cms.gov/api/v2\n"
    "  --token-url URL            the token endpoint (default: /auth/token at the same origin)\n"
    "  --client-id ID\n"
    "  --client-secret-file FILE  the secret is its first line\n"
    "  --bearer-token-file FILE   an existing token, in place of the two above\n"
    "  --private-key FILE         RSA key (PEM) for servers that encrypt their files\n"
    "  --private-key-passphrase-file FILE\n"
    "  --ca FILE                  authorities to trust (PEM), in place of the system's\n"
    "  --allow-http-loopback      allow http to this machine, for tests\n"
    "\n"
    "Export\n"
    "  --type TYPE                such as Patient; may be given several times; default: all\n"
    "  --group ID                 a group, such as all\n"
    "  --level LEVEL              patient, group, system, or resource: one job for each --type,\n"
    "                             as at BCDA until 2019. Default: group with --group;\n"
    "                             resource if the server still has it; otherwise patient\n"
    "  --since INSTANT            only resources changed since, such as 2024-01-31T00:00:00Z\n"
    "  --type-filter FILTER       a _typeFilter, such as\n"
    "                             'ExplanationOfBenefit?service-date=ge2024'; may be given\n"
    "                             several times (BCDA takes one, in v3)\n"
    "  --parameter NAME=VALUE     any other parameter of the export; may be given several times\n"
    "\n"
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

enum option_id {
    OPT_URL = 256,
    OPT_TOKEN_URL,
    OPT_CLIENT_ID,
    OPT_SECRET,
    OPT_BEARER,
    OPT_KEY,
    OPT_PASSPHRASE,
    OPT_CA,
    OPT_LOOPBACK,
    OPT_TYPE,
    OPT_GROUP,
    OPT_LEVEL,
    OPT_SINCE,
    OPT_TYPE_FILTER,
    OPT_PARAMETER,
    OPT_OUT,
    OPT_ADD,
    OPT_REPLACE,
    OPT_QUARANTINE,
    OPT_RESUME,
    OPT_SET,
    OPT_SPOOL,
    OPT_QUIET,
    OPT_STATISTICS,
    OPT_METADATA,
    OPT_HELP,
    OPT_VERSION
};

static const struct option long_options[] = {
    {"url", required_argument, NULL, OPT_URL},
    {"token-url", required_argument, NULL, OPT_TOKEN_URL},
    {"client-id", required_argument, NULL, OPT_CLIENT_ID},
    {"client-secret-file", required_argument, NULL, OPT_SECRET},
    {"bearer-token-file", required_argument, NULL, OPT_BEARER},
    {"private-key", required_argument, NULL, OPT_KEY},
    {"private-key-passphrase-file", required_argument, NULL, OPT_PASSPHRASE},
    {"ca", required_argument, NULL, OPT_CA},
    {"allow-http-loopback", no_argument, NULL, OPT_LOOPBACK},
    {"type", required_argument, NULL, OPT_TYPE},
    {"group", required_argument, NULL, OPT_GROUP},
    {"level", required_argument, NULL, OPT_LEVEL},
    {"since", required_argument, NULL, OPT_SINCE},
    {"type-filter", required_argument, NULL, OPT_TYPE_FILTER},
    {"parameter", required_argument, NULL, OPT_PARAMETER},
    {"out", required_argument, NULL, OPT_OUT},
    {"add", no_argument, NULL, OPT_ADD},
    {"replace", no_argument, NULL, OPT_REPLACE},
    {"quarantine", required_argument, NULL, OPT_QUARANTINE},
    {"resume", required_argument, NULL, OPT_RESUME},
    {"set", required_argument, NULL, OPT_SET},
    {"spool", required_argument, NULL, OPT_SPOOL},
    {"quiet", no_argument, NULL, OPT_QUIET},
    {"statistics", no_argument, NULL, OPT_STATISTICS},
    {"metadata", no_argument, NULL, OPT_METADATA},
    {"help", no_argument, NULL, OPT_HELP},
    {"version", no_argument, NULL, OPT_VERSION},
    {NULL, 0, NULL, 0},
};

static int parse_level(struct args *a, const char *name)
{
    static const struct {
        const char *name;
        int level;
    } levels[] = {{"resource", BCDA_LEVEL_RESOURCE},
                  {"patient", BCDA_LEVEL_PATIENT},
                  {"group", BCDA_LEVEL_GROUP},
                  {"system", BCDA_LEVEL_SYSTEM}};
    size_t i;

    for (i = 0; i < sizeof levels / sizeof levels[0]; i++) {
        if (strcmp(name, levels[i].name) == 0) {
            a->level = levels[i].level;
            return 0;
        }
    }
    complain("--level %s: not resource, patient, group or system", name);
    return -1;
}

static int args_add(const char **list, size_t *count, size_t max, const char *text,
                    const char *option)
{
    size_t i;

    for (i = 0; i < *count; i++) {
        if (strcmp(list[i], text) == 0) {
            complain("%s %s is given twice", option, text);
            return -1;
        }
    }
    if (*count == max) {
        complain("%s is given more than %zu times", option, max);
        return -1;
    }
    list[(*count)++] = text;
    return 0;
}

/* Returns where the value of an option is stored, or NULL if the option has no value, or if its
 * value is not stored as one unchanged text. */
static const char **args_text_of(struct args *a, int id)
{
    switch (id) {
    case OPT_URL:
        return &a->url;
    case OPT_TOKEN_URL:
        return &a->token_url;
    case OPT_CLIENT_ID:
        return &a->client_id;
    case OPT_SECRET:
        return &a->client_secret_file;
    case OPT_BEARER:
        return &a->bearer_token_file;
    case OPT_KEY:
        return &a->private_key;
    case OPT_PASSPHRASE:
        return &a->passphrase_file;
    case OPT_CA:
        return &a->ca;
    case OPT_GROUP:
        return &a->group;
    case OPT_SINCE:
        return &a->since;
    case OPT_OUT:
        return &a->out;
    case OPT_QUARANTINE:
        return &a->quarantine;
    case OPT_RESUME:
        return &a->resume;
    case OPT_SPOOL:
        return &a->spool;
    default:
        return NULL;
    }
}

/* Returns where an option without a value is stored, or NULL for other options. */
static int *args_flag_of(struct args *a, int id)
{
    switch (id) {
    case OPT_LOOPBACK:
        return &a->allow_http_loopback;
    case OPT_ADD:
        return &a->add;
    case OPT_REPLACE:
        return &a->replace;
    case OPT_QUIET:
        return &a->quiet;
    case OPT_STATISTICS:
        return &a->statistics;
    case OPT_METADATA:
        return &a->metadata;
    default:
        return NULL;
    }
}

static int args_set_option(struct args *a, int id, const char *text)
{
    const char **to = args_text_of(a, id);
    int *flag = args_flag_of(a, id);

    if (to)
        *to = text;
    else if (flag)
        *flag = 1;
    if (to || flag)
        return 0;
    switch (id) {
    case OPT_TYPE:
        return args_add(a->types, &a->type_count, TYPES_MAX, text, "--type");
    case OPT_TYPE_FILTER:
        return args_add(a->type_filters, &a->type_filter_count, SETTINGS_MAX, text,
                        "--type-filter");
    case OPT_PARAMETER:
        return args_add(a->parameters, &a->parameter_count, SETTINGS_MAX, text, "--parameter");
    case OPT_SET:
        return args_add(a->settings, &a->setting_count, SETTINGS_MAX, text, "--set");
    case OPT_LEVEL:
        return parse_level(a, text);
    default:
        return -1; /* getopt_long() has already printed the error */
    }
}

static const char *find_contradiction(const struct args *a)
{
    if (!a->url)
        return "--url is needed";
    if (a->metadata)
        return NULL;
    if (a->bearer_token_file && (a->client_id || a->client_secret_file))
        return "--bearer-token-file replaces --client-id and --client-secret-file";
    if (!a->bearer_token_file && !(a->client_id && a->client_secret_file))
        return "--client-id and --client-secret-file are needed";
    if (a->passphrase_file && !a->private_key)
        return "--private-key-passphrase-file needs --private-key";
    if (a->level == BCDA_LEVEL_GROUP && !a->group)
        return "--level group needs --group";
    if (a->level && a->level != BCDA_LEVEL_GROUP && a->group)
        return "--group needs --level group";
    if (a->level == BCDA_LEVEL_RESOURCE && !a->type_count)
        return "--level resource needs at least one --type";
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

/* Chooses the level if --level is not given. Until December 2019, BCDA v1 had one endpoint per
 * type. It ignored --type at the patient level, and sent patients for every type. A URL that ends
 * in /v1 may be such a server, so the level is then LEVEL_TRY: the first request shows whether the
 * server is that old (run.c). */
static void choose_level(struct args *a)
{
    size_t len, i;
    int only_patients = a->type_count > 0;

    if (a->level || !a->url)
        return;
    for (i = 0; i < a->type_count; i++)
        only_patients &= strcmp(a->types[i], "Patient") == 0;
    len = strlen(a->url);
    while (len && a->url[len - 1] == '/')
        len--;
    if (a->group)
        a->level = BCDA_LEVEL_GROUP;
    else if (only_patients || len < 3 || strncmp(a->url + len - 3, "/v1", 3) != 0)
        a->level = BCDA_LEVEL_PATIENT;
    else
        a->level = LEVEL_TRY;
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
    choose_level(a);
    wrong = optind < argc ? "an argument without an option before it" : find_contradiction(a);
    if (!wrong)
        return 0;
    complain("%s", wrong);
    fputs("Try bcda-export --help\n", stderr);
    return -1;
}
