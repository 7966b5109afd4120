/* How the program signs in: the options for credentials and tokens. */
#include "common.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* ---- contradictions ---- */

/* Returns how many of the ways to sign in are given. */
static int sign_in_ways(const struct options *o)
{
    return !!o->client_secret_file + !!o->private_key_jwt + !!o->bearer_token_file +
           !!o->token_command + !!o->no_auth;
}

/* Whether the program fetches tokens from a token URL. */
static int sign_in_fetches(const struct options *o)
{
    return o->client_secret_file || o->private_key_jwt;
}

/* Returns whether two paths, which may be NULL, name one file. */
static int sign_in_is_same_file(const char *a, const char *b)
{
    struct stat one, other;

    if (!a || !b)
        return 0;
    return strcmp(a, b) == 0 || (!stat(a, &one) && !stat(b, &other) && one.st_dev == other.st_dev &&
                                 one.st_ino == other.st_ino);
}

/* The library keeps a file with other content, but not an empty one, and it compares paths as
 * texts. Here a mistake is wrong usage: --token-cache and --request-budget each need a file that no
 * other option names. */
static const char *sign_in_files_contradict(const struct options *o)
{
    const char *const files[] = {o->client_secret_file,
                                 o->private_key_jwt,
                                 o->signing_passphrase_file,
                                 o->bearer_token_file,
                                 o->private_key,
                                 o->passphrase_file,
                                 o->ca,
                                 o->client_certificate,
                                 o->client_key,
                                 o->client_key_passphrase_file};
    size_t i;

    if (sign_in_is_same_file(o->token_cache, o->request_budget))
        return "--token-cache and --request-budget need different files";
    for (i = 0; i < sizeof files / sizeof files[0]; i++) {
        if (sign_in_is_same_file(o->token_cache, files[i]))
            return "--token-cache needs a file that no other option names";
        if (sign_in_is_same_file(o->request_budget, files[i]))
            return "--request-budget needs a file that no other option names";
    }
    return NULL;
}

const char *sign_in_contradiction(const struct options *o)
{
    if (sign_in_ways(o) > 1)
        return "only one of --client-secret-file, --private-key-jwt, --bearer-token-file, "
               "--token-command and --no-auth can be given";
    if (sign_in_ways(o) == 0 && o->client_id)
        return "--client-id needs --client-secret-file or --private-key-jwt";
    if (sign_in_ways(o) == 0)
        return "--client-id and --client-secret-file are needed, or --private-key-jwt, "
               "--bearer-token-file, --token-command or --no-auth";
    if (sign_in_fetches(o) && !o->client_id)
        return o->private_key_jwt ? "--private-key-jwt needs --client-id"
                                  : "--client-secret-file needs --client-id";
    if (!sign_in_fetches(o) && o->client_id)
        return "--client-id is only for --client-secret-file and --private-key-jwt";
    if (!o->private_key_jwt && (o->key_id || o->scope || o->signing_passphrase_file))
        return "--kid, --scope and --private-key-jwt-passphrase-file need --private-key-jwt";
    if (!sign_in_fetches(o) && o->token_cache)
        return "--token-cache is only for --client-secret-file and --private-key-jwt";
    if (o->no_auth && o->token_url)
        return "--no-auth and --token-url contradict each other";
    return sign_in_files_contradict(o);
}

/* ---- the configuration ---- */

static int sign_in_with_secret(bcda_config *config, const struct options *o, int *status)
{
    char *secret;
    int rc;

    if (settings_read_secret(o->client_secret_file, &secret))
        return -1;
    rc = settings_check(config, "--client-id",
                        bcda_config_set_client_credentials(config, o->client_id, secret), status);
    settings_free_secret(secret);
    return rc;
}

static int sign_in_with_key(bcda_config *config, const struct options *o, int *status)
{
    char *secret;
    int rc;

    if (settings_read_secret(o->signing_passphrase_file, &secret))
        return -1;
    rc = settings_check(config, "--private-key-jwt",
                        bcda_config_set_signing_key_file(config, o->client_id, o->private_key_jwt,
                                                         secret, o->key_id),
                        status);
    settings_free_secret(secret);
    return rc ? rc
              : settings_check(config, "--scope", bcda_config_set_scope(config, o->scope), status);
}

static int sign_in_choose(bcda_config *config, const struct options *o, int *status)
{
    if (o->private_key_jwt)
        return sign_in_with_key(config, o, status);
    if (o->client_secret_file)
        return sign_in_with_secret(config, o, status);
    if (o->bearer_token_file)
        return settings_check(config, "--bearer-token-file",
                              bcda_config_set_token_file(config, o->bearer_token_file), status);
    if (o->token_command)
        return settings_check(config, "--token-command",
                              bcda_config_set_token_command(config, o->token_command), status);
    return settings_check(config, "--no-auth", bcda_config_set_no_authentication(config), status);
}

int sign_in_set(bcda_config *config, const struct options *o, int *status)
{
    *status = EXIT_FAILED;
    if (settings_check(config, "--token-url", bcda_config_set_token_url(config, o->token_url),
                       status) ||
        sign_in_choose(config, o, status) ||
        settings_check(config, "--token-cache", bcda_config_set_token_cache(config, o->token_cache),
                       status))
        return -1;
    return settings_check(config, "--request-budget",
                          bcda_config_set_request_budget(config, o->request_budget), status);
}
