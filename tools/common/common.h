/* The declarations of tools/common, which the command-line clients share. They use only the public
 * headers of libbcda. */
#ifndef BCDA_COMMON_H
#define BCDA_COMMON_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <stddef.h>
#include <stdint.h>

#include <bcda/bcda.h>

#define EXIT_COMPLETE 0
#define EXIT_FAILED   1
#define EXIT_USAGE    2
#define EXIT_REMARKS  3   /* complete, but needs attention */
#define EXIT_SIGNAL   128 /* plus the number of the signal that interrupted the run */

#define TYPES_MAX    64
#define SETTINGS_MAX 32

/* options.c: the options that name the server, the credentials and what is requested. All strings
 * point into argv. */
struct options {
    const char *url;
    const char *token_url;
    const char *client_id;
    const char *client_secret_file;
    const char *private_key_jwt; /* the signing key, in PEM, a JWK or a JWKS */
    const char *key_id;
    const char *signing_passphrase_file;
    const char *scope;
    const char *bearer_token_file;
    const char *token_command;
    const char *token_cache;
    const char *request_budget;
    const char *private_key;
    const char *passphrase_file;
    const char *ca;
    const char *client_certificate;
    const char *client_key;
    const char *client_key_passphrase_file;
    const char *certificate_origins[SETTINGS_MAX];
    size_t certificate_origin_count;
    const char *group;
    const char *since;
    const char *spool;
    const char *types[TYPES_MAX];
    size_t type_count;
    const char *type_filters[SETTINGS_MAX];
    size_t type_filter_count;
    const char *parameters[SETTINGS_MAX]; /* NAME=VALUE */
    size_t parameter_count;
    const char *settings[SETTINGS_MAX]; /* NAME=VALUE */
    size_t setting_count;
    int level;   /* BCDA_LEVEL_*, or LEVEL_TRY; 0 = not given */
    int no_auth; /* an open server */
    int allow_http_loopback;
    int quiet;
    int statistics;
    int takes_over;       /* 1 = an identical export that is running is taken over by default */
    int cancel_at_server; /* set by settings_config() */
};

/* Use the resource level if the server has it, else the patient level. */
#define LEVEL_TRY (-1)

enum option_id {
    OPT_URL = 256,
    OPT_TOKEN_URL,
    OPT_CLIENT_ID,
    OPT_SECRET,
    OPT_SIGNING_KEY,
    OPT_KID,
    OPT_SIGNING_PASSPHRASE,
    OPT_SCOPE,
    OPT_BEARER,
    OPT_TOKEN_COMMAND,
    OPT_NO_AUTH,
    OPT_TOKEN_CACHE,
    OPT_REQUEST_BUDGET,
    OPT_KEY,
    OPT_PASSPHRASE,
    OPT_CA,
    OPT_CERTIFICATE,
    OPT_CERTIFICATE_KEY,
    OPT_CERTIFICATE_PASSPHRASE,
    OPT_CERTIFICATE_ORIGIN,
    OPT_LOOPBACK,
    OPT_TYPE,
    OPT_GROUP,
    OPT_LEVEL,
    OPT_SINCE,
    OPT_TYPE_FILTER,
    OPT_PARAMETER,
    OPT_SET,
    OPT_SPOOL,
    OPT_QUIET,
    OPT_STATISTICS,
    OPT_HELP,
    OPT_VERSION,
    OPT_OF_PROGRAM /* the first of the program's own options */
};

/* The rows of these options for getopt_long(). */
#define OPTIONS_TABLE                                                                             \
    {"url", required_argument, NULL, OPT_URL},                                                    \
        {"token-url", required_argument, NULL, OPT_TOKEN_URL},                                    \
        {"client-id", required_argument, NULL, OPT_CLIENT_ID},                                    \
        {"client-secret-file", required_argument, NULL, OPT_SECRET},                              \
        {"private-key-jwt", required_argument, NULL, OPT_SIGNING_KEY},                            \
        {"kid", required_argument, NULL, OPT_KID},                                                \
        {"private-key-jwt-passphrase-file", required_argument, NULL, OPT_SIGNING_PASSPHRASE},     \
        {"scope", required_argument, NULL, OPT_SCOPE},                                            \
        {"bearer-token-file", required_argument, NULL, OPT_BEARER},                               \
        {"token-command", required_argument, NULL, OPT_TOKEN_COMMAND},                            \
        {"no-auth", no_argument, NULL, OPT_NO_AUTH},                                              \
        {"token-cache", required_argument, NULL, OPT_TOKEN_CACHE},                                \
        {"request-budget", required_argument, NULL, OPT_REQUEST_BUDGET},                          \
        {"private-key", required_argument, NULL, OPT_KEY},                                        \
        {"private-key-passphrase-file", required_argument, NULL, OPT_PASSPHRASE},                 \
        {"ca", required_argument, NULL, OPT_CA},                                                  \
        {"client-certificate", required_argument, NULL, OPT_CERTIFICATE},                         \
        {"client-key", required_argument, NULL, OPT_CERTIFICATE_KEY},                             \
        {"client-key-passphrase-file", required_argument, NULL, OPT_CERTIFICATE_PASSPHRASE},      \
        {"certificate-origin", required_argument, NULL, OPT_CERTIFICATE_ORIGIN},                  \
        {"allow-http-loopback", no_argument, NULL, OPT_LOOPBACK},                                 \
        {"type", required_argument, NULL, OPT_TYPE},                                              \
        {"group", required_argument, NULL, OPT_GROUP},                                            \
        {"level", required_argument, NULL, OPT_LEVEL},                                            \
        {"since", required_argument, NULL, OPT_SINCE},                                            \
        {"type-filter", required_argument, NULL, OPT_TYPE_FILTER},                                \
        {"parameter", required_argument, NULL, OPT_PARAMETER},                                    \
        {"set", required_argument, NULL, OPT_SET}, {"spool", required_argument, NULL, OPT_SPOOL}, \
        {"quiet", no_argument, NULL, OPT_QUIET},                                                  \
        {"statistics", no_argument, NULL, OPT_STATISTICS}, {"help", no_argument, NULL, OPT_HELP}, \
    {                                                                                             \
        "version", no_argument, NULL, OPT_VERSION                                                 \
    }

/* The lines of --help about these options. */
#define OPTIONS_HELP_SERVER                                                                        \
    "Server and credentials\n"                                                                     \
    "  --url URL                  the FHIR API, such as https://sandbox.bcda.cms.gov/api/v2\n"     \
    "  --client-id ID             with one of the next two\n"                                      \
    "  --client-secret-file FILE  the secret is its first line (BCDA)\n"                           \
    "  --private-key-jwt FILE     the key that signs in (SMART Backend Services): RSA, or EC on\n" \
    "                             P-384; PEM, JWK or JWKS\n"                                       \
    "  --kid ID                   the id of this key at the server, or of one key of the JWKS\n"   \
    "  --private-key-jwt-passphrase-file FILE\n"                                                   \
    "  --scope SCOPES             such as 'system/Patient.rs' (default: all types)\n"              \
    "  --bearer-token-file FILE   a token, read again when it ends or is refused\n"                \
    "  --token-command COMMAND    prints a token; run again when it ends or is refused\n"          \
    "  --no-auth                  the server requires no token\n"                                  \
    "  --token-url URL            the token endpoint (default: /auth/token at the same origin;\n"  \
    "                             with --private-key-jwt what the server announces)\n"             \
    "  --token-cache FILE         share the token with other runs (mode 0600)\n"                   \
    "  --request-budget FILE      share the limit of requests with other runs (mode 0600)\n"       \
    "  --private-key FILE         RSA key (PEM) for servers that encrypt their files\n"            \
    "  --private-key-passphrase-file FILE\n"                                                       \
    "  --ca FILE                  authorities to trust (PEM), in place of the system's\n"          \
    "  --client-certificate FILE  for servers that demand one (PEM)\n"                             \
    "  --client-key FILE          its key (PEM; default: in the file of the certificate)\n"        \
    "  --client-key-passphrase-file FILE\n"                                                        \
    "  --certificate-origin URL   a server that may see the certificate; may be given several\n"   \
    "                             times (default: those of --url and the token URL)\n"             \
    "  --allow-http-loopback      allow http to this machine, for tests\n"
#define OPTIONS_HELP_TYPE                                                                      \
    "  --type TYPE                such as Patient; may be given several times; default: all\n" \
    "  --group ID                 a group, such as all\n"
#define OPTIONS_HELP_LEVEL                                                                         \
    "  --level LEVEL              patient, group, system, or resource: one job for each --type,\n" \
    "                             as at BCDA until 2019. Default: group with --group;\n"           \
    "                             resource if the server still has it; otherwise patient\n"
#define OPTIONS_HELP_FILTER                                                                   \
    "  --type-filter FILTER       a _typeFilter, such as\n"                                   \
    "                             'ExplanationOfBenefit?service-date=ge2024'; may be given\n" \
    "                             several times (BCDA takes one, in v3)\n"                    \
    "  --parameter NAME=VALUE     any other parameter of the export; may be given several times\n"

/* Stores an option. Returns 0; 1 if the option is not one of these; or -1 after an error, which is
 * printed. */
int options_set(struct options *o, int id, const char *text);
/* Adds a text to a list of an option that may be given several times. Returns 0, or -1 after an
 * error, which is printed. */
int options_add(const char **list, size_t *count, size_t max, const char *text, const char *option);
/* Chooses the level if --level is not given. It may be LEVEL_TRY. */
void options_choose_level(struct options *o);
/* The types that are exported at the resource level if --type is not given. */
#define OPTIONS_ALL_TYPES 3
extern const char *const options_all_types[OPTIONS_ALL_TYPES];
/* Returns what contradicts in the options, or NULL. */
const char *options_contradiction(const struct options *o);

/* sign_in.c: how the program signs in. Returns what contradicts in the options, or NULL. */
const char *sign_in_contradiction(const struct options *o);
/* Sets the credentials of the configuration. On failure prints the error, sets *status and returns
 * -1. */
int sign_in_set(bcda_config *config, const struct options *o, int *status);

/* certificate.c: the client certificate. Returns what contradicts in the options, or NULL. */
const char *certificate_contradiction(const struct options *o);
/* Sets the certificate and the servers that may see it. Returns as sign_in_set(). */
int certificate_set(bcda_config *config, const struct options *o, int *status);

/* settings.c: reads a secret, the first line of a file. *secret becomes a text that
 * settings_free_secret() wipes and frees, or NULL if `path` is NULL. On failure prints the error
 * and returns -1. */
int settings_read_secret(const char *path, char **secret);
void settings_free_secret(char *secret);
/* Prints a message if a call on the config failed. Returns 0 or -1, and then sets *status. */
int settings_check(bcda_config *config, const char *what, int rc, int *status);
/* Creates a configuration from the command line. A program without `sign_in` makes only
 * requests that need no token. `spool` is the directory of --set delivery=verified without --spool;
 * NULL = there is none. On failure prints the error, sets *status and returns NULL. */
bcda_config *settings_config(struct options *o, int sign_in, const char *spool, int *status);
/* Prints why a session could not be created. Returns the exit status. */
int settings_refused(const struct options *o, const bcda_config *config, int rc);

/* request.c: creates the export request of one job. If `only_type` is not NULL, it is the only
 * type. After a usage error, which is printed, returns NULL. */
bcda_export *request_new(const struct options *o, int level, const char *only_type);
/* Returns the level, the group and the types as text, which the caller frees, or NULL if there is
 * no memory. */
char *request_text(const struct options *o);

/* report.c: messages and the progress bar, on standard error. */
struct progress {
    int state;          /* the lowest BCDA_JOB_* of all jobs */
    const char *server; /* the server's progress text; may be "" */
    size_t files;       /* files in the manifests of all jobs */
    size_t ended;       /* files whose download has ended with a BCDA_VERDICT_* */
    double share;       /* which part of the data is downloaded, from 0 to 1 */
    int64_t resources;
    int64_t bytes;
};
/* Sets the name of the program, which begins each error message. Called first. */
void report_program(const char *name);
const char *report_program_name(void);
void report_init(int quiet);
/* Prints a line of information, except with --quiet. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Prints a line about an error or a warning, even with --quiet. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Prints "what: " and the error, and on the next line the server's text. `what` may be "". */
void complain_error(const char *what, const bcda_error *error);
void report_progress(const struct progress *p);
void report_clear(void);
int64_t now_ms(void);
/* Copies `text` for a terminal. Control characters, and characters that the terminal's character
 * set does not have, become '?'. Returns `to`. */
const char *clean(char *to, size_t size, const char *text);
/* Writes a number of bytes as text, such as "12.3 MB". Returns `to`. */
const char *bytes_text(char *to, size_t size, double bytes);
/* Prints what --statistics shows. `writing` names what the program does with the data. */
void report_statistics(bcda_session *session, const char *writing);

/* process.c: what a program does with its process. */
/* Opens /dev/null for each standard descriptor that is closed. Returns 0 or -1. */
int process_open_standard_files(void);
/* Lets SIGINT and SIGTERM wake this session, instead of ending the program. The second signal ends
 * the program. NULL restores the default. */
void process_catch_signals(bcda_session *session);
/* Returns the number of the signal that arrived, or 0. */
int process_signal(void);

#endif
