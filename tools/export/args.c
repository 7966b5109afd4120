/* The command line of bcda-export. */
#include "export.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

static const char usage[] =
    "Usage: bcda-export --url FHIR_URL --client-id ID --client-secret-file FILE [OPTION]...\n"
    "Exports the claims data of BCDA, or of another FHIR Bulk Data server, as NDJSON.\n"
    "\n"
    "Where and who\n"
    "  --url URL                  the FHIR API, such as https://sandbox.bcda.cms.gov/api/v2\n"
    "  --token-url URL            where a token is asked for (default: /auth/token there)\n"
    "  --client-id ID\n"
    "  --client-secret-file FILE  the secret is its first line\n"
    "  --bearer-token-file FILE   a token that you already have, in place of the two above\n"
    "  --private-key FILE         RSA key (PEM) for servers that encrypt their files\n"
    "  --private-key-passphrase-file FILE\n"
    "  --ca FILE                  authorities to trust (PEM), in place of the system's\n"
    "  --allow-http-loopback      allow http to this machine, for tests\n"
    "\n"
    "What\n"
    "  --type TYPE                such as Patient; may be given several times; default: all\n"
    "  --group ID                 a group, such as all\n"
    "  --level LEVEL              patient, group, system, or resource: one job for each --type,\n"
    "                             as BCDA had it until 2019. Default: group with --group;\n"
    "                             resource where the server still has that; else patient\n"
    "  --since INSTANT            only what changed since, such as 2024-01-31T00:00:00Z\n"
    "  --type-filter FILTER       a _typeFilter, such as\n"
    "                             'ExplanationOfBenefit?service-date=ge2024'; may be given\n"
    "                             several times (BCDA takes one, in v3)\n"
    "  --parameter NAME=VALUE     any other parameter of the export; may be given several times\n"
    "\n"
    "How\n"
    "  --out DIR                  where <Type>-0001.ndjson and so on go (default: here); - is\n"
    "                             standard output. A DIR that holds files of an earlier export\n"
    "                             is refused, but for:\n"
    "  --add                      put the files beside those in DIR, under the next numbers\n"
    "  --replace                  put them in the place of those in DIR, when all are complete;\n"
    "                             if the export fails, DIR stays as it is\n"
    "  --quarantine FILE          where lines go that are no resources, as JSON with their bytes\n"
    "                             in base64 (default: DIR/bad-lines.jsonl; none with --out -)\n"
    "  --resume FILE              keeps the state in FILE. A run that finds FILE resumes that\n"
    "                             export; where the server has ended it, a new one is started\n"
    "                             in its place. FILE is removed when the export is complete\n"
    "  --set NAME=VALUE           an option of the library, such as parallel=8\n"
    "  --spool DIR                where files wait for their check with --set delivery=verified\n"
    "                             (default: the DIR of --out)\n"
    "  --quiet                    speak only of what is wrong\n"
    "  --statistics               at the end, also requests, retries, waits, and where time went\n"
    "  --metadata                 only show what the server says of itself\n"
    "  --help, --version\n"
    "\n"
    "Exit status\n"
    "  0    complete\n"
    "  1    failed: something is not here; the last lines say what can be done\n"
    "  2    wrong usage: nothing was sent\n"
    "  3    complete, but look at it: lines were no resources, the server reports errors, it\n"
    "       has no file of a type that was asked for or none at all, or it names deletions,\n"
    "       which are not exported\n"
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
            complain("%s %s is there twice", option, text);
            return -1;
        }
    }
    if (*count == max) {
        complain("%s is there more than %zu times", option, max);
        return -1;
    }
    list[(*count)++] = text;
    return 0;
}

/* Where an option's text goes; NULL for those that are no plain text. */
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

/* Where an option without a text is noted; NULL for another one. */
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
        return -1; /* getopt_long() has complained */
    }
}

static const char *find_contradiction(const struct args *a)
{
    if (!a->url)
        return "--url is needed";
    if (a->metadata)
        return NULL;
    if (a->bearer_token_file && (a->client_id || a->client_secret_file))
        return "--bearer-token-file stands in place of --client-id and --client-secret-file";
    if (!a->bearer_token_file && !(a->client_id && a->client_secret_file))
        return "--client-id and --client-secret-file are needed";
    if (a->passphrase_file && !a->private_key)
        return "--private-key-passphrase-file is of no use without --private-key";
    if (a->level == BCDA_LEVEL_GROUP && !a->group)
        return "--level group needs --group";
    if (a->level && a->level != BCDA_LEVEL_GROUP && a->group)
        return "--group belongs to --level group";
    if (a->level == BCDA_LEVEL_RESOURCE && !a->type_count)
        return "--level resource needs at least one --type";
    if (a->resume && strcmp(a->out, "-") == 0)
        return "--resume needs --out DIR: what standard output got cannot be taken back";
    if (a->quarantine && (!*a->quarantine || strcmp(a->quarantine, "-") == 0))
        return "--quarantine needs a file";
    if (a->add && a->replace)
        return "--add and --replace contradict each other";
    if ((a->add || a->replace) && strcmp(a->out, "-") == 0)
        return "--add and --replace need --out DIR";
    return NULL;
}

/* The server of the first version had one endpoint a type until December 2019, and ignores --type
 * at the patient level: it would send patients whatever was asked for. Only its URL ends so;
 * whether it is that old shows when it is asked (run.c). */
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
