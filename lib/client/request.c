#include "client/request.h"

#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "client/context.h"
#include "codec/document.h"

/* ---- reading the responses ---- */

enum request_value { SOFTWARE, FHIR_VERSION, OAUTH_NAME, OAUTH_URL };

static const struct bcda__document_path version_paths[] = {{"version", SOFTWARE}};

static const struct bcda__document_path metadata_paths[] = {
    /* From the oauth-uris extension of SMART: {"url":"token","valueUri":...}. */
    {"software.version", SOFTWARE},
    {"fhirVersion", FHIR_VERSION},
    {"rest[].security.extension[].extension[].url", OAUTH_NAME},
    {"rest[].security.extension[].extension[].valueUri", OAUTH_URL},
};

struct reading {
    bcda_request *r;
    int is_token; /* the current extension is the one named "token" */
};

/* Keeps the first of several values. */
static void keep_text(char *to, size_t size, const char *text, size_t len)
{
    if (to[0])
        return;
    bcda__document_copy(to, size, text, len);
    bcda__text_one_line(to);
}

static int request_on_value(void *ctx, int what, enum bcda__json_event event, const char *text,
                            size_t len)
{
    struct reading *w = ctx;
    bcda_request *r = w->r;

    if (event != BCDA__JSON_STRING)
        return 0;
    if (what == SOFTWARE)
        keep_text(r->software, sizeof r->software, text, len);
    else if (what == FHIR_VERSION)
        keep_text(r->fhir, sizeof r->fhir, text, len);
    else if (what == OAUTH_NAME)
        w->is_token = bcda__document_is(text, len, "token");
    else if (w->is_token)
        keep_text(r->token_url, sizeof r->token_url, text, len);
    return 0;
}

static int read_request_body(bcda_request *r, struct bcda_error *err)
{
    int is_version = r->what == BCDA_REQUEST_VERSION;
    struct reading w = {.r = r};
    int rc = bcda__document_parse(r->body, r->body_len, is_version ? version_paths : metadata_paths,
                                  is_version ? 1 : sizeof metadata_paths / sizeof metadata_paths[0],
                                  request_on_value, &w);

    if (rc)
        bcda__err_set(err, rc, "%s: %s", is_version ? "version" : "metadata",
                      bcda_error_string(rc));
    return rc;
}

/* ---- start and end ---- */

void bcda__request_end(bcda_request *r, int code, const struct bcda_error *err)
{
    struct bcda__context *cx = r->cx;
    struct bcda__registration *cb = r->cb;

    if (cx->forked && !cx->ending)
        return; /* in a child of fork() a request does not change; it ends with the session */
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
    bcda__context_enter_callback(cx); /* `destroy` is a callback too */
    bcda__registration_unref(cb);
    bcda__context_leave_callback(cx);
    bcda_request_unref(r); /* releases the session's reference */
}

static void on_request_end(void *ctx, enum bcda__verdict verdict, const struct bcda__answer *a,
                           const struct bcda_error *err)
{
    bcda_request *r = ctx;
    struct bcda_error own;
    int rc;

    if (verdict != BCDA__OK) {
        bcda__err_copy(&own, err); /* ending the request frees the call that owns `err` */
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
