/* Waits for a job that does not end, in one of the three ways to drive a session. test_idle.py
 * traces the system calls of this program. For the trace, the program writes marks: write() to
 * descriptor -1, which fails and has no other effect.
 *
 * Usage: idle-wait run|step|loop hour|polls, with the environment of the examples
 * hour: waits until the server has asked for a delay of an hour, prints "idle <pid>", marks "hour",
 *       waits until SIGUSR1 wakes the session, and marks "woken".
 * polls: before each sleep, marks "asking" if a request is in progress, else "idle". After a sleep
 *        that belongs to no request, marks "vain". After POLLS requests, marks "end". Cannot be
 *        combined with `run`, which sleeps by itself. */
#include <bcda/bcda.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { POLLS = 8, FDS_MAX = 16, POLL_MS = 300, HOUR_MS = 3600000 };

static bcda_session *session;
static int result = BCDA_ERR_AGAIN;

static void die(const char *why)
{
    const bcda_error *e = bcda_session_error(session);

    fprintf(stderr, "idle-wait: %s: %s\n", why, e ? bcda_error_text(e) : "");
    exit(1);
}

static void mark(const char *text)
{
    int saved = errno;

    if (write(-1, text, strlen(text)) >= 0)
        die("a write to no descriptor");
    errno = saved;
}

static int64_t stat(int which)
{
    int64_t n = 0;

    if (bcda_session_stat(session, which, &n))
        die("bcda_session_stat");
    return n;
}

/* ---- the application's own loop ---- */

static struct pollfd fds[FDS_MAX];
static nfds_t count;
static int64_t due = -1; /* when the timer expires; -1 = no timer is set */

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int watch_fd(bcda_session *s, int fd, int events, void *userdata)
{
    nfds_t i;

    (void)s;
    (void)userdata;
    for (i = 0; i < count && fds[i].fd != fd; i++)
        ;
    if (!events) {
        if (i < count)
            fds[i] = fds[--count];
        return 0;
    }
    if (i == FDS_MAX)
        return -1;
    count += i == count;
    fds[i].fd = fd;
    fds[i].events =
        (short)((events & BCDA_FD_READ ? POLLIN : 0) | (events & BCDA_FD_WRITE ? POLLOUT : 0));
    return 0;
}

static int watch_timer(bcda_session *s, int64_t delay_ms, void *userdata)
{
    (void)s;
    (void)userdata;
    due = delay_ms < 0 ? -1 : now_ms() + delay_ms;
    return 0;
}

static int tell_one(nfds_t i)
{
    short e = fds[i].revents, bad = POLLERR | POLLHUP | POLLNVAL;

    return bcda_session_on_fd(session, fds[i].fd,
                              (e & (POLLIN | bad) ? BCDA_FD_READ : 0) |
                                  (e & (POLLOUT | bad) ? BCDA_FD_WRITE : 0));
}

static int is_due(void)
{
    return due >= 0 && due <= now_ms();
}

/* Waits up to `wait_ms` and reports one event to the session: only one, because each call may
 * change the set of descriptors. Returns 1 if there was an event, 0 if not, -1 after a signal. */
static int notify(int wait_ms)
{
    int n = poll(fds, count, wait_ms);
    nfds_t i;

    if (n < 0)
        return n;
    if (n == 0 && !is_due())
        return 0;
    if (n == 0) {
        due = -1;
        return bcda_session_on_timer(session) < 0 ? -1 : 1;
    }
    for (i = 0; i < count && !fds[i].revents; i++)
        ;
    return tell_one(i) < 0 ? -1 : 1;
}

static int sleep_loop(void)
{
    return notify(due < 0 ? -1 : is_due() ? 0 : (int)(due - now_ms()));
}

static void drain_loop(void)
{
    while (notify(0) > 0)
        ;
}

/* ---- the ways "step" and "run" ---- */

static int tell_step(int wait_ms)
{
    struct pollfd p = {.fd = bcda_session_fd(session), .events = POLLIN};
    int n = poll(&p, 1, wait_ms);

    if (n > 0 && bcda_session_step(session) < 0)
        return -1;
    return n;
}

static int sleep_step(void)
{
    return tell_step(-1);
}

static void drain_step(void)
{
    while (tell_step(0) > 0)
        ;
}

static int sleep_run(void)
{
    int rc = bcda_session_run(session, -1);

    errno = EINTR;
    return rc == BCDA_ERR_INTERRUPTED ? -1 : 0;
}

/* Runs the session 20 times, since bcda_session_run() does not report whether more is to be done. A
 * request needs far fewer calls. */
static void drain_run(void)
{
    int i;

    for (i = 0; i < 20; i++)
        if (bcda_session_run(session, 0) != BCDA_ERR_TIMEOUT)
            die("run");
}

static const struct way {
    const char *name;
    int (*sleep)(void);  /* sleeps once and takes a step; -1 after a signal */
    void (*drain)(void); /* takes the steps that can follow without another sleep */
} ways[] = {{"run", sleep_run, drain_run},
            {"step", sleep_step, drain_step},
            {"loop", sleep_loop, drain_loop}};

/* ---- the two waits: "hour" and "polls" ---- */

static volatile sig_atomic_t signalled;

static void on_signal(int number)
{
    signalled = number;
    (void)bcda_session_wakeup(session);
}

static void wait_hour(const struct way *d)
{
    struct sigaction action = {0};

    action.sa_handler = on_signal;
    if (sigaction(SIGUSR1, &action, NULL))
        die("sigaction");
    while (stat(BCDA_STAT_RETRIES) < 1)
        if (d == ways ? bcda_session_run(session, 20) != BCDA_ERR_TIMEOUT : d->sleep() < 0)
            die("the way to the hour");
    d->drain();
    if (stat(BCDA_STAT_TRANSFERS) || result != BCDA_ERR_AGAIN)
        die("no hour to wait");
    printf("idle %ld\n", (long)getpid());
    fflush(stdout);
    mark("hour");
    do
        if (d->sleep() < 0 && errno != EINTR)
            die("the hour");
    while (!signalled);
    mark("woken");
}

/* A sleep belongs to a request if the request is in progress before or after the sleep. It also
 * belongs to one that was started in between: a fast server answers before the next sleep. */
static void wait_polls(const struct way *d)
{
    int64_t requests, open;

    while (stat(BCDA_STAT_REQUESTS) < POLLS) {
        requests = stat(BCDA_STAT_REQUESTS);
        open = stat(BCDA_STAT_TRANSFERS);
        mark(open ? "asking" : "idle");
        if (d->sleep() < 0)
            die("a sleep");
        d->drain();
        if (!open && !stat(BCDA_STAT_TRANSFERS) && stat(BCDA_STAT_REQUESTS) == requests)
            mark("vain");
    }
    mark("end");
}

/* ---- the session ---- */

static void on_done(bcda_job *job, int how, void *userdata)
{
    (void)job;
    (void)userdata;
    result = how;
}

static int configure(bcda_config *c)
{
    const char *path = getenv("BCDA_CLIENT_SECRET_FILE");
    FILE *in = path ? fopen(path, "r") : NULL;
    char secret[1024] = "";

    if (in && fgets(secret, sizeof secret, in))
        secret[strcspn(secret, "\r\n")] = '\0';
    if (in)
        fclose(in);
    return bcda_config_set_fhir_url(c, getenv("BCDA_FHIR_URL")) ||
           bcda_config_set_client_credentials(c, getenv("BCDA_CLIENT_ID"), secret) ||
           bcda_config_set_ca_file(c, getenv("BCDA_CA_FILE")) ||
           bcda_config_set_int(c, BCDA_OPT_POLL_MAX_MS, POLL_MS) ||
           bcda_config_set_int(c, BCDA_OPT_RETRY_AFTER_MAX_MS, HOUR_MS);
}

static void start(const struct way *d)
{
    bcda_config *config = NULL;
    bcda_export *what = NULL;
    bcda_handlers *who = NULL;

    if (bcda_config_new(&config) || configure(config) || bcda_session_new(&session, config))
        die("the session");
    if (strcmp(d->name, "loop") == 0 &&
        bcda_session_set_loop(session, watch_fd, watch_timer, NULL, NULL))
        die("the loop");
    if (strcmp(d->name, "step") == 0 && bcda_session_fd(session) == BCDA_ERR_UNSUPPORTED)
        exit(3); /* in a build on poll(), a session has no descriptor */
    if (bcda_export_new(&what, BCDA_LEVEL_PATIENT) || bcda_handlers_new(&who) ||
        bcda_handlers_on_done(who, on_done, NULL, NULL) || bcda_job_start(session, what, who, NULL))
        die("the job");
    bcda_handlers_free(who);
    bcda_export_free(what);
    bcda_config_free(config);
}

int main(int argc, char **argv)
{
    const struct way *d;

    for (d = ways; argc == 3 && d < ways + 3; d++) {
        if (strcmp(d->name, argv[1]) != 0)
            continue;
        start(d);
        if (strcmp(argv[2], "hour") == 0)
            wait_hour(d);
        else
            wait_polls(d);
        bcda_session_free(session);
        return result == BCDA_ERR_CANCELLED ? 0 : 1;
    }
    return 2;
}
