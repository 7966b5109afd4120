#include "client/request.h"

#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "client/context.h"
#include "codec/json.h"

enum { DEPTH = 64 };

/* ---- what the answers say ---- */

/* Where in the document the reading is: the keys above, as far as they matter. */
struct reading {
    bcda_request *r;
    char path[8][24]; /* keys by depth; "" inside what does not matter */
    int is_token;     /* the extension at hand is the one named "token" */
};

static int at(const struct reading *w, int depth, const char *a, const char *b)
{
    if (depth == 1)
        return !b && strcmp(w->path[1], a) == 0;
    return depth == 2 && b && strcmp(w->path[1], a) == 0 && strcmp(w->path[2], b) == 0;
}

static void keep_text(char *to, size_t size, const char *text, size_t len)
{
    if (to[0] || len >= size || memchr(text, '\0', len))
        return;
    memcpy(to, text, len);
    to[len] = '\0';
    bcda__text_one_line(to);
}

/* rest[0].security.extension[].extension[] of the SMART oauth-uris: {"url":"token","valueUri":…}.
 * The inner objects stand at depth 7, their members at 8 or, by `path`, under the same keys. */
static void read_oauth(struct reading *w, const char *key, const char *text, size_t len)
{
    if (strcmp(key, "url") == 0)
        w->is_token = len == 5 && memcmp(text, "token", 5) == 0;
    else if (w->is_token && strcmp(key, "valueUri") == 0)
        keep_text(w->r->token_url, sizeof w->r->token_url, text, len);
}

static int on_event(void *ctx, enum bcda__json_event event, int depth, const char *text, size_t len)
{
    struct reading *w = ctx;
    /* path[0] holds the last key of all that is deeper. */
    char *key = w->path[depth >= 1 && depth < 8 ? depth : 0];

    if (event == BCDA__JSON_KEY) {
        key[0] = '\0';
        keep_text(key, sizeof w->path[0], text, len);
        return 0;
    }
    if (event != BCDA__JSON_STRING)
        return 0;
    if ((w->r->what == BCDA_REQUEST_VERSION && at(w, depth, "version", NULL)) ||
        at(w, depth, "software", "version"))
        keep_text(w->r->software, sizeof w->r->software, text, len);
    else if (at(w, depth, "fhirVersion", NULL))
        keep_text(w->r->fhir, sizeof w->r->fhir, text, len);
    else if (depth >= 7 && strcmp(w->path[1], "rest") == 0 && strcmp(w->path[3], "security") == 0)
        read_oauth(w, key, text, len);
    return 0;
}

static int read_request_body(bcda_request *r, struct bcda_error *err)
{
    struct reading w = {0};
    int rc;

    w.r = r;
    rc = bcda__json_parse(r->body, r->body_len, DEPTH, on_event, &w);
    if (rc)
        bcda__err_set(err, rc, "%s: %s", r->what == BCDA_REQUEST_VERSION ? "version" : "metadata",
                      bcda_error_string(rc));
    return rc;
}

/* ---- its life ---- */

void bcda__request_end(bcda_request *r, int code, const struct bcda_error *err)
{
    struct bcda__context *cx = r->cx;
    struct bcda__registration *cb = r->cb;

    if (cx->forked && !cx->ending)
        return; /* in a child it stays as it was, and ends with the session */
    bcda__call_free(r->call);
    r->call = NULL;
    r->result = code;
    if (code)
        bcda__err_copy(&r->err, err);
    if (r->prev)
        r->prev->next = r->next;
    else
        *r->first = r->next;
    if (r->next)
        r->next->prev = r->prev;
    if (cb && !cx->forked) {
        bcda__context_enter_callback(cx);
        ((bcda_request_cb)cb->cb)(r, code, cb->userdata);
        bcda__context_leave_callback(cx);
    }
    r->cx = NULL;
    r->cb = NULL;
    bcda__context_enter_callback(cx); /* `destroy` is one */
    bcda__registration_unref(cb);
    bcda__context_leave_callback(cx);
    bcda_request_unref(r); /* the session's */
}

static void on_request_end(void *ctx, enum bcda__verdict verdict, const struct bcda__answer *a,
                           const struct bcda_error *err)
{
    bcda_request *r = ctx;
    struct bcda_error own;
    int rc;

    if (verdict != BCDA__OK) {
        bcda__err_copy(&own, err); /* it belongs to the call, which the end frees */
        bcda__request_end(r, own.code, &own);
        return;
    }
    r->body = bcda__strndup(a->body, a->body_len);
    r->body_len = r->body ? a->body_len : 0;
    rc = r->body ? read_request_body(r, &own) : bcda__err_nomem(&own);
    bcda__request_end(r, rc, &own);
}

static int start_call(bcda_request *r)
{
    struct bcda__context *cx = r->cx;
    const char *what = r->what == BCDA_REQUEST_VERSION ? "version" : "metadata";
    struct bcda__call_spec spec;
    struct bcda__buf url;
    int rc;

    bcda__buf_init(&url, 64 * 1024);
    if (r->what == BCDA_REQUEST_VERSION) {
        rc = bcda__url_add_origin(&url, &cx->fhir);
        if (!rc)
            rc = bcda__buf_adds(&url, "/_version");
    } else {
        rc = bcda__url_add_base(&url, cx->config->fhir_url);
        if (!rc)
            rc = bcda__buf_adds(&url, "/metadata");
    }
    bcda__call_spec_init(&spec, what, "GET", url.data);
    spec.end = on_request_end;
    spec.ctx = r;
    if (!rc)
        rc = bcda__call_new(&r->call, cx, &spec);
    bcda__buf_free(&url);
    return rc;
}

int bcda__request_create(bcda_request **out, struct bcda__context *cx, bcda_request **first,
                         int what)
{
    bcda_request *r = bcda__calloc(1, sizeof *r);
    int rc;

    if (!r)
        return BCDA_ERR_NOMEM;
    atomic_init(&r->refs, 1);
    r->cx = cx;
    r->first = first;
    r->what = what;
    r->result = BCDA_ERR_AGAIN;
    bcda__err_clear(&r->err);
    rc = start_call(r);
    if (rc) {
        bcda__free(r);
        return rc;
    }
    r->next = *first;
    if (r->next)
        r->next->prev = r;
    *first = r;
    *out = r;
    return 0;
}

bcda_request *bcda_request_ref(bcda_request *r)
{
    if (r)
        atomic_fetch_add(&r->refs, 1);
    return r;
}

void bcda_request_unref(bcda_request *r)
{
    if (!r || atomic_fetch_sub(&r->refs, 1) != 1)
        return;
    bcda__free(r->body);
    bcda__err_forget(&r->err);
    bcda__free(r);
}

int bcda_request_result(const bcda_request *r)
{
    return r ? r->result : BCDA_ERR_INVALID;
}

const bcda_error *bcda_request_error(const bcda_request *r)
{
    return r && r->err.code ? &r->err : NULL;
}

const char *bcda_request_body(const bcda_request *r, size_t *len)
{
    if (len)
        *len = r ? r->body_len : 0;
    return r && r->body ? r->body : "";
}

const char *bcda_request_software_version(const bcda_request *r)
{
    return r ? r->software : "";
}

const char *bcda_request_fhir_version(const bcda_request *r)
{
    return r ? r->fhir : "";
}

const char *bcda_request_token_url(const bcda_request *r)
{
    return r ? r->token_url : "";
}
