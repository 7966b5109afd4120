/* The ways to sign in other than client credentials: no authentication, token files and token
 * commands, tokens shared by processes; and to which servers a client certificate is offered. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../tempdir.h"
#include "certs.h"
#include "fixture.h"

static struct fixture fx;
static char path[300]; /* of the token file, the cache or the budget */

/* The claims {"exp":1000} and {"exp":2000}, and a signature that is none. */
#define JWT_1000 "eyJhbGciOiJub25lIn0.eyJleHAiOjEwMDB9.c2ln"
#define JWT_2000 "eyJhbGciOiJub25lIn0.eyJleHAiOjIwMDB9.c2ln"

/* The tokens of these tests besides "tok.en". No log line and no error text may contain one. */
static const char *const tokens[] = {"t.one", "t.two",      "from-file", "tok-1",
                                     "tok-2", "eyJhbGciOi", NULL};

/* ---- helpers ---- */

static void open_scripted(int tls)
{
    fixture_open_scripted(&fx, tls);
    fx.secrets = tokens;
}

/* Steps until the job is running, and the first status request for it has been answered. */
static void until_polled(struct run *r)
{
    fixture_until(&fx, bcda_job_state(r->job) == BCDA_JOB_RUNNING &&
                           scripted_count(fx.server, "GET /api/v1/jobs/1") == 1 &&
                           fixture_stat(&fx, BCDA_STAT_TRANSFERS) == 0);
}

static void choose_path(const char *name)
{
    snprintf(path, sizeof path, "%s/bcda-%s-%d", tempdir(), name, (int)getpid());
    unlink(path);
}

static void write_file(const char *text)
{
    FILE *f = fopen(path, "w");

    ck_assert_ptr_nonnull(f);
    ck_assert_int_ge(fputs(text, f), 0);
    ck_assert_int_eq(fclose(f), 0);
}

static void close_all(void)
{
    fixture_close(&fx);
    unlink(path);
}

static unsigned carried(const char *token)
{
    char header[4200];

    snprintf(header, sizeof header, "Authorization: Bearer %s\r\n", token);
    return scripted_count(fx.server, header);
}

static void refuse_times(const char *match, unsigned times, unsigned gate)
{
    struct scripted_answer *a = scripted_on(fx.server, match, times);

    if (gate)
        scripted_gate(a, gate);
    scripted_text(a, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
}

static void refuse_once(const char *match, unsigned gate)
{
    refuse_times(match, 1, gate);
}

/* Returns the text of the error of a job that failed with this code. */
static const char *failed_text(struct run *r, int code)
{
    return bcda_error_text(fixture_check_failed(r, code));
}

#define ck_assert_has(text, word) ck_assert_msg(strstr(text, word) != NULL, "%s", text)

/* ---- no authentication ---- */

START_TEST(open_server)
{
    struct run *r;

    open_scripted(1);
    fixture_reply_two_files(&fx);
    ck_assert_ok(bcda_config_set_no_authentication(fixture_config(&fx)));
    r = fixture_run(&fx, BY_RESOURCE);
    fixture_check_came(r, 6);
    ck_assert_uint_eq(scripted_count(fx.server, "Authorization"), 0);
    ck_assert_uint_eq(scripted_count(fx.server, "/auth/token"), 0);
    ck_assert_int_eq(fixture_stat(&fx, BCDA_STAT_TOKENS), 0);
    fixture_close(&fx);
}
END_TEST

START_TEST(open_server_wants_token)
{
    struct run *r;

    open_scripted(1);
    refuse_once("$export", 0);
    ck_assert_ok(bcda_config_set_no_authentication(fixture_config(&fx)));
    r = fixture_run(&fx, BY_RESOURCE);
    ck_assert_has(failed_text(r, BCDA_ERR_AUTH), "configured for a server that requires none");
    ck_assert_uint_eq(scripted_count(fx.server, NULL), 1);
    fixture_close(&fx);
}
END_TEST

/* ---- settings that contradict each other ---- */

static int set_nothing(bcda_config *c)
{
    (void)c;
    return 0;
}

static int set_bearer(bcda_config *c)
{
    return bcda_config_set_bearer_token(c, "tok.en");
}

static int set_secret(bcda_config *c)
{
    return bcda_config_set_client_credentials(c, "id", "a-secret");
}

static int set_scope(bcda_config *c)
{
    return bcda_config_set_scope(c, "system/Patient.read");
}

static int set_cache(bcda_config *c)
{
    return bcda_config_set_token_cache(c, path);
}

static int set_cache_and_budget(bcda_config *c)
{
    return bcda_config_set_request_budget(c, path) || bcda_config_set_token_cache(c, path);
}

static int set_token_url(bcda_config *c)
{
    return bcda_config_set_token_url(c, "https://localhost/token");
}

static int set_command(bcda_config *c)
{
    return bcda_config_set_token_command(c, "true");
}

static int set_file(bcda_config *c)
{
    return bcda_config_set_token_file(c, "/nonexistent/token");
}

static const struct {
    int (*way)(bcda_config *);
    int (*other)(bcda_config *);
    const char *word;
} contradictions[] = {
    {set_nothing, set_nothing, "no identity is set"},
    {set_secret, set_scope, "scope"},
    {set_bearer, set_scope, "scope"},
    {set_bearer, set_cache, "token cache"},
    {set_file, set_cache, "token cache"},
    {set_command, set_cache, "token cache"},
    {bcda_config_set_no_authentication, set_cache, "token cache"},
    {bcda_config_set_no_authentication, set_token_url, "token URL"},
    {set_secret, set_cache_and_budget, "the same file"},
};

START_TEST(contradiction)
{
    bcda_session *session = NULL;
    bcda_config *c;

    choose_path("cache");
    ck_assert_ok(bcda_config_new(&c));
    ck_assert_ok(bcda_config_set_fhir_url(c, "https://localhost/api/v1"));
    ck_assert_ok(contradictions[_i].way(c));
    ck_assert_ok(contradictions[_i].other(c));
    ck_assert_int_eq(bcda_session_new(&session, c), BCDA_ERR_CONFIG);
    ck_assert_ptr_null(session);
    ck_assert_has(bcda_error_text(bcda_config_error(c)), contradictions[_i].word);
    ck_assert_int_ne(access(path, F_OK), 0);
    bcda_config_free(c);
}
END_TEST

/* The last way that was set is used. */
START_TEST(last_way)
{
    struct run *r;

    open_scripted(0);
    fixture_reply_two_files(&fx);
    choose_path("token");
    write_file("from-file");
    ck_assert_ok(bcda_config_set_no_authentication(fixture_config(&fx)));
    ck_assert_ok(bcda_config_set_token_command(fx.config, "exit 1"));
    ck_assert_ok(bcda_config_set_bearer_token(fx.config, "tok.en"));
    ck_assert_ok(bcda_config_set_token_file(fx.config, path));
    r = fixture_run(&fx, BY_RESOURCE);
    fixture_check_came(r, 6);
    ck_assert_uint_eq(carried("from-file"), 4);
    close_all();
}
END_TEST

/* ---- token files ---- */

static void open_with_command(const char *command)
{
    open_scripted(0);
    ck_assert_ok(bcda_config_set_token_command(fixture_config(&fx), command));
    fx.jump_open = 1;
    fx.max_jump = 20000; /* the clock does not jump to the end of the command's time */
}

static void open_with_file(const char *text)
{
    open_scripted(0);
    choose_path("token");
    if (text)
        write_file(text);
    ck_assert_ok(bcda_config_set_token_file(fixture_config(&fx), path));
}

static const char *const good_files[] = {
    "t.one",
    "t.one\n",
    " \t\r\nt.one\r\n",
    "{\"access_token\":\"t.one\",\"token_type\":\"Bearer\"}",
    "\n{\"access_token\":\"t.one\",\"expires_in\":300}\n",
};

START_TEST(token_file)
{
    struct run *r;

    open_with_file(good_files[_i]);
    fixture_reply_two_files(&fx);
    r = fixture_run(&fx, BY_RESOURCE);
    fixture_check_came(r, 6);
    ck_assert_uint_eq(carried("t.one"), 4);
    ck_assert_uint_eq(scripted_count(fx.server, "/auth/token"), 0);
    close_all();
}
END_TEST

static const struct {
    const char *text;
    int code;
    const char *word;
} bad_files[] = {
    {NULL, BCDA_ERR_IO, "No such file"},
    {"", BCDA_ERR_TOKEN, "there is no token"},
    {" \n", BCDA_ERR_TOKEN, "there is no token"},
    {"t.one t.two", BCDA_ERR_TOKEN, "not one token"},
    {"t.one\nt.two\n", BCDA_ERR_TOKEN, "not one token"},
    {"{\"token\":\"t.one\"}", BCDA_ERR_TOKEN, "access_token"},
    {"{\"access_token\":", BCDA_ERR_TOKEN, "JSON"},
};

START_TEST(bad_token_file)
{
    const char *text;
    struct run *r;

    open_with_file(bad_files[_i].text);
    r = fixture_run(&fx, BY_RESOURCE);
    text = failed_text(r, bad_files[_i].code);
    ck_assert_has(text, bad_files[_i].word);
    ck_assert_has(text, path);
    ck_assert_uint_eq(scripted_count(fx.server, NULL), 0);
    close_all();
}
END_TEST

/* With a very long path, the error still has the cause. */
START_TEST(long_path)
{
    char longer[1500];
    size_t len;

    open_with_file(_i ? "" : NULL);
    snprintf(longer, sizeof longer, "%s", tempdir());
    for (len = strlen(longer); len < 1000; len += 2)
        memcpy(longer + len, "/.", 3);
    snprintf(longer + len, sizeof longer - len, "%s", strrchr(path, '/'));
    ck_assert_ok(bcda_config_set_token_file(fx.config, longer));
    ck_assert_has(failed_text(fixture_run(&fx, BY_RESOURCE), _i ? BCDA_ERR_TOKEN : BCDA_ERR_IO),
                  _i ? "there is no token" : "No such file");
    close_all();
}
END_TEST

/* The file is read again after a 401. */
START_TEST(rotated_file)
{
    struct run *r;

    open_with_file("t.one");
    refuse_once("/data/a", 1);
    fixture_reply_two_files(&fx);
    fixture_session(&fx);
    r = fixture_start(&fx, BY_RESOURCE);
    fixture_until(&fx, scripted_count(fx.server, "GET /data/a") == 1);
    write_file("t.two");
    scripted_open_gate(fx.server, 1);
    fixture_finish(&fx);
    fixture_check_came(r, 6);
    ck_assert_uint_eq(scripted_count(fx.server, "GET /data/a"), 2);
    ck_assert_uint_ge(carried("t.two"), 1);
    close_all();
}
END_TEST

/* The server refuses the token, and the file has no other: it is not sent again. */
START_TEST(refused_file)
{
    const char *text;
    struct run *r;

    open_with_file("t.one");
    refuse_once("$export", 0);
    scripted_export(fx.server, fixture_files, 1);
    r = fixture_run(&fx, BY_RESOURCE);
    text = failed_text(r, BCDA_ERR_AUTH);
    ck_assert_has(text, "the server refused this token");
    ck_assert_has(text, path);
    ck_assert_uint_eq(scripted_count(fx.server, NULL), 1);
    close_all();
}
END_TEST

/* The server refuses the requests of one job with 401, whatever the token. The other job still gets
 * its files with this token: from a file (_i = 0) or a command. */
START_TEST(refused_for_one_job)
{
    struct run *a, *b;

    if (_i)
        open_with_command("printf one");
    else
        open_with_file("one");
    refuse_times("GET /api/v1/jobs/2", 0, 0);
    fixture_reply_two_files(&fx);
    fixture_session(&fx);
    a = fixture_attach(&fx, BY_RESOURCE, "/api/v1/jobs/2", NULL, NULL);
    b = fixture_start(&fx, BY_RESOURCE);
    fixture_finish(&fx);
    ck_assert_has(failed_text(a, BCDA_ERR_AUTH), "the server refused this token");
    fixture_check_came(b, 6);
    b = fixture_start(&fx, BY_RESOURCE);
    fixture_finish(&fx);
    fixture_check_came(b, 6);
    ck_assert_uint_eq(scripted_count(fx.server, "GET /api/v1/jobs/2"), 1);
    close_all();
}
END_TEST

/* The file is read again before the JWT in it expires. */
START_TEST(file_with_jwt)
{
    struct run *r;
    char busy[200];

    open_with_file(JWT_1000);
    fx.now = 100 * 1000;
    snprintf(busy, sizeof busy, "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n");
    scripted_text(scripted_on(fx.server, "/jobs/1", 1), busy);
    fixture_reply_two_files(&fx);
    fixture_session(&fx);
    r = fixture_start(&fx, BY_RESOURCE);
    until_polled(r);
    ck_assert_uint_eq(carried(JWT_1000), 2);
    write_file(JWT_2000);
    fx.now = 950 * 1000; /* a tenth of the lifetime, at most a minute, before it expires */
    fixture_finish(&fx);
    fixture_check_came(r, 6);
    ck_assert_uint_eq(carried(JWT_1000), 2);
    ck_assert_uint_eq(carried(JWT_2000), 3);
    close_all();
}
END_TEST

/* A file that cannot be used when it is read again: the token is used until it expires (_i = 0),
 * and not longer. */
START_TEST(file_not_renewed)
{
    struct run *r;

    open_with_file(JWT_1000);
    fx.now = 100 * 1000;
    scripted_text(scripted_on(fx.server, "/jobs/1", 1),
                  "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n");
    fixture_reply_two_files(&fx);
    fixture_session(&fx);
    r = fixture_start(&fx, BY_RESOURCE);
    until_polled(r);
    write_file("");
    fx.now = (_i ? 1000 : 950) * 1000;
    fixture_finish(&fx);
    if (_i)
        ck_assert_has(failed_text(r, BCDA_ERR_TOKEN), "there is no token");
    else
        fixture_check_came(r, 6);
    ck_assert_uint_eq(carried(JWT_1000), _i ? 2 : 5);
    close_all();
}
END_TEST

/* A JWT that has expired by this machine's clock is sent: the server decides. */
START_TEST(file_with_old_jwt)
{
    struct run *r;

    open_with_file(JWT_1000);
    fx.now = 5000 * 1000;
    fixture_reply_two_files(&fx);
    r = fixture_run(&fx, BY_RESOURCE);
    fixture_check_came(r, 6);
    ck_assert_uint_eq(carried(JWT_1000), 4);
    close_all();
}
END_TEST

/* ---- token commands ---- */

START_TEST(token_command)
{
    static const char *const commands[] = {
        "echo t.one",
        "printf t.one",
        "cat | printf t.one",
        "echo '{\"access_token\":\"t.one\"}'",
        "printf t.one; exec 1>&-; sleep 0.1",
    };
    struct run *r;

    open_with_command(commands[_i]);
    fixture_reply_two_files(&fx);
    r = fixture_run(&fx, BY_RESOURCE);
    fixture_check_came(r, 6);
    ck_assert_uint_eq(carried("t.one"), 4);
    ck_assert_int_eq(fixture_stat(&fx, BCDA_STAT_TOKENS), 1);
    fixture_close(&fx);
}
END_TEST

static const struct {
    const char *command;
    int code;
    const char *word;
} bad_commands[] = {
    {"exit 3", BCDA_ERR_AUTH, "exit status 3"},
    {"echo t.one; exit 1", BCDA_ERR_AUTH, "exit status 1"},
    {"kill -9 $$", BCDA_ERR_AUTH, "signal 9"},
    {"true", BCDA_ERR_TOKEN, "there is no token"},
    {"echo t.one t.two", BCDA_ERR_TOKEN, "not one token"},
    {"/nonexistent/command 2>/dev/null", BCDA_ERR_AUTH, "exit status 127"},
    {"yes", BCDA_ERR_TOKEN, "more than any token"},
};

START_TEST(bad_token_command)
{
    struct run *r;

    open_with_command(bad_commands[_i].command);
    r = fixture_run(&fx, BY_RESOURCE);
    ck_assert_has(failed_text(r, bad_commands[_i].code), bad_commands[_i].word);
    ck_assert_uint_eq(scripted_count(fx.server, NULL), 0);
    fixture_close(&fx);
}
END_TEST

/* Checks that no command runs any more, and that each was waited for. */
static void check_no_command(void)
{
    ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
    ck_assert_int_eq(errno, ECHILD);
}

/* A command that does not end is killed, whether or not it has closed its output. */
START_TEST(slow_command)
{
    struct run *r;

    open_with_command(_i ? "exec 1>&-; exec sleep 1000" : "exec sleep 1000");
    fixture_set(&fx, BCDA_OPT_TOKEN_COMMAND_TIMEOUT_MS, 200);
    r = fixture_run(&fx, BY_RESOURCE);
    ck_assert_has(failed_text(r, BCDA_ERR_AUTH), "token_command_timeout_ms");
    check_no_command();
    fixture_close(&fx);
}
END_TEST

/* An application that ignores SIGCHLD: the exit status is not known, and the output counts. */
START_TEST(command_without_status)
{
    void (*before)(int) = signal(SIGCHLD, SIG_IGN);
    struct run *r;

    open_with_command("echo t.one; exit 1");
    fixture_reply_two_files(&fx);
    r = fixture_run(&fx, BY_RESOURCE);
    fixture_check_came(r, 6);
    fixture_close(&fx);
    signal(SIGCHLD, before);
}
END_TEST

/* The session is freed while the command runs: the command is killed, and waited for. */
START_TEST(free_during_command)
{
    struct run *r;

    open_with_command("exec sleep 1000");
    fixture_session(&fx);
    r = fixture_start(&fx, BY_RESOURCE);
    fixture_bare_step(&fx);
    fixture_bare_step(&fx);
    ck_assert_int_eq(bcda__session_runs_command(fx.session), 1);
    fixture_free_session(&fx);
    ck_assert_int_eq(r->result, BCDA_ERR_CANCELLED);
    check_no_command();
    fixture_close(&fx);
}
END_TEST

/* The only job that waits for the token is cancelled: the command is killed. */
START_TEST(cancel_during_command)
{
    struct run *r;

    open_with_command("exec sleep 1000");
    fixture_session(&fx);
    r = fixture_start(&fx, BY_RESOURCE);
    fixture_bare_step(&fx);
    fixture_bare_step(&fx);
    ck_assert_int_eq(bcda__session_runs_command(fx.session), 1);
    ck_assert_ok(bcda_job_cancel(r->job));
    fixture_finish(&fx);
    ck_assert_int_eq(bcda__session_runs_command(fx.session), 0);
    fixture_close(&fx);
}
END_TEST

static struct {
    int armed;     /* the next end of a watch forks */
    pid_t child;   /* 0 = this process is the child */
    pid_t command; /* the shell of the token command */
    int survived;  /* the command ran when the child had ended */
} forking = {.child = -1};

static int fork_at_unwatch(bcda_session *session, int fd, int events, void *userdata)
{
    (void)session, (void)fd, (void)userdata;
    if (events || !forking.armed)
        return 0;
    forking.armed = 0;
    forking.child = fork();
    if (forking.child > 0) {
        ck_assert_int_eq(waitpid(forking.child, NULL, 0), forking.child);
        forking.survived = waitpid(forking.command, NULL, WNOHANG) == 0;
    }
    return 0;
}

static int no_timer(bcda_session *session, int64_t delay_ms, void *userdata)
{
    (void)session, (void)delay_ms, (void)userdata;
    return 0;
}

/* The session is freed while the command runs, and the application's loop forks meanwhile. The
 * child does not kill the command, which is the parent's process. */
START_TEST(fork_during_command)
{
    char command[400], text[32] = "";
    FILE *f;

    choose_path("fifo");
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    snprintf(command, sizeof command, "echo $$ > %s; exec sleep 1000", path);
    open_with_command(command);
    fixture_session(&fx);
    ck_assert_ok(bcda_session_set_loop(fx.session, fork_at_unwatch, no_timer, NULL, NULL));
    (void)fixture_start(&fx, BY_RESOURCE);
    fx.inside = 1;
    while (!bcda__session_runs_command(fx.session))
        ck_assert_int_eq(bcda_session_on_timer(fx.session), 1);
    fx.inside = 0;
    f = fopen(path, "r");
    ck_assert_ptr_nonnull(f);
    ck_assert_ptr_nonnull(fgets(text, sizeof text, f));
    fclose(f);
    forking.command = (pid_t)strtol(text, NULL, 10);
    forking.armed = 1;
    fixture_free_session(&fx);
    if (forking.child == 0)
        _exit(0);
    ck_assert_int_gt(forking.child, 0);
    ck_assert_int_eq(forking.survived, 1);
    close_all();
}
END_TEST

/* The command runs again after a 401, and prints another token. */
START_TEST(rotating_command)
{
    char command[700];
    struct run *r;

    choose_path("count");
    snprintf(command, sizeof command, "echo x >> %s; printf tok-; wc -l < %s", path, path);
    open_with_command(command);
    refuse_once("/data/a", 0);
    fixture_reply_two_files(&fx);
    r = fixture_run(&fx, BY_RESOURCE);
    fixture_check_came(r, 6);
    ck_assert_uint_ge(carried("tok-1"), 3);
    ck_assert_uint_ge(carried("tok-2"), 1);
    ck_assert_uint_eq(carried("tok-3"), 0);
    close_all();
}
END_TEST

/* The command fails when it runs again, before the token expires: the token is used meanwhile. */
START_TEST(command_not_renewed)
{
    char command[900];
    struct run *r;

    choose_path("count");
    snprintf(command, sizeof command, "test ! -e %s && touch %s && echo " JWT_1000, path, path);
    open_with_command(command);
    fx.now = 100 * 1000;
    scripted_text(scripted_on(fx.server, "/jobs/1", 1),
                  "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n");
    fixture_reply_two_files(&fx);
    fixture_session(&fx);
    r = fixture_start(&fx, BY_RESOURCE);
    fixture_until(&fx, scripted_count(fx.server, "GET /api/v1/jobs/1") == 1 &&
                           fixture_stat(&fx, BCDA_STAT_TRANSFERS) == 0);
    fx.now = 950 * 1000;
    fixture_finish(&fx);
    fixture_check_came(r, 6);
    ck_assert_uint_eq(carried(JWT_1000), 5);
    close_all();
}
END_TEST

/* ---- renewals ---- */

enum { FILES = 20 };

static void open_with_files(void)
{
    open_scripted(0);
    fixture_set(&fx, BCDA_OPT_PARALLEL, FILES);
}

static struct run *until_all_refused(void)
{
    struct run *r;

    fixture_session(&fx);
    r = fixture_start(&fx, BY_RESOURCE);
    fixture_until(&fx, scripted_count(fx.server, "GET /data/") == FILES);
    scripted_open_gate(fx.server, 1);
    fixture_finish(&fx);
    return r;
}

/* All files are refused with 401 at once: one token is fetched. */
START_TEST(many_refused)
{
    struct run *r;

    open_with_files();
    refuse_times("GET /data/", FILES, 1);
    fixture_reply_patients(&fx, "GET /data/", 0, 1);
    fixture_export_many(&fx, FILES, NULL);
    r = until_all_refused();
    fixture_check_came(r, FILES);
    ck_assert_uint_eq(scripted_count(fx.server, "GET /data/"), 2 * FILES);
    ck_assert_uint_eq(scripted_count(fx.server, "POST /auth/token"), 2);
    fixture_close(&fx);
}
END_TEST

static const char plain_token[] = "HTTP/1.1 200 OK\r\nContent-Length: 25\r\n\r\n"
                                  "{\"access_token\":\"tok.en\"}";

/* The renewal fails: all files fail with the same error, and no other token request is made. */
START_TEST(renewal_fails)
{
    struct run *r;

    open_with_files();
    scripted_text(scripted_on(fx.server, "POST /auth/token", 1), plain_token);
    refuse_times("POST /auth/token", 0, 2);
    refuse_times("GET /data/", FILES, 1);
    fixture_export_many(&fx, FILES, NULL);
    fixture_session(&fx);
    r = fixture_start(&fx, BY_RESOURCE);
    fixture_until(&fx, scripted_count(fx.server, "GET /data/") == FILES);
    scripted_open_gate(fx.server, 1);
    /* only the token request is open: all files wait for its answer */
    fixture_until(&fx, scripted_count(fx.server, "POST /auth/token") == 2 &&
                           fixture_stat(&fx, BCDA_STAT_TRANSFERS) == 1);
    scripted_open_gate(fx.server, 2);
    fixture_finish(&fx);
    ck_assert_has(failed_text(r, BCDA_ERR_AUTH), "token request");
    ck_assert_uint_eq(scripted_count(fx.server, "GET /data/"), FILES);
    ck_assert_uint_eq(scripted_count(fx.server, "POST /auth/token"), 2);
    fixture_close(&fx);
}
END_TEST

/* A 401 that comes after the renewal has failed, for the same token, causes no other token
 * request. */
START_TEST(refused_late)
{
    struct run *r;

    open_with_files();
    scripted_text(scripted_on(fx.server, "POST /auth/token", 1), plain_token);
    refuse_times("POST /auth/token", 0, 0);
    refuse_times("GET /data/0", 1, 1);
    refuse_times("GET /data/", 2, 2);
    fixture_export_many(&fx, 3, NULL);
    fixture_session(&fx);
    r = fixture_start(&fx, BY_RESOURCE);
    fixture_until(&fx, scripted_count(fx.server, "GET /data/") == 3);
    scripted_open_gate(fx.server, 1);
    fixture_until(&fx, scripted_count(fx.server, "POST /auth/token") == 2);
    fixture_drain(&fx);
    scripted_open_gate(fx.server, 2);
    fixture_finish(&fx);
    ck_assert_has(failed_text(r, BCDA_ERR_AUTH), "token request");
    ck_assert_uint_eq(scripted_count(fx.server, "POST /auth/token"), 2);
    fixture_close(&fx);
}
END_TEST

/* ---- what processes share ---- */

/* A second session, as in another process, at the same server. */
static struct fixture other;

static void open_other(void)
{
    fixture_init(&other);
    other.secrets = tokens;
    fixture_config_at(&other, scripted_origin(fx.server), NULL);
}

static void reply_token(unsigned times, unsigned gate, const char *token)
{
    struct scripted_answer *a = scripted_on(fx.server, "POST /auth/token", times);
    char text[400];

    snprintf(text, sizeof text,
             "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n"
             "{\"access_token\":\"%s\",\"expires_in\":1200}",
             strlen(token) + 37, token);
    if (gate)
        scripted_gate(a, gate);
    scripted_text(a, text);
}

/* Both sessions share a token cache. */
static void open_sharing(void)
{
    open_scripted(0);
    choose_path("cache");
    ck_assert_ok(bcda_config_set_token_cache(fixture_config(&fx), path));
    open_other();
    ck_assert_ok(bcda_config_set_token_cache(other.config, path));
}

/* The descriptors of one session count as left open by the other, so both are freed first. */
static void close_sharing(void)
{
    fixture_free_session(&fx);
    fixture_end(&other);
    close_all();
}

static int cache_has(const char *text)
{
    size_t len;
    char *content = fixture_read(path, &len);
    int has = strstr(content, text) != NULL;

    free(content);
    return has;
}

START_TEST(cached_token)
{
    struct stat st;

    open_sharing();
    fixture_reply_two_files(&fx);
    fixture_check_came(fixture_run(&fx, BY_RESOURCE), 6);
    ck_assert_int_eq(cache_has("tok.en"), 1);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0600);
    fixture_check_came(fixture_run(&other, BY_RESOURCE), 6);
    ck_assert_uint_eq(scripted_count(fx.server, "POST /auth/token"), 1);
    ck_assert_int_eq(fixture_stat(&other, BCDA_STAT_TOKENS), 0);
    close_sharing();
}
END_TEST

/* The first kick-off is accepted. */
static void accept_once(void)
{
    char text[300];

    snprintf(text, sizeof text,
             "HTTP/1.1 202 Accepted\r\nContent-Location: %s/api/v1/jobs/1\r\n"
             "Content-Length: 0\r\n\r\n",
             scripted_origin(fx.server));
    scripted_text(scripted_on(fx.server, "$export", 1), text);
}

/* The session renews its token before it expires, although the cache still has this token. */
START_TEST(cached_and_renewed)
{
    struct run *r;

    open_sharing();
    reply_token(1, 0, "one");
    reply_token(0, 0, "two");
    scripted_text(scripted_on(fx.server, "/jobs/1", 1),
                  "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n");
    fixture_reply_two_files(&fx);
    fixture_session(&fx);
    r = fixture_start(&fx, BY_RESOURCE);
    until_polled(r);
    fx.now += 1145 * 1000; /* of 1200 s */
    fixture_finish(&fx);
    fixture_check_came(r, 6);
    ck_assert_uint_eq(carried("one"), 2);
    ck_assert_uint_eq(carried("two"), 3);
    ck_assert_int_eq(cache_has("\"two\""), 1);
    close_sharing();
}
END_TEST

/* The token cannot be renewed before it expires: it is used meanwhile, and not every request asks
 * for a new one. With _i = 1 the session has a token cache, whose lock it gives back. */
START_TEST(not_renewed)
{
    struct run *r;

    fixture_open_scripted(&fx, 0);
    choose_path("cache");
    fixture_config(&fx);
    if (_i)
        ck_assert_ok(bcda_config_set_token_cache(fx.config, path));
    reply_token(1, 0, "one");
    refuse_times("POST /auth/token", 0, 0);
    scripted_text(scripted_on(fx.server, "/jobs/1", 1),
                  "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n");
    fixture_reply_two_files(&fx);
    fixture_session(&fx);
    r = fixture_start(&fx, BY_RESOURCE);
    until_polled(r);
    fx.now += 1145 * 1000; /* of 1200 s */
    fixture_finish(&fx);
    fixture_check_came(r, 6);
    ck_assert_uint_eq(carried("one"), 5);
    ck_assert_uint_eq(scripted_count(fx.server, "POST /auth/token"), 2);
    ck_assert_int_eq(fx.session->auth.has_cache_lock, 0);
    close_all();
}
END_TEST

/* A token for another client is not taken. */
START_TEST(cached_for_another)
{
    open_sharing();
    fixture_reply_two_files(&fx);
    fixture_check_came(fixture_run(&fx, BY_RESOURCE), 6);
    ck_assert_ok(bcda_config_set_client_credentials(other.config, "not-me", "a-secret"));
    fixture_check_came(fixture_run(&other, BY_RESOURCE), 6);
    ck_assert_uint_eq(scripted_count(fx.server, "POST /auth/token"), 2);
    close_sharing();
}
END_TEST

/* The server refuses the cached token: it is wiped, and the next one is stored. */
START_TEST(cached_and_refused)
{
    open_sharing();
    reply_token(1, 0, "t.one");
    reply_token(0, 0, "t.two");
    accept_once();
    refuse_once("$export", 0);
    fixture_reply_two_files(&fx);
    fixture_check_came(fixture_run(&fx, BY_RESOURCE), 6);
    ck_assert_int_eq(cache_has("\"t.one\""), 1);
    fixture_check_came(fixture_run(&other, BY_RESOURCE), 6);
    ck_assert_int_eq(cache_has("\"t.one\""), 0);
    ck_assert_int_eq(cache_has("\"t.two\""), 1);
    ck_assert_uint_eq(scripted_count(fx.server, "POST /auth/token"), 2);
    close_sharing();
}
END_TEST

/* One session fetches the token, and the other waits for it. */
START_TEST(waits_for_the_other)
{
    struct run *a, *b;

    open_sharing();
    reply_token(1, 1, "tok.en");
    fixture_reply_two_files(&fx);
    fixture_session(&fx);
    fixture_session(&other);
    a = fixture_start(&fx, BY_RESOURCE);
    fixture_until(&fx, scripted_count(fx.server, "POST /auth/token") == 1);
    b = fixture_start(&other, BY_RESOURCE);
    fixture_advance(&other, 30000);
    ck_assert_uint_eq(scripted_count(fx.server, NULL), 1);
    scripted_open_gate(fx.server, 1);
    fixture_finish(&fx);
    fixture_finish(&other);
    fixture_check_came(a, 6);
    fixture_check_came(b, 6);
    ck_assert_uint_eq(scripted_count(fx.server, "POST /auth/token"), 1);
    close_sharing();
}
END_TEST

/* The session that fetches the token fails (_i = 0), or is freed (_i = 1): the other fetches one.
 */
START_TEST(the_other_fails)
{
    struct run *b;
    int64_t now;

    open_sharing();
    refuse_once("POST /auth/token", 1);
    fixture_reply_two_files(&fx);
    fixture_session(&fx);
    fixture_session(&other);
    (void)fixture_start(&fx, BY_RESOURCE);
    fixture_until(&fx, scripted_count(fx.server, "POST /auth/token") == 1);
    b = fixture_start(&other, BY_RESOURCE);
    fixture_advance(&other, 1000);
    ck_assert_uint_eq(scripted_count(fx.server, NULL), 1);
    if (_i)
        fixture_free_session(&fx);
    scripted_open_gate(fx.server, 1);
    if (!_i)
        fixture_finish(&fx);
    now = other.now;
    fixture_finish(&other);
    ck_assert_int_lt(other.now - now, 30000); /* it does not wait for a minute */
    fixture_check_came(b, 6);
    ck_assert_uint_eq(scripted_count(fx.server, "POST /auth/token"), 2);
    close_sharing();
}
END_TEST

/* The session that fetches the token gets no answer: after a minute the other fetches its own. */
START_TEST(the_other_hangs)
{
    struct run *b;

    open_sharing();
    reply_token(1, 1, "tok.en");
    fixture_reply_two_files(&fx);
    fixture_session(&fx);
    fixture_session(&other);
    (void)fixture_start(&fx, BY_RESOURCE);
    fixture_until(&fx, scripted_count(fx.server, "POST /auth/token") == 1);
    b = fixture_start(&other, BY_RESOURCE);
    fixture_advance(&other, 59000);
    ck_assert_uint_eq(scripted_count(fx.server, NULL), 1);
    fixture_finish(&other);
    fixture_check_came(b, 6);
    ck_assert_uint_eq(scripted_count(fx.server, "POST /auth/token"), 2);
    scripted_open_gate(fx.server, 1);
    fixture_finish(&fx);
    close_sharing();
}
END_TEST

/* The job that waits for the token is cancelled, and its session is not run any more: the session
 * that fetches the token (_i = 0) does not keep the lock. With _i = 1, a session that waits for
 * another one does not fetch a token later. */
START_TEST(the_job_is_cancelled)
{
    struct fixture *end = _i ? &other : &fx, *stay = _i ? &fx : &other;
    struct run *a, *b;
    int64_t before;

    open_sharing();
    reply_token(1, 1, "tok.en");
    fixture_reply_two_files(&fx);
    fixture_session(&fx);
    fixture_session(&other);
    a = fixture_start(&fx, BY_RESOURCE);
    fixture_until(&fx, scripted_count(fx.server, "POST /auth/token") == 1);
    b = fixture_start(&other, BY_RESOURCE);
    fixture_advance(&other, 1000);
    ck_assert_ok(bcda_job_cancel(_i ? b->job : a->job));
    fixture_finish(end);
    before = stay->now;
    scripted_open_gate(fx.server, 1);
    fixture_finish(stay);
    fixture_check_came(_i ? a : b, 6);
    ck_assert_int_lt(stay->now - before, 10000);
    if (_i)
        fixture_advance(&other, 100000);
    ck_assert_uint_eq(scripted_count(fx.server, "POST /auth/token"), _i ? 1 : 2);
    close_sharing();
}
END_TEST

/* A file that others can read is refused: that of the cache (_i = 0), and that of the budget. */
START_TEST(unsafe_file)
{
    bcda_session *session = NULL;

    open_scripted(0);
    fixture_config(&fx);
    choose_path("shared");
    write_file("");
    ck_assert_int_eq(chmod(path, 0644), 0);
    ck_assert_ok(_i ? bcda_config_set_request_budget(fx.config, path)
                    : bcda_config_set_token_cache(fx.config, path));
    ck_assert_int_eq(bcda_session_new(&session, fx.config), BCDA_ERR_IO);
    ck_assert_has(bcda_error_text(bcda_config_error(fx.config)), path);
    ck_assert_has(bcda_error_text(bcda_config_error(fx.config)), "chmod 600");
    close_all();
}
END_TEST

/* Two sessions share the budget: the second waits, because the first has used it up. With _i = 1
 * each has its own. */
START_TEST(shared_budget)
{
    struct fixture *both[] = {&fx, &other};
    int i;

    open_scripted(0);
    choose_path("budget");
    fixture_config(&fx);
    open_other();
    fixture_reply_two_files(&fx);
    for (i = 0; i < 2; i++) {
        fixture_set(both[i], BCDA_OPT_REQUESTS_BURST, 5);
        fixture_set(both[i], BCDA_OPT_REQUESTS_PER_SECOND, 1);
        if (!_i)
            ck_assert_ok(bcda_config_set_request_budget(both[i]->config, path));
    }
    fixture_check_came(fixture_run(&fx, BY_RESOURCE), 6); /* 5 requests */
    other.now = fx.now;
    fixture_check_came(fixture_run(&other, BY_RESOURCE), 6);
    ck_assert_int_eq(fixture_stat(&fx, BCDA_STAT_WAITS), 0);
    ck_assert_int_eq(fixture_stat(&other, BCDA_STAT_WAITS) > 0, !_i);
    close_sharing();
}
END_TEST

SUITE("sign_in")
{
    suite_case("open");
    suite_test(open_server);
    suite_test(open_server_wants_token);
    suite_case("config");
    suite_loop(contradiction, 0, sizeof contradictions / sizeof contradictions[0]);
    suite_test(last_way);
    suite_case("file");
    suite_loop(token_file, 0, sizeof good_files / sizeof good_files[0]);
    suite_loop(bad_token_file, 0, sizeof bad_files / sizeof bad_files[0]);
    suite_loop(long_path, 0, 2);
    suite_test(rotated_file);
    suite_test(refused_file);
    suite_loop(refused_for_one_job, 0, 2);
    suite_test(file_with_jwt);
    suite_test(file_with_old_jwt);
    suite_loop(file_not_renewed, 0, 2);
    suite_case("command");
    suite_loop(token_command, 0, 5);
    suite_loop(bad_token_command, 0, sizeof bad_commands / sizeof bad_commands[0]);
    suite_loop(slow_command, 0, 2);
    suite_test(command_without_status);
    suite_test(free_during_command);
    suite_test(cancel_during_command);
    suite_test(fork_during_command);
    suite_test(rotating_command);
    suite_test(command_not_renewed);
    suite_case("renewal");
    suite_test(many_refused);
    suite_test(renewal_fails);
    suite_test(refused_late);
    suite_case("shared");
    suite_test(cached_token);
    suite_loop(not_renewed, 0, 2);
    suite_test(cached_and_renewed);
    suite_test(cached_for_another);
    suite_test(cached_and_refused);
    suite_test(waits_for_the_other);
    suite_loop(the_other_fails, 0, 2);
    suite_test(the_other_hangs);
    suite_loop(the_job_is_cancelled, 0, 2);
    suite_loop(unsafe_file, 0, 2);
    suite_loop(shared_budget, 0, 2);
}
