/* How a session signs in: the setters of a configuration (bcda/config.h). */
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "client/config.h"
#include "client/global.h"
#include "codec/utf8.h"
#include "protocol/scope.h"
#include "protocol/token.h"

static int refuse_credentials(bcda_config *c, const char *what)
{
    return bcda__err_set(&c->err, BCDA_ERR_INVALID, "%s", what);
}

/* An argument is NULL. If that argument is the config itself, the error cannot be stored. */
static int credentials_are_missing(bcda_config *c, const char *what)
{
    return bcda__err_set(c ? &c->err : NULL, BCDA_ERR_INVALID, "%s is missing", what);
}

/* Replaces the way to sign in. */
static int set_credentials(bcda_config *c, struct bcda__credentials *fresh)
{
    bcda__credentials_free(&c->credentials);
    c->credentials = *fresh;
    return 0;
}

static int drop_new_credentials(bcda_config *c, struct bcda__credentials *fresh, int rc)
{
    bcda__credentials_free(fresh);
    return rc == BCDA_ERR_NOMEM ? bcda__err_nomem(&c->err) : rc;
}

static int is_plain(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7F)
            return 0;
    return 1;
}

int bcda_config_set_client_credentials(bcda_config *c, const char *client_id,
                                       const char *client_secret)
{
    struct bcda__credentials fresh = {.way = BCDA__SIGN_IN_BASIC};

    if (!c || !client_id || !client_secret)
        return credentials_are_missing(c, "the client id or the client secret");
    bcda__err_clear(&c->err);
    if (!*client_id || strchr(client_id, ':') || !is_plain(client_id))
        return refuse_credentials(c, "a client id is not empty and has no ':' (RFC 7617)");
    if (!*client_secret || !is_plain(client_secret))
        return refuse_credentials(
            c, "the client secret is empty or has a control character; is a line feed left at "
               "its end?");
    fresh.client_id = bcda__strdup(client_id);
    if (!fresh.client_id ||
        bcda__secret_set(&fresh.client_secret, client_secret, strlen(client_secret)))
        return drop_new_credentials(c, &fresh, BCDA_ERR_NOMEM);
    return set_credentials(c, &fresh);
}

/* ---- the signing key ---- */

static int check_client_texts(bcda_config *c, const char *client_id, const char *key_id)
{
    if (!*client_id || !is_plain(client_id))
        return refuse_credentials(c, "the client id is empty or has a control character");
    if (bcda__utf8_check(client_id, strlen(client_id)) != strlen(client_id))
        return refuse_credentials(c, "the client id is not UTF-8");
    if (key_id && (!*key_id || !is_plain(key_id)))
        return refuse_credentials(c, "the key id is empty or has a control character");
    return 0;
}

/* `name` is what error texts call the key. */
static int set_signing_key(bcda_config *c, const char *client_id, const char *name,
                           const struct bcda__secret *text, const char *passphrase,
                           const char *key_id)
{
    struct bcda__credentials fresh = {.way = BCDA__SIGN_IN_SIGNING_KEY};
    int rc = bcda__global_crypto(&c->err);

    if (rc)
        return rc;
    fresh.client_id = bcda__strdup(client_id);
    fresh.signing_key = bcda__calloc(1, sizeof *fresh.signing_key);
    if (fresh.signing_key)
        atomic_init(&fresh.signing_key->refs, 1);
    if (!fresh.client_id || !fresh.signing_key)
        return drop_new_credentials(c, &fresh, BCDA_ERR_NOMEM);
    rc = bcda__signing_key_new(&fresh.signing_key->key, name, text->data, text->len, passphrase,
                               key_id, &c->err);
    return rc ? drop_new_credentials(c, &fresh, rc) : set_credentials(c, &fresh);
}

int bcda_config_set_signing_key(bcda_config *c, const char *client_id, const void *text, size_t len,
                                const char *passphrase, const char *key_id)
{
    struct bcda__secret copy = {0};
    int rc;

    if (!c || !client_id || !text)
        return credentials_are_missing(c, "the client id or the signing key");
    bcda__err_clear(&c->err);
    rc = check_client_texts(c, client_id, key_id);
    if (!rc && bcda__secret_set(&copy, text, len))
        rc = bcda__err_nomem(&c->err);
    if (!rc)
        rc = set_signing_key(c, client_id, "signing key", &copy, passphrase, key_id);
    bcda__secret_free(&copy);
    return rc;
}

int bcda_config_set_signing_key_file(bcda_config *c, const char *client_id, const char *path,
                                     const char *passphrase, const char *key_id)
{
    struct bcda__secret text = {0};
    char shown[BCDA__PATH_SHOWN];
    int rc;

    if (!c || !client_id || !path)
        return credentials_are_missing(c, "the client id or the path of the signing key");
    bcda__config_show_path(shown, path);
    bcda__err_clear(&c->err);
    rc = check_client_texts(c, client_id, key_id);
    if (!rc)
        rc = bcda__config_read_file(path, &text, &c->err);
    if (!rc)
        rc = set_signing_key(c, client_id, shown, &text, passphrase, key_id);
    bcda__secret_free(&text);
    return rc;
}

int bcda_config_set_scope(bcda_config *c, const char *scope)
{
    if (!c)
        return BCDA_ERR_INVALID;
    bcda__err_clear(&c->err);
    if (scope && !bcda__scope_is_valid(scope))
        return refuse_credentials(c,
                                  "scopes are words of visible characters, with one space between "
                                  "two of them, such as system/Patient.read");
    return bcda__text_replace(&c->scope, scope) ? bcda__err_nomem(&c->err) : 0;
}

/* ---- tokens from elsewhere ---- */

int bcda_config_set_bearer_token(bcda_config *c, const char *token)
{
    struct bcda__credentials fresh = {.way = BCDA__SIGN_IN_BEARER};

    if (!c || !token)
        return credentials_are_missing(c, "the bearer token");
    bcda__err_clear(&c->err);
    if (!bcda__token_is_valid(token, strlen(token)))
        return refuse_credentials(c,
                                  "the bearer token is empty or has a space or control character");
    if (bcda__secret_set(&fresh.bearer, token, strlen(token)))
        return drop_new_credentials(c, &fresh, BCDA_ERR_NOMEM);
    return set_credentials(c, &fresh);
}

int bcda_config_set_token_provider(bcda_config *c, bcda_token_provider_cb cb, void *userdata,
                                   bcda_destroy_cb destroy)
{
    struct bcda__credentials fresh = {.way = BCDA__SIGN_IN_PROVIDER};

    if (!c || !cb)
        return credentials_are_missing(c, "the callback of the token provider");
    bcda__err_clear(&c->err);
    fresh.provider = bcda__registration_new((void (*)(void))cb, userdata, destroy);
    if (!fresh.provider)
        return drop_new_credentials(c, &fresh, BCDA_ERR_NOMEM);
    return set_credentials(c, &fresh);
}

static int set_token_source(bcda_config *c, enum bcda__sign_in way, const char *source)
{
    struct bcda__credentials fresh = {.way = way};

    bcda__err_clear(&c->err);
    if (!*source)
        return refuse_credentials(c, way == BCDA__SIGN_IN_FILE
                                         ? "the path of the token file is empty"
                                         : "the token command is empty");
    fresh.source = bcda__strdup(source);
    return fresh.source ? set_credentials(c, &fresh)
                        : drop_new_credentials(c, &fresh, BCDA_ERR_NOMEM);
}

int bcda_config_set_token_file(bcda_config *c, const char *path)
{
    return c && path ? set_token_source(c, BCDA__SIGN_IN_FILE, path)
                     : credentials_are_missing(c, "the path of the token file");
}

int bcda_config_set_token_command(bcda_config *c, const char *command)
{
    return c && command ? set_token_source(c, BCDA__SIGN_IN_COMMAND, command)
                        : credentials_are_missing(c, "the token command");
}

int bcda_config_set_no_authentication(bcda_config *c)
{
    struct bcda__credentials fresh = {.way = BCDA__SIGN_IN_OPEN};

    if (!c)
        return BCDA_ERR_INVALID;
    bcda__err_clear(&c->err);
    return set_credentials(c, &fresh);
}

/* ---- checks before a session is created ---- */

int bcda__config_check_sign_in(bcda_config *c)
{
    enum bcda__sign_in way = c->credentials.way;
    const char *wrong = NULL;

    if (way == BCDA__SIGN_IN_UNSET)
        wrong = "no identity is set: client credentials, a signing key, a bearer token, a token "
                "file, a token command or a token provider is needed, or \"no authentication\" for "
                "an open server";
    else if (c->scope && way != BCDA__SIGN_IN_SIGNING_KEY)
        wrong = "a scope is set, which is asked for only with a signing key";
    else if (c->token_url && way == BCDA__SIGN_IN_OPEN)
        wrong = "a token URL is set, but also that the session does not authenticate";
    else if (c->token_cache && way != BCDA__SIGN_IN_BASIC && way != BCDA__SIGN_IN_SIGNING_KEY)
        wrong = "a token cache is set, which is used only with client credentials or a signing key";
    else if (c->token_cache && c->request_budget && strcmp(c->token_cache, c->request_budget) == 0)
        wrong = "the token cache and the request budget are the same file";
    return wrong ? bcda__err_set(&c->err, BCDA_ERR_CONFIG, "%s", wrong) : 0;
}
