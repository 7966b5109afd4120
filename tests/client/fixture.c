#include "fixture.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/auth.h"
#include "client/job.h"
#include "tempdir.h"

enum { WAIT_MS = 5, QUIET = 6, HUNG_S = 120, READY_S = 60 };

/* ---- helpers ---- */

static char *copy(const char *text, size_t len)
{
    char *p = malloc(len + 1);

    ck_assert_ptr_nonnull(p);
    if (len)
        memcpy(p, text, len);
    p[len] = '\0';
    return p;
}

static char *copys(const char *text)
{
    ck_assert_ptr_nonnull(text);
    return copy(text, strlen(text));
}

char *fixture_read(const char *path, size_t *len)
{
    FILE *f = path ? fopen(path, "rb") : NULL;
    size_t cap = 1 << 16, n, at = 0;
    char *p = malloc(cap + 1);

    ck_assert_msg(f != NULL, "cannot open %s", path ? path : "(nothing)");
    while ((n = fread(p + at, 1, cap - at, f)) > 0) {
        at += n;
        if (at == cap)
            p = realloc(p, (cap *= 2) + 1);
        ck_assert_ptr_nonnull(p);
    }
    fclose(f);
    p[at] = '\0';
    *len = at;
    return p;
}

int fixture_count_fds(void)
{
    DIR *d = opendir("/proc/self/fd");
    int n = 0;

    ck_assert_ptr_nonnull(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static void sleep_ms(long ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};

    nanosleep(&t, NULL);
}

static int64_t real_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int64_t real_s(void)
{
    return real_ms() / 1000;
}

static int64_t read_clock(void *ctx)
{
    return ((struct fixture *)ctx)->now;
}

/* ---- texts ---- */

static void check_absent(const char *text, const char *what, const char *secret)
{
    ck_assert_msg(!*secret || !strstr(text, secret), "%s stands in: %s", what, text);
}

/* Checks that the text contains no patient id. With every version of the BCDA server, real or
 * imitated by the sandbox, such an id has 13 or more digits in a row. Hashes, which saved jobs
 * contain in 32 or 64 hexadecimal digits, are passed over: now and then one has as many. */
static void check_no_patient(const char *text)
{
    size_t n;

    for (; *text; text += n ? n : 1) {
        n = strspn(text, "0123456789abcdef");
        if (n == 32 || n == 64)
            continue;
        n = strspn(text, "0123456789");
        ck_assert_msg(n < 13, "a patient id stands in: %s", text);
    }
}

void fixture_check_text(struct fixture *fx, const char *text)
{
    char *pem;
    size_t len, i;

    ck_assert_ptr_nonnull(text);
    ck_assert_msg(!strchr(text, '\n') && !strchr(text, '\r'), "more than one line: %s", text);
    check_no_patient(text);
    check_absent(text, "the resource", "resourceType");
    check_absent(text, "a line", "\"id\"");
    check_absent(text, "an authorization", "Bearer ");
    check_absent(text, "an authorization", "Basic ");
    check_absent(text, "the name of a C function", "bcda_");
    check_absent(text, "the name of a C constant", "BCDA_");
    for (i = 0; fx->secrets && fx->secrets[i]; i++)
        check_absent(text, "a secret", fx->secrets[i]);
    if (!fx->sandbox) {
        check_absent(text, "the client secret", "a-secret");
        check_absent(text, "a token", "tok.en");
        return;
    }
    check_absent(text, "the client secret", sandbox_client_secret(fx->sandbox));
    check_absent(text, "the bearer token", sandbox_bearer_token(fx->sandbox));
    check_absent(text, "a token", fx->token);
    check_absent(text, "a token", "eyJhbGciOi"); /* {"alg": in base64url */
    if (!sandbox_private_key_file(fx->sandbox))
        return;
    pem = fixture_read(sandbox_private_key_file(fx->sandbox), &len);
    if (strchr(pem, '\n') && strlen(strchr(pem, '\n')) > 40) {
        strchr(pem, '\n')[41] = '\0';
        check_absent(text, "the private key", strchr(pem, '\n') + 1);
    }
    free(pem);
}

void fixture_check_error(struct fixture *fx, const bcda_error *e)
{
    const char *text = bcda_error_text(e);

    ck_assert_ptr_nonnull(e);
    ck_assert_int_lt(bcda_error_code(e), 0);
    ck_assert_str_ne(bcda_error_name(bcda_error_code(e)), "BCDA_ERR_UNKNOWN");
    ck_assert_msg(strlen(text) > 8, "the text says little: %s", text);
    ck_assert_msg(text[strlen(text) - 1] != '.', "a final period: %s", text);
    fixture_check_text(fx, text);
    fixture_check_text(fx, bcda_error_file(e));
}

static void on_log(int level, const char *component, const char *message, void *userdata)
{
    ck_assert_int_ge(level, BCDA_LOG_ERROR);
    ck_assert_int_le(level, BCDA_LOG_DEBUG);
    ck_assert_str_ne(component, "");
    fixture_check_text(userdata, message);
}

/* ---- what the callbacks receive ---- */

static void check_call(struct run *r, bcda_job *job)
{
    ck_assert_msg(r->fixture->inside, "a callback outside of run, step and free");
    ck_assert_int_eq(r->done, 0);
    if (r->job)
        ck_assert_ptr_eq(job, r->job);
}

static int ask(struct run *r, enum where where, const void *object)
{
    return r->hook ? r->hook(r, where, (void *)object) : BCDA_CONTINUE;
}

static struct got_file *file_of(struct run *r, const bcda_file *file)
{
    size_t i = bcda_file_index(file);

    ck_assert_ptr_nonnull(file);
    ck_assert_uint_lt(i, FILES_MAX);
    return &r->files[i];
}

static int on_state(bcda_job *job, int state, void *userdata)
{
    struct run *r = userdata;

    check_call(r, job);
    ck_assert_int_eq(bcda_job_state(job), state);
    ck_assert_uint_lt(r->state_count, STATES_MAX);
    r->states[r->state_count++] = state;
    if (r->fixture->session && r->fixture->session->auth.header.data)
        snprintf(r->fixture->token, sizeof r->fixture->token, "%s",
                 r->fixture->session->auth.header.data + 7);
    return ask(r, AT_STATE, NULL);
}

static int on_file(bcda_job *job, const bcda_file *file, int event, void *userdata)
{
    struct run *r = userdata;
    struct got_file *f = file_of(r, file);

    check_call(r, job);
    ck_assert_ptr_eq(bcda_job_file(job, bcda_file_index(file)), file);
    if (event == BCDA_FILE_BEGIN) {
        ck_assert_int_eq(f->begins, 0);
        f->begins++;
        ck_assert_int_eq(bcda_file_verdict(file), BCDA_VERDICT_NONE);
        return ask(r, AT_BEGIN, file);
    }
    ck_assert_int_eq(event, BCDA_FILE_END);
    ck_assert_int_eq(f->begins, 1);
    ck_assert_int_eq(f->ends, 0);
    f->ends++;
    f->verdict = bcda_file_verdict(file);
    ck_assert_int_ge(f->verdict, BCDA_VERDICT_COMPLETE);
    ck_assert_int_le(f->verdict, BCDA_VERDICT_FAILED);
    if (f->verdict == BCDA_VERDICT_FAILED)
        fixture_check_error(r->fixture, bcda_file_error(file));
    else
        ck_assert_ptr_null(bcda_file_error(file));
    return ask(r, AT_END, file);
}

static void check_open(struct run *r, const bcda_file *file)
{
    struct got_file *f = file_of(r, file);

    ck_assert_int_eq(f->begins, 1);
    if (r->way != BY_PULL) /* a file's batches may be pulled after its end was reported */
        ck_assert_int_eq(f->ends, 0);
}

static void record(struct run *r, const bcda_resource *resource)
{
    struct got *g;

    check_open(r, bcda_resource_file(resource));
    if (r->count % 256 == 0)
        r->got = realloc(r->got, (r->count + 256) * sizeof *r->got);
    ck_assert_ptr_nonnull(r->got);
    g = &r->got[r->count++];
    g->file = bcda_file_index(bcda_resource_file(resource));
    g->json = (char *)bcda_resource_json(resource, &g->json_len);
    g->json = copy(g->json, g->json_len);
    g->line = (char *)bcda_resource_line(resource, &g->line_len);
    g->line = copy(g->line, g->line_len);
    g->type = copys(bcda_resource_type(resource));
    g->id = copys(bcda_resource_id(resource));
    g->full_url = copys(bcda_resource_full_url(resource));
    g->updated = copys(bcda_resource_last_updated(resource));
    g->number = bcda_resource_line_number(resource);
    g->offset = bcda_resource_offset(resource);
    g->provisional = bcda_resource_is_provisional(resource);
}

static int on_resource(bcda_job *job, const bcda_resource *resource, void *userdata)
{
    struct run *r = userdata;
    int answer;

    check_call(r, job);
    answer = ask(r, AT_RESOURCE, resource);
    if (answer == BCDA_CONTINUE)
        record(r, resource);
    return answer;
}

static void keep(struct run *r, bcda_batch *batch)
{
    if (!r->hold)
        return;
    ck_assert_uint_lt(r->batch_count, sizeof r->batches / sizeof *r->batches);
    r->batches[r->batch_count++] = bcda_batch_ref(batch);
}

static void record_batch(struct run *r, bcda_batch *batch)
{
    const uint64_t *numbers = bcda_batch_line_numbers(batch);
    size_t i, n = bcda_batch_count(batch);

    ck_assert_ptr_null(bcda_batch_resource(batch, n));
    for (i = 0; i < n; i++) {
        const bcda_resource *resource = bcda_batch_resource(batch, i);

        ck_assert_ptr_nonnull(resource);
        ck_assert_ptr_eq(bcda_resource_file(resource), bcda_batch_file(batch));
        ck_assert_int_eq(bcda_resource_is_provisional(resource), bcda_batch_is_provisional(batch));
        ck_assert_int_eq((int64_t)numbers[i], bcda_resource_line_number(resource));
        record(r, resource);
    }
    keep(r, batch);
}

static int on_batch(bcda_job *job, bcda_batch *batch, void *userdata)
{
    struct run *r = userdata;
    int answer;

    check_call(r, job);
    ck_assert_uint_gt(bcda_batch_count(batch), 0);
    answer = ask(r, AT_BATCH, batch);
    if (answer == BCDA_CONTINUE)
        record_batch(r, batch);
    return answer;
}

static void record_bad(struct run *r, const bcda_bad_line *line)
{
    struct got_bad *b;
    const char *bytes;
    size_t len;

    check_open(r, bcda_bad_line_file(line));
    r->bad = realloc(r->bad, (r->bad_count + 1) * sizeof *r->bad);
    ck_assert_ptr_nonnull(r->bad);
    b = &r->bad[r->bad_count++];
    b->file = bcda_file_index(bcda_bad_line_file(line));
    b->code = bcda_bad_line_code(line);
    b->number = bcda_bad_line_number(line);
    b->offset = bcda_bad_line_offset(line);
    b->length = bcda_bad_line_length(line);
    b->resources = r->count;
    bytes = bcda_bad_line_bytes(line, &len);
    b->bytes = bytes ? copy(bytes, len) : NULL;
    if (bytes)
        ck_assert_int_eq((int64_t)len, b->length);
    else
        ck_assert_uint_eq(len, 0);
}

static int on_bad_line(bcda_job *job, const bcda_bad_line *line, void *userdata)
{
    struct run *r = userdata;
    int answer;

    check_call(r, job);
    answer = ask(r, AT_BAD_LINE, line);
    if (answer == BCDA_CONTINUE)
        record_bad(r, line);
    return answer;
}

static int on_issue(bcda_job *job, const bcda_issue *issue, void *userdata)
{
    struct run *r = userdata;
    struct got_issue *g;

    check_call(r, job);
    check_open(r, bcda_resource_file(bcda_issue_resource(issue)));
    ck_assert_int_eq(bcda_file_is_error(bcda_resource_file(bcda_issue_resource(issue))), 1);
    r->issues = realloc(r->issues, (r->issue_count + 1) * sizeof *r->issues);
    ck_assert_ptr_nonnull(r->issues);
    g = &r->issues[r->issue_count++];
    g->severity = bcda_issue_severity(issue);
    g->index = bcda_issue_index(issue);
    g->code = copys(bcda_issue_code(issue));
    g->text = copys(bcda_issue_text(issue));
    return ask(r, AT_ISSUE, issue);
}

static int on_deleted(bcda_job *job, const bcda_deletion *deletion, void *userdata)
{
    struct run *r = userdata;
    const bcda_resource *bundle = bcda_deletion_resource(deletion);
    const bcda_file *file = bcda_resource_file(bundle);

    check_call(r, job);
    check_open(r, file);
    ck_assert_int_eq(bcda_file_has_deletions(file), 1);
    buf_printf(&r->deletions, "%zu:%lld %s/%s\n", bcda_file_index(file),
               (long long)bcda_resource_line_number(bundle), bcda_deletion_type(deletion),
               bcda_deletion_id(deletion));
    r->provisional_deletions += bcda_resource_is_provisional(bundle);
    return ask(r, AT_DELETED, (void *)(uintptr_t)deletion);
}

static int on_progress(bcda_job *job, void *userdata)
{
    struct run *r = userdata;

    check_call(r, job);
    r->progress++;
    return ask(r, AT_PROGRESS, NULL);
}

static void on_done(bcda_job *job, int result, void *userdata)
{
    struct run *r = userdata;

    check_call(r, job);
    ck_assert_int_eq(bcda_job_result(job), result);
    (void)ask(r, AT_DONE, NULL);
    r->done++;
    r->result = result;
}

/* The userdata of one handler. Each handler has its own, so that the calls of each destroy function
 * can be counted. */
struct tag {
    struct run *r;
    enum where where;
};

#define TAGGED(name, parameters, arguments) \
    static int tag_##name parameters        \
    {                                       \
        return name arguments;              \
    }
TAGGED(on_state, (bcda_job * j, int s, void *u), (j, s, ((struct tag *)u)->r))
TAGGED(on_file, (bcda_job * j, const bcda_file *f, int e, void *u), (j, f, e, ((struct tag *)u)->r))
TAGGED(on_resource, (bcda_job * j, const bcda_resource *v, void *u), (j, v, ((struct tag *)u)->r))
TAGGED(on_batch, (bcda_job * j, bcda_batch *v, void *u), (j, v, ((struct tag *)u)->r))
TAGGED(on_bad_line, (bcda_job * j, const bcda_bad_line *v, void *u), (j, v, ((struct tag *)u)->r))
TAGGED(on_issue, (bcda_job * j, const bcda_issue *v, void *u), (j, v, ((struct tag *)u)->r))
TAGGED(on_deleted, (bcda_job * j, const bcda_deletion *v, void *u), (j, v, ((struct tag *)u)->r))
TAGGED(on_progress, (bcda_job * j, void *u), (j, ((struct tag *)u)->r))

static void tag_on_done(bcda_job *job, int result, void *userdata)
{
    on_done(job, result, ((struct tag *)userdata)->r);
}

static void destroy_tag(void *userdata)
{
    struct tag *t = userdata;

    ck_assert_int_eq(t->r->destroyed[t->where], 0);
    t->r->destroyed[t->where]++;
    free(t);
}

static struct tag *tag(struct run *r, enum where where)
{
    struct tag *t = malloc(sizeof *t);

    ck_assert_ptr_nonnull(t);
    t->r = r;
    t->where = where;
    return t;
}

bcda_handlers *fixture_handlers(struct run *r)
{
    bcda_destroy_cb d = destroy_tag;
    bcda_handlers *handlers;

    ck_assert_ok(bcda_handlers_new(&handlers));
    ck_assert_ok(bcda_handlers_on_state(handlers, tag_on_state, tag(r, AT_STATE), d));
    ck_assert_ok(bcda_handlers_on_file(handlers, tag_on_file, tag(r, AT_BEGIN), d));
    if (r->way == BY_RESOURCE)
        ck_assert_ok(bcda_handlers_on_resource(handlers, tag_on_resource, tag(r, AT_RESOURCE), d));
    if (r->way == BY_BATCH)
        ck_assert_ok(bcda_handlers_on_batch(handlers, tag_on_batch, tag(r, AT_BATCH), d));
    ck_assert_ok(bcda_handlers_on_bad_line(handlers, tag_on_bad_line, tag(r, AT_BAD_LINE), d));
    ck_assert_ok(bcda_handlers_on_server_issue(handlers, tag_on_issue, tag(r, AT_ISSUE), d));
    if (r->fixture->takes_deletions)
        ck_assert_ok(bcda_handlers_on_deleted(handlers, tag_on_deleted, tag(r, AT_DELETED), d));
    ck_assert_ok(bcda_handlers_on_progress(handlers, tag_on_progress, tag(r, AT_PROGRESS), d));
    ck_assert_ok(bcda_handlers_on_done(handlers, tag_on_done, tag(r, AT_DONE), d));
    return handlers;
}

/* ---- opening ---- */

static struct sandbox *running_sandbox;
static struct scripted_server *running_server;

/* Registered with atexit(). A failed test ends by exit(), and even then the servers must leave no
 * files behind. */
static void stop_at_exit(void)
{
    sandbox_stop(running_sandbox);
    scripted_stop(running_server);
    running_sandbox = NULL;
    running_server = NULL;
}

void fixture_init(struct fixture *fx)
{
    static int registered;

    memset(fx, 0, sizeof *fx);
    fx->now = 1700000000000;
    fx->max_jump = INT64_MAX;
    if (!registered)
        atexit(stop_at_exit);
    registered = 1;
}

static void open_sandbox(struct fixture *fx, const struct sandbox_options *o, int tls)
{
    struct sandbox_options all = {0};

    fixture_init(fx);
    fx->max_jump = 3600000;
    if (o)
        all = *o;
    all.tls = tls;
    all.keep_plain = 1;
    ck_assert_msg(sandbox_start(&all, &fx->sandbox) == 0, "sandbox: %s", sandbox_last_error());
    running_sandbox = fx->sandbox;
}

void fixture_open_sandbox(struct fixture *fx, const struct sandbox_options *o)
{
    open_sandbox(fx, o, 1);
}

void fixture_open_sandbox_http(struct fixture *fx, const struct sandbox_options *o)
{
    open_sandbox(fx, o, 0);
}

void fixture_open_scripted_with(struct fixture *fx, const struct scripted_options *o)
{
    fixture_init(fx);
    fx->server = scripted_start_with(o);
    ck_assert_ptr_nonnull(fx->server);
    running_server = fx->server;
}

void fixture_open_scripted(struct fixture *fx, int tls)
{
    fixture_open_scripted_with(fx, &(struct scripted_options){.tls = tls});
}

/* A config for the server at `url`. `ca_file` is NULL without TLS. */
static bcda_config *make_config(struct fixture *fx, const char *url, const char *id,
                                const char *secret, const char *ca_file)
{
    bcda_config *c;

    ck_assert_ok(bcda_config_new(&c));
    fx->config = c;
    c->clock.now_ms = c->clock.wall_ms = read_clock;
    c->clock.ctx = fx;
    ck_assert_ok(bcda_config_set_fhir_url(c, url));
    ck_assert_ok(bcda_config_set_client_credentials(c, id, secret));
    if (ca_file)
        ck_assert_ok(bcda_config_set_ca_file(c, ca_file));
    if (!fx->no_log)
        ck_assert_ok(bcda_config_set_log(c, BCDA_LOG_DEBUG, on_log, fx, NULL));
    return c;
}

static bcda_config *config_at(struct fixture *fx, const char *origin, int version,
                              const char *ca_file)
{
    bcda_config *c;
    char url[128];

    snprintf(url, sizeof url, "%s/api/v%d", origin, version);
    c = make_config(fx, url, "me", "a-secret", ca_file);
    if (strncmp(origin, "http:", 5) == 0)
        fixture_set(fx, BCDA_OPT_ALLOW_HTTP_LOOPBACK, 1);
    return c;
}

bcda_config *fixture_config_at(struct fixture *fx, const char *origin, const char *ca_file)
{
    return config_at(fx, origin, 1, ca_file);
}

bcda_config *fixture_config_version(struct fixture *fx, int version)
{
    struct sandbox *sandbox = fx->sandbox;
    bcda_config *c;

    if (!sandbox)
        return config_at(fx, scripted_origin(fx->server), version, scripted_ca_file(fx->server));
    c = make_config(fx, sandbox_fhir_url(sandbox, version), sandbox_client_id(sandbox),
                    sandbox_client_secret(sandbox), sandbox_ca_file(sandbox));
    if (sandbox_private_key_file(sandbox))
        ck_assert_ok(bcda_config_add_private_key_file(c, sandbox_private_key_file(sandbox), NULL));
    return c;
}

bcda_config *fixture_config(struct fixture *fx)
{
    return fx->config ? fx->config : fixture_config_version(fx, 1);
}

void fixture_add_key(struct fixture *fx)
{
    ck_assert_ok(
        bcda_config_add_private_key_file(fixture_config(fx), scripted_key_file(fx->server), NULL));
}

void fixture_set_verified(struct fixture *fx, const char *folder)
{
    fixture_set(fx, BCDA_OPT_DELIVERY, BCDA_DELIVERY_VERIFIED);
    ck_assert_ok(bcda_config_set_spool_directory(fx->config, folder));
}

void fixture_session(struct fixture *fx)
{
    const char *threads = getenv("BCDA_TEST_DECODE_THREADS");
    int rc;

    (void)fixture_config(fx);
    /* Some libraries open descriptors once, when they are initialized, and keep them. These must
     * not count as descriptors of the session. */
    rc = bcda_global_init(0);
    ck_assert_int_eq(rc, 0);
    fx->fds = fixture_count_fds();
    if (threads) /* set for a second run of the suite, in which workers decode the files */
        ck_assert_ok(bcda_config_set_int(fx->config, BCDA_OPT_DECODE_THREADS, atoi(threads)));
    rc = bcda_session_new(&fx->session, fx->config);
    ck_assert_msg(rc == 0, "%s", bcda_error_text(bcda_config_error(fx->config)));
    bcda_config_free(fx->config);
    fx->config = NULL;
    if (!fx->x)
        fixture_export(fx, BCDA_LEVEL_PATIENT, NULL);
}

void fixture_setup(struct fixture *fx, const struct sandbox_options *o, int version)
{
    fixture_open_sandbox(fx, o);
    fixture_config_version(fx, version);
    fixture_session(fx);
}

void fixture_set(struct fixture *fx, int option, int64_t value)
{
    ck_assert_ok(bcda_config_set_int(fixture_config(fx), option, value));
}

void fixture_fault(struct fixture *fx, const char *spec)
{
    ck_assert_msg(sandbox_set_fault(fx->sandbox, spec) == 0, "%s", sandbox_last_error());
}

void fixture_setup_one_file(struct fixture *fx)
{
    struct sandbox_options o = {0};

    o.era = "2019-04";
    fixture_setup(fx, &o, 1);
    fixture_export(fx, BCDA_LEVEL_RESOURCE, "ExplanationOfBenefit", NULL);
}

void fixture_setup_everything(struct fixture *fx)
{
    struct sandbox_options o = {0};

    o.era = "current";
    fixture_open_sandbox(fx, &o);
    fx->takes_deletions = 1;
    fixture_config(fx);
    fixture_set(fx, BCDA_OPT_BAD_LINES_MAX, -1);
    fixture_session(fx);
    fixture_export(fx, BCDA_LEVEL_PATIENT, "Patient", "Coverage", NULL);
    fixture_fault(fx, "error-file");
    fixture_fault(fx, "deleted");
    fixture_fault(fx, "bad-json@Patient");
}

void fixture_export(struct fixture *fx, int level, ...)
{
    const char *type;
    va_list types;

    bcda_export_free(fx->x);
    fx->x = NULL;
    ck_assert_ok(bcda_export_new(&fx->x, level));
    if (level == BCDA_LEVEL_GROUP)
        ck_assert_ok(bcda_export_set_group(fx->x, "all"));
    va_start(types, level);
    while ((type = va_arg(types, const char *)))
        ck_assert_ok(bcda_export_add_type(fx->x, type));
    va_end(types);
}

void fixture_add_patients(struct buf *b, size_t first, size_t count)
{
    size_t i;

    for (i = first; i < first + count; i++)
        buf_printf(b, "{\"resourceType\":\"Patient\",\"id\":\"p%zu\",\"x\":\"%0100zu\"}\n", i, i);
}

void fixture_reply_patients(struct fixture *fx, const char *match, size_t first, size_t count)
{
    struct buf b = {0};

    fixture_add_patients(&b, first, count);
    scripted_reply(fx->server, match, "200 OK", "", b.p, b.len);
    buf_free(&b);
}

void fixture_reply_two_files(struct fixture *fx)
{
    fixture_reply_patients(fx, "/data/a", 0, 3);
    fixture_reply_patients(fx, "/data/b", 3, 3);
    scripted_export(fx->server, fixture_files, 2);
}

const struct scripted_entry fixture_files[3] = {{"Patient", "/data/a.ndjson", NULL, 0},
                                                {"Patient", "/data/b.ndjson", NULL, 0},
                                                {"Patient", "/data/c.ndjson", NULL, 0}};

void fixture_export_many(struct fixture *fx, size_t n, const char *key_hex)
{
    struct scripted_entry *e = calloc(n, sizeof *e);
    char(*paths)[40] = calloc(n, sizeof *paths);
    size_t i;

    ck_assert(e && paths);
    for (i = 0; i < n; i++) {
        snprintf(paths[i], sizeof paths[i], "/data/%zu.ndjson", i);
        e[i].type = "Patient";
        e[i].path = paths[i];
        e[i].key_hex = key_hex;
    }
    scripted_export(fx->server, e, n);
    free(paths);
    free(e);
}

void fixture_export_eob(struct fixture *fx, const char *era)
{
    int by_type = strcmp(era, "2018-12") == 0 || strcmp(era, "2019-04") == 0;

    fixture_export(fx, by_type ? BCDA_LEVEL_RESOURCE : BCDA_LEVEL_PATIENT, "ExplanationOfBenefit",
                   NULL);
}

struct run *fixture_run_new(struct fixture *fx, enum delivery_way way, hook_fn hook, void *arg)
{
    struct run *r = calloc(1, sizeof *r), **tail = &fx->runs;

    ck_assert_ptr_nonnull(r);
    r->fixture = fx;
    r->way = way;
    r->hook = hook;
    r->arg = arg;
    while (*tail)
        tail = &(*tail)->next;
    *tail = r;
    return r;
}

static void started(struct run *r, int rc, bcda_handlers *handlers)
{
    ck_assert_msg(rc == 0, "%s", bcda_error_text(bcda_session_error(r->fixture->session)));
    ck_assert_ptr_nonnull(r->job);
    ck_assert_int_eq(bcda_job_result(r->job), BCDA_ERR_AGAIN);
    ck_assert_uint_eq(r->state_count, 0); /* starting a job calls no callback */
    bcda_handlers_free(handlers);
}

struct run *fixture_start_hook(struct fixture *fx, enum delivery_way way, hook_fn hook, void *arg)
{
    struct run *r = fixture_run_new(fx, way, hook, arg);
    bcda_handlers *handlers = fixture_handlers(r);

    started(r, bcda_job_start(fx->session, fx->x, handlers, &r->job), handlers);
    return r;
}

struct run *fixture_start(struct fixture *fx, enum delivery_way way)
{
    return fixture_start_hook(fx, way, NULL, NULL);
}

struct run *fixture_run_hook(struct fixture *fx, enum delivery_way way, hook_fn hook, void *arg)
{
    struct run *r;

    if (!fx->session)
        fixture_session(fx);
    r = fixture_start_hook(fx, way, hook, arg);
    fixture_finish(fx);
    return r;
}

struct run *fixture_run(struct fixture *fx, enum delivery_way way)
{
    return fixture_run_hook(fx, way, NULL, NULL);
}

struct run *fixture_attach(struct fixture *fx, enum delivery_way way, const char *url, hook_fn hook,
                           void *arg)
{
    struct run *r = fixture_run_new(fx, way, hook, arg);
    bcda_handlers *handlers = fixture_handlers(r);
    char text[512];

    snprintf(text, sizeof text, "%s%s", *url == '/' ? scripted_origin(fx->server) : "", url);
    started(r, bcda_job_attach(fx->session, text, fx->x, handlers, &r->job), handlers);
    return r;
}

struct run *fixture_restore(struct fixture *fx, enum delivery_way way, const char *saved)
{
    struct run *r = fixture_run_new(fx, way, NULL, NULL);
    bcda_handlers *handlers = fixture_handlers(r);

    started(r, bcda_job_restore(fx->session, saved, strlen(saved), fx->x, handlers, &r->job),
            handlers);
    return r;
}

/* ---- stepping ---- */

int64_t fixture_stat(struct fixture *fx, int stat)
{
    int64_t n = -1;

    ck_assert_ok(bcda_session_stat(fx->session, stat, &n));
    return n;
}

/* Returns 1 if the session's descriptor is readable and a step must therefore make progress. The
 * descriptor's timer runs in real time, but the session uses the test's clock. Once the timer may
 * have expired, a readable descriptor promises nothing: the test's clock may not have moved. */
static int is_promised(const struct fixture *fx)
{
    struct pollfd p = {0};

    p.fd = bcda_session_fd(fx->session);
    p.events = POLLIN;
    if (p.fd < 0 || poll(&p, 1, 0) <= 0)
        return 0;
    return real_ms() < fx->timer_at;
}

/* Fails if two steps in a row did nothing although the descriptor was readable: an application's
 * loop would be busy for nothing. One such step is allowed, because the step before it may already
 * have handled what made the descriptor readable. */
static void check_progress(struct fixture *fx, int promised, int64_t began, int did)
{
    int64_t left = bcda__session_next_timer_ms(fx->session);

    fx->vain = promised && !did ? fx->vain + 1 : 0;
    ck_assert_msg(fx->vain < 2, "the descriptor is readable, and two steps in a row do nothing");
    fx->timer_at = left < 0 ? INT64_MAX : began + left;
}

static int step_session(struct fixture *fx)
{
    int promised = is_promised(fx), rc;
    int64_t began = real_ms();

    fx->inside = 1;
    rc = bcda_session_step(fx->session);
    fx->inside = 0;
    ck_assert_int_ge(rc, 0);
    check_progress(fx, promised, began, rc);
    fx->worked += rc > 0;
    return rc;
}

/* Calls bcda_session_run(). Returns 0 if the call returned BCDA_ERR_TIMEOUT, else 1: the session
 * may have done something. */
static int run_session(struct fixture *fx, int ms)
{
    int rc;

    fx->inside = 1;
    rc = bcda_session_run(fx->session, ms);
    fx->inside = 0;
    ck_assert_msg(rc >= 0 || rc == BCDA_ERR_TIMEOUT || rc == BCDA_ERR_INTERRUPTED, "run: %s",
                  bcda_error_name(rc));
    return rc != BCDA_ERR_TIMEOUT;
}

/* For each run with BY_PULL: takes all batches that bcda_job_next() can return now. */
static int pull(struct fixture *fx)
{
    struct run *r;
    bcda_batch *batch;
    size_t i;
    int rc, any = 0;

    for (r = fx->runs; r; r = r->next) {
        if (r->way != BY_PULL || !r->job || r->drained)
            continue;
        while ((rc = bcda_job_next(r->job, &batch)) == 0) {
            any = 1;
            for (i = 0; i < bcda_batch_bad_line_count(batch); i++)
                record_bad(r, bcda_batch_bad_line(batch, i));
            ck_assert_ptr_null(bcda_batch_bad_line(batch, i));
            /* These runs have a handler for issues, so bcda_job_next() returns no batches of error
             * files. */
            ck_assert_int_eq(bcda_file_is_error(bcda_batch_file(batch)), 0);
            record_batch(r, batch);
            bcda_batch_unref(batch);
        }
        if (rc == BCDA_ERR_END)
            r->drained = 1;
        else
            ck_assert_int_eq(rc, BCDA_ERR_AGAIN);
    }
    return any;
}

/* Waits up to `ms` until the session's descriptor is readable and returns 1 if it is. Without such
 * a descriptor, runs the session in its place. */
static int wait_for(struct fixture *fx, int ms)
{
    struct pollfd p = {0};

    p.fd = bcda_session_fd(fx->session);
    p.events = POLLIN;
    if (p.fd == BCDA_ERR_UNSUPPORTED || fx->use_run)
        return run_session(fx, ms);
    ck_assert_int_ge(p.fd, 0);
    return poll(&p, 1, ms) > 0;
}

/* If a job needs files that the sandbox generates, waits until they exist. The sandbox works in
 * real time, and the test's clock must not run ahead of the sandbox. With a scripted server beside
 * the sandbox, the jobs are those of the scripted server. */
static void wait_for_files(struct fixture *fx)
{
    static const char *const types[] = {"Patient", "Coverage", "ExplanationOfBenefit", "Claim",
                                        "OperationOutcome"};
    int64_t until = real_s() + READY_S;
    struct run *r;
    int needed = 0;
    size_t i;

    for (r = fx->runs; r; r = r->next)
        needed |= r->job && !r->done && bcda_job_state(r->job) == BCDA_JOB_RUNNING;
    while (needed && !fx->server && real_s() < until) {
        for (i = 0; i < 5; i++)
            if (sandbox_file_name(fx->sandbox, types[i], 0))
                return;
        sleep_ms(1);
    }
}

static int any_active(const struct fixture *fx)
{
    const struct run *r;

    for (r = fx->runs; r; r = r->next)
        if (r->job && !r->done)
            return 1;
    return fx->session->requests != NULL;
}

static int all_paused(const struct fixture *fx)
{
    const bcda_job *job;

    for (job = fx->session->jobs.first; job; job = job->next)
        if (!bcda__job_is_idle(job))
            return 0;
    return fx->session->requests == NULL;
}

/* Moves the clock to the next timer. Returns 1 if it has moved. */
static int jump(struct fixture *fx)
{
    int64_t left = bcda__session_next_timer_ms(fx->session);

    if (fx->stay || left < 0 || left > fx->max_jump)
        return 0;
    if (fx->sandbox)
        wait_for_files(fx);
    fx->now += left;
    return 1;
}

/* Waits for a short time for bytes from the server, for the output of a token command and, as long
 * as workers decode, for their results. Takes a step when something arrives, and then returns 1;
 * otherwise returns 0. */
static int wait_a_moment(struct fixture *fx)
{
    int quiet = 0;

    while (fixture_stat(fx, BCDA_STAT_TRANSFERS) > 0 || bcda__session_is_decoding(fx->session) ||
           bcda__session_runs_command(fx->session)) {
        if (wait_for(fx, WAIT_MS)) {
            if (!fx->use_run)
                (void)step_session(fx); /* in a build on poll(), wait_for() has already stepped */
            (void)pull(fx);
            return 1;
        }
        ck_assert_msg(!fx->quiet_since || real_s() - fx->quiet_since < HUNG_S,
                      "hung: a transfer is open, or a worker at work, and nothing comes");
        if (!fx->quiet_since)
            fx->quiet_since = real_s();
        if (!bcda__session_is_decoding(fx->session) && ++quiet >= QUIET)
            return 0;
    }
    return 0;
}

int fixture_step(struct fixture *fx)
{
    int did = fx->use_run ? 0 : step_session(fx);

    did |= pull(fx);
    if (did || wait_a_moment(fx)) {
        fx->quiet_since = 0;
        return 1;
    }
    if (fixture_stat(fx, BCDA_STAT_TRANSFERS) > 0 || bcda__session_runs_command(fx->session)) {
        if (fx->jump_open && jump(fx))
            return 1;
        return !fx->stay && !all_paused(fx); /* 1: the server will still send bytes */
    }
    fx->quiet_since = 0;
    if (!jump(fx))
        return 0;
    (void)step_session(fx);
    (void)pull(fx);
    return 1;
}

void fixture_bare_step(struct fixture *fx)
{
    fx->inside = 1;
    ck_assert_int_ge(bcda_session_step(fx->session), 0);
    fx->inside = 0;
}

void fixture_drain(struct fixture *fx)
{
    int stay = fx->stay;

    fx->stay = 1;
    while (fixture_step(fx))
        ;
    fx->stay = stay;
}

void fixture_advance(struct fixture *fx, int64_t ms)
{
    int64_t end = fx->now + ms, left;

    for (;;) {
        fixture_drain(fx);
        left = bcda__session_next_timer_ms(fx->session);
        if (left < 0 || fx->now + left > end)
            break;
        fx->now += left;
    }
    fx->now = end;
    fixture_drain(fx);
}

void fixture_finish(struct fixture *fx)
{
    while (any_active(fx))
        ck_assert_msg(fixture_step(fx) || !any_active(fx),
                      "stuck: a job runs, and nothing will happen");
    (void)pull(fx);
}

void fixture_idle(struct fixture *fx)
{
    while (fixture_step(fx))
        ;
}

void fixture_until_state(struct fixture *fx, struct run *r, int state)
{
    while (bcda_job_state(r->job) != state)
        ck_assert_msg(fixture_step(fx), "stuck before the state %d", state);
}

void fixture_until_count(struct fixture *fx, struct run *r, size_t count)
{
    while (r->count < count)
        ck_assert_msg(fixture_step(fx), "stuck before %zu resources", count);
}

void fixture_stall(struct fixture *fx, struct run *r, int64_t bytes)
{
    int64_t wire = fixture_stat(fx, BCDA_STAT_BYTES_WIRE);
    int64_t retries = fixture_stat(fx, BCDA_STAT_RETRIES);

    fixture_until(fx, fixture_stat(fx, BCDA_STAT_BYTES_WIRE) > wire + bytes);
    fx->jump_open = 1;
    fixture_until(fx, r->done || fixture_stat(fx, BCDA_STAT_RETRIES) > retries);
    fx->jump_open = 0;
}

/* ---- calls of the functions in the table of client/entry.h ---- */

static int no_watch(bcda_session *s, int fd, int events, void *userdata)
{
    (void)s;
    (void)fd;
    (void)events;
    (void)userdata;
    return 0;
}

static int no_timer(bcda_session *s, int64_t delay_ms, void *userdata)
{
    (void)s;
    (void)delay_ms;
    (void)userdata;
    return 0;
}

/* Restores a job from a file with this text. */
static int restore_from_file(bcda_session *s, const char *text)
{
    char path[200];
    FILE *f;
    int rc;

    snprintf(path, sizeof path, "%s/bcda-saved-%ld", tempdir(), (long)getpid());
    f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_ge(fputs(text, f), 0);
    ck_assert_int_eq(fclose(f), 0);
    rc = bcda_job_restore_from_file(s, path, NULL, NULL, NULL);
    unlink(path);
    return rc;
}

int fixture_call(struct fixture *fx, enum bcda__entry_point point, bcda_job *job)
{
    static const char saved[] = "{\"bcda\":1,\"url\":\"%s\",\"done\":[]}";
    bcda_session *s = fx->session;
    bcda_batch *batch;
    char text[512];

    switch (point) {
    case BCDA__ENTRY_RUN:
        return bcda_session_run(s, 0);
    case BCDA__ENTRY_STEP:
        return bcda_session_step(s);
    case BCDA__ENTRY_ON_FD:
        return bcda_session_on_fd(s, 0, 0);
    case BCDA__ENTRY_ON_TIMER:
        return bcda_session_on_timer(s);
    case BCDA__ENTRY_SET_LOOP:
        return bcda_session_set_loop(s, no_watch, no_timer, NULL, NULL);
    case BCDA__ENTRY_FD:
        return bcda_session_fd(s);
    case BCDA__ENTRY_NEXT:
        return bcda_job_next(job, &batch);
    case BCDA__ENTRY_START:
        return bcda_job_start(s, fx->x, NULL, NULL);
    case BCDA__ENTRY_ATTACH:
        return bcda_job_attach(s, bcda_job_url(job), NULL, NULL, NULL);
    case BCDA__ENTRY_RESTORE:
        snprintf(text, sizeof text, saved, bcda_job_url(job));
        return bcda_job_restore(s, text, strlen(text), NULL, NULL, NULL);
    case BCDA__ENTRY_RESTORE_FILE:
        snprintf(text, sizeof text, saved, bcda_job_url(job));
        return restore_from_file(s, text);
    case BCDA__ENTRY_REQUEST:
        return bcda_request_start(s, BCDA_REQUEST_VERSION, NULL, NULL, NULL, NULL);
    case BCDA__ENTRY_CANCEL:
        return bcda_job_cancel(job);
    case BCDA__ENTRY_PAUSE:
        return bcda_job_pause(job);
    case BCDA__ENTRY_RESUME:
        return bcda_job_resume(job);
    case BCDA__ENTRY_POINTS:
        break;
    }
    return 1;
}

/* ---- the end ---- */

static void check_run(const struct run *r)
{
    int i;

    ck_assert_msg(!r->job || r->done == 1, "done ran %d times", r->done);
    for (i = 0; i < AT_COUNT; i++) {
        int made = i != AT_END && (i != AT_DELETED || r->fixture->takes_deletions) &&
                   (i != AT_RESOURCE || r->way == BY_RESOURCE) &&
                   (i != AT_BATCH || r->way == BY_BATCH);

        ck_assert_msg(r->destroyed[i] == made, "the destroy of handler %d ran %d times", i,
                      r->destroyed[i]);
    }
    for (i = 0; i < FILES_MAX; i++)
        ck_assert_msg(r->files[i].begins == r->files[i].ends, "file %d: %d begins, %d ends", i,
                      r->files[i].begins, r->files[i].ends);
}

static void free_run(struct run *r)
{
    size_t i;

    for (i = 0; i < r->count; i++) {
        free(r->got[i].json);
        free(r->got[i].line);
        free(r->got[i].type);
        free(r->got[i].id);
        free(r->got[i].full_url);
        free(r->got[i].updated);
    }
    for (i = 0; i < r->bad_count; i++)
        free(r->bad[i].bytes);
    for (i = 0; r->issues && i < r->issue_count; i++) {
        free(r->issues[i].code);
        free(r->issues[i].text);
    }
    for (i = 0; i < r->batch_count; i++)
        bcda_batch_unref(r->batches[i]);
    free(r->got);
    free(r->bad);
    free(r->issues);
    buf_free(&r->deletions);
    free(r);
}

void fixture_free_session(struct fixture *fx)
{
    fx->inside = 1;
    bcda_session_free(fx->session);
    fx->inside = 0;
    fx->session = NULL;
}

void fixture_end(struct fixture *fx)
{
    int64_t until = real_s() + HUNG_S;
    struct run *r;
    int n = 0;

    fixture_free_session(fx);
    bcda_config_free(fx->config);
    fx->config = NULL;
    bcda_export_free(fx->x);
    fx->x = NULL;
    while ((r = fx->runs)) {
        fx->runs = r->next;
        if (r->job && bcda_job_error(r->job))
            fixture_check_error(fx, bcda_job_error(r->job));
        bcda_job_unref(r->job);
        check_run(r);
        free_run(r);
    }
    /* The sandbox runs in this process, so its descriptors are counted, too. It closes its end of a
     * connection a little later than the session. */
    while (fx->fds && (n = fixture_count_fds()) > fx->fds && real_s() < until)
        sleep_ms(2);
    if (fx->fds) {
        ck_assert_int_le(n, fx->fds);
        bcda_global_cleanup();
    }
    fx->fds = 0;
}

void fixture_close(struct fixture *fx)
{
    fixture_end(fx);
    sandbox_stop(fx->sandbox);
    scripted_stop(fx->server);
    fx->sandbox = running_sandbox = NULL;
    fx->server = running_server = NULL;
}

/* ---- checks ---- */

const bcda_file *fixture_file(struct run *r, const char *type, unsigned index)
{
    size_t i;

    for (i = 0; i < bcda_job_file_count(r->job); i++)
        if (strcmp(bcda_file_type(bcda_job_file(r->job, i)), type) == 0 && index-- == 0)
            return bcda_job_file(r->job, i);
    return NULL;
}

const char *fixture_unwrap(const char *line, size_t len, size_t *out_len)
{
    static const char key[] = ",\"resource\":";
    const char *at;

    *out_len = len;
    if (len < 13 || memcmp(line, "{\"fullUrl\":\"", 12) != 0)
        return line;
    at = memmem(line, len, key, sizeof key - 1);
    ck_assert_ptr_nonnull(at);
    ck_assert_int_eq(line[len - 1], '}');
    at += sizeof key - 1;
    *out_len = (size_t)(line + len - 1 - at);
    return at;
}

/* Returns the value of a string member of the object at this depth (1 = the outermost), or "".
 * Finds the member by counting braces, not with the library's code. */
static char *member(const char *json, size_t len, const char *name, int depth_wanted)
{
    size_t i, start, n = strlen(name);
    int depth = 0;

    for (i = 0; i < len; i++) {
        if (json[i] == '{' || json[i] == '[')
            depth++;
        else if (json[i] == '}' || json[i] == ']')
            depth--;
        if (json[i] != '"')
            continue;
        for (start = ++i; i < len && json[i] != '"'; i++)
            if (json[i] == '\\')
                i++;
        if (depth == depth_wanted && i - start == n && memcmp(json + start, name, n) == 0 &&
            i + 2 < len && json[i + 1] == ':' && json[i + 2] == '"') {
            size_t end = i + 3;

            while (end < len && json[end] != '"')
                end++;
            return copy(json + i + 3, end - i - 3);
        }
    }
    return copys("");
}

static const char *plain_path(struct run *r, const bcda_file *file)
{
    const char *name;
    unsigned k;

    for (k = 0; (name = sandbox_file_name(r->fixture->sandbox, bcda_file_type(file), k)); k++)
        if (strcmp(name, bcda_file_name(file)) == 0)
            return sandbox_plain_file(r->fixture->sandbox, bcda_file_type(file), k);
    ck_abort_msg("the sandbox has no file %s", bcda_file_name(file));
    return NULL;
}

static void check_resource(const struct run *r, const struct got *g, const char *line, size_t len,
                           int64_t number, int64_t offset, const char *type)
{
    size_t n;
    const char *json = fixture_unwrap(line, len, &n);
    char *id = member(json, n, "id", 1), *resource_type = member(json, n, "resourceType", 1);

    (void)r;
    ck_assert_uint_eq(g->line_len, len);
    ck_assert_int_eq(memcmp(g->line, line, len), 0);
    ck_assert_uint_eq(g->json_len, n);
    ck_assert_int_eq(memcmp(g->json, json, n), 0);
    ck_assert_str_eq(g->type, type);
    ck_assert_str_eq(g->type, resource_type);
    ck_assert_str_eq(g->id, id);
    ck_assert_int_eq(g->number, number);
    ck_assert_int_eq(g->offset, offset);
    ck_assert_int_eq(g->full_url[0] != '\0', json != line);
    if (json != line)
        ck_assert_int_eq(memcmp(line + 12, g->full_url, strlen(g->full_url)), 0);
    free(id);
    free(resource_type);
}

size_t fixture_check_file(struct run *r, const bcda_file *file, int whole)
{
    size_t len, i, at = 0, seen = 0;
    int64_t number = 0;
    char *plain = fixture_read(plain_path(r, file), &len), *end;

    for (i = 0; i < r->count; i++) {
        if (r->got[i].file != bcda_file_index(file))
            continue;
        ck_assert_msg(at < len, "more resources than the file has");
        end = memchr(plain + at, '\n', len - at);
        ck_assert_ptr_nonnull(end);
        check_resource(r, &r->got[i], plain + at, (size_t)(end - plain) - at, ++number, (int64_t)at,
                       bcda_file_type(file));
        at = (size_t)(end - plain) + 1;
        seen++;
    }
    if (whole) {
        ck_assert_msg(at == len, "%s: %zu of %zu bytes came", bcda_file_name(file), at, len);
        ck_assert_int_eq(bcda_file_bytes(file), (int64_t)len);
        ck_assert_int_eq(bcda_file_resources(file), (int64_t)seen);
    }
    free(plain);
    return seen;
}

/* Checks that each counter of the job is the sum of the counters of its files. */
static void check_sums(const bcda_job *job)
{
    int64_t received = 0, bytes = 0, resources = 0, bad_lines = 0;
    size_t i;

    for (i = 0; i < bcda_job_file_count(job); i++) {
        const bcda_file *f = bcda_job_file(job, i);

        received += bcda_file_bytes_received(f);
        bytes += bcda_file_bytes(f);
        if (!bcda_file_is_error(f) && !bcda_file_has_deletions(f))
            resources += bcda_file_resources(f);
        bad_lines += bcda_file_bad_lines(f);
    }
    ck_assert_int_eq(bcda_job_bytes_received(job), received);
    ck_assert_int_eq(bcda_job_bytes(job), bytes);
    ck_assert_int_eq(bcda_job_resources(job), resources);
    ck_assert_int_eq(bcda_job_bad_lines(job), bad_lines);
}

void fixture_check_export(struct run *r)
{
    size_t i, n = bcda_job_file_count(r->job), k;
    int64_t resources = 0;

    ck_assert_int_eq(r->done, 1);
    ck_assert_msg(r->result == 0, "%s: %s", bcda_error_name(r->result),
                  bcda_error_text(bcda_job_error(r->job)));
    ck_assert_ptr_null(bcda_job_error(r->job));
    ck_assert_int_eq(bcda_job_verdict(r->job),
                     bcda_job_bad_lines(r->job) ||
                             bcda_job_issue_count(r->job, BCDA_SEVERITY_ERROR) ||
                             bcda_job_issue_count(r->job, BCDA_SEVERITY_FATAL) ||
                             bcda_job_missing_type_count(r->job) ||
                             (bcda_job_deleted_file_count(r->job) && !r->fixture->takes_deletions)
                         ? BCDA_VERDICT_COMPLETE_ERRORS
                         : BCDA_VERDICT_COMPLETE);
    ck_assert_uint_eq(bcda_job_files_ended(r->job), n);
    for (i = 0; i < n; i++) {
        const bcda_file *f = bcda_job_file(r->job, i);

        ck_assert_uint_eq(bcda_file_index(f), i);
        if (bcda_file_is_error(f) || bcda_file_has_deletions(f) ||
            bcda_file_verdict(f) == BCDA_VERDICT_SKIPPED)
            continue;
        ck_assert_int_eq(bcda_file_verdict(f), BCDA_VERDICT_COMPLETE);
        ck_assert_int_eq(r->files[i].begins, 1);
        ck_assert_int_eq(r->files[i].ends, 1);
        resources += (int64_t)fixture_check_file(r, f, 1);
    }
    ck_assert_int_eq(resources, (int64_t)r->count);
    ck_assert_int_eq(bcda_job_bad_lines(r->job), 0);
    check_sums(r->job);
    for (k = 1; k < r->state_count; k++)
        ck_assert_int_lt(r->states[k - 1], r->states[k]);
    ck_assert_int_eq(r->states[r->state_count - 1], BCDA_JOB_DONE);
    if (r->way == BY_PULL)
        ck_assert_int_eq(r->drained, 1);
}

const bcda_error *fixture_check_failed(struct run *r, int code)
{
    const bcda_error *e = bcda_job_error(r->job);

    ck_assert_int_eq(r->done, 1);
    ck_assert_msg(r->result == code, "%s (%s), not %s", bcda_error_name(r->result),
                  bcda_error_text(e), bcda_error_name(code));
    ck_assert_int_eq(bcda_job_result(r->job), code);
    ck_assert_int_eq(bcda_job_state(r->job), BCDA_JOB_FAILED);
    ck_assert_int_eq(bcda_job_verdict(r->job), BCDA_VERDICT_FAILED);
    ck_assert_int_eq(bcda_error_code(e), code);
    fixture_check_error(r->fixture, e);
    return e;
}

void fixture_check_result(const struct run *r, int code)
{
    ck_assert_int_eq(r->done, 1);
    ck_assert_msg(r->result == code, "%s (%s), not %s", bcda_error_name(r->result),
                  bcda_error_text(bcda_job_error(r->job)), bcda_error_name(code));
}

void fixture_check_came(const struct run *r, size_t count)
{
    fixture_check_result(r, 0);
    ck_assert_uint_eq(r->count, count);
}

void fixture_check_patients(const struct run *r, size_t file, size_t first, size_t count)
{
    size_t i, seen = 0;
    char id[32];

    for (i = 0; i < r->count; i++) {
        if (r->got[i].file != file)
            continue;
        snprintf(id, sizeof id, "p%zu", first + seen++);
        ck_assert_str_eq(r->got[i].id, id);
    }
    ck_assert_uint_eq(seen, count);
}

/* Starts a sandbox once before the tests: it generates the keys, which all later sandboxes use. */
int suite_prepare(void)
{
    struct sandbox_options o = {.tls = 1};
    struct sandbox *sb;

    if (sandbox_start(&o, &sb)) {
        fprintf(stderr, "sandbox: %s\n", sandbox_last_error());
        return 1;
    }
    sandbox_stop(sb);
    return 0;
}
