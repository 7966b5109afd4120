/* Refuses every allocation of a whole export in turn, from the config to the last free: with a
 * scripted server, each way of delivery, encrypted and gzip files, and the ways to sign in.
 *
 * For every N, one run refuses only the N-th allocation, and another run refuses all from the N-th
 * on. The loop ends when a run makes fewer than N allocations. Each run must end in success, with
 * everything delivered, or in BCDA_ERR_NOMEM. The library must report the end of the job once, and
 * the beginning and end of each file once. It must release each userdata once, and leave no
 * block, no page of a secret, no descriptor and no process. The test's clock does not follow real
 * time, so if the library waits for an event that never comes, the test hangs. */
#include <curl/curl.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../sample.h"
#include "bcda/bcda.h"
#include "client/config.h"
#include "client/export.h"
#include "client/session.h"
#include "mapped.h"
#include "marked_key.h"
#include "refuse.h"
#include "scripted_server.h"
#include "suite.h"
#include "tempdir.h"

CURLM *__real_curl_multi_init(void);
CURL *__real_curl_easy_init(void);
CURLM *__wrap_curl_multi_init(void);
CURL *__wrap_curl_easy_init(void);

/* Allocations inside libcurl are not counted or refused. The calls of curl_multi_init() and
 * curl_easy_init() are, since the library must handle a NULL from them. */
CURLM *__wrap_curl_multi_init(void)
{
    return refuse() ? NULL : __real_curl_multi_init();
}

CURL *__wrap_curl_easy_init(void)
{
    return refuse() ? NULL : __real_curl_easy_init();
}

/* ---- the server ---- */

enum { FILES = 4, LINES = 120, DELETIONS = 2, ISSUES = 3, CONFIRMED = 50 };

static struct scripted_server *server;

static void stop_at_exit(void)
{
    scripted_stop(server);
    server = NULL;
}

static void add_lines(struct buf *b)
{
    int i;

    for (i = 0; i < LINES; i++)
        buf_printf(b, "{\"resourceType\":\"Patient\",\"id\":\"p%d\",\"x\":[\"%032d\",\"%032d\"]}\n",
                   i, i, i);
}

static void add_data(const char *path, const char *headers, const struct buf *body)
{
    scripted_reply(server, path, "200 OK", headers, body->p, body->len);
}

static const char outcome[] =
    "{\"resourceType\":\"OperationOutcome\",\"issue\":[{\"severity\":\"error\",\"code\":\"x\","
    "\"details\":{\"text\":\"one\"}},{\"severity\":\"error\",\"code\":\"y\"},"
    "{\"severity\":\"error\",\"code\":\"z\"}]}\n";

static const char deletions_bundle[] =
    "{\"resourceType\":\"Bundle\",\"entry\":[{\"request\":{\"method\":\"DELETE\",\"url\":"
    "\"Patient/1\"}},{\"request\":{\"method\":\"DELETE\",\"url\":\"Patient/2\"}}]}\n";

/* Starts a server with two files of LINES lines, a file of DELETIONS deletions, and an error file
 * of ISSUES issues. */
static void start_server(int encrypted)
{
    struct scripted_entry e[] = {{"Patient", "/data/a.ndjson", NULL, 0},
                                 {"Patient", "/data/b.ndjson", NULL, 0},
                                 {"Bundle", "/data/d.ndjson", NULL, SCRIPTED_DELETED},
                                 {"OperationOutcome", "/data/e.ndjson", NULL, SCRIPTED_ERROR}};
    struct buf plain = {0}, packed = {0}, other = {0};
    char *keys[2] = {NULL, NULL};

    if (!server)
        server = scripted_start(0);
    ck_assert_ptr_nonnull(server);
    atexit(stop_at_exit);
    add_lines(&plain);
    if (encrypted) {
        e[0].key_hex = keys[0] = scripted_encrypt(&packed, plain.p, plain.len, "a.ndjson");
        e[1].key_hex = keys[1] = scripted_encrypt(&other, plain.p, plain.len, "b.ndjson");
        add_data("/data/a", "", &packed);
        add_data("/data/b", "", &other);
    } else {
        scripted_gzip(&packed, plain.p, plain.len);
        add_data("/data/a", "Content-Encoding: gzip\r\n", &packed);
        add_data("/data/b", "", &plain);
    }
    scripted_reply(server, "/data/e", "200 OK", "", outcome, sizeof outcome - 1);
    scripted_reply(server, "/data/d", "200 OK", "", deletions_bundle, sizeof deletions_bundle - 1);
    scripted_export(server, e, FILES);
    free(keys[0]);
    free(keys[1]);
    buf_free(&plain);
    buf_free(&packed);
    buf_free(&other);
}

/* ---- one run ---- */

enum delivery { BY_RESOURCE, BY_BATCH, BY_PULL, DELIVERIES };
/* CONFIRM: lines are confirmed, and the changes are saved. CONTINUE: as CONFIRM, from a text in
 * which the line CONFIRMED of the first file is confirmed. KEEP: as CONFIRM, in a file. */
enum how { START, RESTORE, TAKE_OVER, CONFIRM, CONTINUE, KEEP };

static enum delivery delivery;
static enum how how;
/* Where the token comes from. PROVIDER: from a callback. */
static enum sign_in { SECRET, PROVIDER, SIGNING_KEY, TOKEN_COMMAND, TOKEN_FILE } way;
static char *signing_key;    /* a JWK; its private value contains MARK */
static char token_path[64];  /* of the token file */
static char cache_path[64];  /* "" = none */
static char budget_path[64]; /* "" = none */
static int keep_cache;       /* the next run finds what this run has stored in the cache */
static int threads;
static char saved[2048], kept_path[64];

static int64_t clock_ms;
static bcda_session *session;
static bcda_job *job;
static int registered, destroyed, dones, result, issues;
static int begins[FILES], ends[FILES], seen[FILES], deletions;

static int64_t read_clock(void *ctx)
{
    (void)ctx;
    return clock_ms;
}

static int ok(int rc)
{
    ck_assert_msg(rc == 0 || rc == BCDA_ERR_NOMEM, "%s, %s", bcda_error_name(rc), refusal());
    return rc;
}

static void on_destroy(void *userdata)
{
    (void)userdata;
    destroyed++;
}

/* Counts a userdata that the library has accepted: on_destroy() must be called for it. If setting a
 * callback fails, the library must not call on_destroy(). */
static int kept(int rc)
{
    registered += !ok(rc);
    return rc;
}

static void note(const bcda_resource *r)
{
    size_t i = bcda_file_index(bcda_resource_file(r));
    char id[16];

    ck_assert_uint_lt(i, 2);
    snprintf(id, sizeof id, "p%d", seen[i]++);
    ck_assert_str_eq(bcda_resource_id(r), id);
    ck_assert_uint_eq(bcda_resource_field_count(r, 0), 2);
}

static int confirms(void)
{
    return how == CONFIRM || how == CONTINUE || how == KEEP;
}

/* Confirms the line of a resource, and keeps the text when it is CONFIRMED. */
static void confirm(bcda_job *j, const bcda_file *f, int64_t line)
{
    char *text;

    if (ok(bcda_job_confirm(j, f, line)) || how != CONFIRM || saved[0] || line != CONFIRMED ||
        bcda_file_index(f) || ok(bcda_job_save(j, &text)))
        return;
    snprintf(saved, sizeof saved, "%s", text);
    bcda_free(text);
}

static int on_resource(bcda_job *j, const bcda_resource *r, void *userdata)
{
    (void)userdata;
    note(r);
    if (confirms() && bcda_resource_line_number(r) % 25 == 0)
        confirm(j, bcda_resource_file(r), bcda_resource_line_number(r));
    return BCDA_CONTINUE;
}

static void note_batch(bcda_batch *b)
{
    const uint64_t *first, *offsets, *lengths;
    const char *base;
    size_t i;

    ok(bcda_batch_field_column(b, 0, &base, &first, &offsets, &lengths));
    for (i = 0; i < bcda_batch_count(b); i++)
        note(bcda_batch_resource(b, i));
}

static int on_batch(bcda_job *j, bcda_batch *b, void *userdata)
{
    (void)j;
    (void)userdata;
    note_batch(b);
    return BCDA_CONTINUE;
}

static int on_file(bcda_job *j, const bcda_file *f, int event, void *userdata)
{
    size_t i = bcda_file_index(f);
    char *text;

    (void)userdata;
    ck_assert_uint_lt(i, FILES);
    if (event == BCDA_FILE_BEGIN) {
        begins[i]++;
        return BCDA_CONTINUE;
    }
    ends[i]++;
    ck_assert_int_eq(begins[i], ends[i]);
    if (how != KEEP &&
        ok(confirms() ? bcda_job_save_changes(j, &text) : bcda_job_save(j, &text)) == 0)
        bcda_free(text);
    return BCDA_CONTINUE;
}

static int on_deleted(bcda_job *j, const bcda_deletion *d, void *userdata)
{
    (void)j;
    (void)userdata;
    ck_assert_str_eq(bcda_deletion_type(d), "Patient");
    deletions++;
    return BCDA_CONTINUE;
}

static int on_issue(bcda_job *j, const bcda_issue *i, void *userdata)
{
    (void)j;
    (void)userdata;
    ck_assert_int_eq(bcda_issue_severity(i), BCDA_SEVERITY_ERROR);
    issues++;
    return BCDA_CONTINUE;
}

static void on_done(bcda_job *j, int code, void *userdata)
{
    (void)j;
    (void)userdata;
    dones++;
    result = code;
}

static void on_token(bcda_token_request *request, void *userdata)
{
    (void)userdata;
    ok(bcda_token_request_answer(request, "tok.en", 1200));
}

static int choose_sign_in(bcda_config *c)
{
    switch (way) {
    case PROVIDER:
        return kept(bcda_config_set_token_provider(c, on_token, NULL, on_destroy));
    case SIGNING_KEY:
        return ok(bcda_config_set_signing_key(c, "me", signing_key, strlen(signing_key), NULL,
                                              "my-key")) ||
               ok(bcda_config_set_scope(c, "system/Patient.rs system/Coverage.rs"));
    case TOKEN_COMMAND:
        return ok(bcda_config_set_token_command(c, "printf 'SECRET%s' SECRET"));
    case TOKEN_FILE:
        return ok(bcda_config_set_token_file(c, token_path));
    default:
        return ok(bcda_config_set_client_credentials(c, "me", "a-secret"));
    }
}

static int fill_config(bcda_config *c)
{
    char url[128];
    int rc;

    c->clock.now_ms = c->clock.wall_ms = read_clock;
    snprintf(url, sizeof url, "%s/api/v1", scripted_origin(server));
    rc = ok(bcda_config_set_fhir_url(c, url));
    rc = rc ? rc : choose_sign_in(c);
    if (!rc && cache_path[0])
        rc = ok(bcda_config_set_token_cache(c, cache_path));
    if (!rc && budget_path[0])
        rc = ok(bcda_config_set_request_budget(c, budget_path));
    rc = rc ? rc : ok(bcda_config_add_private_key_file(c, scripted_key_file(server), NULL));
    rc = rc ? rc : ok(bcda_config_set_int(c, BCDA_OPT_ALLOW_HTTP_LOOPBACK, 1));
    rc = rc ? rc : ok(bcda_config_set_int(c, BCDA_OPT_BATCH_SIZE, 4096));
    rc = rc ? rc : ok(bcda_config_set_int(c, BCDA_OPT_DECODE_THREADS, threads));
    if (!rc && confirms())
        rc = ok(bcda_config_set_int(c, BCDA_OPT_CONFIRM_LINES, BCDA_CONFIRM_STAGED));
    if (!rc &&
        confirms()) /* one file after the other: the text of CONTINUE lists no complete file */
        rc = ok(bcda_config_set_int(c, BCDA_OPT_PARALLEL, 1));
    if (!rc && how == TAKE_OVER)
        rc = ok(bcda_config_set_int(c, BCDA_OPT_DUPLICATE_JOB, BCDA_DUPLICATE_TAKE_OVER));
    rc = rc ? rc
            : ok(bcda_config_add_url_rewrite(c, "https://inner.example", scripted_origin(server)));
    rc = rc ? rc : ok(bcda_config_add_allowed_origin(c, scripted_origin(server)));
    return rc;
}

static int make_session(void)
{
    bcda_config *c;
    int rc = ok(bcda_config_new(&c));

    if (rc)
        return rc;
    rc = fill_config(c);
    if (!rc) {
        rc = ok(bcda_session_new(&session, c));
        if (rc)
            ck_assert_int_eq(bcda_error_code(bcda_config_error(c)), rc);
    }
    bcda_config_free(c);
    return rc;
}

static int fill_handlers(bcda_handlers *h)
{
    int rc = kept(bcda_handlers_on_done(h, on_done, NULL, on_destroy));

    if (!rc && delivery == BY_RESOURCE)
        rc = kept(bcda_handlers_on_resource(h, on_resource, NULL, on_destroy));
    if (!rc && delivery == BY_BATCH)
        rc = kept(bcda_handlers_on_batch(h, on_batch, NULL, on_destroy));
    rc = rc ? rc : kept(bcda_handlers_on_file(h, on_file, NULL, on_destroy));
    rc = rc ? rc : kept(bcda_handlers_on_deleted(h, on_deleted, NULL, on_destroy));
    rc = rc ? rc : kept(bcda_handlers_on_server_issue(h, on_issue, NULL, on_destroy));
    return rc;
}

static int fill_export(bcda_export *x)
{
    int index, rc = ok(bcda_export_add_type(x, "Patient"));

    rc = rc ? rc : ok(bcda_export_set_group(x, "all"));
    rc = rc ? rc : ok(bcda_export_set_since(x, "2020-01-01T00:00:00Z"));
    if (!rc)
        rc = ok(bcda_export_add_type_filter(x, "Patient?x=y"));
    if (!rc)
        rc = ok(bcda_export_set_parameter(x, "_type", "Coverage")); /* this type has no file */
    rc = rc ? rc : ok(bcda_export_add_field(x, "x", &index));
    return rc;
}

static int start_job(void)
{
    bcda_handlers *h = NULL;
    bcda_export *x = NULL;
    int rc = ok(bcda_handlers_new(&h));

    rc = rc ? rc : fill_handlers(h);
    rc = rc ? rc : ok(bcda_export_new(&x, BCDA_LEVEL_GROUP));
    rc = rc ? rc : fill_export(x);
    if (!rc)
        rc = ok(how == RESTORE || how == CONTINUE
                    ? bcda_job_restore(session, saved, strlen(saved), x, h, &job)
                    : bcda_job_start(session, x, h, &job));
    if (!rc && how == KEEP)
        ok(bcda_job_save_to_file(job, kept_path));
    bcda_export_free(x);
    bcda_handlers_free(h);
    return rc;
}

static void pull(void)
{
    bcda_batch *b;

    while (bcda_job_next(job, &b) == 0) {
        if (!bcda_file_is_error(bcda_batch_file(b)))
            note_batch(b);
        if (confirms() && bcda_batch_count(b))
            confirm(job, bcda_batch_file(b),
                    (int64_t)bcda_batch_line_numbers(b)[bcda_batch_count(b) - 1]);
        bcda_batch_unref(b);
    }
}

/* Waits for the output of the token command, or for its end, for which the session looks at short
 * intervals of its clock. */
static void wait_for_command(struct pollfd *p, int64_t left)
{
    siginfo_t info;

    if (left > 1000) {
        ck_assert_msg(poll(p, 1, 30000) == 1, "hung, %s", refusal());
        return;
    }
    ck_assert_int_eq(waitid(P_ALL, 0, &info, WEXITED | WNOWAIT), 0);
    clock_ms += left;
}

/* Steps until the job has ended. */
static void run_job(void)
{
    struct pollfd p = {bcda_session_fd(session), POLLIN, 0};
    int64_t open, left;

    while (bcda_job_result(job) == BCDA_ERR_AGAIN) {
        int did = bcda_session_step(session);

        ck_assert_int_ge(did, 0);
        if (delivery == BY_PULL)
            pull();
        if (did)
            continue;
        ck_assert_int_eq(bcda_session_stat(session, BCDA_STAT_TRANSFERS, &open), 0);
        left = bcda__session_next_timer_ms(session);
        if (bcda__session_runs_command(session))
            wait_for_command(&p, left);
        else if (open || bcda__session_is_decoding(session))
            ck_assert_msg(poll(&p, 1, 30000) == 1, "hung, %s", refusal());
        else if (poll(&p, 1, 0) == 0) {
            ck_assert_msg(left >= 0, "a job that runs has nothing to wait for, %s", refusal());
            clock_ms += left;
        }
    }
}

static void check_job(void)
{
    int i, rc = bcda_job_result(job);

    ck_assert_msg(rc == 0 || rc == BCDA_ERR_NOMEM, "%s: %s, %s", bcda_error_name(rc),
                  bcda_error_text(bcda_job_error(job)), refusal());
    ck_assert_int_eq(dones, 1);
    ck_assert_int_eq(result, rc);
    ck_assert(rc || bcda_job_is_taken_over(job) == (how == TAKE_OVER));
    for (i = 0; i < FILES; i++) {
        ck_assert_int_eq(begins[i], ends[i]);
        ck_assert_int_le(begins[i], 1);
    }
    if (rc)
        return;
    for (i = 0; i < 2; i++)
        ck_assert_msg(seen[i] == (how == RESTORE && i == 0 ? 0 : LINES), "OK with %d resources, %s",
                      seen[i], refusal());
    ck_assert_msg(bcda_job_issue_count(job, BCDA_SEVERITY_ERROR) == ISSUES, "OK with %d issues, %s",
                  (int)bcda_job_issue_count(job, BCDA_SEVERITY_ERROR), refusal());
    ck_assert_msg(deletions == DELETIONS, "OK with %d deletions, %s", deletions, refusal());
    if (delivery != BY_PULL)
        ck_assert_int_eq(issues, ISSUES);
}

static int whole_export(void)
{
    int rc = make_session();

    rc = rc ? rc : start_job();
    if (!rc) {
        run_job();
        check_job();
        rc = bcda_job_result(job);
    }
    bcda_session_free(session);
    bcda_job_unref(job);
    return rc;
}

/* ---- the loop over all allocations ---- */

static int count_fds(void)
{
    DIR *d = opendir("/proc/self/fd");
    int n = 0;

    ck_assert_ptr_nonnull(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

/* Checks that the run left no descriptors open. The server's ends of connections, in this process,
 * open and close a little later than the client's. So the function counts again until the number is
 * down to `before`, and one such count is enough. */
static void check_fds(int before)
{
    struct timespec t = {0, 200000};
    int now = count_fds(), i;

    for (i = 0; i < 50000 && now > before; i++) {
        nanosleep(&t, NULL);
        now = count_fds();
    }
    ck_assert_int_le(now, before);
}

static int attempt(int (*fn)(void), long at, int all)
{
    int rc;

    session = NULL;
    job = NULL;
    registered = destroyed = dones = issues = 0;
    memset(begins, 0, sizeof begins);
    memset(ends, 0, sizeof ends);
    memset(seen, 0, sizeof seen);
    seen[0] = how == CONTINUE ? CONFIRMED : 0;
    deletions = 0;
    if (cache_path[0] && !keep_cache)
        unlink(cache_path);
    refuse_from(at, all);
    mapped = 0;
    rc = fn();
    ck_assert_msg(live == 0, "%ld blocks are left, %s", live, refusal());
    ck_assert_msg(destroyed == registered, "%d of %d userdata released, %s", destroyed, registered,
                  refusal());
    check_mapped();
    ck_assert_msg(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD, "a process is left, %s",
                  refusal());
    refuse_at = 0;
    return rc;
}

static void torture(int (*fn)(void))
{
    int fds = count_fds(), all, rc;
    long at, total;

    ck_assert_int_eq(attempt(fn, 0, 0), 0);
    ck_assert_int_gt(calls, 20);
    total = calls;
    for (all = 0; all < 2; all++) {
        at = 0;
        refused = 1;
        rc = -1;
        do {
            if (!sample_takes((uint64_t)at++, (uint64_t)total, 30))
                continue;
            rc = attempt(fn, at, all);
            if (at % 16 == 0)
                check_fds(fds);
        } while (refused);
        ck_assert_int_eq(rc, 0);
    }
    check_fds(fds);
}

static void torture_export(int encrypted)
{
    start_server(encrypted);
    if (how == RESTORE)
        snprintf(
            saved, sizeof saved,
            "{\"bcda\":1,\"url\":\"%s/api/v1/jobs/1\",\"types\":[\"Coverage\"],\"done\":[\"%s\"]}",
            scripted_origin(server), "/data/a.ndjson");
    clock_ms = 1700000000000;
    torture(whole_export);
    stop_at_exit();
}

/* _i % DELIVERIES: the way of delivery; _i / DELIVERIES: gzip or encrypted files. */
START_TEST(test_export)
{
    delivery = (enum delivery)(_i % DELIVERIES);
    torture_export(_i >= DELIVERIES);
}
END_TEST

/* With decode threads, the order of the allocations depends on timing: the N-th allocation may be
 * another one in each run. _i: gzip files (0) or encrypted files (1). */
START_TEST(test_threads)
{
    threads = 2;
    delivery = _i ? BY_BATCH : BY_PULL;
    torture_export(_i);
}
END_TEST

START_TEST(test_restore)
{
    how = RESTORE;
    way = PROVIDER;
    torture_export(0);
}
END_TEST

/* ---- the ways to sign in ---- */

static void reply_json(const char *match, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void reply_json(const char *match, const char *format, ...)
{
    char text[600];
    va_list values;
    int len;

    va_start(values, format);
    len = vsnprintf(text, sizeof text, format, values);
    va_end(values);
    ck_assert_int_lt(len, (int)sizeof text);
    scripted_reply(server, match, "200 OK", "Content-Type: application/json\r\n", text,
                   (size_t)len);
}

/* Scripts the server's announcement, which is in its CapabilityStatement if `metadata` is set, and
 * a token that contains MARK. The server grants one scope of two. */
static void reply_sign_in(int metadata)
{
    const char *origin = scripted_origin(server);

    if (metadata)
        reply_json("/metadata",
                   "{\"resourceType\":\"CapabilityStatement\",\"rest\":[{\"mode\":\"server\","
                   "\"security\":{\"extension\":[{\"url\":\"http://fhir-registry.smarthealthit.org/"
                   "StructureDefinition/oauth-uris\",\"extension\":[{\"url\":\"token\","
                   "\"valueUri\":\"%s/auth/token\"}]}]}}]}",
                   origin);
    else
        reply_json("/.well-known/smart-configuration",
                   "{\"token_endpoint\":\"%s/auth/token\",\"capabilities\":[\"permission-v2\"],"
                   "\"token_endpoint_auth_methods_supported\":[\"private_key_jwt\"],"
                   "\"token_endpoint_auth_signing_alg_values_supported\":[\"ES384\"]}",
                   origin);
    reply_json("/auth/token", "{\"access_token\":\"" MARK "\",\"token_type\":\"bearer\","
                              "\"expires_in\":300,\"scope\":\"system/Patient.rs\"}");
}

static void make_signing_key(void)
{
    EVP_PKEY *pkey = marked_pkey();

    signing_key = jwk_of(pkey, "\"kid\":\"my-key\"", 1);
    EVP_PKEY_free(pkey);
}

static void name_file(char path[64], const char *name, const char *content)
{
    FILE *f;

    snprintf(path, 64, "%s/bcda-torture-%s-%ld", tempdir(), name, (long)getpid());
    unlink(path);
    if (!content)
        return;
    f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_ge(fputs(content, f), 0);
    ck_assert_int_eq(fclose(f), 0);
}

static const struct {
    enum sign_in way;
    int metadata, cache, keep_cache, budget;
} sign_ins[] = {
    {SIGNING_KEY, .metadata = 1},          {SIGNING_KEY, .cache = 1},
    {TOKEN_COMMAND, .metadata = 0},        {TOKEN_FILE, .budget = 1},
    {SECRET, .cache = 1, .keep_cache = 1},
};

/* The other ways to sign in, the token cache, empty and not, and the request budget. */
START_TEST(test_sign_in)
{
    delivery = BY_PULL;
    way = sign_ins[_i].way;
    keep_cache = sign_ins[_i].keep_cache;
    name_file(token_path, "token", MARK);
    if (sign_ins[_i].cache)
        name_file(cache_path, "cache", NULL);
    if (sign_ins[_i].budget)
        name_file(budget_path, "budget", NULL);
    make_signing_key();
    server = scripted_start(0);
    ck_assert_ptr_nonnull(server);
    reply_sign_in(sign_ins[_i].metadata);
    torture_export(0);
    free(signing_key);
    unlink(token_path);
    unlink(cache_path);
    unlink(budget_path);
}
END_TEST

/* _i 0: lines are confirmed, and changes are saved. 1: such a job is restored. 2: in a file. 3: the
 * lines of batches that are pulled. */
START_TEST(test_confirm)
{
    how = CONFIRM;
    delivery = _i == 3 ? BY_PULL : BY_RESOURCE;
    saved[0] = '\0';
    snprintf(kept_path, sizeof kept_path, "%s/bcda-torture-%ld", tempdir(), (long)getpid());
    if (_i == 1) {
        start_server(0);
        clock_ms = 1700000000000;
        ck_assert_int_eq(attempt(whole_export, 0, 0), 0);
        ck_assert_ptr_nonnull(strstr(saved, "\"line\":50,"));
    }
    how = _i == 1 ? CONTINUE : _i == 2 ? KEEP : CONFIRM;
    torture_export(0);
    unlink(kept_path);
}
END_TEST

/* Scripts two answers of the server: it refuses the kick-off request, and its list of jobs has a
 * job with the same export. */
static void list_identical_job(void)
{
    struct bcda__buf url;
    struct bcda_error err;
    bcda_export *x;
    struct buf b = {0};
    char base[64];

    refuse_at = 0;
    bcda__buf_init(&url, 4096);
    snprintf(base, sizeof base, "%s/api/v1", scripted_origin(server));
    ck_assert_int_eq(bcda_export_new(&x, BCDA_LEVEL_GROUP), 0);
    ck_assert_int_eq(fill_export(x), 0);
    ck_assert_int_eq(bcda__export_url(x, base, &url, &err), 0);
    buf_printf(&b,
               "{\"resourceType\":\"Bundle\",\"entry\":[{\"resource\":{\"identifier\":[{\"value\":"
               "\"1\"}],\"status\":\"in-progress\",\"input\":[{\"valueString\":\"GET %s\"}]}}]}",
               url.data);
    scripted_reply(server, "$export", "429 Busy", "", "", 0);
    scripted_reply(server, "/jobs?", "200 OK", "", b.p, b.len);
    buf_free(&b);
    bcda__buf_free(&url);
    bcda_export_free(x);
}

START_TEST(test_take_over)
{
    how = TAKE_OVER;
    server = scripted_start(0);
    ck_assert_ptr_nonnull(server);
    atexit(stop_at_exit);
    list_identical_job();
    torture_export(0);
}
END_TEST

/* ---- construction, which needs no requests ---- */

static int set_everything(bcda_config *c)
{
    int rc, i;

    for (i = 0, rc = 0; !rc && i < 2; i++) { /* the second round sets each option again */
        rc = ok(bcda_config_set_fhir_url(c, "https://localhost/api/v1"));
        rc = rc ? rc : ok(bcda_config_set_token_url(c, "https://localhost/token"));
        rc = rc ? rc : ok(bcda_config_set_client_credentials(c, "me", "a-secret"));
        rc = rc ? rc : ok(bcda_config_set_bearer_token(c, "tok.en"));
        rc = rc ? rc : kept(bcda_config_set_token_provider(c, on_token, NULL, on_destroy));
        rc = rc ? rc : ok(bcda_config_set_no_authentication(c));
        rc = rc ? rc : ok(bcda_config_set_token_command(c, "printf tok.en"));
        rc = rc ? rc
                : ok(bcda_config_set_signing_key(c, "me", signing_key, strlen(signing_key), NULL,
                                                 "my-key"));
        rc = rc ? rc : ok(bcda_config_set_scope(c, "system/Patient.rs"));
        rc = rc ? rc : ok(bcda_config_set_token_cache(c, cache_path));
        rc = rc ? rc : ok(bcda_config_set_request_budget(c, budget_path));
        rc = rc ? rc : ok(bcda_config_add_certificate_origin(c, "https://d"));
        rc = rc ? rc : ok(bcda_config_set_ca_file(c, scripted_key_file(server)));
        rc = rc ? rc
                : ok(bcda_config_set_client_certificate(c, scripted_key_file(server),
                                                        scripted_key_file(server), "words"));
        rc = rc ? rc : ok(bcda_config_set_proxy(c, "http://proxy.example:1", "me", "a-secret"));
        rc = rc ? rc : ok(bcda_config_set_str(c, BCDA_OPT_USER_AGENT, "torture/1"));
        rc = rc ? rc : ok(bcda_config_add_url_rewrite(c, "https://a", "https://b"));
        rc = rc ? rc : ok(bcda_config_add_allowed_origin(c, "https://c"));
        rc = rc ? rc : ok(bcda_config_add_private_key_file(c, scripted_key_file(server), NULL));
    }
    return rc;
}

static int construction(void)
{
    bcda_session *second = NULL;
    bcda_config *c;
    int rc = ok(bcda_config_new(&c));

    if (rc)
        return rc;
    rc = set_everything(c);
    rc = rc ? rc : ok(bcda_session_new(&session, c));
    rc = rc ? rc : ok(bcda_session_new(&second, c));
    bcda_config_free(c);
    rc = rc ? rc : start_job();
    bcda_session_free(session); /* reports the end of the job */
    bcda_session_free(second);
    ck_assert_int_eq(dones, job != NULL);
    bcda_job_unref(job);
    return rc;
}

START_TEST(test_construction)
{
    make_signing_key();
    name_file(cache_path, "cache", NULL);
    name_file(budget_path, "budget", NULL);
    server = scripted_start(0);
    ck_assert_ptr_nonnull(server);
    torture(construction);
    stop_at_exit();
    free(signing_key);
    unlink(cache_path);
    unlink(budget_path);
}
END_TEST

/* Starts a server once before the tests: it makes the key pair, which all later servers use. */
int suite_prepare(void)
{
    struct scripted_server *s = scripted_start(0);

    if (!s)
        return 1;
    scripted_stop(s);
    return bcda_global_init(0);
}

SUITE("torture_client")
{
    suite_case("torture_client");
    suite_unchecked(NULL, bcda_global_cleanup);
    suite_loop(test_export, 0, 2 * DELIVERIES);
    suite_loop(test_threads, 0, 2);
    suite_test(test_restore, test_take_over, test_construction);
    suite_loop(test_confirm, 0, 4);
    suite_loop(test_sign_in, 0, sizeof sign_ins / sizeof sign_ins[0]);
}
