#include "client/config.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"
#include "base/url.h"
#include "bcda/error.h"
#include "client/global.h"

enum { KEY_FILE_MAX = 1024 * 1024, URL_MAX = 16 * 1024 };

int bcda_config_new(bcda_config **out)
{
    bcda_config *c;

    if (!out)
        return BCDA_ERR_INVALID;
    c = bcda__calloc(1, sizeof *c);
    if (!c)
        return BCDA_ERR_NOMEM;
    bcda__options_init(&c->options);
    bcda__err_clear(&c->err);
    c->clock = bcda__clock_system();
    *out = c;
    return 0;
}

static struct bcda__shared_key *key_ref(struct bcda__shared_key *k)
{
    atomic_fetch_add(&k->refs, 1);
    return k;
}

static void key_unref(struct bcda__shared_key *k)
{
    if (!k || atomic_fetch_sub(&k->refs, 1) != 1)
        return;
    bcda__key_free(k->key);
    bcda__free(k);
}

void bcda_config_free(bcda_config *c)
{
    size_t i;

    if (!c)
        return;
    bcda__credentials_free(&c->credentials);
    bcda__free(c->scope);
    bcda__free(c->token_cache);
    bcda__free(c->request_budget);
    for (i = 0; i < c->key_count; i++)
        key_unref(c->keys[i]);
    bcda__free(c->keys);
    bcda__free(c->fhir_url);
    bcda__free(c->token_url);
    bcda__texts_free(&c->rewrites);
    bcda__texts_free(&c->origins);
    bcda__texts_free(&c->certificate_origins);
    bcda__free(c->spool_directory);
    bcda__free(c->ca_file);
    bcda__free(c->cert_file);
    bcda__free(c->key_file);
    bcda__secret_free(&c->key_passphrase);
    bcda__free(c->proxy);
    bcda__free(c->proxy_user);
    bcda__secret_free(&c->proxy_password);
    bcda__registration_unref(c->log);
    bcda__options_free(&c->options);
    bcda__free(c);
}

static int copy_text(char **to, const char *from)
{
    if (from && !(*to = bcda__strdup(from)))
        return BCDA_ERR_NOMEM;
    return 0;
}

static int copy_texts(bcda_config *c, const bcda_config *from)
{
    return copy_text(&c->fhir_url, from->fhir_url) || copy_text(&c->token_url, from->token_url) ||
                   copy_text(&c->scope, from->scope) ||
                   copy_text(&c->token_cache, from->token_cache) ||
                   copy_text(&c->request_budget, from->request_budget) ||
                   copy_text(&c->ca_file, from->ca_file) ||
                   copy_text(&c->spool_directory, from->spool_directory) ||
                   copy_text(&c->cert_file, from->cert_file) ||
                   copy_text(&c->key_file, from->key_file) || copy_text(&c->proxy, from->proxy) ||
                   copy_text(&c->proxy_user, from->proxy_user) ||
                   bcda__texts_copy(&c->rewrites, &from->rewrites) ||
                   bcda__texts_copy(&c->origins, &from->origins) ||
                   bcda__texts_copy(&c->certificate_origins, &from->certificate_origins)
               ? BCDA_ERR_NOMEM
               : 0;
}

static int copy_secrets(bcda_config *c, const bcda_config *from)
{
    return bcda__secret_copy(&c->key_passphrase, &from->key_passphrase) ||
                   bcda__secret_copy(&c->proxy_password, &from->proxy_password)
               ? BCDA_ERR_NOMEM
               : 0;
}

static int copy_keys(bcda_config *c, const bcda_config *from)
{
    if (!from->key_count)
        return 0;
    c->keys = bcda__calloc(from->key_count, sizeof *c->keys);
    if (!c->keys)
        return BCDA_ERR_NOMEM;
    for (; c->key_count < from->key_count; c->key_count++)
        c->keys[c->key_count] = key_ref(from->keys[c->key_count]);
    return 0;
}

int bcda__config_copy(bcda_config **out, const bcda_config *from)
{
    bcda_config *c;
    int rc = bcda_config_new(&c);

    if (rc)
        return rc;
    rc = copy_texts(c, from);
    if (!rc)
        rc = bcda__credentials_copy(&c->credentials, &from->credentials);
    if (!rc)
        rc = copy_secrets(c, from);
    if (!rc)
        rc = copy_keys(c, from);
    if (!rc)
        rc = bcda__options_copy(&c->options, &from->options);
    if (rc) {
        bcda_config_free(c);
        return rc;
    }
    c->log = bcda__registration_ref(from->log);
    c->log_level = from->log_level;
    c->clock = from->clock;
    *out = c;
    return 0;
}

/* ---- setters ---- */

static int refuse_setting(bcda_config *c, int code, const char *what)
{
    return bcda__err_set(&c->err, code, "%s", what);
}

/* An argument is NULL. If that argument is the config itself, the error cannot be stored. */
static int refuse_missing(const bcda_config *c, const char *what)
{
    /* `const` does not apply to the stored error of the last call. */
    return bcda__err_set(c ? &((bcda_config *)(uintptr_t)c)->err : NULL, BCDA_ERR_INVALID,
                         "%s is missing", what);
}

static int config_nomem(bcda_config *c)
{
    return bcda__err_nomem(&c->err);
}

static int replace_config_text(bcda_config *c, char **slot, const char *text)
{
    return bcda__text_replace(slot, text) ? config_nomem(c) : 0;
}

static int set_config_url(bcda_config *c, char **slot, const char *url)
{
    struct bcda__url parsed;

    bcda__err_clear(&c->err);
    if (url && strlen(url) > URL_MAX)
        return bcda__err_set(&c->err, BCDA_ERR_URL, "the URL is longer than %d bytes", URL_MAX);
    if (url && (bcda__url_parse(url, &parsed) || parsed.query))
        return refuse_setting(
            c, BCDA_ERR_URL,
            "not an absolute URL such as https://sandbox.bcda.cms.gov/api/v1 (without user "
            "information, query or fragment)");
    return replace_config_text(c, slot, url);
}

int bcda_config_set_fhir_url(bcda_config *c, const char *url)
{
    return c && url ? set_config_url(c, &c->fhir_url, url) : refuse_missing(c, "the FHIR URL");
}

int bcda_config_set_token_url(bcda_config *c, const char *url)
{
    return c ? set_config_url(c, &c->token_url, url) : BCDA_ERR_INVALID;
}

static int add_config_text(bcda_config *c, struct bcda__texts *to, const char *text)
{
    return bcda__texts_add(to, text, strlen(text)) ? config_nomem(c) : 0;
}

int bcda_config_add_url_rewrite(bcda_config *c, const char *from, const char *to)
{
    struct bcda__url a, b;
    int rc;

    if (!c || !from || !to)
        return refuse_missing(c, "one of the two URLs of a rewrite");
    bcda__err_clear(&c->err);
    if (bcda__url_parse(from, &a) || a.query || bcda__url_parse(to, &b) || b.query)
        return refuse_setting(
            c, BCDA_ERR_URL,
            "a rewrite goes from one absolute URL to another, such as from "
            "https://bcda.internal:8443/api to https://bcda.example/api, without query");
    rc = add_config_text(c, &c->rewrites, from);
    if (!rc && (rc = add_config_text(c, &c->rewrites, to)))
        bcda__texts_drop_last(&c->rewrites);
    return rc;
}

/* `to` is the list that the origin is added to. */
static int add_origin(bcda_config *c, struct bcda__texts *to, const char *origin)
{
    struct bcda__url u;

    bcda__err_clear(&c->err);
    if (bcda__url_parse(origin, &u) || u.query || (u.path_len && strcmp(u.path, "/") != 0))
        return refuse_setting(c, BCDA_ERR_URL,
                              "an origin is a scheme, a host and, if need be, a port, such as "
                              "https://files.example:8443");
    return add_config_text(c, to, origin);
}

int bcda_config_add_allowed_origin(bcda_config *c, const char *origin)
{
    return c && origin ? add_origin(c, &c->origins, origin)
                       : refuse_missing(c, "the allowed origin");
}

int bcda_config_add_certificate_origin(bcda_config *c, const char *origin)
{
    return c && origin ? add_origin(c, &c->certificate_origins, origin)
                       : refuse_missing(c, "the origin that gets the client certificate");
}

static int set_shared_file(bcda_config *c, char **slot, const char *path)
{
    bcda__err_clear(&c->err);
    if (path && !*path)
        return refuse_setting(c, BCDA_ERR_INVALID, "the path is empty");
    return replace_config_text(c, slot, path);
}

int bcda_config_set_token_cache(bcda_config *c, const char *path)
{
    return c ? set_shared_file(c, &c->token_cache, path) : BCDA_ERR_INVALID;
}

int bcda_config_set_request_budget(bcda_config *c, const char *path)
{
    return c ? set_shared_file(c, &c->request_budget, path) : BCDA_ERR_INVALID;
}

static int add_private_key(bcda_config *c, const char *name, const void *pem, size_t len,
                           const char *passphrase)
{
    struct bcda__shared_key **grown = bcda__realloc(c->keys, (c->key_count + 1) * sizeof *grown);
    struct bcda__shared_key *k;
    int rc;

    if (!grown)
        return config_nomem(c);
    c->keys = grown;
    k = bcda__calloc(1, sizeof *k);
    if (!k)
        return config_nomem(c);
    atomic_init(&k->refs, 1);
    rc = bcda__global_crypto(&c->err);
    if (!rc)
        rc = bcda__key_new(&k->key, name, pem, len, passphrase, &c->err);
    if (rc) {
        bcda__free(k);
        return rc;
    }
    c->keys[c->key_count++] = k;
    return 0;
}

int bcda_config_add_private_key_pem(bcda_config *c, const void *pem, size_t len,
                                    const char *passphrase)
{
    if (!c || !pem)
        return refuse_missing(c, "the private key");
    bcda__err_clear(&c->err);
    return add_private_key(c, "private key", pem, len, passphrase);
}

void bcda__config_show_path(char out[BCDA__PATH_SHOWN], const char *path)
{
    bcda__text_show(out, BCDA__PATH_SHOWN, path);
}

static int config_file_error(const char *path, int error, struct bcda_error *err)
{
    char words[128] = "", shown[BCDA__PATH_SHOWN];
    const char *text = strerror_r(error, words, sizeof words);

    bcda__config_show_path(shown, path);
    return bcda__err_set(err, BCDA_ERR_IO, "%s: %s", shown, text);
}

int bcda__config_read_file(const char *path, struct bcda__secret *out, struct bcda_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t len = 0;
    ssize_t n = 1;
    int rc = 0;

    if (fd < 0)
        return config_file_error(path, errno, err);
    if (bcda__secret_set(out, NULL, KEY_FILE_MAX))
        rc = bcda__err_nomem(err);
    while (!rc && n > 0 && len < KEY_FILE_MAX) {
        n = read(fd, out->data + len, KEY_FILE_MAX - len);
        if (n < 0 && errno == EINTR)
            n = 1;
        else if (n < 0)
            rc = config_file_error(path, errno, err);
        else
            len += (size_t)n;
    }
    close(fd);
    out->len = len;
    return rc;
}

int bcda_config_add_private_key_file(bcda_config *c, const char *path, const char *passphrase)
{
    struct bcda__secret pem = {0};
    char shown[BCDA__PATH_SHOWN];
    int rc;

    if (!c || !path)
        return refuse_missing(c, "the path of the private key");
    bcda__config_show_path(shown, path);
    bcda__err_clear(&c->err);
    rc = bcda__config_read_file(path, &pem, &c->err);
    if (!rc)
        rc = add_private_key(c, shown, pem.data, pem.len, passphrase);
    bcda__secret_free(&pem);
    return rc;
}

int bcda_config_set_ca_file(bcda_config *c, const char *path)
{
    if (!c)
        return BCDA_ERR_INVALID;
    bcda__err_clear(&c->err);
    return replace_config_text(c, &c->ca_file, path);
}

int bcda_config_set_spool_directory(bcda_config *c, const char *path)
{
    if (!c)
        return BCDA_ERR_INVALID;
    bcda__err_clear(&c->err);
    return replace_config_text(c, &c->spool_directory, path);
}

static int replace_secret(bcda_config *c, struct bcda__secret *slot, const char *text)
{
    if (!text) {
        bcda__secret_free(slot);
        return 0;
    }
    return bcda__secret_set(slot, text, strlen(text)) ? config_nomem(c) : 0;
}

int bcda_config_set_client_certificate(bcda_config *c, const char *certificate_path,
                                       const char *key_path, const char *passphrase)
{
    int rc;

    if (!c || !certificate_path || !key_path)
        return refuse_missing(c, "the path of the client certificate or of its key");
    bcda__err_clear(&c->err);
    rc = replace_config_text(c, &c->cert_file, certificate_path);
    if (!rc)
        rc = replace_config_text(c, &c->key_file, key_path);
    return rc ? rc : replace_secret(c, &c->key_passphrase, passphrase);
}

int bcda_config_set_proxy(bcda_config *c, const char *url, const char *user, const char *password)
{
    int rc;

    if (!c)
        return BCDA_ERR_INVALID;
    bcda__err_clear(&c->err);
    rc = replace_config_text(c, &c->proxy, url);
    if (!rc)
        rc = replace_config_text(c, &c->proxy_user, url ? user : NULL);
    return rc ? rc : replace_secret(c, &c->proxy_password, url ? password : NULL);
}

int bcda_config_set_log(bcda_config *c, int level, bcda_log_cb cb, void *userdata,
                        bcda_destroy_cb destroy)
{
    if (!c)
        return BCDA_ERR_INVALID;
    bcda__err_clear(&c->err);
    if (cb && (level < BCDA_LOG_ERROR || level > BCDA_LOG_DEBUG))
        return refuse_setting(c, BCDA_ERR_INVALID, "the log level is none that is known");
    if (bcda__registration_set(&c->log, (void (*)(void))cb, userdata, destroy))
        return config_nomem(c);
    c->log_level = level;
    return 0;
}

struct bcda__log bcda__config_log(const bcda_config *c)
{
    struct bcda__log log = {0};

    if (c->log) {
        log.cb = (bcda_log_cb)c->log->cb;
        log.userdata = c->log->userdata;
        log.level = c->log_level;
    }
    return log;
}

static int option_error(const bcda_config *config, int option, int code)
{
    /* Cast as in refuse_missing(). */
    struct bcda_error *err = &((bcda_config *)(uintptr_t)config)->err;
    const char *name = bcda_option_name(option);
    int64_t min = 0, max = 0;

    if (!name)
        return bcda__err_set(err, code, "there is no option of number %d", option);
    if (code == BCDA_ERR_OPTION_RANGE && !bcda__options_limits(option, &min, &max) && max > min)
        return bcda__err_set(err, code, "option \"%s\" goes from %" PRId64 " to %" PRId64, name,
                             min, max);
    if (code == BCDA_ERR_INVALID)
        return bcda__err_set(err, code, "option \"%s\": the value, or the place for it, is missing",
                             name);
    if (code == BCDA_ERR_NOMEM)
        return bcda__err_nomem(err);
    return bcda__err_set(err, code, "option \"%s\": %s", name, bcda_error_string(code));
}

int bcda_config_set_int(bcda_config *c, int option, int64_t value)
{
    int rc;

    if (!c)
        return BCDA_ERR_INVALID;
    bcda__err_clear(&c->err);
    rc = bcda__options_set_int(&c->options, option, value);
    return rc ? option_error(c, option, rc) : 0;
}

int bcda_config_set_str(bcda_config *c, int option, const char *value)
{
    int rc;

    if (!c)
        return BCDA_ERR_INVALID;
    bcda__err_clear(&c->err);
    rc = value ? bcda__options_set_str(&c->options, option, value) : BCDA_ERR_INVALID;
    return rc ? option_error(c, option, rc) : 0;
}

int bcda_config_get_int(const bcda_config *c, int option, int64_t *out)
{
    int rc;

    if (!c)
        return BCDA_ERR_INVALID;
    rc = out ? bcda__options_get_int(&c->options, option, out) : BCDA_ERR_INVALID;
    return rc ? option_error(c, option, rc) : 0;
}

int bcda_config_get_str(const bcda_config *c, int option, const char **out)
{
    int rc;

    if (!c)
        return BCDA_ERR_INVALID;
    rc = out ? bcda__options_get_str(&c->options, option, out) : BCDA_ERR_INVALID;
    return rc ? option_error(c, option, rc) : 0;
}

const bcda_error *bcda_config_error(const bcda_config *c)
{
    return c && c->err.code ? &c->err : NULL;
}

/* ---- decrypting a file's key ---- */

/* Returns the more useful of two errors. BCDA_ERR_KEY_LABEL is the more useful one: it means that
 * this private key is the right one, and that only the OAEP label differs. */
static int choose_unwrap_error(int a, int b)
{
    return a == BCDA_ERR_KEY_LABEL || b != BCDA_ERR_KEY_LABEL ? a : b;
}

int bcda__config_unwrap(const bcda_config *c, const char *hex, const char *name, uint8_t out[32],
                        struct bcda_error *err)
{
    uint8_t wrapped[1024]; /* enough for RSA with 8192 bits */
    size_t len, i;
    int rc = BCDA_ERR_KEY_VALUE, one;

    if (!c || !c->key_count)
        return bcda__err_set(err, BCDA_ERR_KEY_MISSING,
                             "%s is encrypted, and no private key was given", name);
    if (bcda__text_hex_decode(hex, strlen(hex), wrapped, sizeof wrapped, &len))
        return bcda__err_set(err, BCDA_ERR_KEY_VALUE,
                             "%s: its wrapped key is not hexadecimal, or is too long", name);
    for (i = 0; i < c->key_count; i++) {
        one = bcda__rsa_unwrap(&c->keys[i]->key->parts, wrapped, len, name, strlen(name), out, 32);
        if (!one)
            return 0;
        if (one == BCDA_ERR_NOMEM)
            return bcda__err_nomem(err);
        rc = i == 0 ? one : choose_unwrap_error(one, rc);
    }
    bcda__err_set(err, rc, "%s: %s", name, bcda_error_string(rc));
    bcda__err_where(err, name, 0, -1);
    return rc;
}
