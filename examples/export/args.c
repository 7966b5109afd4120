/* The command line of bcda-export. */
#include "export.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECRET_MAX 65536

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
    "\n"
    "How\n"
    "  --out DIR                  where <Type>-0001.ndjson and so on go (default: here); - is\n"
    "                             standard output\n"
    "  --quarantine FILE          where lines go that are no resources, as JSON with their bytes "
    "in\n"
    "                             base64 (default: DIR/bad-lines.ndjson; none with --out -)\n"
    "  --resume FILE              keeps the state in FILE, and goes on from it where it is there\n"
    "  --set NAME=VALUE           an option of the library, such as parallel=8\n"
    "  --quiet                    speak only of what is wrong\n"
    "  --statistics               at the end, also requests, retries, waits, and where time went\n"
    "  --metadata                 only show what the server says of itself\n"
    "  --help, --version\n"
    "\n"
    "Ends with 0: complete; 1: failed; 2: wrong usage; 3: complete, but some lines were no\n"
    "resources or the server reports errors.\n";

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
    OPT_OUT,
    OPT_QUARANTINE,
    OPT_RESUME,
    OPT_SET,
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
    {"out", required_argument, NULL, OPT_OUT},
    {"quarantine", required_argument, NULL, OPT_QUARANTINE},
    {"resume", required_argument, NULL, OPT_RESUME},
    {"set", required_argument, NULL, OPT_SET},
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

static int add(const char **list, size_t *count, size_t max, const char *text, const char *option)
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
static const char **text_of(struct args *a, int id)
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
    default:
        return NULL;
    }
}

static int set_option(struct args *a, int id, const char *text)
{
    const char **to = text_of(a, id);

    if (to) {
        *to = text;
        return 0;
    }
    switch (id) {
    case OPT_TYPE:
        return add(a->types, &a->type_count, TYPES_MAX, text, "--type");
    case OPT_SET:
        return add(a->settings, &a->setting_count, SETTINGS_MAX, text, "--set");
    case OPT_LEVEL:
        return parse_level(a, text);
    case OPT_LOOPBACK:
        a->allow_http_loopback = 1;
        return 0;
    case OPT_QUIET:
        a->quiet = 1;
        return 0;
    case OPT_STATISTICS:
        a->statistics = 1;
        return 0;
    case OPT_METADATA:
        a->metadata = 1;
        return 0;
    default:
        return -1; /* getopt_long() has complained */
    }
}

static const char *contradiction(const struct args *a)
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
    return NULL;
}

/* The server of the first version had one endpoint a type until December 2019, and takes no notice
 * of
 * --type at the patient level: it would send patients whatever was asked for. Only its URL ends so;
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
        if (set_option(a, id, optarg)) {
            fputs("Try bcda-export --help\n", stderr);
            return -1;
        }
    }
    choose_level(a);
    wrong = optind < argc ? "an argument without an option before it" : contradiction(a);
    if (!wrong)
        return 0;
    complain("%s", wrong);
    fputs("Try bcda-export --help\n", stderr);
    return -1;
}

/* The first line of a file, in `to`. */
static int read_secret(const char *path, char *to)
{
    size_t n = 0;
    ssize_t got = 1;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    while (fd >= 0 && got > 0 && n < SECRET_MAX) {
        got = read(fd, to + n, SECRET_MAX - n);
        if (got > 0)
            n += (size_t)got;
        else if (got < 0 && errno == EINTR)
            got = 1;
    }
    if (fd < 0 || got < 0)
        complain("%s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    if (fd < 0 || got < 0)
        return -1;
    to[n < SECRET_MAX ? n : SECRET_MAX - 1] = '\0';
    to[strcspn(to, "\r\n")] = '\0';
    if (*to)
        return 0;
    complain("%s: its first line is empty", path);
    return -1;
}

/* Usage errors of the library are ours as well. */
static int status_of(int rc)
{
    return rc > BCDA_ERR_NOMEM ? EXIT_USAGE : EXIT_FAILED;
}

/* Complains where a call on the config failed. */
static int check(bcda_config *config, const char *what, int rc, int *status)
{
    if (rc == BCDA_OK)
        return 0;
    if (bcda_config_error(config))
        complain_error(what, bcda_config_error(config));
    else
        complain("%s: %s", what, bcda_error_string(rc));
    *status = status_of(rc);
    return -1;
}

static int set_identity(bcda_config *config, const struct args *a, int *status)
{
    char *secret = malloc(SECRET_MAX);
    const char *file = a->bearer_token_file ? a->bearer_token_file : a->client_secret_file;
    int rc = -1;

    *status = EXIT_FAILED;
    if (!secret) {
        complain("out of memory");
        return -1;
    }
    if (read_secret(file, secret))
        goto out;
    if (a->bearer_token_file)
        rc = check(config, file, bcda_config_set_bearer_token(config, secret), status);
    else
        rc = check(config, "--client-id",
                   bcda_config_set_client_credentials(config, a->client_id, secret), status);
    if (rc || !a->private_key)
        goto out;
    rc = -1;
    if (a->passphrase_file && read_secret(a->passphrase_file, secret))
        goto out;
    rc = check(config, a->private_key,
               bcda_config_add_private_key_file(config, a->private_key,
                                                a->passphrase_file ? secret : NULL),
               status);
out:
    explicit_bzero(secret, SECRET_MAX);
    free(secret);
    return rc;
}

static int set_tunable(bcda_config *config, const char *setting, int *status)
{
    char name[64];
    const char *value = strchr(setting, '=');
    char *end;
    long long number;
    int option;
    int rc;

    *status = EXIT_USAGE;
    if (!value || (size_t)(value - setting) >= sizeof name) {
        complain("--set %s: not NAME=VALUE", setting);
        return -1;
    }
    memcpy(name, setting, (size_t)(value - setting));
    name[value++ - setting] = '\0';
    option = bcda_option_by_name(name);
    if (option < 0)
        return check(config, setting, option, status);
    errno = 0;
    number = strtoll(value, &end, 10);
    rc = bcda_config_set_str(config, option, value);
    if (rc == BCDA_ERR_OPTION_TYPE && !errno && end != value && !*end)
        rc = bcda_config_set_int(config, option, number);
    return check(config, setting, rc, status);
}

/* --metadata needs no token; should the server want one, there is none. */
static void no_token(bcda_token_request *request, void *userdata)
{
    (void)userdata;
    bcda_token_request_fail(request);
}

/* Retries and waits, so that nobody wonders why nothing moves. A log line names no secret and no
 * patient. */
static void on_log(int level, const char *component, const char *message, void *userdata)
{
    (void)level;
    (void)component;
    (void)userdata;
    if (strstr(message, "again in")) /* the rest is told in better words */
        say("%s", message);
}

bcda_config *args_config(const struct args *a, int *status)
{
    bcda_config *c = NULL;
    size_t i;

    *status = EXIT_FAILED;
    if (bcda_config_new(&c)) {
        complain("out of memory");
        return NULL;
    }
    if (check(c, "--url", bcda_config_set_fhir_url(c, a->url), status) ||
        check(c, "--token-url", bcda_config_set_token_url(c, a->token_url), status) ||
        check(c, "--ca", bcda_config_set_ca_file(c, a->ca), status) ||
        check(c, "--allow-http-loopback",
              bcda_config_set_int(c, BCDA_OPT_ALLOW_HTTP_LOOPBACK, a->allow_http_loopback),
              status) ||
        check(c, "log", bcda_config_set_log(c, BCDA_LOG_WARNING, on_log, NULL, NULL), status) ||
        check(c, "user agent",
              bcda_config_set_str(c, BCDA_OPT_USER_AGENT, "bcda-export/" BCDA_VERSION_STRING),
              status) ||
        /* Bad lines are counted and told, and make the exit status 3. */
        check(c, "bad lines", bcda_config_set_int(c, BCDA_OPT_BAD_LINES_MAX, -1), status))
        goto fail;
    if (a->metadata) {
        if (check(c, "--metadata", bcda_config_set_token_provider(c, no_token, NULL, NULL), status))
            goto fail;
    } else if (set_identity(c, a, status)) {
        goto fail;
    }
    for (i = 0; i < a->setting_count; i++)
        if (set_tunable(c, a->settings[i], status))
            goto fail;
    return c;
fail:
    bcda_config_free(c);
    return NULL;
}
