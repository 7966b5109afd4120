/* bcda-sandbox: the local BCDA server as a program. */
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_FAULTS 64

enum option_id {
    OPT_ERA = 1,
    OPT_TLS,
    OPT_PORT,
    OPT_REDIRECT_PORT,
    OPT_PRINT_ENV,
    OPT_DATA,
    OPT_FAULT,
    OPT_SEED,
    OPT_PATIENTS,
    OPT_CLAIMS,
    OPT_FILE_BYTES,
    OPT_FILES,
    OPT_POLLS,
    OPT_PUBLIC_KEY,
    OPT_STATE_DIR,
    OPT_TOKEN_SECONDS,
    OPT_KEEP_PLAIN,
    OPT_ALLOW_DUPLICATES,
    OPT_ALL_LEVELS,
    OPT_API_VERSION,
    OPT_DAY,
    OPT_DUMP_STATE,
    OPT_MIXED,
    OPT_CONTROL,
    OPT_KEEP_STATE,
    OPT_AUTH,
    OPT_BEARER_TOKENS,
    OPT_CLIENT_JWKS,
    OPT_TOKEN_ALGORITHMS,
    OPT_KID_OPTIONAL,
    OPT_NO_SMART_CONFIGURATION,
    OPT_GRANT_SCOPE,
    OPT_CLOCK_SKEW,
    OPT_CLIENT_CA,
    OPT_FILES_PORT,
    OPT_HELP
};

static const struct option long_options[] = {
    {"era", required_argument, NULL, OPT_ERA},
    {"tls", no_argument, NULL, OPT_TLS},
    {"port", required_argument, NULL, OPT_PORT},
    {"redirect-port", required_argument, NULL, OPT_REDIRECT_PORT},
    {"print-env", no_argument, NULL, OPT_PRINT_ENV},
    {"data", required_argument, NULL, OPT_DATA},
    {"fault", required_argument, NULL, OPT_FAULT},
    {"seed", required_argument, NULL, OPT_SEED},
    {"patients", required_argument, NULL, OPT_PATIENTS},
    {"claims", required_argument, NULL, OPT_CLAIMS},
    {"file-bytes", required_argument, NULL, OPT_FILE_BYTES},
    {"files", required_argument, NULL, OPT_FILES},
    {"polls", required_argument, NULL, OPT_POLLS},
    {"public-key", required_argument, NULL, OPT_PUBLIC_KEY},
    {"state-dir", required_argument, NULL, OPT_STATE_DIR},
    {"token-seconds", required_argument, NULL, OPT_TOKEN_SECONDS},
    {"keep-plain", no_argument, NULL, OPT_KEEP_PLAIN},
    {"allow-duplicates", no_argument, NULL, OPT_ALLOW_DUPLICATES},
    {"all-levels", no_argument, NULL, OPT_ALL_LEVELS},
    {"api-version", required_argument, NULL, OPT_API_VERSION},
    {"day", required_argument, NULL, OPT_DAY},
    {"dump-state", required_argument, NULL, OPT_DUMP_STATE},
    {"mixed", no_argument, NULL, OPT_MIXED},
    {"control", no_argument, NULL, OPT_CONTROL},
    {"keep-state", no_argument, NULL, OPT_KEEP_STATE},
    {"auth", required_argument, NULL, OPT_AUTH},
    {"bearer-tokens", required_argument, NULL, OPT_BEARER_TOKENS},
    {"client-jwks", required_argument, NULL, OPT_CLIENT_JWKS},
    {"token-algorithms", required_argument, NULL, OPT_TOKEN_ALGORITHMS},
    {"kid-optional", no_argument, NULL, OPT_KID_OPTIONAL},
    {"no-smart-configuration", no_argument, NULL, OPT_NO_SMART_CONFIGURATION},
    {"grant-scope", required_argument, NULL, OPT_GRANT_SCOPE},
    {"clock-skew", required_argument, NULL, OPT_CLOCK_SKEW},
    {"client-ca", required_argument, NULL, OPT_CLIENT_CA},
    {"files-port", required_argument, NULL, OPT_FILES_PORT},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

static const char usage[] =
    "Usage: bcda-sandbox [OPTION]...\n"
    "A local simulator of CMS's BCDA server, on 127.0.0.1 only. Serves until SIGTERM or SIGINT.\n"
    "\n"
    "  --era ERA            2018-12, 2019-04 (default), 2019-12, 2021-01, 2021 or current\n"
    "  --tls                https with a throw-away CA\n"
    "  --port N             0 (default): any free port\n"
    "  --redirect-port N    with --tls: a plain-HTTP port that answers GET with 301; 0: any\n"
    "  --print-env          print shell assignments (BCDA_FHIR_URL and others), then close "
    "standard output\n"
    "  --api-version N      which version BCDA_FHIR_URL names (default 1)\n"
    "  --data DIR           serve the files <Type>.ndjson, <Type>-2.ndjson ... of DIR unchanged;\n"
    "                       *error*.ndjson and warnings-and-info.ndjson are listed under error\n"
    "  --fault SPEC         simulate a fault; may be repeated; --fault help lists all\n"
    "  --seed N             of the synthetic data (default 1)\n"
    "  --patients N         synthetic people (default 10)\n"
    "  --claims N           ExplanationOfBenefit lines per person (default 5)\n"
    "  --file-bytes N       grow each ExplanationOfBenefit file to at least N bytes of plain text\n"
    "  --files N            split ExplanationOfBenefit over N files (default 1)\n"
    "  --polls N            202 answers before a job is complete (default 2)\n"
    "  --public-key FILE    wrap keys for this RSA public key (PEM) in place of a new pair\n"
    "  --state-dir DIR      where keys and files are kept while it runs (default: a new one in "
    "$TMPDIR)\n"
    "  --token-seconds N    lifetime of a token (default 1200, with --auth smart 300)\n"
    "  --keep-plain         keep the plain text of files beside their stored form\n"
    "  --allow-duplicates   never answer 429 to an identical export\n"
    "  --all-levels         also export at system level, by type and by group, as other servers "
    "do\n"
    "  --mixed              of three data files, one is encrypted, one gzip and one plain\n"
    "  --day N              data that change from day to day, beginning with day N: each day "
    "brings\n"
    "                       new people, changes resources and takes people away; _since selects,\n"
    "                       and the manifest lists deletions\n"
    "  --dump-state DIR     write what exists on the day to DIR/<Type>.ndjson, and exit\n"
    "  --control            POST /_sandbox/day?day=N sets the day, and /_sandbox/fault?spec=SPEC\n"
    "                       adds a fault; DELETE /_sandbox/fault removes all; GET\n"
    "                       /_sandbox/count?name=NAME returns a counter\n"
    "  --keep-state         leave credentials, keys, jobs and files in the directory of\n"
    "                       --state-dir, and continue with those of an earlier run\n"
    "  --clock-skew SECONDS the clock for tokens, assertions and the header Date is ahead, or "
    "behind\n"
    "                       if negative; with --control, POST /_sandbox/clock?skew=SECONDS sets "
    "it\n";

static const char sign_in_usage[] =
    "  --help\n"
    "  --auth WAY           how a client signs in: basic (default), as at BCDA; smart: SMART "
    "Backend\n"
    "                       Services; none: an open server, 400 to a request with an "
    "Authorization\n"
    "                       header; bearer: tokens come from outside\n"
    "  --bearer-tokens FILE with bearer: the valid tokens, one a line; read anew for every "
    "request\n"
    "  --client-ca FILE     with --tls: 400 to a request without a client certificate of this "
    "authority\n"
    "  --files-port N       serve files at a port of their own, which takes no token; 0: any\n"
    "With --auth smart:\n"
    "  --client-jwks FILE   the client's public keys (JWK Set), in place of new keys\n"
    "  --token-algorithms LIST  announce these, such as RS384,ES384, and refuse others\n"
    "  --kid-optional       accept an assertion without kid if only one key fits\n"
    "  --no-smart-configuration  404; only the CapabilityStatement names the token endpoint\n"
    "  --grant-scope TEXT   grant this scope, whatever was asked\n";

struct arguments {
    struct sandbox_options options;
    const char *faults[MAX_FAULTS + 1];
    size_t fault_count;
    int print_env;
    int api_version;
    const char *dump_dir;
};

static unsigned long long number(const char *text, unsigned long long max)
{
    char *end;
    unsigned long long n;

    errno = 0;
    n = strtoull(text, &end, 10);
    if (errno || end == text || *end || *text == '-' || n > max) {
        fprintf(stderr, "bcda-sandbox: %s: not a number up to %llu\n", text, max);
        exit(2);
    }
    return n;
}

static void add_fault(struct arguments *a, const char *spec)
{
    if (strcmp(spec, "help") == 0) {
        fputs(sandbox_fault_help(), stdout);
        exit(0);
    }
    if (a->fault_count == MAX_FAULTS) {
        fputs("bcda-sandbox: too many faults\n", stderr);
        exit(2);
    }
    a->faults[a->fault_count++] = spec;
}

static void set_number(struct arguments *a, int id, const char *text)
{
    struct sandbox_options *o = &a->options;

    switch (id) {
    case OPT_PORT:
        o->port = (uint16_t)number(text, 65535);
        break;
    case OPT_REDIRECT_PORT:
        o->redirect = 1;
        o->redirect_port = (uint16_t)number(text, 65535);
        break;
    case OPT_FILES_PORT:
        o->files_elsewhere = 1;
        o->files_port = (uint16_t)number(text, 65535);
        break;
    case OPT_SEED:
        o->seed = number(text, UINT64_MAX);
        break;
    case OPT_PATIENTS:
        o->patients = (unsigned)number(text, 90000);
        break;
    case OPT_CLAIMS:
        o->claims = (unsigned)number(text, 900000);
        break;
    case OPT_FILE_BYTES:
        o->file_bytes = number(text, 1ull << 40);
        break;
    case OPT_FILES:
        o->files = (unsigned)number(text, 10000);
        break;
    case OPT_POLLS:
        o->polls = (unsigned)number(text, 1000000);
        o->no_polls = o->polls == 0;
        break;
    case OPT_TOKEN_SECONDS:
        o->token_seconds = (unsigned)number(text, 1000000000);
        break;
    case OPT_DAY:
        o->changes = 1;
        o->day = (unsigned)number(text, 100000);
        break;
    default:
        a->api_version = (int)number(text, 3);
        break;
    }
}

/* Sets an option without an argument. Returns 0 for any other option. */
static int set_flag(struct arguments *a, int id)
{
    struct sandbox_options *o = &a->options;
    const struct {
        int id;
        int *flag;
    } flags[] = {{OPT_TLS, &o->tls},
                 {OPT_PRINT_ENV, &a->print_env},
                 {OPT_KEEP_PLAIN, &o->keep_plain},
                 {OPT_ALLOW_DUPLICATES, &o->allow_duplicates},
                 {OPT_ALL_LEVELS, &o->all_levels},
                 {OPT_MIXED, &o->mixed},
                 {OPT_CONTROL, &o->control},
                 {OPT_KEEP_STATE, &o->keep_state},
                 {OPT_KID_OPTIONAL, &o->kid_optional},
                 {OPT_NO_SMART_CONFIGURATION, &o->no_smart_configuration}};

    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (flags[i].id == id)
            return *flags[i].flag = 1;
    return 0;
}

/* Sets an option whose argument is a text. Returns 0 for any other option. */
static int set_text(struct arguments *a, int id, const char *text)
{
    struct sandbox_options *o = &a->options;
    const struct {
        int id;
        const char **text;
    } texts[] = {{OPT_ERA, &o->era},
                 {OPT_DATA, &o->data_dir},
                 {OPT_PUBLIC_KEY, &o->public_key_file},
                 {OPT_STATE_DIR, &o->state_dir},
                 {OPT_DUMP_STATE, &a->dump_dir},
                 {OPT_AUTH, &o->auth},
                 {OPT_BEARER_TOKENS, &o->bearer_tokens_file},
                 {OPT_CLIENT_JWKS, &o->client_jwks_file},
                 {OPT_TOKEN_ALGORITHMS, &o->token_algorithms},
                 {OPT_GRANT_SCOPE, &o->grant_scope},
                 {OPT_CLIENT_CA, &o->client_ca_file}};

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (texts[i].id == id) {
            *texts[i].text = text;
            return 1;
        }
    return 0;
}

static void set_option(struct arguments *a, int id, const char *text)
{
    switch (id) {
    case OPT_FAULT:
        add_fault(a, text);
        break;
    case OPT_CLOCK_SKEW:
        a->options.clock_skew = *text == '-' ? -(int64_t)number(text + 1, 1ull << 40)
                                             : (int64_t)number(text, 1ull << 40);
        break;
    case OPT_HELP:
        fputs(usage, stdout);
        fputs(sign_in_usage, stdout);
        exit(0);
    default:
        set_number(a, id, text);
        break;
    }
}

static void parse_options(struct arguments *a, int argc, char **argv)
{
    int id;

    a->api_version = 1;
    while ((id = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        if (id == '?') {
            fputs("Try bcda-sandbox --help\n", stderr);
            exit(2);
        }
        if (!set_flag(a, id) && !set_text(a, id, optarg))
            set_option(a, id, optarg);
    }
    if (optind < argc) {
        fprintf(stderr, "bcda-sandbox: %s: unexpected argument\n", argv[optind]);
        exit(2);
    }
    if (a->api_version == 0)
        a->api_version = 1;
    a->options.faults = a->faults;
}

/* Prints NAME='value', quoted so that a shell's eval is safe with any value. */
static void print_variable(const char *name, const char *value)
{
    if (!value)
        return;
    printf("%s='", name);
    for (; *value; value++) {
        if (*value == '\'')
            fputs("'\\''", stdout);
        else
            putchar(*value);
    }
    fputs("'\n", stdout);
}

/* Prints what a client of this server needs to sign in. */
static void print_sign_in(const struct sandbox *sb, const struct sandbox_options *o)
{
    const char *auth = o->auth ? o->auth : "basic";
    const char *list = o->token_algorithms ? o->token_algorithms : "ES384";
    const char *algorithm = strstr(list, "ES384") ? "ES384" : "RS384";

    if (strcmp(auth, "basic") == 0 || strcmp(auth, "smart") == 0)
        print_variable("BCDA_CLIENT_ID", sandbox_client_id(sb));
    if (strcmp(auth, "basic") == 0)
        print_variable("BCDA_CLIENT_SECRET_FILE", sandbox_client_secret_file(sb));
    print_variable("BCDA_SIGNING_KEY_FILE", sandbox_signing_key_file(sb, algorithm));
    print_variable("BCDA_SIGNING_KEY_ID", sandbox_signing_key_id(sb, algorithm));
    print_variable("BCDA_SIGNING_JWKS_FILE", sandbox_signing_jwks_file(sb));
}

static void print_env(const struct sandbox *sb, const struct sandbox_options *o, int version)
{
    char pid[24];

    snprintf(pid, sizeof pid, "%ld", (long)getpid());
    print_variable("BCDA_FHIR_URL", sandbox_fhir_url(sb, version));
    print_variable("BCDA_TOKEN_URL", sandbox_token_url(sb));
    print_sign_in(sb, o);
    print_variable("BCDA_PRIVATE_KEY", sandbox_private_key_file(sb));
    print_variable("BCDA_CA_FILE", sandbox_ca_file(sb));
    print_variable("BCDA_REDIRECT_URL", sandbox_redirect_origin(sb));
    print_variable("BCDA_FILES_URL", sandbox_files_origin(sb));
    print_variable("BCDA_SANDBOX_PID", pid);
    fflush(stdout);
}

/* Closes standard output, so that $(bcda-sandbox --print-env &) does not wait for more text. */
static void close_stdout(void)
{
    int fd = open("/dev/null", O_WRONLY);

    if (fd >= 0) {
        dup2(fd, STDOUT_FILENO);
        close(fd);
    }
}

int main(int argc, char **argv)
{
    struct arguments a = {0};
    struct sandbox *sb = NULL;
    sigset_t set;
    int signal_number;

    parse_options(&a, argc, argv);
    if (a.dump_dir) {
        if (sandbox_dump_state(&a.options, a.api_version, a.dump_dir) == 0)
            return 0;
        fprintf(stderr, "bcda-sandbox: %s\n", sandbox_last_error());
        return 1;
    }
    signal(SIGPIPE, SIG_IGN);
    /* The signals are blocked before any thread exists. All threads inherit that, so only sigwait()
     * receives them. */
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    if (sandbox_start(&a.options, &sb)) {
        fprintf(stderr, "bcda-sandbox: %s\n", sandbox_last_error());
        return 1;
    }
    if (a.print_env) {
        print_env(sb, &a.options, a.api_version);
        close_stdout();
    }
    sigwait(&set, &signal_number);
    sandbox_stop(sb);
    return 0;
}
