/* Finds the handler by the path as sent: escapes are not decoded, case and slashes matter
 * (bcda-api 1). */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#define MAX_SEGMENTS 6

struct route {
    char *copy;
    char *segment[MAX_SEGMENTS];
    size_t count; /* 0: there are too many segments, or one is empty */
};

static void split(struct route *r, const char *path)
{
    char *s = r->copy = xstrdup(path);

    while (s && *s == '/') {
        char *end = strchr(s + 1, '/');

        if (r->count == MAX_SEGMENTS || s[1] == '\0' || s[1] == '/') {
            r->count = 0;
            return;
        }
        *s = '\0'; /* ends the previous segment */
        r->segment[r->count++] = s + 1;
        s = end;
    }
}

static bool is(const struct route *r, size_t i, const char *word)
{
    return i < r->count && strcmp(r->segment[i], word) == 0;
}

static enum MHD_Result only_get(struct request *rq, enum MHD_Result (*handler)(struct request *))
{
    return request_is(rq, "GET") ? handler(rq) : reply_method(rq);
}

static enum MHD_Result debug_token(struct request *rq)
{
    char *token = token_issue(rq->sb, 72 * 3600);
    enum MHD_Result result = reply_string(rq, 200, "text/plain; charset=utf-8", token);

    free(token);
    return result;
}

static bool is_data_path(const struct route *r)
{
    return r->count == 3 && is(r, 0, "data");
}

static bool is_token_path(const struct sandbox *sb, const struct route *r)
{
    if (r->count != 2 || (sb->auth != AUTH_BASIC && sb->auth != AUTH_SMART))
        return false;
    return is(r, 0, sb->auth == AUTH_SMART ? "oauth2" : "auth") && is(r, 1, "token");
}

static bool export_level(struct sandbox *sb, const char *level)
{
    const struct era *era = sb->era;

    if (strcmp(level, "Patient") == 0 || sb->options.all_levels)
        return true;
    if (!era->type_endpoints)
        return false;
    return strcmp(level, "ExplanationOfBenefit") == 0 ||
           (era->coverage_endpoint && strcmp(level, "Coverage") == 0);
}

static enum MHD_Result route_export(struct request *rq, int version, const char *level,
                                    const char *group)
{
    return request_is(rq, "GET") ? export_start(rq, version, level, group) : reply_method(rq);
}

static enum MHD_Result route_job(struct request *rq, const char *id)
{
    if (request_is(rq, "GET"))
        return job_status(rq, id);
    if (request_is(rq, "DELETE") && rq->sb->era->manages_jobs)
        return job_delete(rq, id);
    return reply_method(rq);
}

static enum MHD_Result metadata(struct request *rq)
{
    return small_metadata(rq, rq->api);
}

/* Returns the N of /api/vN/..., or 0 for any other path. */
static int api_version(const struct route *r)
{
    const char *v = r->count >= 2 && is(r, 0, "api") ? r->segment[1] : "";

    return v[0] == 'v' && v[1] >= '1' && v[1] <= '3' && v[2] == '\0' ? v[1] - '0' : 0;
}

static bool is_discovery_path(const struct sandbox *sb, const struct route *r)
{
    return r->count == 4 && api_version(r) && api_version(r) <= sb->era->versions &&
           is(r, 2, ".well-known") && is(r, 3, "smart-configuration");
}

/* Handles /api/vN/... */
static enum MHD_Result route_api(struct request *rq, const struct route *r)
{
    const struct era *era = rq->sb->era;
    int version = api_version(r);

    if (version == 0 || version > era->versions || r->count < 3)
        return reply_not_found(rq);
    if (r->count == 3 && is(r, 2, "metadata"))
        return only_get(rq, metadata);
    if (r->count == 3 && is(r, 2, "jobs") && era->manages_jobs)
        return only_get(rq, jobs_list);
    if (r->count == 3 && is(r, 2, "attribution_status") && era->manages_jobs)
        return only_get(rq, small_attribution);
    if (r->count == 3 && is(r, 2, "token") && era->id == ERA_2018_12 && rq->sb->auth == AUTH_BASIC)
        return only_get(rq, debug_token);
    if (r->count == 4 && is(r, 2, "jobs"))
        return route_job(rq, r->segment[3]);
    if (r->count == 3 && is(r, 2, "$export") && rq->sb->options.all_levels)
        return route_export(rq, version, "", NULL);
    if (r->count == 4 && is(r, 3, "$export") && export_level(rq->sb, r->segment[2]))
        return route_export(rq, version, r->segment[2], NULL);
    if (r->count == 5 && is(r, 2, "Group") && is(r, 4, "$export") &&
        (era->type_parameter || rq->sb->options.all_levels))
        return route_export(rq, version, "Group", r->segment[3]);
    return reply_not_found(rq);
}

/* Handles /_sandbox/..., which no real server has. */
static enum MHD_Result route_control(struct request *rq, const struct route *r)
{
    if (is(r, 1, "day"))
        return control_day(rq);
    if (is(r, 1, "clock"))
        return control_clock(rq);
    if (is(r, 1, "count"))
        return control_count(rq);
    return is(r, 1, "fault") ? control_fault(rq) : reply_not_found(rq);
}

static enum MHD_Result route_rest(struct request *rq, const struct route *r)
{
    enum MHD_Result result = MHD_NO;

    if (is_token_path(rq->sb, r))
        return rq->sb->auth == AUTH_SMART ? smart_token_endpoint(rq) : token_endpoint(rq);
    if (is_discovery_path(rq->sb, r) && rq->sb->auth == AUTH_SMART)
        return only_get(rq, smart_configuration);
    /* The newest server checks a token, if one is sent, before it looks for the route
     * (bcda-api 1). */
    if (!token_check(rq, false, &result))
        return result;
    if (r->count == 2 && is(r, 0, "auth") && is(r, 1, "welcome") && rq->sb->era->modern)
        return only_get(rq, small_welcome);
    if (r->count == 1 && is(r, 0, "_version"))
        return only_get(rq, small_version);
    if (r->count == 1 && is(r, 0, "_health"))
        return only_get(rq, small_health);
    if (r->count == 1 && is(r, 0, "_auth"))
        return only_get(rq, small_auth);
    if (r->count == 2 && is(r, 0, "_sandbox") && rq->sb->options.control)
        return route_control(rq, r);
    if (is_data_path(r))
        return request_is(rq, "GET") ? data_file(rq, r->segment[1], r->segment[2])
                                     : reply_method(rq);
    if (r->count >= 2 && is(r, 0, "api"))
        return route_api(rq, r);
    if (strcmp(rq->path, "/") == 0)
        return only_get(rq, small_root);
    return reply_not_found(rq);
}

static void count_request(struct request *rq)
{
    struct sandbox *sb = rq->sb;
    const char *host = request_header(rq, "Host");
    const union MHD_ConnectionInfo *info;

    /* What steers the sandbox is not a request to the server. */
    if (strncmp(rq->path, "/_sandbox/", 10) != 0)
        sb->counts[C_TOTAL]++;
    info = MHD_get_connection_info(rq->connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    if (sb->options.tls && info && info->tls_session &&
        gnutls_session_is_resumed(info->tls_session))
        sb->counts[C_RESUMED]++;
    if (request_header(rq, "Authorization") &&
        (!host || strcmp(host, strstr(sb->origin, "://") + 3) != 0))
        sb->counts[C_ELSEWHERE]++;
}

static const char *stage_of(const struct sandbox *sb, const struct route *r)
{
    if (is_token_path(sb, r))
        return "token";
    if (is_discovery_path(sb, r) && sb->auth == AUTH_SMART)
        return "discovery";
    if (r->count && is(r, r->count - 1, "$export"))
        return "kickoff";
    if (r->count == 4 && is(r, 0, "api") && is(r, 2, "jobs"))
        return "status";
    return is_data_path(r) ? "data" : "other";
}

static enum MHD_Result redirect_to(struct request *rq, const char *origin)
{
    char *url = xasprintf("%s%s", origin, rq->target);

    reply_header(rq, "Location", url);
    free(url);
    return reply_string(rq, 302, "text/html; charset=utf-8", "<a href=\"#\">Found</a>.\n\n");
}

/* Answers with a redirect if a fault asks for one. The other origin does not redirect back. */
static bool redirect_faults(struct request *rq, enum MHD_Result *result)
{
    struct sandbox *sb = rq->sb;
    char *origin = request_origin(rq), *other = other_origin(sb->origin);

    if (strcmp(origin, sb->origin) == 0 && fault_take(sb, F_REDIRECT_ELSEWHERE, rq->stage, NULL)) {
        *result = redirect_to(rq, other);
    } else if (fault_take(sb, F_REDIRECT_HTTP, rq->stage, NULL)) {
        free(other);
        other = xasprintf("http%s", strstr(origin, "://"));
        *result = redirect_to(rq, other);
    } else if (fault_take(sb, F_REDIRECT_LOOP, rq->stage, NULL)) {
        *result = redirect_to(rq, origin);
    } else {
        free(origin);
        free(other);
        return true;
    }
    free(origin);
    free(other);
    return false;
}

/* Chooses the random fault of this answer, and answers with it unless it is a fault of the body.
 * Returns true if the request may continue. */
static bool random_faults(struct request *rq, enum MHD_Result *result)
{
    bool status = strcmp(rq->stage, "status") == 0;

    rq->random = random_next(rq, rq->stage, &rq->random_place);
    switch (rq->random) {
    case R_RESET:
        *result = MHD_NO;
        return false;
    case R_401:
        *result = reply_outcome(rq, 401, O_TOKEN, NULL);
        return false;
    case R_404:
        *result = reply_not_found(rq);
        return false;
    case R_429:
        *result = reply_later(rq, 429, 1, NULL);
        return false;
    case R_500:
        *result = status ? reply_outcome(rq, 500, O_DATABASE,
                                         "Error trying to fetch job. Please try again.")
                         : reply_text(rq, 500, "Internal Server Error");
        return false;
    case R_503:
        *result = reply_later(rq, 503, 0, "Service Unavailable");
        return false;
    default:
        return true;
    }
}

/* Applies the faults of any request. Returns true if the request may continue. */
static bool any_faults(struct request *rq, enum MHD_Result *result)
{
    struct sandbox *sb = rq->sb;

    if (fault_take(sb, F_RESET, rq->stage, NULL))
        *result = MHD_NO;
    else if (fault_take(sb, F_GATEWAY, rq->stage, NULL))
        *result = reply_html(rq, 502);
    else
        return redirect_faults(rq, result) && random_faults(rq, result);
    return false;
}

/* An open server refuses a token, so that a test notices that one was sent. */
static bool token_unwanted(struct request *rq, enum MHD_Result *result)
{
    if (rq->sb->auth != AUTH_NONE || !request_header(rq, "Authorization"))
        return false;
    *result = reply_outcome(rq, 400, O_REQUEST,
                            "This server is open: a request has no Authorization header");
    return true;
}

/* Refuses a request without a certificate of the client's authority, as nginx does. The port of the
 * files only counts certificates: a client has no reason to show one there. */
static bool certificate_missing(struct request *rq, enum MHD_Result *result)
{
    const union MHD_ConnectionInfo *info;
    unsigned count = 0, status = 1;
    bool valid;

    if (!rq->sb->client_ca)
        return false;
    info = MHD_get_connection_info(rq->connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    gnutls_certificate_get_peers(info->tls_session, &count);
    valid = count && gnutls_certificate_verify_peers2(info->tls_session, &status) == 0 && !status;
    if (rq->on_files_port) {
        rq->sb->counts[C_CERTIFICATES_ELSEWHERE] += count > 0;
        return false;
    }
    rq->sb->counts[C_CERTIFICATES] += valid;
    if (!valid)
        *result = reply_string(rq, 400, "text/html",
                               count ? "<h1>The SSL certificate error</h1>\r\n"
                                     : "<h1>No required SSL certificate was sent</h1>\r\n");
    return !valid;
}

enum MHD_Result route(struct request *rq)
{
    struct route r = {0};
    enum MHD_Result result = MHD_NO;

    count_request(rq);
    if (certificate_missing(rq, &result))
        return result;
    split(&r, rq->path);
    if (rq->on_files_port && !is_data_path(&r)) {
        free(r.copy);
        return reply_not_found(rq);
    }
    if (api_version(&r) && api_version(&r) <= rq->sb->era->versions)
        rq->api = api_version(
            &r); /* set before any check: the path decides the shape of an error (bcda-api 8.1) */
    rq->stage = stage_of(rq->sb, &r);
    if (is_discovery_path(rq->sb, &r))
        rq->sb->counts[C_DISCOVERY]++;
    /* The check comes before all faults: an assertion that was answered by one is used, too. */
    if (is_token_path(rq->sb, &r) && rq->sb->auth == AUTH_SMART)
        smart_judge(rq);
    fault_take(rq->sb, F_HEADERS_HUGE, rq->stage, &rq->padding);
    if (is(&r, 0, "_sandbox") || (!token_unwanted(rq, &result) && any_faults(rq, &result)))
        result = route_rest(rq, &r);
    free(r.copy);
    return result;
}
