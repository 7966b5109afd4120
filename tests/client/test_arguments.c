/* Every refused call reports why. The tests call each entry point that can refuse an argument, or
 * refuse to be called in some state, so that it does refuse. The error stored in the object (the
 * session, config, export or decoder) must then describe this call, not an earlier one. */
#include <stdlib.h>
#include <string.h>

#include "client/export.h"
#include "client/job.h"
#include "fixture.h"

static struct fixture fx;
static bcda_export *x;
static bcda_handlers *both; /* on_resource and on_batch, which exclude each other */
static bcda_decoder *decoder;
static bcda_job *pulled, *pushed; /* jobs that run: without and with a data callback */
static int64_t number;
static const char *text;
static char *saved;
static int index_;

enum { LONG = 300 * 1024 };
static char long_text[LONG + 1];
static char long_url[LONG + 1];

static int on_resource(bcda_job *job, const bcda_resource *resource, void *userdata)
{
    (void)job;
    (void)resource;
    (void)userdata;
    return BCDA_CONTINUE;
}

static int on_batch(bcda_job *job, bcda_batch *batch, void *userdata)
{
    (void)job;
    (void)batch;
    (void)userdata;
    return BCDA_CONTINUE;
}

static int watch_fd(bcda_session *session, int fd, int events, void *userdata)
{
    (void)session;
    (void)fd;
    (void)events;
    (void)userdata;
    return 0;
}

static int watch_timer(bcda_session *session, int64_t delay_ms, void *userdata)
{
    (void)session;
    (void)delay_ms;
    (void)userdata;
    return 0;
}

static void on_log(int level, const char *component, const char *message, void *userdata)
{
    (void)level;
    (void)component;
    (void)message;
    (void)userdata;
}

static int give_token(bcda_config *config)
{
    return bcda_config_set_bearer_token(config, "a-token");
}

static void open_all(void)
{
    bcda_handlers *handlers;

    memset(long_text, 'a', LONG);
    memset(long_url, 'a', LONG);
    fixture_setup(&fx, NULL, 1);
    memcpy(long_url, sandbox_origin(fx.sandbox), strlen(sandbox_origin(fx.sandbox)));
    long_url[strlen(sandbox_origin(fx.sandbox))] = '/';
    ck_assert_ok(bcda_config_new(&fx.config));
    ck_assert_ok(bcda_export_new(&x, BCDA_LEVEL_PATIENT));
    ck_assert_int_eq(bcda_decoder_new(&decoder, NULL, NULL), 0);
    ck_assert_ok(bcda_handlers_new(&both));
    ck_assert_ok(bcda_handlers_on_resource(both, on_resource, NULL, NULL));
    ck_assert_ok(bcda_handlers_on_batch(both, on_batch, NULL, NULL));
    ck_assert_ok(bcda_handlers_new(&handlers));
    ck_assert_ok(bcda_handlers_on_resource(handlers, on_resource, NULL, NULL));
    ck_assert_ok(bcda_job_start(fx.session, fx.x, NULL, &pulled));
    ck_assert_ok(bcda_job_start(fx.session, fx.x, handlers, &pushed));
    bcda_handlers_free(handlers);
}

static void close_all(void)
{
    bcda_job_unref(pulled);
    bcda_job_unref(pushed);
    bcda_handlers_free(both);
    bcda_decoder_free(decoder);
    bcda_export_free(x);
    fixture_close(&fx);
}

/* ---- the session ---- */

#define S fx.session

struct row {
    const char *name; /* name of the function */
    int (*call)(void);
    int code;
    const char *word; /* part of the expected error text */
};

#define CALL(name, expression) \
    static int name(void)      \
    {                          \
        return expression;     \
    }

CALL(run_timeout, bcda_session_run(S, -2))
CALL(set_loop_no_fd, bcda_session_set_loop(S, NULL, watch_timer, NULL, NULL))
CALL(set_loop_no_timer, bcda_session_set_loop(S, watch_fd, NULL, NULL, NULL))
CALL(set_loop_late, bcda_session_set_loop(S, watch_fd, watch_timer, NULL, NULL))
CALL(on_fd_events, bcda_session_on_fd(S, 0, 64))
CALL(on_fd_state, bcda_session_on_fd(S, 0, 0))
CALL(on_timer_state, bcda_session_on_timer(S))
CALL(stat_low, bcda_session_stat(S, 0, &number))
CALL(stat_high, bcda_session_stat(S, 1000, &number))
CALL(stat_null, bcda_session_stat(S, BCDA_STAT_REQUESTS, NULL))
CALL(start_null, bcda_job_start(S, NULL, NULL, NULL))
CALL(start_both, bcda_job_start(S, fx.x, both, NULL))
CALL(attach_null, bcda_job_attach(S, NULL, NULL, NULL, NULL))
CALL(attach_text, bcda_job_attach(S, "jobs/1", NULL, NULL, NULL))
CALL(attach_http, bcda_job_attach(S, "http://bcda.example/jobs/1", NULL, NULL, NULL))
CALL(attach_origin, bcda_job_attach(S, "https://bcda.example/jobs/1", NULL, NULL, NULL))
CALL(attach_long, bcda_job_attach(S, long_url, NULL, NULL, NULL))
CALL(attach_both, bcda_job_attach(S, sandbox_origin(fx.sandbox), NULL, both, NULL))
CALL(restore_null, bcda_job_restore(S, NULL, 1, NULL, NULL, NULL))
CALL(restore_text, bcda_job_restore(S, "{}", 2, NULL, NULL, NULL))
CALL(restore_both, bcda_job_restore(S, "{}", 2, NULL, both, NULL))
CALL(restore_file_null, bcda_job_restore_from_file(S, NULL, NULL, NULL, NULL))
CALL(restore_file_empty, bcda_job_restore_from_file(S, "", NULL, NULL, NULL))
CALL(restore_file_missing, bcda_job_restore_from_file(S, "/nonexistent/s", NULL, NULL, NULL))
CALL(restore_file_folder, bcda_job_restore_from_file(S, "/", NULL, NULL, NULL))
CALL(save_file_null, bcda_job_save_to_file(pulled, NULL))
CALL(save_file_missing, bcda_job_save_to_file(pulled, "/nonexistent/s"))
CALL(changes_null, bcda_job_save_changes(pulled, NULL))
CALL(changes_early, bcda_job_save_changes(pulled, &saved))
CALL(confirm_null, bcda_job_confirm(pulled, NULL, 1))
CALL(save_null, bcda_job_save(pulled, NULL))
CALL(save_early, bcda_job_save(pulled, &saved))
CALL(next_null, bcda_job_next(pulled, NULL))
CALL(next_pushed, bcda_job_next(pushed, (bcda_batch **)&text))
CALL(request_what, bcda_request_start(S, 99, NULL, NULL, NULL, NULL))

static int start_filter(void)
{
    int rc;

    ck_assert_ok(bcda_export_add_type_filter(x, long_text));
    rc = bcda_job_start(S, x, NULL, NULL);
    bcda_export_free(x);
    ck_assert_ok(bcda_export_new(&x, BCDA_LEVEL_PATIENT));
    return rc;
}

static int start_level(int level)
{
    bcda_export *bare;
    int rc;

    ck_assert_ok(bcda_export_new(&bare, level));
    rc = bcda_job_start(S, bare, NULL, NULL);
    bcda_export_free(bare);
    return rc;
}

CALL(start_group, start_level(BCDA_LEVEL_GROUP))
CALL(start_resource, start_level(BCDA_LEVEL_RESOURCE))

/* Makes a call as if from a callback of the application's loop, which is refused. Used for
 * functions that have no argument to refuse. */
static int from_loop(int (*call)(void))
{
    int rc;

    S->cx.in_loop_callback = 1;
    rc = call();
    S->cx.in_loop_callback = 0;
    return rc;
}

CALL(step, bcda_session_step(S))
CALL(fd, bcda_session_fd(S))
CALL(cancel, bcda_job_cancel(pulled))
CALL(pause_, bcda_job_pause(pulled))
CALL(resume, bcda_job_resume(pulled))
CALL(step_inside, from_loop(step))
CALL(fd_inside, from_loop(fd))
CALL(cancel_inside, from_loop(cancel))
CALL(pause_inside, from_loop(pause_))
CALL(resume_inside, from_loop(resume))

static const struct row session_rows[] = {
    {"bcda_session_run", run_timeout, BCDA_ERR_INVALID, "timeout"},
    {"bcda_session_step", step_inside, BCDA_ERR_REENTRANT, "callback"},
    {"bcda_session_fd", fd_inside, BCDA_ERR_REENTRANT, "callback"},
    {"bcda_session_set_loop", set_loop_no_fd, BCDA_ERR_INVALID, "callback"},
    {"bcda_session_set_loop", set_loop_no_timer, BCDA_ERR_INVALID, "callback"},
    {"bcda_session_set_loop", set_loop_late, BCDA_ERR_STATE, "before the first job"},
    {"bcda_session_on_fd", on_fd_events, BCDA_ERR_INVALID, "events"},
    {"bcda_session_on_fd", on_fd_state, BCDA_ERR_STATE, "loop"},
    {"bcda_session_on_timer", on_timer_state, BCDA_ERR_STATE, "loop"},
    {"bcda_session_stat", stat_low, BCDA_ERR_INVALID, "statistic"},
    {"bcda_session_stat", stat_high, BCDA_ERR_INVALID, "statistic"},
    {"bcda_session_stat", stat_null, BCDA_ERR_INVALID, "statistic"},
    {"bcda_job_start", start_null, BCDA_ERR_INVALID, "export"},
    {"bcda_job_start", start_both, BCDA_ERR_INVALID, "exclude each other"},
    {"bcda_job_start", start_filter, BCDA_ERR_INVALID, "longer than 262144 bytes"},
    {"bcda_job_start", start_group, BCDA_ERR_CONFIG, "group"},
    {"bcda_job_start", start_resource, BCDA_ERR_CONFIG, "exactly one type"},
    {"bcda_job_attach", attach_null, BCDA_ERR_INVALID, "status URL"},
    {"bcda_job_attach", attach_text, BCDA_ERR_URL, "not an absolute"},
    {"bcda_job_attach", attach_http, BCDA_ERR_INSECURE_URL, "https"},
    {"bcda_job_attach", attach_origin, BCDA_ERR_ORIGIN, "another origin"},
    {"bcda_job_attach", attach_long, BCDA_ERR_URL, "longer than 65536 bytes"},
    {"bcda_job_attach", attach_both, BCDA_ERR_INVALID, "exclude each other"},
    {"bcda_job_restore", restore_null, BCDA_ERR_INVALID, "saved"},
    {"bcda_job_restore", restore_text, BCDA_ERR_INVALID, "saved"},
    {"bcda_job_restore", restore_both, BCDA_ERR_INVALID, "exclude each other"},
    {"bcda_job_restore_from_file", restore_file_null, BCDA_ERR_INVALID, "no path"},
    {"bcda_job_restore_from_file", restore_file_empty, BCDA_ERR_INVALID, "no path"},
    {"bcda_job_restore_from_file", restore_file_missing, BCDA_ERR_IO,
     "/nonexistent/s cannot be opened: No such file"},
    {"bcda_job_restore_from_file", restore_file_folder, BCDA_ERR_IO, "cannot be opened"},
    {"bcda_job_save_to_file", save_file_null, BCDA_ERR_INVALID, "no path"},
    {"bcda_job_save_to_file", save_file_missing, BCDA_ERR_IO, "cannot be opened: No such file"},
    {"bcda_job_save_changes", changes_null, BCDA_ERR_INVALID, "saved"},
    {"bcda_job_save_changes", changes_early, BCDA_ERR_STATE, "not accepted"},
    {"bcda_job_confirm", confirm_null, BCDA_ERR_INVALID, "no file"},
    {"bcda_job_save", save_null, BCDA_ERR_INVALID, "save"},
    {"bcda_job_save", save_early, BCDA_ERR_STATE, "not accepted"},
    {"bcda_job_next", next_null, BCDA_ERR_INVALID, "batch"},
    {"bcda_job_next", next_pushed, BCDA_ERR_STATE, "callback"},
    {"bcda_job_cancel", cancel_inside, BCDA_ERR_REENTRANT, "callback"},
    {"bcda_job_pause", pause_inside, BCDA_ERR_REENTRANT, "callback"},
    {"bcda_job_resume", resume_inside, BCDA_ERR_REENTRANT, "callback"},
    {"bcda_request_start", request_what, BCDA_ERR_INVALID, "request"},
};

enum { SESSION_ROWS = sizeof session_rows / sizeof *session_rows };

/* Puts an older error into the object's `slot` before the call. The error of the call must replace
 * the older one. */
static void check_row(const struct row *row, struct bcda_error *slot,
                      const bcda_error *(*error)(void))
{
    const bcda_error *e;
    int rc;

    bcda__err_set(slot, BCDA_ERR_TAG, "an error of an earlier call");
    rc = row->call();
    ck_assert_msg(rc == row->code, "%s: %s", row->name, bcda_error_name(rc));
    e = error();
    ck_assert_msg(bcda_error_code(e) == rc, "%s: the error is %s: %s", row->name,
                  bcda_error_name(bcda_error_code(e)), bcda_error_text(e));
    fixture_check_error(&fx, e);
    ck_assert_msg(strstr(bcda_error_text(e), row->word) != NULL, "%s: %s", row->name,
                  bcda_error_text(e));
}

static const bcda_error *session_error(void)
{
    return bcda_session_error(S);
}

START_TEST(sessions)
{
    size_t i;

    open_all();
    for (i = 0; i < SESSION_ROWS; i++)
        check_row(&session_rows[i], &S->cx.err, session_error);
    close_all();
}
END_TEST

/* Checks that the rows above include every function of the table in client/entry.h. */
START_TEST(all_of_them)
{
    size_t i, k, found;

    for (i = 0; i < BCDA__ENTRY_POINTS; i++) {
        for (k = 0, found = 0; k < SESSION_ROWS; k++)
            found += strcmp(session_rows[k].name, bcda__entry_rows[i].function) == 0;
        ck_assert_msg(found > 0, "%s is in no row", bcda__entry_rows[i].function);
    }
}
END_TEST

/* A call that succeeds leaves no error in the session. Neither does bcda_job_next() when it has no
 * batch yet. */
START_TEST(no_error)
{
    bcda_batch *batch;

    open_all();
    ck_assert_int_eq(bcda_session_run(S, -2), BCDA_ERR_INVALID);
    ck_assert_ptr_nonnull(bcda_session_error(S));
    ck_assert_ok(bcda_job_pause(pulled));
    ck_assert_ptr_null(bcda_session_error(S));
    ck_assert_int_eq(bcda_session_run(S, -2), BCDA_ERR_INVALID);
    ck_assert_int_eq(bcda_job_next(pulled, &batch), BCDA_ERR_AGAIN);
    ck_assert_ptr_null(bcda_session_error(S));
    ck_assert_int_eq(bcda_job_start(NULL, fx.x, NULL, NULL), BCDA_ERR_INVALID);
    ck_assert_int_eq(bcda_session_run(NULL, -2), BCDA_ERR_INVALID);
    ck_assert_int_eq(bcda_session_on_fd(NULL, 0, 64), BCDA_ERR_INVALID);
    ck_assert_int_eq(bcda_session_set_loop(NULL, NULL, NULL, NULL, NULL), BCDA_ERR_INVALID);
    ck_assert_int_eq(bcda_session_stat(NULL, 1, &number), BCDA_ERR_INVALID);
    ck_assert_int_eq(bcda_job_attach(NULL, NULL, NULL, NULL, NULL), BCDA_ERR_INVALID);
    ck_assert_int_eq(bcda_job_restore(NULL, NULL, 0, NULL, NULL, NULL), BCDA_ERR_INVALID);
    ck_assert_int_eq(bcda_job_save(NULL, NULL), BCDA_ERR_INVALID);
    ck_assert_int_eq(bcda_job_save_changes(NULL, NULL), BCDA_ERR_INVALID);
    ck_assert_int_eq(bcda_job_save_to_file(NULL, "x"), BCDA_ERR_INVALID);
    ck_assert_int_eq(bcda_job_confirm(NULL, NULL, 1), BCDA_ERR_INVALID);
    ck_assert_int_eq(bcda_job_restore_from_file(NULL, "x", NULL, NULL, NULL), BCDA_ERR_INVALID);
    ck_assert_int_eq(bcda_job_next(NULL, NULL), BCDA_ERR_INVALID);
    ck_assert_int_eq(bcda_request_start(NULL, 99, NULL, NULL, NULL, NULL), BCDA_ERR_INVALID);
    close_all();
}
END_TEST

/* ---- an export ---- */

CALL(group_null, bcda_export_set_group(x, NULL))
CALL(group_level, bcda_export_set_group(x, "all"))
CALL(type_null, bcda_export_add_type(x, NULL))
CALL(type_empty, bcda_export_add_type(x, ""))
CALL(type_digit, bcda_export_add_type(x, "Patient2"))
CALL(type_long, bcda_export_add_type(x, long_text))
CALL(since_date, bcda_export_set_since(x, "2024-01-01"))
CALL(since_zone, bcda_export_set_since(x, "2024-01-01T00:00:00"))
CALL(filter_null, bcda_export_add_type_filter(x, NULL))
CALL(filter_empty, bcda_export_add_type_filter(x, ""))
CALL(parameter_name, bcda_export_set_parameter(x, "", "value"))
CALL(parameter_null, bcda_export_set_parameter(x, NULL, "value"))
CALL(parameter_value, bcda_export_set_parameter(x, "name", NULL))
CALL(field_null, bcda_export_add_field(x, NULL, &index_))
CALL(field_index, bcda_export_add_field(x, "id", NULL))
CALL(field_empty, bcda_export_add_field(x, "a..b", &index_))

static int type_twice(void)
{
    int rc = bcda_export_add_type(x, "Coverage");

    ck_assert_int_eq(rc, 0);
    ck_assert_ptr_null(bcda_export_error(x));
    return bcda_export_add_type(x, "Coverage");
}

static const struct row export_rows[] = {
    {"bcda_export_set_group", group_null, BCDA_ERR_INVALID, "group"},
    {"bcda_export_set_group", group_level, BCDA_ERR_STATE, "group level"},
    {"bcda_export_add_type", type_null, BCDA_ERR_INVALID, "1 to 64 letters"},
    {"bcda_export_add_type", type_empty, BCDA_ERR_INVALID, "1 to 64 letters"},
    {"bcda_export_add_type", type_digit, BCDA_ERR_INVALID, "1 to 64 letters"},
    {"bcda_export_add_type", type_long, BCDA_ERR_INVALID, "1 to 64 letters"},
    {"bcda_export_add_type", type_twice, BCDA_ERR_INVALID, "Coverage is there already"},
    {"bcda_export_set_since", since_date, BCDA_ERR_INVALID, "YYYY-MM-DDThh:mm:ss"},
    {"bcda_export_set_since", since_zone, BCDA_ERR_INVALID, "zone"},
    {"bcda_export_add_type_filter", filter_null, BCDA_ERR_INVALID, "filter"},
    {"bcda_export_add_type_filter", filter_empty, BCDA_ERR_INVALID, "filter"},
    {"bcda_export_set_parameter", parameter_name, BCDA_ERR_INVALID, "name"},
    {"bcda_export_set_parameter", parameter_null, BCDA_ERR_INVALID, "name"},
    {"bcda_export_set_parameter", parameter_value, BCDA_ERR_INVALID, "value"},
    {"bcda_export_add_field", field_null, BCDA_ERR_INVALID, "1 to 16 member names"},
    {"bcda_export_add_field", field_index, BCDA_ERR_INVALID, "1 to 16 member names"},
    {"bcda_export_add_field", field_empty, BCDA_ERR_INVALID, "1 to 16 member names"},
};

static const bcda_error *export_error(void)
{
    return bcda_export_error(x);
}

START_TEST(exports)
{
    size_t i;

    open_all();
    for (i = 0; i < sizeof export_rows / sizeof *export_rows; i++)
        check_row(&export_rows[i], &x->err, export_error);
    ck_assert_ok(bcda_export_set_since(x, "2024-01-01T00:00:00Z"));
    ck_assert_ptr_null(bcda_export_error(x));
    ck_assert_ptr_null(bcda_export_error(NULL));
    ck_assert_int_eq(bcda_export_set_since(NULL, NULL), BCDA_ERR_INVALID);
    close_all();
}
END_TEST

/* ---- a config ---- */

#define C fx.config

CALL(fhir_null, bcda_config_set_fhir_url(C, NULL))
CALL(fhir_text, bcda_config_set_fhir_url(C, "bcda.example"))
CALL(fhir_long, bcda_config_set_fhir_url(C, long_url))
CALL(token_text, bcda_config_set_token_url(C, "https://h/?a"))
CALL(rewrite_null, bcda_config_add_url_rewrite(C, NULL, NULL))
CALL(rewrite_text, bcda_config_add_url_rewrite(C, "https://h/", "x"))
CALL(origin_null, bcda_config_add_allowed_origin(C, NULL))
CALL(origin_path, bcda_config_add_allowed_origin(C, "https://h/path"))
CALL(credentials_null, bcda_config_set_client_credentials(C, "id", NULL))
CALL(credentials_id, bcda_config_set_client_credentials(C, "a:b", "c"))
CALL(credentials_secret, bcda_config_set_client_credentials(C, "a", "c\n"))
CALL(bearer_null, bcda_config_set_bearer_token(C, NULL))
CALL(bearer_space, bcda_config_set_bearer_token(C, "a b"))
CALL(signing_null, bcda_config_set_signing_key(C, "id", NULL, 0, NULL, NULL))
CALL(signing_id, bcda_config_set_signing_key(C, "", "x", 1, NULL, NULL))
CALL(signing_utf8, bcda_config_set_signing_key(C, "\xFF", "x", 1, NULL, NULL))
CALL(signing_kid, bcda_config_set_signing_key(C, "id", "x", 1, NULL, ""))
CALL(signing_text, bcda_config_set_signing_key(C, "id", "x", 1, NULL, NULL))
CALL(signing_file_null, bcda_config_set_signing_key_file(C, "id", NULL, NULL, NULL))
CALL(signing_file_id, bcda_config_set_signing_key_file(C, "a\nb", "x", NULL, NULL))
CALL(signing_file_none, bcda_config_set_signing_key_file(C, "id", "/nowhere/key", NULL, NULL))
CALL(scope_space, bcda_config_set_scope(C, "a  b"))
CALL(scope_empty, bcda_config_set_scope(C, ""))
CALL(token_file_null, bcda_config_set_token_file(C, NULL))
CALL(token_file_empty, bcda_config_set_token_file(C, ""))
CALL(command_null, bcda_config_set_token_command(C, NULL))
CALL(command_empty, bcda_config_set_token_command(C, ""))
CALL(cache_empty, bcda_config_set_token_cache(C, ""))
CALL(budget_empty, bcda_config_set_request_budget(C, ""))
CALL(certificate_origin_null, bcda_config_add_certificate_origin(C, NULL))
CALL(certificate_origin_path, bcda_config_add_certificate_origin(C, "https://h/path"))
CALL(provider_null, bcda_config_set_token_provider(C, NULL, NULL, NULL))
CALL(pem_null, bcda_config_add_private_key_pem(C, NULL, 0, NULL))
CALL(pem_text, bcda_config_add_private_key_pem(C, "x", 1, NULL))
CALL(key_file_null, bcda_config_add_private_key_file(C, NULL, NULL))
CALL(key_file_none, bcda_config_add_private_key_file(C, "/nowhere/key.pem", NULL))
CALL(certificate_null, bcda_config_set_client_certificate(C, "a", NULL, NULL))
CALL(log_level, bcda_config_set_log(C, 9, on_log, NULL, NULL))
CALL(int_unknown, bcda_config_set_int(C, 999, 1))
CALL(int_type, bcda_config_set_int(C, BCDA_OPT_USER_AGENT, 1))
CALL(int_range, bcda_config_set_int(C, BCDA_OPT_PARALLEL, 65))
CALL(str_null, bcda_config_set_str(C, BCDA_OPT_USER_AGENT, NULL))
CALL(str_range, bcda_config_set_str(C, BCDA_OPT_USER_AGENT, "\n"))
CALL(get_int_null, bcda_config_get_int(C, BCDA_OPT_PARALLEL, NULL))
CALL(get_int_type, bcda_config_get_int(C, BCDA_OPT_USER_AGENT, &number))
CALL(get_str_null, bcda_config_get_str(C, BCDA_OPT_USER_AGENT, NULL))
CALL(get_str_unknown, bcda_config_get_str(C, 999, &text))
CALL(session_null, bcda_session_new(NULL, C))
CALL(decoder_null, bcda_decoder_new(NULL, C, NULL))

static int no_url(void)
{
    bcda_session *session;

    return bcda_session_new(&session, C);
}

static int no_identity(void)
{
    bcda_session *session;

    ck_assert_ok(bcda_config_set_fhir_url(C, "https://bcda.example/api/v2"));
    return bcda_session_new(&session, C);
}

static int no_spool(void)
{
    bcda_session *session;

    ck_assert_int_eq(give_token(C), 0);
    ck_assert_ok(bcda_config_set_int(C, BCDA_OPT_DELIVERY, BCDA_DELIVERY_VERIFIED));
    return bcda_session_new(&session, C);
}

static int no_ca_file(void)
{
    bcda_session *session;

    ck_assert_ok(bcda_config_set_int(C, BCDA_OPT_DELIVERY, BCDA_DELIVERY_STREAMING));
    ck_assert_ok(bcda_config_set_ca_file(C, "/nowhere/ca.pem"));
    return bcda_session_new(&session, C);
}

static int decoder_both(void)
{
    bcda_decoder *d;

    return bcda_decoder_new(&d, C, both);
}

static const struct row config_rows[] = {
    {"bcda_config_set_fhir_url", fhir_null, BCDA_ERR_INVALID, "FHIR URL"},
    {"bcda_config_set_fhir_url", fhir_text, BCDA_ERR_URL, "not an absolute URL"},
    {"bcda_config_set_fhir_url", fhir_long, BCDA_ERR_URL, "longer than 16384 bytes"},
    {"bcda_config_set_token_url", token_text, BCDA_ERR_URL, "query"},
    {"bcda_config_add_url_rewrite", rewrite_null, BCDA_ERR_INVALID, "rewrite"},
    {"bcda_config_add_url_rewrite", rewrite_text, BCDA_ERR_URL, "rewrite"},
    {"bcda_config_add_allowed_origin", origin_null, BCDA_ERR_INVALID, "origin"},
    {"bcda_config_add_allowed_origin", origin_path, BCDA_ERR_URL, "origin"},
    {"bcda_config_set_client_credentials", credentials_null, BCDA_ERR_INVALID, "secret"},
    {"bcda_config_set_client_credentials", credentials_id, BCDA_ERR_INVALID, "client id"},
    {"bcda_config_set_client_credentials", credentials_secret, BCDA_ERR_INVALID, "line feed"},
    {"bcda_config_set_bearer_token", bearer_null, BCDA_ERR_INVALID, "bearer token"},
    {"bcda_config_set_bearer_token", bearer_space, BCDA_ERR_INVALID, "bearer token"},
    {"bcda_config_set_signing_key", signing_null, BCDA_ERR_INVALID, "signing key"},
    {"bcda_config_set_signing_key", signing_id, BCDA_ERR_INVALID, "client id"},
    {"bcda_config_set_signing_key", signing_utf8, BCDA_ERR_INVALID, "UTF-8"},
    {"bcda_config_set_signing_key", signing_kid, BCDA_ERR_INVALID, "key id"},
    {"bcda_config_set_signing_key", signing_text, BCDA_ERR_KEY_FORMAT, "signing key"},
    {"bcda_config_set_signing_key_file", signing_file_null, BCDA_ERR_INVALID, "signing key"},
    {"bcda_config_set_signing_key_file", signing_file_id, BCDA_ERR_INVALID, "client id"},
    {"bcda_config_set_signing_key_file", signing_file_none, BCDA_ERR_IO, "/nowhere/key"},
    {"bcda_config_set_scope", scope_space, BCDA_ERR_INVALID, "one space"},
    {"bcda_config_set_scope", scope_empty, BCDA_ERR_INVALID, "scopes"},
    {"bcda_config_set_token_file", token_file_null, BCDA_ERR_INVALID, "token file"},
    {"bcda_config_set_token_file", token_file_empty, BCDA_ERR_INVALID, "token file"},
    {"bcda_config_set_token_command", command_null, BCDA_ERR_INVALID, "token command"},
    {"bcda_config_set_token_command", command_empty, BCDA_ERR_INVALID, "token command"},
    {"bcda_config_set_token_cache", cache_empty, BCDA_ERR_INVALID, "path"},
    {"bcda_config_set_request_budget", budget_empty, BCDA_ERR_INVALID, "path"},
    {"bcda_config_add_certificate_origin", certificate_origin_null, BCDA_ERR_INVALID,
     "certificate"},
    {"bcda_config_add_certificate_origin", certificate_origin_path, BCDA_ERR_URL, "origin"},
    {"bcda_config_set_token_provider", provider_null, BCDA_ERR_INVALID, "callback"},
    {"bcda_config_add_private_key_pem", pem_null, BCDA_ERR_INVALID, "private key"},
    {"bcda_config_add_private_key_pem", pem_text, BCDA_ERR_KEY_FORMAT, "private key"},
    {"bcda_config_add_private_key_file", key_file_null, BCDA_ERR_INVALID, "private key"},
    {"bcda_config_add_private_key_file", key_file_none, BCDA_ERR_IO, "/nowhere/key.pem"},
    {"bcda_config_set_client_certificate", certificate_null, BCDA_ERR_INVALID, "certificate"},
    {"bcda_config_set_log", log_level, BCDA_ERR_INVALID, "log level"},
    {"bcda_config_set_int", int_unknown, BCDA_ERR_OPTION_UNKNOWN, "999"},
    {"bcda_config_set_int", int_type, BCDA_ERR_OPTION_TYPE, "option \"user_agent\""},
    {"bcda_config_set_int", int_range, BCDA_ERR_OPTION_RANGE, "option \"parallel\""},
    {"bcda_config_set_str", str_null, BCDA_ERR_INVALID, "option \"user_agent\""},
    {"bcda_config_set_str", str_range, BCDA_ERR_OPTION_RANGE, "option \"user_agent\""},
    {"bcda_config_get_int", get_int_null, BCDA_ERR_INVALID, "option \"parallel\""},
    {"bcda_config_get_int", get_int_type, BCDA_ERR_OPTION_TYPE, "option \"user_agent\""},
    {"bcda_config_get_str", get_str_null, BCDA_ERR_INVALID, "option \"user_agent\""},
    {"bcda_config_get_str", get_str_unknown, BCDA_ERR_OPTION_UNKNOWN, "999"},
    {"bcda_session_new", session_null, BCDA_ERR_INVALID, "session"},
    {"bcda_decoder_new", decoder_null, BCDA_ERR_INVALID, "decoder"},
    {"bcda_decoder_new", decoder_both, BCDA_ERR_INVALID, "exclude each other"},
    {"bcda_session_new", no_url, BCDA_ERR_CONFIG, "FHIR URL"},
    {"bcda_session_new", no_identity, BCDA_ERR_CONFIG, "credentials"},
    {"bcda_session_new", no_spool, BCDA_ERR_CONFIG, "spool directory"},
    {"bcda_session_new", no_ca_file, BCDA_ERR_IO, "/nowhere/ca.pem"},
};

static const bcda_error *config_error(void)
{
    return bcda_config_error(C);
}

START_TEST(configs)
{
    size_t i;

    open_all();
    for (i = 0; i < sizeof config_rows / sizeof *config_rows; i++)
        check_row(&config_rows[i], &C->err, config_error);
    ck_assert_ok(bcda_config_set_ca_file(C, NULL));
    ck_assert_ptr_null(bcda_config_error(C));
    close_all();
}
END_TEST

/* ---- a decoder ---- */

CALL(name_null, bcda_decoder_set_name(decoder, NULL))
CALL(wrapped_null, bcda_decoder_set_wrapped_key(decoder, NULL, "a"))
CALL(wrapped_label, bcda_decoder_set_wrapped_key(decoder, "aa", NULL))
CALL(wrapped_no_key, bcda_decoder_set_wrapped_key(decoder, "aa", "a.ndjson"))
CALL(decoder_field, bcda_decoder_add_field(decoder, "a..b", &index_))
CALL(decoder_field_null, bcda_decoder_add_field(decoder, NULL, &index_))
CALL(write_null, bcda_decoder_write(decoder, NULL, 1))
CALL(gzip_late, bcda_decoder_set_gzip(decoder, 1))
CALL(write_late, bcda_decoder_write(decoder, "x", 1))

static int name_late(void)
{
    ck_assert_int_eq(bcda_decoder_write(decoder, "", 0), 0);
    return bcda_decoder_set_name(decoder, "x");
}

static int write_finished(void)
{
    ck_assert_int_eq(bcda_decoder_finish(decoder), 0);
    return write_late();
}

static const struct row decoder_rows[] = {
    {"bcda_decoder_set_name", name_null, BCDA_ERR_INVALID, "name"},
    {"bcda_decoder_set_wrapped_key", wrapped_null, BCDA_ERR_INVALID, "wrapped key"},
    {"bcda_decoder_set_wrapped_key", wrapped_label, BCDA_ERR_INVALID, "label"},
    {"bcda_decoder_set_wrapped_key", wrapped_no_key, BCDA_ERR_KEY_MISSING, "private key"},
    {"bcda_decoder_add_field", decoder_field, BCDA_ERR_INVALID, "1 to 16 member names"},
    {"bcda_decoder_add_field", decoder_field_null, BCDA_ERR_INVALID, "1 to 16 member names"},
    {"bcda_decoder_write", write_null, BCDA_ERR_INVALID, "data"},
    {"bcda_decoder_set_name", name_late, BCDA_ERR_STATE, "first bytes"},
    {"bcda_decoder_set_gzip", gzip_late, BCDA_ERR_STATE, "first bytes"},
    {"bcda_decoder_write", write_finished, BCDA_ERR_STATE, "finished"},
};

/* As check_row(), except that the tests cannot write an older error into a decoder: no header shows
 * its members. The older error is that of the call in the previous row. */
START_TEST(decoders)
{
    const bcda_error *e;
    size_t i;
    int rc;

    open_all();
    for (i = 0; i < sizeof decoder_rows / sizeof *decoder_rows; i++) {
        const struct row *row = &decoder_rows[i];

        rc = row->call();
        ck_assert_msg(rc == row->code, "%s: %s", row->name, bcda_error_name(rc));
        e = bcda_decoder_error(decoder);
        ck_assert_msg(bcda_error_code(e) == rc, "%s: %s", row->name, bcda_error_text(e));
        fixture_check_error(&fx, e);
        ck_assert_msg(strstr(bcda_error_text(e), row->word) != NULL, "%s: %s", row->name,
                      bcda_error_text(e));
    }
    close_all();
}
END_TEST

SUITE("client arguments")
{
    suite_case("arguments");
    suite_test(sessions);
    suite_test(all_of_them);
    suite_test(no_error);
    suite_test(exports);
    suite_test(configs);
    suite_test(decoders);
}
