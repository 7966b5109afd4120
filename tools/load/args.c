/* The command line of the loaders. */
#include "load.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage_begin[] =
    "Usage: %s --database DATABASE --url FHIR_URL --client-id ID\n"
    "           {--client-secret-file FILE | --private-key-jwt FILE --kid ID} [OPTION]...\n"
    "Exports claims data from BCDA, or from another FHIR Bulk Data server, and loads it into a\n"
    "database, each resource exactly once. Run the same command again to resume a load that did\n"
    "not end, or to load what has changed since the last load.\n"
    "\n"
    "Database\n";

static const char usage_fields[] =
    "  --field PATH               also store the values of a path, such as patient.reference, in\n"
    "                             a column (patient_reference); may be given several times. The\n"
    "                             first load into the database chooses the fields\n"
    "\n";

static const char usage_request[] = OPTIONS_HELP_SERVER
    "\n"
    "Export\n" OPTIONS_HELP_TYPE OPTIONS_HELP_LEVEL
    "  --since INSTANT            only resources changed since, such as 2024-01-31T00:00:00Z\n"
    "                             (default: since the last complete load of the same request)\n"
    "  --full                     all resources, not only those changed since the last "
    "load\n" OPTIONS_HELP_FILTER "\n"
    "Options\n"
    "  --threads N                decode on N threads (default: 0)\n"
    "  --set NAME=VALUE           an option of the library, such as parallel=8\n"
    "  --spool DIR                the spool of files to verify with --set delivery=verified\n"
    "  --quiet                    print errors and warnings only\n"
    "  --statistics               also print requests, retries, waits and the time of each stage\n"
    "  --help, --version\n"
    "\n"
    "Exit status\n"
    "  0    complete\n"
    "  1    failed: the load is not complete; files that are complete are loaded\n"
    "  2    wrong usage: nothing was sent\n"
    "  3    complete, but it needs attention: there are invalid lines or resources that the\n"
    "       database cannot store (table bcda_remark), the server reports errors, or, in a load\n"
    "       of all resources, a requested type has no file, or there is no file at all\n"
    "  130  interrupted by Ctrl-C (SIGINT); 143: by SIGTERM\n";

enum load_option {
    OPT_DATABASE = OPT_OF_PROGRAM,
    OPT_SCHEMA,
    OPT_FIELD,
    OPT_FULL,
    OPT_THREADS,
    OPT_WAIT
};

static const struct option load_options[] = {
    OPTIONS_TABLE,
    {"database", required_argument, NULL, OPT_DATABASE},
    {"schema", required_argument, NULL, OPT_SCHEMA},
    {"field", required_argument, NULL, OPT_FIELD},
    {"full", no_argument, NULL, OPT_FULL},
    {"threads", required_argument, NULL, OPT_THREADS},
    {"wait", required_argument, NULL, OPT_WAIT},
    {NULL, 0, NULL, 0},
};

static int parse_count(const char *option, const char *text, long max, int *out)
{
    char *end;
    long n;

    errno = 0;
    n = strtol(text, &end, 10);
    if (errno || end == text || *end || n < 0 || n > max) {
        complain("%s %s: not a whole number from 0 to %ld", option, text, max);
        return -1;
    }
    *out = (int)n;
    return 0;
}

static int set_threads(struct load_args *a, const char *text)
{
    int n;

    if (parse_count("--threads", text, 64, &n))
        return -1;
    snprintf(a->threads, sizeof a->threads, "decode_threads=%d", n);
    return options_add(a->request.settings, &a->request.setting_count, SETTINGS_MAX, a->threads,
                       "--set");
}

static int load_args_set(struct load_args *a, int id, const char *text)
{
    int rc = options_set(&a->request, id, text);

    if (rc <= 0)
        return rc;
    switch (id) {
    case OPT_DATABASE:
        a->database = text;
        return 0;
    case OPT_SCHEMA:
        a->schema = text;
        return 0;
    case OPT_FIELD:
        return field_add(a, text);
    case OPT_FULL:
        a->full = 1;
        return 0;
    case OPT_THREADS:
        return set_threads(a, text);
    case OPT_WAIT:
        return parse_count("--wait", text, 86400, &a->wait_seconds);
    default:
        return -1; /* getopt_long() has already printed the error */
    }
}

static const char *find_load_contradiction(const struct load_args *a, const struct database *db)
{
    const struct options *o = &a->request;

    if (!a->database || !*a->database)
        return "--database is needed";
    if (!o->url)
        return "--url is needed";
    if (a->schema && !db->has_schema)
        return "--schema is for PostgreSQL";
    if (a->schema && (!*a->schema || strlen(a->schema) >= COLUMN_SIZE))
        return "--schema needs a name of at most 63 bytes";
    if (a->full && o->since)
        return "--full and --since contradict each other";
    return options_contradiction(o);
}

static void print_load_help(const struct database *db)
{
    printf(usage_begin, db->program);
    fputs(db->help_database, stdout);
    fputs(usage_fields, stdout);
    fputs(usage_request, stdout);
    fputs(db->help_notes, stdout);
}

int load_args_parse(struct load_args *a, const struct database *db, int argc, char **argv,
                    int *status)
{
    const char *wrong;
    int id;

    *a = (struct load_args){.wait_seconds = db->wait_seconds};
    *status = EXIT_USAGE;
    while ((id = getopt_long(argc, argv, "", load_options, NULL)) != -1) {
        if (id == OPT_HELP || id == OPT_VERSION) {
            if (id == OPT_HELP)
                print_load_help(db);
            else
                printf("%s %s (libbcda %s)\n", db->program, BCDA_VERSION_STRING,
                       bcda_version_string());
            *status = fflush(stdout) ? EXIT_FAILED : EXIT_COMPLETE;
            return -1;
        }
        if (load_args_set(a, id, optarg)) {
            fprintf(stderr, "Try %s --help\n", db->program);
            return -1;
        }
    }
    options_choose_level(&a->request);
    wrong =
        optind < argc ? "an argument without an option before it" : find_load_contradiction(a, db);
    if (!wrong)
        return 0;
    complain("%s", wrong);
    fprintf(stderr, "Try %s --help\n", db->program);
    return -1;
}

/* ---- the identity of a request ---- */

static int compare_values(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Writes a value. Spaces and control characters are escaped, so that different requests have
 * different texts. */
static void print_value(FILE *out, const char *name, const char *value)
{
    fprintf(out, " %s ", name);
    for (; *value; value++)
        fprintf(out, (unsigned char)*value <= 0x20 || *value == '%' ? "%%%02X" : "%c",
                (unsigned char)*value);
}

/* Writes a list in a fixed order, so that the order on the command line does not matter. */
static void print_sorted(FILE *out, const char *name, const char *const *list, size_t count)
{
    const char *sorted[TYPES_MAX];
    size_t i;

    memcpy(sorted, list, count * sizeof *list);
    qsort(sorted, count, sizeof *sorted, compare_values);
    for (i = 0; i < count; i++)
        print_value(out, name, sorted[i]);
}

char *load_request_text(const struct options *o)
{
    static const char *const levels[] = {"", "resource", "patient", "group", "system"};
    size_t len = strlen(o->url);
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    while (len && o->url[len - 1] == '/')
        len--;
    if (out) {
        fprintf(out, "%.*s level %s", (int)len, o->url, levels[o->level]);
        if (o->group)
            print_value(out, "group", o->group);
        print_sorted(out, "type", o->types, o->type_count);
        print_sorted(out, "filter", o->type_filters, o->type_filter_count);
        print_sorted(out, "parameter", o->parameters, o->parameter_count);
    }
    if (!out || fclose(out)) {
        complain("out of memory");
        free(text);
        return NULL;
    }
    return text;
}
