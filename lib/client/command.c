#include "client/command.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/secret.h"

extern char **environ;

/* How often the end of a process is checked that has closed its output. */
enum { REAP_MS = 50 };

struct bcda__command {
    struct bcda__engine *engine;
    struct bcda__command_spec spec;
    int64_t end_at;             /* when its time is over, on the engine's clock */
    pid_t pid;                  /* 0 = the process has ended, and its status was read */
    int fd;                     /* reading end of its output; -1 = closed */
    struct bcda__watch watch;   /* of `fd` */
    struct bcda__timer timer;   /* runs to `end_at`, or to the next check of the end */
    struct bcda__secret output; /* of this many bytes `len` are used */
    size_t len;
};

/* ---- starting ---- */

/* The signal mask is emptied and SIGPIPE gets its default, as a command expects; libbcda blocks
 * SIGPIPE while it uses libcurl. */
static int set_attributes(posix_spawnattr_t *attributes)
{
    sigset_t none, pipe_signal;

    sigemptyset(&none);
    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    if (posix_spawnattr_setsigmask(attributes, &none) ||
        posix_spawnattr_setsigdefault(attributes, &pipe_signal))
        return -1;
    return posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
}

/* Returns 0 or the number of a system error. */
static int spawn_shell(struct bcda__command *c, int output)
{
    char name[] = "sh", option[] = "-c";
    char *argv[] = {name, option, (char *)(uintptr_t)c->spec.text, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int error = posix_spawn_file_actions_init(&actions);

    if (error)
        return error;
    error = posix_spawnattr_init(&attributes);
    if (error)
        goto out;
    if (posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0) ||
        posix_spawn_file_actions_adddup2(&actions, output, 1) || set_attributes(&attributes))
        error = ENOMEM;
    else
        error = posix_spawn(&c->pid, "/bin/sh", &actions, &attributes, argv, environ);
    posix_spawnattr_destroy(&attributes);
out:
    posix_spawn_file_actions_destroy(&actions);
    if (error)
        c->pid = 0;
    return error;
}

static int fail_command(struct bcda_error *err, const char *what, int error)
{
    char words[128] = "";

    return bcda__err_set(err, BCDA_ERR_SYSTEM, "the token command cannot be %s: %s", what,
                         strerror_r(error, words, sizeof words));
}

static int open_output(struct bcda__command *c, struct bcda_error *err)
{
    int ends[2];
    int error;

    if (pipe2(ends, O_CLOEXEC))
        return fail_command(err, "started", errno);
    c->fd = ends[0];
    (void)fcntl(c->fd, F_SETFL, O_NONBLOCK);
    error = spawn_shell(c, ends[1]);
    close(ends[1]);
    return error ? fail_command(err, "started", error) : 0;
}

/* ---- the end ---- */

static void report_failure(struct bcda__command *c, const struct bcda_error *err)
{
    c->spec.done(c->spec.ctx, NULL, 0, err);
}

static void report_status(struct bcda__command *c, int status)
{
    struct bcda_error err;

    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        c->spec.done(c->spec.ctx, c->output.data, c->len, NULL);
        return;
    }
    if (WIFEXITED(status))
        bcda__err_set(&err, BCDA_ERR_AUTH, "the token command failed with exit status %d",
                      WEXITSTATUS(status));
    else
        bcda__err_set(&err, BCDA_ERR_AUTH, "the token command was ended by signal %d",
                      WTERMSIG(status));
    report_failure(c, &err);
}

static void check_command_end(void *ctx)
{
    struct bcda__command *c = ctx;
    struct bcda_error err;
    int status = 0;
    pid_t got;

    /* If the application ignores SIGCHLD, or waits for any child, there is no status, and the
     * output decides. */
    do
        got = waitpid(c->pid, &status, WNOHANG);
    while (got < 0 && errno == EINTR);
    if (got != 0) {
        c->pid = 0;
        report_status(c, got < 0 ? 0 : status);
    } else if (bcda__engine_now(c->engine) >= c->end_at) {
        bcda__err_set(&err, BCDA_ERR_AUTH,
                      "the token command took longer than %" PRId64
                      " ms (option \"token_command_timeout_ms\")",
                      c->spec.time_max_ms);
        report_failure(c, &err);
    } else {
        bcda__timer_set(c->engine, &c->timer, REAP_MS, check_command_end, c);
    }
}

static void stop_reading(struct bcda__command *c)
{
    if (c->fd < 0)
        return;
    bcda__engine_unwatch(c->engine, &c->watch);
    close(c->fd);
    c->fd = -1;
}

static void on_time_over(void *ctx)
{
    struct bcda__command *c = ctx;

    stop_reading(c);
    check_command_end(c);
}

/* ---- its output ---- */

static void on_output(void *ctx)
{
    struct bcda__command *c = ctx;
    struct bcda_error err;
    ssize_t n;

    do
        n = read(c->fd, c->output.data + c->len, BCDA__COMMAND_OUTPUT_MAX + 1 - c->len);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n > 0)
        c->len += (size_t)n;
    if (n > 0 && c->len <= BCDA__COMMAND_OUTPUT_MAX)
        return;
    stop_reading(c);
    if (n > 0) {
        bcda__err_set(&err, BCDA_ERR_TOKEN, "the token command prints more than any token");
        report_failure(c, &err);
    } else if (n < 0) {
        fail_command(&err, "read", errno);
        report_failure(c, &err);
    } else {
        check_command_end(c);
    }
}

/* ---- creation ---- */

int bcda__command_start(struct bcda__command **out, struct bcda__engine *engine,
                        const struct bcda__command_spec *spec, struct bcda_error *err)
{
    struct bcda__command *c = bcda__calloc(1, sizeof *c);
    int rc;

    if (!c)
        return bcda__err_nomem(err);
    c->engine = engine;
    c->spec = *spec;
    c->fd = -1;
    if (bcda__secret_set(&c->output, NULL, BCDA__COMMAND_OUTPUT_MAX + 1)) {
        bcda__command_free(c, 0);
        return bcda__err_nomem(err);
    }
    rc = open_output(c, err);
    if (!rc && (rc = bcda__engine_watch(engine, &c->watch, c->fd, on_output, c)))
        bcda__err_set(err, rc, "the output of the token command cannot be watched: %s",
                      bcda_error_string(rc));
    if (rc) {
        bcda__command_free(c, 0);
        return rc;
    }
    c->end_at = bcda__engine_now(engine) + spec->time_max_ms;
    bcda__timer_set(engine, &c->timer, spec->time_max_ms, on_time_over, c);
    *out = c;
    return 0;
}

/* Only a child of this process is killed. The command is none, and its number may belong to another
 * process by now, if the application has read its status, or if the application has forked and this
 * is the child. */
static void kill_command(pid_t pid)
{
    if (waitpid(pid, NULL, WNOHANG) != 0)
        return;
    (void)kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

void bcda__command_free(struct bcda__command *c, int forked)
{
    if (!c)
        return;
    bcda__timer_clear(&c->timer);
    stop_reading(c);
    if (c->pid && !forked)
        kill_command(c->pid);
    bcda__secret_free(&c->output);
    bcda__free(c);
}
