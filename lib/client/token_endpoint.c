#include "client/token_endpoint.h"

#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "base/transition.h"
#include "client/call.h"
#include "client/context.h"
#include "client/origin.h"
#include "codec/crypto.h"
#include "protocol/assertion.h"

/* The only function that changes the state. */
static void change_endpoint_state(struct bcda__token_endpoint *ep, enum bcda__endpoint_state to)
{
    static const char *const names[] = {"IDLE", "DISCOVERING", "METADATA", "REQUESTING"};

    BCDA__TRANSITION("token_endpoint", names[ep->state], names[to]);
    ep->state = to;
}

static const struct bcda__credentials *credentials_of(const struct bcda__token_endpoint *ep)
{
    return &ep->cx->config->credentials;
}

static int uses_assertion(const struct bcda__token_endpoint *ep)
{
    return credentials_of(ep)->way == BCDA__SIGN_IN_SIGNING_KEY;
}

const char *bcda__token_endpoint_scope(const struct bcda__token_endpoint *ep)
{
    if (!uses_assertion(ep))
        return "";
    return ep->cx->config->scope ? ep->cx->config->scope : bcda__smart_default_scope(&ep->smart);
}

static void finish_token(struct bcda__token_endpoint *ep, struct bcda__token *token,
                         const struct bcda_error *err)
{
    change_endpoint_state(ep, BCDA__ENDPOINT_IDLE);
    ep->done(ep->ctx, token, err);
}

static void fail_token(struct bcda__token_endpoint *ep, int code)
{
    struct bcda_error err;

    bcda__err_set(&err, code, "no token can be requested: %s", bcda_error_string(code));
    finish_token(ep, NULL, &err);
}

/* Returns the call that has ended, which the caller frees. */
static struct bcda__call *take_call(struct bcda__token_endpoint *ep)
{
    struct bcda__call *call = ep->call;

    ep->call = NULL;
    return call;
}

/* ---- the request for a token ---- */

static int make_assertion(struct bcda__token_endpoint *ep, struct bcda__secret *body)
{
    struct bcda__assertion a = {
        .key = credentials_of(ep)->signing_key->key,
        .client_id = credentials_of(ep)->client_id,
        .audience = ep->audience ? ep->audience : ep->url,
        .now_s = bcda__engine_wall(ep->cx->engine) / 1000,
    };
    struct bcda__secret assertion = {0};
    int rc = bcda__crypto_random(a.random, sizeof a.random);

    if (!rc)
        rc = bcda__assertion_make(&assertion, &a);
    if (!rc)
        rc = bcda__assertion_form(body, &assertion, bcda__token_endpoint_scope(ep));
    bcda__secret_free(&assertion);
    return rc;
}

/* An assertion is accepted once only, so each attempt gets a new one. */
static int make_assertion_body(void *ctx, struct bcda__secret *body, struct bcda_error *err)
{
    int rc = make_assertion(ctx, body);

    return rc ? bcda__err_set(err, rc, "the assertion cannot be signed: %s", bcda_error_string(rc))
              : 0;
}

/* Adds to the error of a refused assertion what the server announces and this client does not
 * do. */
static void explain_refusal(const struct bcda__token_endpoint *ep, struct bcda_error *err)
{
    const struct bcda__signing_key *key;
    char announced[200];

    if (!uses_assertion(ep) || (err->http_status != 400 && err->http_status != 401))
        return;
    key = credentials_of(ep)->signing_key->key;
    bcda__smart_describe_mismatch(&ep->smart, "private_key_jwt", bcda__signing_key_algorithm(key),
                                  announced, sizeof announced);
    if (announced[0])
        bcda__err_add(err, "%s, and the key signs with %s", announced,
                      bcda__signing_key_algorithm(key));
    if (!bcda__signing_key_id(key))
        bcda__err_add(err, "no key id (kid) is set");
}

/* The server may have moved its token URL: it is asked again before the next request. */
static void forget_announced(struct bcda__token_endpoint *ep)
{
    if (!uses_assertion(ep))
        return;
    ep->is_discovered = 0;
    if (ep->cx->config->token_url)
        return;
    bcda__free(ep->url);
    bcda__free(ep->audience);
    ep->url = ep->audience = NULL;
}

static void on_token_response(void *ctx, enum bcda__verdict verdict,
                              const struct bcda__answer *answer, const struct bcda_error *err)
{
    struct bcda__token_endpoint *ep = ctx;
    struct bcda__call *call = take_call(ep);
    struct bcda__token token = {0};
    struct bcda_error own;
    int rc = BCDA_ERR_AUTH;

    if (verdict == BCDA__OK) {
        rc = bcda__token_parse(&token, answer->body, answer->body_len, &own);
        if (rc) /* some servers send a refusal with status 200 */
            (void)bcda__token_describe(&own, answer->body, answer->body_len);
    } else {
        bcda__err_copy(&own, err);
        explain_refusal(ep, &own);
        forget_announced(ep);
    }
    finish_token(ep, rc ? NULL : &token, rc ? &own : NULL);
    bcda__token_free(&token);
    bcda__call_free(call);
}

static void fill_assertion_spec(struct bcda__call_spec *spec)
{
    spec->make_body = make_assertion_body;
    spec->content_type = "application/x-www-form-urlencoded";
    spec->judge = bcda__answer_assertion;
}

static int request_token(struct bcda__token_endpoint *ep)
{
    const struct bcda__credentials *client = credentials_of(ep);
    struct bcda__secret basic = {0};
    struct bcda__call_spec spec;
    int rc = 0;

    bcda__call_spec_init(&spec, "token request", "POST", ep->url);
    spec.accept = "application/json";
    spec.judge = bcda__answer_token;
    spec.end = on_token_response;
    spec.ctx = ep;
    if (uses_assertion(ep)) {
        fill_assertion_spec(&spec);
    } else {
        rc = bcda__token_basic(&basic, client->client_id, client->client_secret.data);
        spec.basic = &basic;
    }
    if (!rc)
        rc = bcda__call_new(&ep->call, ep->cx, &spec);
    bcda__secret_free(&basic);
    if (!rc)
        change_endpoint_state(ep, BCDA__ENDPOINT_REQUESTING);
    return rc;
}

/* ---- what the server announces ---- */

typedef int (*parse_announced_fn)(struct bcda__smart *, const char *, size_t, struct bcda_error *);

/* Requests a document below the FHIR URL. Nothing secret is sent. */
static int request_announced(struct bcda__token_endpoint *ep, enum bcda__endpoint_state state,
                             struct bcda__call_spec *spec, const char *path)
{
    struct bcda__buf url;
    int rc;

    bcda__buf_init(&url, 64 * 1024);
    rc = bcda__url_add_base(&url, ep->cx->config->fhir_url);
    if (!rc)
        rc = bcda__buf_adds(&url, path);
    spec->url = url.data;
    spec->ctx = ep;
    if (ep->cx->config->token_url)
        spec->attempts_max = 1; /* the token URL is known, so the announcement may be absent */
    if (!rc)
        rc = bcda__call_new(&ep->call, ep->cx, spec);
    if (!rc)
        change_endpoint_state(ep, state);
    bcda__buf_free(&url);
    return rc;
}

/* Checks the announced token URL, and sets the one that requests use. It differs from the announced
 * one, which the server expects as the audience, if the application rewrites URLs. It differs too
 * if a server behind a TLS proxy announces http; the assertion then names the URL that it is sent
 * to. */
static int adopt_token_url(struct bcda__token_endpoint *ep, struct bcda_error *err)
{
    const char *announced = ep->smart.token_url;
    struct bcda__buf url;
    int same, rc;

    if (ep->cx->config->token_url)
        return 0;
    bcda__buf_init(&url, 64 * 1024);
    rc = bcda__origin_adopt(ep->cx, announced, &url, &same, err);
    if (!rc &&
        (bcda__text_replace(&ep->url, url.data) ||
         bcda__text_replace(&ep->audience,
                            bcda__text_starts_nocase(announced, "https:") ? announced : NULL)))
        rc = bcda__err_nomem(err);
    else if (rc)
        bcda__err_context(err, "the announced token URL");
    bcda__buf_free(&url);
    return rc;
}

/* The server's announcement was read (0) or cannot be used (a code). */
static void end_discovery(struct bcda__token_endpoint *ep, int code)
{
    struct bcda_error err;
    int rc;

    ep->is_discovered = 1;
    if (code && !ep->cx->config->token_url) {
        ep->is_discovered = 0;
        bcda__err_copy(&err, &ep->discovery);
        finish_token(ep, NULL, &err);
        return;
    }
    if (!code && adopt_token_url(ep, &err)) {
        forget_announced(ep);
        finish_token(ep, NULL, &err);
        return;
    }
    rc = request_token(ep);
    if (rc)
        fail_token(ep, rc);
}

/* Parses an announcement. Sets ep->discovery if it cannot be used. */
static int read_announced(struct bcda__token_endpoint *ep, enum bcda__verdict verdict,
                          const struct bcda__answer *answer, const struct bcda_error *err,
                          parse_announced_fn parse)
{
    int rc;

    if (verdict != BCDA__OK) {
        bcda__err_copy(&ep->discovery, err);
        return err->code;
    }
    bcda__smart_free(&ep->smart);
    rc = parse(&ep->smart, answer->body, answer->body_len, &ep->discovery);
    return rc;
}

/* Whether the server has answered, and not only with a temporary error. */
static int has_answered(const struct bcda__token_endpoint *ep, enum bcda__verdict verdict)
{
    return verdict == BCDA__OK || (ep->discovery.http_status && !ep->discovery.retryable);
}

/* Neither document names a token URL. `first` says why the configuration does not; if that is a
 * temporary error, it is the error. */
static void explain_no_announcement(struct bcda__token_endpoint *ep, const struct bcda_error *first)
{
    if (first->http_status && first->retryable)
        bcda__err_copy(&ep->discovery, first);
    else
        bcda__err_set(&ep->discovery, BCDA_ERR_DISCOVERY,
                      "no token URL is set, and the server announces none: %s", first->text);
}

static void on_metadata(void *ctx, enum bcda__verdict verdict, const struct bcda__answer *answer,
                        const struct bcda_error *err)
{
    struct bcda__token_endpoint *ep = ctx;
    struct bcda__call *call = take_call(ep);
    struct bcda_error first;
    int rc;

    bcda__err_copy(&first, &ep->discovery);
    rc = read_announced(ep, verdict, answer, err, bcda__smart_parse_capabilities);
    if (rc && has_answered(ep, verdict) && rc != BCDA_ERR_NOMEM)
        explain_no_announcement(ep, &first);
    end_discovery(ep, rc);
    bcda__call_free(call);
}

static void request_metadata(struct bcda__token_endpoint *ep)
{
    struct bcda__call_spec spec;
    int rc;

    bcda__call_spec_init(&spec, "CapabilityStatement", "GET", NULL);
    spec.end = on_metadata;
    rc = request_announced(ep, BCDA__ENDPOINT_METADATA, &spec, "/metadata");
    if (rc)
        fail_token(ep, rc);
}

/* A server that has answered, but without a configuration, may still name its token URL in its
 * CapabilityStatement. A server that cannot be reached is not asked again. */
static void on_configuration(void *ctx, enum bcda__verdict verdict,
                             const struct bcda__answer *answer, const struct bcda_error *err)
{
    struct bcda__token_endpoint *ep = ctx;
    struct bcda__call *call = take_call(ep);
    int rc = read_announced(ep, verdict, answer, err, bcda__smart_parse_configuration);

    if (!rc || rc == BCDA_ERR_NOMEM || ep->cx->config->token_url ||
        (verdict != BCDA__OK && !ep->discovery.http_status))
        end_discovery(ep, rc);
    else
        request_metadata(ep);
    bcda__call_free(call);
}

static int request_configuration(struct bcda__token_endpoint *ep)
{
    struct bcda__call_spec spec;

    bcda__call_spec_init(&spec, "SMART configuration", "GET", NULL);
    spec.accept = "application/json";
    spec.end = on_configuration;
    return request_announced(ep, BCDA__ENDPOINT_DISCOVERING, &spec,
                             "/.well-known/smart-configuration");
}

/* ---- creation ---- */

/* BCDA's token URL: "/auth/token" at the origin of the FHIR URL (bcda-api 3). */
static int make_bcda_url(struct bcda__token_endpoint *ep)
{
    struct bcda__buf url;
    int rc;

    bcda__buf_init(&url, 64 * 1024);
    rc = bcda__url_add_origin(&url, &ep->cx->fhir);
    if (!rc)
        rc = bcda__buf_adds(&url, "/auth/token");
    if (rc)
        bcda__buf_free(&url);
    ep->url = bcda__buf_steal(&url);
    return rc;
}

int bcda__token_endpoint_init(struct bcda__token_endpoint *ep, struct bcda__context *cx)
{
    ep->cx = cx;
    bcda__err_clear(&ep->discovery);
    if (cx->config->token_url) {
        ep->url = bcda__strdup(cx->config->token_url);
        return ep->url ? 0 : BCDA_ERR_NOMEM;
    }
    return uses_assertion(ep) ? 0 : make_bcda_url(ep);
}

void bcda__token_endpoint_free(struct bcda__token_endpoint *ep)
{
    bcda__call_free(ep->call);
    ep->call = NULL;
    bcda__smart_free(&ep->smart);
    bcda__free(ep->url);
    bcda__free(ep->audience);
    ep->url = ep->audience = NULL;
}

int bcda__token_endpoint_begin(struct bcda__token_endpoint *ep)
{
    return uses_assertion(ep) && !ep->is_discovered ? request_configuration(ep) : request_token(ep);
}

void bcda__token_endpoint_cancel(struct bcda__token_endpoint *ep)
{
    bcda__call_free(ep->call);
    ep->call = NULL;
    change_endpoint_state(ep, BCDA__ENDPOINT_IDLE);
}
