/* fork(): what a child may do with the session of its parent. Neither may disturb the other.
 *
 * A child is forked in each callback while files are downloaded. In the callback, the child frees
 * the session, returns without freeing it, or exits at once. Parent and child must both end, and
 * the parent must receive each record exactly once. Some functions of the system and of libcurl
 * would change what the child shares with its parent. They are wrapped (see meson.build), and the
 * test fails if the child calls one. */
#include <arpa/inet.h>
#include <curl/curl.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../tempdir.h"
#include "client/job.h"
#include "client/workers.h"
#include "codec/decoder.h"
#include "fixture.h"
#include "server_process.h"

static struct fixture fx;

/* ---- what a child must not call ---- */

static int in_child;
static const char *forbidden; /* the first forbidden function that the child called */

void __sanitizer_print_stack_trace(void) __attribute__((weak));

static void note_call(const char *name)
{
    if (!in_child || forbidden)
        return;
    forbidden = name;
    if (__sanitizer_print_stack_trace)
        __sanitizer_print_stack_trace();
}

#define WRAP(type, name, parameters, arguments) \
    type __real_##name parameters;              \
    type __wrap_##name parameters;              \
    type __wrap_##name parameters               \
    {                                           \
        note_call(#name);                       \
        return __real_##name arguments;         \
    }

WRAP(int, epoll_ctl, (int e, int op, int fd, struct epoll_event *v), (e, op, fd, v))
WRAP(int, epoll_wait, (int e, struct epoll_event *v, int n, int ms), (e, v, n, ms))
WRAP(int, timerfd_settime, (int fd, int flags, const struct itimerspec *to, struct itimerspec *old),
     (fd, flags, to, old))
WRAP(int, poll, (struct pollfd * p, nfds_t n, int ms), (p, n, ms))
WRAP(ssize_t, read, (int fd, void *to, size_t n), (fd, to, n))
WRAP(ssize_t, write, (int fd, const void *from, size_t n), (fd, from, n))
WRAP(ssize_t, pread64, (int fd, void *to, size_t n, off_t at), (fd, to, n, at))
WRAP(ssize_t, pwrite64, (int fd, const void *from, size_t n, off_t at), (fd, from, n, at))
WRAP(int, ftruncate64, (int fd, off_t len), (fd, len))
WRAP(int, flock, (int fd, int operation), (fd, operation))
WRAP(int, kill, (pid_t pid, int number), (pid, number))
WRAP(pid_t, waitpid, (pid_t pid, int *status, int options), (pid, status, options))
WRAP(int, pthread_cond_signal, (pthread_cond_t * c), (c))
WRAP(int, pthread_join, (pthread_t t, void **out), (t, out))
WRAP(CURLMcode, curl_multi_socket_action, (CURLM * m, curl_socket_t fd, int mask, int *n),
     (m, fd, mask, n))
WRAP(CURLMcode, curl_multi_add_handle, (CURLM * m, CURL *e), (m, e))
WRAP(CURLMcode, curl_multi_remove_handle, (CURLM * m, CURL *e), (m, e))
WRAP(CURLMcode, curl_multi_cleanup, (CURLM * m), (m))
WRAP(CURLMsg *, curl_multi_info_read, (CURLM * m, int *n), (m, n))
WRAP(CURLcode, curl_easy_pause, (CURL * e, int what), (e, what))
WRAP(CURLSHcode, curl_share_cleanup, (CURLSH * s), (s))

void __real_curl_easy_cleanup(CURL *e);
void __wrap_curl_easy_cleanup(CURL *e);
void __real_curl_global_cleanup(void);
void __wrap_curl_global_cleanup(void);

void __wrap_curl_easy_cleanup(CURL *e)
{
    note_call("curl_easy_cleanup");
    __real_curl_easy_cleanup(e);
}

void __wrap_curl_global_cleanup(void)
{
    note_call("curl_global_cleanup");
    __real_curl_global_cleanup();
}

/* For each assertion, the test framework "check" writes to a file that parent and child share. In
 * the child, nothing is written. */
void __real__mark_point(const char *file, int line);
void __wrap__mark_point(const char *file, int line);

void __wrap__mark_point(const char *file, int line)
{
    if (!in_child)
        __real__mark_point(file, line);
}

/* ---- systems without MADV_WIPEONFORK ---- */

static int no_wipe;

int __real_madvise(void *at, size_t len, int advice);
int __wrap_madvise(void *at, size_t len, int advice);

int __wrap_madvise(void *at, size_t len, int advice)
{
    if (no_wipe && advice == MADV_WIPEONFORK) {
        errno = EINVAL;
        return -1;
    }
    return __real_madvise(at, len, advice);
}

/* ---- holding workers at a gate ---- */

/* Workers are the library's decode threads. While the gate is closed, a worker that decodes a slice
 * (a piece of a file) waits in a wrapped function. So the test can fork at a moment when workers
 * are known to be in the middle of a slice. */

static pthread_t main_thread, session_thread; /* the same thread in most tests */
static int has_session;
static pthread_mutex_t gate_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t gate_moved = PTHREAD_COND_INITIALIZER;
static int gate_closed, gate_held[2]; /* workers waiting at the gate, in the middle of a slice */
static int slices; /* slices in progress, including a new worker that has not begun its first */
static int ending; /* workers that have done a slice and wait for their lock */
static int locks;  /* locks that the child has taken */

int __real_pthread_mutex_lock(pthread_mutex_t *m);
int __wrap_pthread_mutex_lock(pthread_mutex_t *m);
int __real_pthread_mutex_unlock(pthread_mutex_t *m);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *m);
int __real_pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m);
int __wrap_pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m);

static int is_worker(void)
{
    pthread_t self = pthread_self();

    return has_session && !in_child && !pthread_equal(self, main_thread) &&
           !pthread_equal(self, session_thread);
}

static void count_slices(int running, int at_end)
{
    __real_pthread_mutex_lock(&gate_lock);
    slices += running;
    ending += at_end;
    pthread_cond_broadcast(&gate_moved);
    __real_pthread_mutex_unlock(&gate_lock);
}

/* Returns 1 if `m` is the workers' lock, which is the first lock that each worker takes. A worker
 * does not hold this lock while it decodes a slice (a piece of a file). */
static int is_workers_lock(const pthread_mutex_t *m)
{
    static _Thread_local const pthread_mutex_t *own;

    if (!own)
        own = m;
    return m == own;
}

int __wrap_pthread_mutex_lock(pthread_mutex_t *m)
{
    int rc, ends;

    note_call("pthread_mutex_lock");
    locks += in_child;
    ends = is_worker() && is_workers_lock(m);
    if (ends)
        count_slices(-1, 1);
    rc = __real_pthread_mutex_lock(m);
    if (ends)
        count_slices(0, -1);
    return rc;
}

int __wrap_pthread_mutex_unlock(pthread_mutex_t *m)
{
    if (is_worker() && is_workers_lock(m))
        count_slices(1, 0);
    return __real_pthread_mutex_unlock(m);
}

int __wrap_pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m)
{
    note_call("pthread_cond_wait");
    return __real_pthread_cond_wait(c, m);
}

enum { AT_KEY, AT_LINES };

static void pass_gate(int at)
{
    if (!is_worker())
        return;
    __real_pthread_mutex_lock(&gate_lock);
    gate_held[at]++;
    pthread_cond_broadcast(&gate_moved);
    while (gate_closed)
        __real_pthread_cond_wait(&gate_moved, &gate_lock);
    gate_held[at]--;
    __real_pthread_mutex_unlock(&gate_lock);
}

static void set_gate(int closed)
{
    __real_pthread_mutex_lock(&gate_lock);
    gate_closed = closed;
    pthread_cond_broadcast(&gate_moved);
    __real_pthread_mutex_unlock(&gate_lock);
}

/* Returns the number of workers that are held at the gate. The caller holds gate_lock. */
static int all_held(void)
{
    return gate_closed ? gate_held[AT_KEY] + gate_held[AT_LINES] : 0;
}

static int count_held(void)
{
    int n;

    __real_pthread_mutex_lock(&gate_lock);
    n = all_held();
    __real_pthread_mutex_unlock(&gate_lock);
    return n;
}

/* Waits until every worker that is decoding a slice is held at the gate. The caller holds the
 * workers' lock, so that no slice can begin. Returns 1 if no worker waits for that lock to end a
 * slice. */
static int await_slices(void)
{
    int rest;

    __real_pthread_mutex_lock(&gate_lock);
    while (slices > all_held())
        __real_pthread_cond_wait(&gate_moved, &gate_lock);
    rest = !ending;
    __real_pthread_mutex_unlock(&gate_lock);
    return rest;
}

static void await_ends(void)
{
    __real_pthread_mutex_lock(&gate_lock);
    while (ending)
        __real_pthread_cond_wait(&gate_moved, &gate_lock);
    __real_pthread_mutex_unlock(&gate_lock);
}

/* Takes the workers' lock at a moment when every worker is idle or held at the gate. A sanitizer's
 * allocator has locks, which no worker may hold during fork(). The allocator of the C library takes
 * care of this itself. */
static void lock_at_rest(struct bcda__workers *workers)
{
    bcda__workers_lock(workers);
    while (!await_slices()) {
        bcda__workers_unlock(workers);
        await_ends();
        bcda__workers_lock(workers);
    }
}

int __real_bcda__decoder_write(struct bcda__decoder *d, const void *data, size_t len, size_t *used,
                               struct bcda_error *err);
int __wrap_bcda__decoder_write(struct bcda__decoder *d, const void *data, size_t len, size_t *used,
                               struct bcda_error *err);
int __real_bcda__config_unwrap(const bcda_config *c, const char *hex, const char *name,
                               uint8_t out[32], struct bcda_error *err);
int __wrap_bcda__config_unwrap(const bcda_config *c, const char *hex, const char *name,
                               uint8_t out[32], struct bcda_error *err);

int __wrap_bcda__decoder_write(struct bcda__decoder *d, const void *data, size_t len, size_t *used,
                               struct bcda_error *err)
{
    pass_gate(AT_LINES);
    return __real_bcda__decoder_write(d, data, len, used, err);
}

int __wrap_bcda__config_unwrap(const bcda_config *c, const char *hex, const char *name,
                               uint8_t out[32], struct bcda_error *err)
{
    pass_gate(AT_KEY);
    return __real_bcda__config_unwrap(c, hex, name, out, err);
}

/* While the gate is closed, the session's thread does not help the workers with their slices: it
 * might decode every file before a worker has begun. It helps when this timer expires. */
void __real_bcda__timer_set(struct bcda__engine *e, struct bcda__timer *t, int64_t delay_ms,
                            void (*fire)(void *ctx), void *ctx);
void __wrap_bcda__timer_set(struct bcda__engine *e, struct bcda__timer *t, int64_t delay_ms,
                            void (*fire)(void *ctx), void *ctx);

void __wrap_bcda__timer_set(struct bcda__engine *e, struct bcda__timer *t, int64_t delay_ms,
                            void (*fire)(void *ctx), void *ctx)
{
    if (!gate_closed || ctx != fx.session->cx.workers)
        __real_bcda__timer_set(e, t, delay_ms, fire, ctx);
}

/* ---- systems that refuse to create threads ---- */

static int threads_left = -1; /* number of threads that the session can still create; -1 = any */

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *),
                          void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *),
                          void *arg);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *),
                          void *arg)
{
    int rc;

    if (has_session && threads_left == 0)
        return EAGAIN;
    if (has_session && threads_left > 0)
        threads_left--;
    if (!has_session || in_child)
        return __real_pthread_create(thread, attr, start, arg);
    count_slices(1, 0); /* until the thread takes the workers' lock, it may allocate memory */
    rc = __real_pthread_create(thread, attr, start, arg);
    if (rc)
        count_slices(-1, 0);
    return rc;
}

/* ---- leaks ---- */

int __lsan_do_recoverable_leak_check(void) __attribute__((weak));
const char *__lsan_default_suppressions(void);

/* In the child, the memory of the parent's libcurl is not freed, and is not reported as a leak. */
const char *__lsan_default_suppressions(void)
{
    return "leak:libcurl\nleak:libssl\nleak:libcrypto\n";
}

const char *__asan_default_options(void);

/* The names of the libraries are known without symbols. Reading the symbols of each stack takes
 * over half of the time of this program. ASAN_OPTIONS=symbolize=1 shows symbols in a report. */
const char *__asan_default_options(void)
{
    return "symbolize=0";
}

/* ---- the child and its end ---- */

/* The places in which a child is forked: the callbacks in `enum where`, and these. */
enum {
    IN_PROVIDER = AT_COUNT,
    IN_REQUEST,
    IN_LOG,
    IN_WATCH,
    IN_TIMER,
    IN_DESTROY,
    OUTSIDE,
    PLACES
};

static const char *const place_names[PLACES] = {
    "on_state",    "on_file BEGIN", "on_file END",        "on_resource",
    "on_batch",    "on_bad_line",   "on_server_issue",    "on_deleted",
    "on_progress", "on_done",       "the token provider", "the callback of a request",
    "the log",     "watch_fd",      "watch_timer",        "a destroy callback",
    "no callback"};

enum action { FREE, RETURN, END, ACTIONS };
enum drive { BY_RUN, BY_STEP, BY_LOOP, DRIVES }; /* how the session is driven */

static struct {
    struct pollfd fds[64];
    int count;
    int64_t timer;
    int set, destroyed;
} loop;

static struct server_process server;
static struct run *run;
static bcda_request *request;
static enum action action;
static enum drive drive;
static int armed, forks[PLACES], forks_max[PLACES];
static int child_place, child_freed, child_called, child_held;

/* Exit status of a child that has found a fault. */
enum {
    BAD_RESULT = 10, /* the call that led to the callback did not return BCDA_ERR_FORKED */
    CALLED,          /* a callback ran in the child */
    FORBIDDEN,       /* the child called a function that would affect its parent */
    ANSWERED,        /* an entry point did not return BCDA_ERR_FORKED */
    DESCRIPTORS,     /* descriptors of the session are still open */
    LEAKS,
    NOT_RELEASED, /* the userdata of the application's loop was not destroyed */
    GRANDCHILD,
    NEW_SESSION
};

/* What else the child does: it forks a grandchild, ends by exit(), waits until `go` is closed, or
 * calls `then`. */
static int with_grandchild, by_exit, go[2] = {-1, -1};
static int (*then)(void);

static int port_of_server(void)
{
    return atoi(strrchr(server.origin, ':') + 1);
}

static int is_connection(int fd)
{
    struct sockaddr_in a;
    socklen_t len = sizeof a;

    memset(&a, 0, sizeof a);
    return getpeername(fd, (struct sockaddr *)&a, &len) == 0 && a.sin_family == AF_INET &&
           ntohs(a.sin_port) == port_of_server();
}

/* Returns 1 if the descriptor belongs to the session: a connection, a part of the event loop, or a
 * spool file. */
static int is_own(int fd)
{
    static const char *const kinds[] = {"anon_inode:[eventpoll]", "anon_inode:[eventfd]",
                                        "anon_inode:[timerfd]"};
    char link[64], name[512];
    ssize_t len;
    size_t i;

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    len = readlink(link, name, sizeof name - 1);
    if (len < 0)
        return 0;
    name[len] = '\0';
    for (i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(name, kinds[i]) == 0)
            return 1;
    return (strstr(name, "spool") && strstr(name, "(deleted)")) || is_connection(fd);
}

static int count_own(void)
{
    int fd, n = 0;

    for (fd = 3; fd < 256; fd++)
        n += is_own(fd);
    return n;
}

static int use_everything(void)
{
    bcda_job *job = run ? run->job : NULL;
    int over = bcda_job_result(job) != BCDA_ERR_AGAIN, d;
    int64_t n;
    char *text;

    for (d = 0; d < BCDA__ENTRY_POINTS; d++) {
        if (over && (d == BCDA__ENTRY_NEXT || d >= BCDA__ENTRY_CANCEL))
            continue; /* a job that has ended belongs to no session */
        if (fixture_call(&fx, (enum bcda__entry_point)d, job) != BCDA_ERR_FORKED)
            return ANSWERED;
    }
    if (bcda_session_wakeup(fx.session) != BCDA_ERR_FORKED ||
        bcda_session_stat(fx.session, BCDA_STAT_REQUESTS, &n) != BCDA_ERR_FORKED)
        return ANSWERED;
    if (!over && bcda_job_save(job, &text) != BCDA_ERR_FORKED)
        return ANSWERED;
    return bcda_job_state(job) < BCDA_JOB_STARTING ? ANSWERED : 0;
}

static void drop_references(void)
{
    size_t i;

    for (i = 0; run && i < run->batch_count; i++)
        bcda_batch_unref(run->batches[i]);
    bcda_job_unref(run ? run->job : NULL);
    bcda_request_unref(request);
}

/* Returns 1 for the first child of each callback only, because the check takes long. */
static int must_check_leaks(void)
{
    enum drive by = child_place == IN_WATCH || child_place == IN_TIMER ? BY_LOOP : BY_RUN;

    return __lsan_do_recoverable_leak_check && drive == by && forks[child_place] == 1 &&
           !child_held;
}

/* Returns the exit status. Whatever a worker was using during the fork cannot be freed in the
 * child: each worker that was held may leave one descriptor open. */
static int check_end(void)
{
    if (child_called)
        return CALLED;
    if (forbidden)
        return FORBIDDEN;
    if (count_own() > child_held)
        return DESCRIPTORS;
    if (drive == BY_LOOP && fx.session == NULL && loop.destroyed != loop.set)
        return NOT_RELEASED;
    if (must_check_leaks() && __lsan_do_recoverable_leak_check())
        return LEAKS;
    return 0;
}

static int end_of_child(int rc)
{
    int code = 0;

    if (rc != BCDA_ERR_FORKED)
        return BAD_RESULT;
    if (!child_freed) {
        code = use_everything();
        bcda_session_free(fx.session);
    }
    fx.session = NULL;
    drop_references();
    return code ? code : check_end();
}

static int await_grandchild(pid_t pid)
{
    int status = -1;

    return __real_waitpid(pid, &status, 0) == pid && status == 0 ? 0 : GRANDCHILD;
}

/* Ends the child. `rc` is what the child's last call of the library outside of callbacks returned.
 */
static void leave_child(int rc)
{
    pid_t grandchild = with_grandchild ? fork() : 0;
    int code;

    if (go[0] >= 0) { /* wait until the parent has finished and closes the pipe */
        close(go[1]);
        (void)__real_read(go[0], &code, 1);
    }
    code = end_of_child(rc);
    if (code == FORBIDDEN)
        fprintf(stderr, "# the child forked in %s called %s()\n", place_names[child_place],
                forbidden);
    if (!code && grandchild)
        code = await_grandchild(grandchild);
    if (!code && then)
        code = then();
    if (by_exit)
        exit(code);
    _exit(code);
}

static void show_stack(int sign)
{
    (void)sign;
    if (__sanitizer_print_stack_trace)
        __sanitizer_print_stack_trace();
}

/* Waits up to `ms` for the end of the child. Returns 0 if the child has not ended by then. */
static int has_ended(int end, int ms)
{
    struct pollfd p = {0};
    int n;

    p.fd = end; /* nothing is ever written: the pipe becomes readable when the child ends */
    p.events = POLLIN;
    do
        n = poll(&p, 1, ms);
    while (n < 0 && errno == EINTR);
    return n;
}

/* Waits for the child. A child that does not end in time prints its stack and is killed, and the
 * test fails. */
static void await_child(pid_t child, int end, int place)
{
    int status = 0, in_time = has_ended(end, 60000);

    if (!in_time) {
        kill(child, SIGUSR1);
        (void)has_ended(end, 2000);
        kill(child, SIGKILL);
    }
    close(end);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(in_time, "the child forked in %s does not end", place_names[place]);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0,
                  "the child forked in %s (action %d) ended with 0x%x", place_names[place], action,
                  (unsigned)status);
}

static pid_t lingering; /* a child for which the test waits later */
static int lingering_end;

/* Forks a child in this place. Returns 1 in the child. The parent returns 0 after the child has
 * ended, or at once if the child waits for `go`. */
static int fork_once(int place)
{
    int ends[2];
    pid_t pid;

    struct bcda__workers *workers = fx.session->cx.workers;

    forks[place]++;
    ck_assert_int_eq(pipe(ends), 0);
    fflush(NULL);
    if (workers)
        lock_at_rest(workers); /* in the child, the lock stays locked */
    child_held = count_held();
    pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid && workers)
        bcda__workers_unlock(workers);
    if (pid == 0) {
        in_child = 1;
        child_place = place;
        signal(SIGUSR1, show_stack);
        close(ends[0]);
        return 1;
    }
    close(ends[1]);
    if (go[0] >= 0)
        lingering = pid, lingering_end = ends[0];
    else
        await_child(pid, ends[0], place);
    return 0;
}

/* Returns 1 if the callback in this place may call the library. */
static int may_call(int place)
{
    return place != IN_LOG && place != IN_DESTROY && place != IN_WATCH && place != IN_TIMER;
}

/* Called in each callback; may fork a child there. Returns 1 if the callback now continues in a new
 * child. */
static int fork_in(int place)
{
    if (in_child) {
        child_called++;
        return 0;
    }
    if (!armed || forks[place] >= forks_max[place] || !fork_once(place))
        return 0;
    if (action == END && by_exit)
        exit(0);
    if (action == END)
        _exit(0);
    if (action == FREE && may_call(place)) {
        bcda_session_free(fx.session);
        child_freed = 1;
    }
    return 1;
}

/* In the child, the result of a callback has no effect, whatever it is. */
static int on_callback(struct run *r, enum where where, void *object)
{
    (void)r;
    (void)object;
    if (fork_in((int)where) && action == FREE)
        return BCDA_STOP;
    return in_child && where == AT_BATCH ? BCDA_PAUSE : BCDA_CONTINUE;
}

static void on_log(int level, const char *component, const char *message, void *userdata)
{
    (void)level;
    (void)component;
    (void)userdata;
    if (!in_child)
        fixture_check_text(&fx, message);
    (void)fork_in(IN_LOG);
}

static void on_token(bcda_token_request *r, void *userdata)
{
    (void)userdata;
    if (fork_in(IN_PROVIDER) && action == FREE) {
        bcda_token_request_fail(r);
        return;
    }
    if (bcda_token_request_answer(r, "tok.en", 1200) != (in_child ? BCDA_ERR_FORKED : 0))
        _exit(ANSWERED);
}

static void on_request(bcda_request *r, int result, void *userdata)
{
    (void)r;
    (void)userdata;
    if (!in_child)
        ck_assert_int_eq(result, 0);
    (void)fork_in(IN_REQUEST);
}

/* ---- the application's event loop ---- */

static void on_loop_destroyed(void *userdata)
{
    (void)userdata;
    loop.destroyed++;
}

static int on_watch(bcda_session *s, int fd, int events, void *userdata)
{
    int i;

    (void)s;
    (void)userdata;
    if (fork_in(IN_WATCH))
        return 0;
    for (i = 0; i < loop.count && loop.fds[i].fd != fd; i++)
        ;
    if (!events && i < loop.count) {
        loop.fds[i] = loop.fds[--loop.count];
        return 0;
    }
    if (!events)
        return 0;
    loop.count += i == loop.count;
    loop.fds[i].fd = fd;
    loop.fds[i].events =
        (short)((events & BCDA_FD_READ ? POLLIN : 0) | (events & BCDA_FD_WRITE ? POLLOUT : 0));
    return 0;
}

static int on_timer(bcda_session *s, int64_t delay_ms, void *userdata)
{
    (void)s;
    (void)userdata;
    if (!fork_in(IN_TIMER))
        loop.timer = delay_ms;
    return 0;
}

/* ---- driving the session ---- */

enum { TICK_MS = 20, PATIENCE = 1500 }; /* the test fails after 1500 quiet ticks, or 30 s */

/* Handles the result `rc` of a call of the library that the test itself made, not one of its
 * callbacks. In the child, this function does not return. Returns 1 if the call did something. */
static int came_back(int rc)
{
    fx.inside = 0;
    if (in_child)
        leave_child(rc);
    ck_assert_msg(rc >= 0 || rc == BCDA_ERR_TIMEOUT, "%s", bcda_error_name(rc));
    return rc != BCDA_ERR_TIMEOUT && rc != 0;
}

static int report_timer(void)
{
    loop.timer = -1;
    fx.inside = 1;
    return came_back(bcda_session_on_timer(fx.session)) | 1;
}

static int report_fd(int i)
{
    short e = loop.fds[i].revents, bad = POLLERR | POLLHUP | POLLNVAL;
    int events =
        (e & (POLLIN | bad) ? BCDA_FD_READ : 0) | (e & (POLLOUT | bad) ? BCDA_FD_WRITE : 0);

    fx.inside = 1;
    return came_back(bcda_session_on_fd(fx.session, loop.fds[i].fd, events)) | 1;
}

static int tick_loop(int ms)
{
    int i;

    if (loop.timer == 0)
        return report_timer();
    if (poll(loop.fds, (nfds_t)loop.count, ms) > 0)
        for (i = 0; i < loop.count; i++)
            if (loop.fds[i].revents)
                return report_fd(i);
    return loop.timer > 0 && loop.timer <= TICK_MS ? report_timer() : 0;
}

static int tick_step(int ms)
{
    struct pollfd p = {0};

    p.fd = bcda_session_fd(fx.session);
    p.events = POLLIN;
    if (p.fd >= 0 && ms && poll(&p, 1, ms) == 0)
        return 0;
    fx.inside = 1;
    return came_back(bcda_session_step(fx.session));
}

static int tick_run(int ms)
{
    fx.inside = 1;
    return came_back(bcda_session_run(fx.session, ms));
}

static int tick(int ms)
{
    if (drive == BY_LOOP)
        return tick_loop(ms);
    if (drive == BY_STEP && bcda_session_fd(fx.session) >= 0)
        return tick_step(ms);
    return ms ? tick_run(ms) : tick_step(0);
}

static int is_in_progress(void)
{
    return fixture_stat(&fx, BCDA_STAT_TRANSFERS) > 0 || bcda__session_is_decoding(fx.session);
}

/* Returns 1 while the output of a token command is open. Once it is closed, waits for the end of
 * the command, for which the session then looks at short intervals of its clock. */
static int awaits_output(void)
{
    siginfo_t info;

    if (!bcda__session_runs_command(fx.session))
        return 0;
    if (bcda__session_next_timer_ms(fx.session) > 1000)
        return 1;
    ck_assert_int_eq(waitid(P_ALL, 0, &info, WEXITED | WNOWAIT), 0);
    return 0;
}

/* Moves the clock to the next timer. Returns 0 if there is none. */
static int jump(void)
{
    int64_t left = bcda__session_next_timer_ms(fx.session);

    if (left < 0)
        return 0;
    fx.now += left;
    if (drive == BY_LOOP)
        (void)report_timer();
    else
        (void)tick_step(0);
    return 1;
}

/* Drives the session until it has done something. If no transfer and no decoding is in progress,
 * moves the clock to the session's next timer. Returns 0 if nothing will happen. */
static int next_round(void)
{
    int quiet;

    for (quiet = 0; quiet < PATIENCE; quiet++) {
        if (tick(quiet ? TICK_MS : 0))
            return 1;
        if (!is_in_progress() && !awaits_output())
            return jump();
    }
    return 0;
}

/* Drives the session once. For use while workers or the server are held at a gate, where
 * next_round() would wait for them. */
static void round_beside_held(void)
{
    if (!tick(TICK_MS) && !is_in_progress())
        (void)jump();
}

#define UNTIL(condition)                                                                     \
    do {                                                                                     \
        while (!(condition))                                                                 \
            ck_assert_msg(next_round() || (condition), "stuck before this: %s", #condition); \
    } while (0)

/* ---- what is downloaded ---- */

enum { FILES_MOST = 3, LINES = 240 };

static const char *const paths[FILES_MOST] = {"/data/a", "/data/b", "/data/c"};
static size_t file_count;
static char folder[4096];

/* Appends the lines of a file; one in the middle is invalid. */
static void add_lines(struct buf *b, size_t file)
{
    size_t i;

    for (i = 0; i < LINES; i++) {
        if (i == LINES / 2)
            buf_printf(b, "not a resource\n");
        buf_printf(b, "{\"resourceType\":\"Patient\",\"id\":\"f%zu-%zu\",\"x\":\"%0200zu\"}\n",
                   file, i, i);
    }
}

/* Adds the answers: the first file is plain, the second encrypted, the third compressed with gzip;
 * an error file follows. */
static void script(struct scripted_server *to, const void *arg)
{
    static const char issues[] =
        "{\"resourceType\":\"OperationOutcome\",\"issue\":[{\"severity\":\"warning\","
        "\"code\":\"processing\",\"diagnostics\":\"something\"}]}\n";
    static const char deletions[] = "{\"resourceType\":\"Bundle\",\"entry\":[{\"request\":{"
                                    "\"method\":\"DELETE\",\"url\":\"Patient/gone\"}}]}\n";
    size_t files = *(const size_t *)arg, i;
    struct scripted_entry e[FILES_MOST + 2] = {{0}};
    char *keys[FILES_MOST] = {NULL}, name[FILES_MOST][32];

    for (i = 0; i < files; i++) {
        struct buf plain = {0};

        add_lines(&plain, i);
        snprintf(name[i], sizeof name[i], "%s.ndjson", paths[i]);
        keys[i] = scripted_reply_file(to, name[i], (enum scripted_form)i, &plain);
        e[i].type = "Patient";
        e[i].path = name[i];
        e[i].key_hex = keys[i];
        buf_free(&plain);
    }
    scripted_reply(to, "/data/errors", "200 OK", "", issues, sizeof issues - 1);
    e[files].type = "OperationOutcome";
    e[files].path = "/data/errors.ndjson";
    e[files].list = SCRIPTED_ERROR;
    scripted_reply(to, "/data/deleted", "200 OK", "", deletions, sizeof deletions - 1);
    e[files + 1] =
        (struct scripted_entry){"Bundle", "/data/deleted.ndjson", NULL, SCRIPTED_DELETED};
    scripted_text(scripted_on(to, "/jobs/1", 1),
                  "HTTP/1.1 202 Accepted\r\nX-Progress: In Progress (50%)\r\n"
                  "Content-Length: 0\r\n\r\n");
    scripted_reply(to, "/_version", "200 OK", "", "{\"version\":\"r1\"}", 16);
    scripted_export(to, e, files + 2);
    for (i = 0; i < files; i++)
        free(keys[i]);
}

static void remove_folder(void)
{
    if (folder[0] && !in_child)
        rmdir(folder);
}

static void verify_first(void)
{
    snprintf(folder, sizeof folder, "%s/bcda-fork-spool-XXXXXX", tempdir());
    ck_assert_ptr_nonnull(mkdtemp(folder));
    atexit(remove_folder);
    fixture_set_verified(&fx, folder);
}

struct setting {
    int tls, verified, provider, no_wipe, threads;
    size_t files;
};

static void make_config(const struct setting *o)
{
    fixture_config_at(&fx, server.origin, o->tls ? server.ca_file : NULL);
    if (o->provider)
        ck_assert_ok(bcda_config_set_token_provider(fx.config, on_token, NULL, NULL));
    ck_assert_ok(bcda_config_add_private_key_file(fx.config, server.key_file, NULL));
    ck_assert_ok(bcda_config_set_log(fx.config, BCDA_LOG_DEBUG, on_log, NULL, NULL));
    fixture_set(&fx, BCDA_OPT_BATCH_SIZE, 4096);
    fixture_set(&fx, BCDA_OPT_BAD_LINES_MAX, -1);
    fixture_set(&fx, BCDA_OPT_DECODE_THREADS, o->threads);
    if (o->verified)
        verify_first();
}

static void set_loop(void)
{
    int rc = bcda_session_set_loop(fx.session, on_watch, on_timer, NULL, on_loop_destroyed);

    (void)came_back(rc);
    ck_assert_int_eq(rc, 0);
    loop.set = 1;
}

/* Starts the server and makes the config. */
static void prepare_session(const struct setting *o,
                            void (*scripted)(struct scripted_server *, const void *))
{
    no_wipe = o->no_wipe;
    file_count = o->files;
    server_process_start(&server, o->tls, scripted, &o->files);
    fixture_init(&fx);
    fx.takes_deletions = 1;
    make_config(o);
}

static void make_session(void)
{
    main_thread = session_thread = pthread_self();
    has_session = 1; /* from now on, any other thread is a worker of the session */
    fixture_session(&fx);
    loop.timer = -1;
    if (drive == BY_LOOP)
        set_loop();
}

static void open_session(const struct setting *o)
{
    prepare_session(o, script);
    make_session();
}

static void start(enum delivery_way way)
{
    run = fixture_start_hook(&fx, way, on_callback, NULL);
    run->hold = way == BY_BATCH;
    ck_assert_ok(
        bcda_request_start(fx.session, BCDA_REQUEST_VERSION, on_request, NULL, NULL, &request));
}

/* Checks that each resource, invalid line and issue was delivered exactly once. */
static void check_records(void)
{
    size_t next[FILES_MOST] = {0}, i;
    char id[64];

    ck_assert_int_eq(run->done, 1);
    fixture_check_result(run, 0);
    for (i = 0; i < run->count; i++) {
        ck_assert_uint_lt(run->got[i].file, FILES_MOST);
        snprintf(id, sizeof id, "f%zu-%zu", run->got[i].file, next[run->got[i].file]++);
        ck_assert_str_eq(run->got[i].id, id);
    }
    for (i = 0; i < file_count; i++)
        ck_assert_uint_eq(next[i], LINES);
    ck_assert_uint_eq(run->bad_count, file_count);
    ck_assert_uint_eq(run->issue_count, 1);
}

/* Checks the records, and that each file was requested once: no connection of the parent was lost.
 */
static void check_parent(void)
{
    size_t i;

    check_records();
    for (i = 0; i < file_count; i++)
        ck_assert_uint_eq(server_process_count(&server, paths[i]), 1);
}

static void close_session(void)
{
    armed = 0;
    bcda_request_unref(request);
    request = NULL;
    fixture_end(&fx);
    server_process_stop(&server);
    if (folder[0])
        ck_assert_int_eq(rmdir(folder), 0);
    folder[0] = '\0';
}

static void finish_session(void)
{
    UNTIL(run->done && bcda_request_result(request) != BCDA_ERR_AGAIN);
    check_parent();
    close_session();
}

/* ---- a fork in each callback ---- */

enum { VARIANTS = 4 };

static const struct setting variants[VARIANTS] = {
    {.tls = 1, .files = 3, .provider = 1},
    {.tls = 1, .files = 3, .verified = 1},
    {.files = 1},
    {.files = 1, .verified = 1, .no_wipe = 1, .provider = 1},
};

static void arm(const struct setting *o, enum delivery_way way)
{
    int place;

    for (place = 0; place <= AT_DONE; place++)
        forks_max[place] = 1;
    forks_max[AT_STATE] = 5;
    forks_max[AT_RESOURCE] = way == BY_RESOURCE ? 3 : 0;
    forks_max[AT_BATCH] = way == BY_BATCH ? 3 : 0;
    forks_max[AT_BEGIN] = forks_max[AT_END] = (int)o->files;
    forks_max[IN_PROVIDER] = o->provider;
    forks_max[IN_REQUEST] = 1;
    forks_max[IN_LOG] = 20;
    forks_max[IN_WATCH] = forks_max[IN_TIMER] = drive == BY_LOOP ? 10 : 0;
    armed = 1;
}

static void check_forks(void)
{
    int place;

    for (place = 0; place < PLACES; place++)
        ck_assert_msg(!forks_max[place] || forks[place], "no child was forked in %s",
                      place_names[place]);
}

START_TEST(in_each_callback)
{
    const struct setting *o = &variants[_i % VARIANTS];
    enum delivery_way way = _i % 2 ? BY_RESOURCE : BY_BATCH;

    action = (enum action)(_i / VARIANTS % ACTIONS);
    drive = (enum drive)(_i / VARIANTS / ACTIONS);
    if (o->files == 1)
        way = way == BY_BATCH ? BY_RESOURCE : BY_BATCH;
    open_session(o);
    start(way);
    arm(o, way);
    UNTIL(run->done && bcda_request_result(request) != BCDA_ERR_AGAIN);
    check_parent();
    check_forks();
    close_session();
}
END_TEST

/* ---- a fork between two calls ---- */

static int has_come_to(int when)
{
    if (when == 1)
        return bcda_job_state(run->job) == BCDA_JOB_RUNNING;
    if (when == 2)
        return run->count > 0;
    return when == 0 || run->done;
}

/* The test forks before the first call (_i / DRIVES = 0), while the server prepares the files (1),
 * in the middle of the data (2), or after the end of the job (3). The child forks a grandchild. */
START_TEST(between_calls)
{
    static const struct setting o = {.tls = 1, .files = 3, .verified = 1};

    drive = (enum drive)(_i % DRIVES);
    with_grandchild = 1;
    open_session(&o);
    start(BY_RESOURCE);
    UNTIL(has_come_to(_i / DRIVES));
    if (fork_once(OUTSIDE))
        leave_child(BCDA_ERR_FORKED);
    finish_session();
}
END_TEST

static int take_batches(bcda_batch **first)
{
    bcda_batch *batch;
    size_t n = 0;

    while (bcda_job_next(run->job, &batch) == 0) {
        n += bcda_batch_count(batch);
        if (*first)
            bcda_batch_unref(batch);
        else
            *first = batch;
    }
    return (int)n;
}

/* A batch that was taken before the fork can still be used in the child. */
START_TEST(pulled)
{
    static const struct setting o = {.files = 3};
    bcda_batch *first = NULL;
    size_t len;
    int n = 0;

    drive = (enum drive)_i;
    open_session(&o);
    run = fixture_start(&fx, BY_PULL);
    run->drained = 1; /* this test takes the batches itself */
    while (!first) {
        ck_assert(next_round());
        n += take_batches(&first);
    }
    if (fork_once(OUTSIDE)) {
        if (!bcda_resource_json(bcda_batch_resource(first, 0), &len) || len < 200)
            _exit(ANSWERED);
        bcda_batch_unref(first);
        leave_child(BCDA_ERR_FORKED);
    }
    while (!run->done) {
        ck_assert(next_round() || run->done);
        n += take_batches(&first);
    }
    bcda_batch_unref(first);
    ck_assert_int_eq(run->result, 0);
    ck_assert_int_eq(n, (int)(LINES * o.files));
    close_session();
}
END_TEST

/* ---- a fork while the session signs in ---- */

enum sign_in { BY_COMMAND, BY_CACHE, BY_ASSERTION, SIGN_INS };

static char gate_path[300], cache_path[300]; /* a FIFO from which the token command reads */

enum { TOKEN_GATE = 1 };

/* The server announces its token URL, whose answer waits for a gate. */
static void script_sign_in(struct scripted_server *to, const void *arg)
{
    struct scripted_answer *token = scripted_on(to, "/auth/token", 1);
    char text[200];

    scripted_gate(token, TOKEN_GATE);
    scripted_text(token, "HTTP/1.1 200 OK\r\nContent-Length: 43\r\n\r\n"
                         "{\"access_token\":\"tok.en\",\"expires_in\":1200}");
    snprintf(text, sizeof text, "{\"token_endpoint\":\"%s/auth/token\"}", scripted_origin(to));
    scripted_reply(to, "smart-configuration", "200 OK", "", text, strlen(text));
    script(to, arg);
}

static void set_new_signing_key(void)
{
    EVP_PKEY *pkey = EVP_EC_gen("P-384");
    BIO *bio = BIO_new(BIO_s_mem());
    char *text;
    long len;

    ck_assert(pkey && PEM_write_bio_PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL));
    len = BIO_get_mem_data(bio, &text);
    ck_assert_ok(bcda_config_set_signing_key(fx.config, "me", text, (size_t)len, NULL, "my-key"));
    BIO_free(bio);
    EVP_PKEY_free(pkey);
}

static void choose_sign_in(enum sign_in way)
{
    char command[400];

    snprintf(gate_path, sizeof gate_path, "%s/bcda-fork-gate-%ld", tempdir(), (long)getpid());
    snprintf(cache_path, sizeof cache_path, "%s/bcda-fork-cache-%ld", tempdir(), (long)getpid());
    snprintf(command, sizeof command, "cat %s", gate_path);
    if (way == BY_COMMAND) {
        ck_assert_int_eq(mkfifo(gate_path, 0600), 0);
        ck_assert_ok(bcda_config_set_token_command(fx.config, command));
        return;
    }
    if (way == BY_ASSERTION)
        set_new_signing_key();
    ck_assert_ok(bcda_config_set_token_cache(fx.config, cache_path));
}

static int is_signing_in(enum sign_in way)
{
    return way == BY_COMMAND ? bcda__session_runs_command(fx.session)
                             : fx.session->auth.endpoint.state == BCDA__ENDPOINT_REQUESTING &&
                                   fx.session->auth.has_cache_lock && is_in_progress();
}

/* Checks that the cache is locked by the session, though the child has freed its copy. */
static void check_locked(void)
{
    int fd = open(cache_path, O_RDWR | O_CLOEXEC);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(flock(fd, LOCK_EX | LOCK_NB), -1);
    ck_assert_int_eq(errno, EWOULDBLOCK);
    close(fd);
}

static void print_token(void)
{
    int fd = open(gate_path, O_WRONLY | O_CLOEXEC);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, "tok.en", 6), 6);
    close(fd);
}

/* The session runs a token command (BY_COMMAND), has locked the token cache while it waits for the
 * token (BY_CACHE), or has sent an assertion and waits for the token (BY_ASSERTION). The child
 * frees the session. It does not kill the command or wait for it, and the cache stays locked. */
START_TEST(while_signing_in)
{
    static const struct setting o = {.files = 3};
    enum sign_in way = (enum sign_in)(_i / DRIVES);

    drive = (enum drive)(_i % DRIVES);
    prepare_session(&o, script_sign_in);
    choose_sign_in(way);
    make_session();
    start(BY_RESOURCE);
    while (way == BY_ASSERTION && !is_signing_in(way))
        round_beside_held(); /* the server holds its answer back */
    UNTIL(is_signing_in(way));
    if (fork_once(OUTSIDE))
        leave_child(BCDA_ERR_FORKED);
    ck_assert(is_signing_in(way));
    if (way == BY_COMMAND)
        print_token();
    else
        check_locked();
    server_process_open_gate(&server, TOKEN_GATE);
    UNTIL(run->done && bcda_request_result(request) != BCDA_ERR_AGAIN);
    check_parent();
    ck_assert_uint_eq(server_process_count(&server, "POST /auth/token"), way != BY_COMMAND);
    close_session();
    unlink(gate_path);
    unlink(cache_path);
}
END_TEST

/* ---- a fork while workers decode a slice or decrypt a key ---- */

START_TEST(while_decoding)
{
    static const struct setting o = {.tls = 1, .files = 3, .threads = 2};
    bcda_request *second;

    action = (enum action)(_i / DRIVES);
    drive = (enum drive)(_i % DRIVES);
    open_session(&o);
    set_gate(1);
    start(BY_RESOURCE);
    while (count_held() < o.threads)
        round_beside_held();
    ck_assert_int_eq(gate_held[AT_KEY], 1); /* only one of the files is encrypted */
    if (fork_once(OUTSIDE))
        leave_child(BCDA_ERR_FORKED);
    forks_max[IN_REQUEST] = forks_max[IN_LOG] = armed = 1; /* these run while workers are held */
    ck_assert_ok(
        bcda_request_start(fx.session, BCDA_REQUEST_VERSION, on_request, NULL, NULL, &second));
    while (!forks[IN_REQUEST] || !forks[IN_LOG])
        round_beside_held();
    set_gate(0);
    UNTIL(run->done && bcda_request_result(request) != BCDA_ERR_AGAIN);
    bcda_request_unref(second);
    check_parent();
    close_session();
}
END_TEST

/* If the session can create fewer threads than the option asks for, it logs this as soon as it
 * notices. */
START_TEST(too_few_threads)
{
    static const struct setting o = {.files = 3, .threads = 2};

    action = (enum action)(_i / 2);
    threads_left = _i % 2;
    open_session(&o);
    start(BY_RESOURCE);
    forks_max[IN_LOG] = 100;
    armed = 1;
    finish_session();
}
END_TEST

/* ---- callbacks that do not belong to a job ---- */

static int no_progress(bcda_job *job, void *userdata)
{
    (void)job;
    (void)userdata;
    return BCDA_CONTINUE;
}

static void on_destroy(void *userdata)
{
    (void)userdata;
    if (!in_child) /* in the child, this runs because the child's copies are destroyed, too */
        (void)fork_in(IN_DESTROY);
}

START_TEST(in_destroy)
{
    static const struct setting o = {.files = 1};
    bcda_handlers *handlers;

    action = (enum action)(_i / DRIVES);
    drive = (enum drive)(_i % DRIVES);
    open_session(&o);
    run = fixture_run_new(&fx, BY_RESOURCE, on_callback, NULL);
    handlers = fixture_handlers(run);
    ck_assert_ok(bcda_handlers_on_progress(handlers, no_progress, NULL, on_destroy));
    ck_assert_ok(bcda_job_start(fx.session, fx.x, handlers, &run->job));
    bcda_handlers_free(handlers);
    ck_assert_ok(bcda_request_start(fx.session, BCDA_REQUEST_VERSION, on_request, NULL, on_destroy,
                                    &request));
    forks_max[IN_DESTROY] = 2;
    armed = 1;
    UNTIL(run->done && bcda_request_result(request) != BCDA_ERR_AGAIN);
    check_parent();
    ck_assert_int_eq(forks[IN_DESTROY], 2);
    close_session();
}
END_TEST

/* Makes one of the other calls that call back into the application's loop, in addition to
 * bcda_session_on_fd() and bcda_session_on_timer(). */
static int call_timer(int which)
{
    switch (which) {
    case 0:
        return bcda_job_start(fx.session, fx.x, NULL, &run->job);
    case 1:
        return bcda_job_pause(run->job);
    case 2:
        return bcda_job_resume(run->job);
    case 3:
        return bcda_request_start(fx.session, BCDA_REQUEST_VERSION, NULL, NULL, NULL, &request);
    default:
        return bcda_job_cancel(run->job);
    }
}

START_TEST(in_calls_from_outside)
{
    static const struct setting o = {.files = 1};
    int which, rc;

    action = (enum action)_i;
    drive = BY_LOOP;
    forks_max[IN_WATCH] = 1;
    armed = 1;
    open_session(&o);
    run = fixture_run_new(&fx, BY_PULL, NULL, NULL);
    run->done = 1; /* the job has no handlers that could report its end */
    for (which = 0; which < 5; which++) {
        forks_max[IN_TIMER] = which + 1;
        fx.inside = 1;
        rc = call_timer(which);
        (void)came_back(rc);
        ck_assert_int_eq(rc, 0);
        ck_assert_int_eq(forks[IN_TIMER], which + 1);
        while (loop.timer == 0)
            (void)report_timer();
    }
    UNTIL(bcda_job_result(run->job) != BCDA_ERR_AGAIN &&
          bcda_request_result(request) != BCDA_ERR_AGAIN);
    ck_assert_int_eq(bcda_request_result(request), 0);
    armed = 0;
    bcda_job_unref(run->job);
    run->job = NULL;
    memset(run->destroyed, 0, sizeof run->destroyed);
    fx.runs = NULL;
    free(run);
    close_session();
}
END_TEST

/* ---- a fork in a callback of bcda_session_free() ---- */

static int pause_soon(struct run *r, enum where where, void *object)
{
    (void)object;
    return where == AT_RESOURCE && r->count == 5 ? BCDA_PAUSE : BCDA_CONTINUE;
}

START_TEST(while_freed)
{
    static const struct setting o = {.tls = 1, .files = 3, .provider = 1};

    action = (enum action)(_i / DRIVES);
    drive = (enum drive)(_i % DRIVES);
    open_session(&o);
    start(BY_RESOURCE);
    run->hook = pause_soon;
    UNTIL(run->count == 5);
    run->hook = on_callback;
    arm(&o, BY_RESOURCE);
    fx.inside = 1;
    bcda_session_free(fx.session);
    fx.inside = 0;
    child_freed = 1;
    if (in_child)
        leave_child(BCDA_ERR_FORKED);
    ck_assert_int_eq(run->done, 1);
    ck_assert_int_eq(run->result, BCDA_ERR_CANCELLED);
    ck_assert_int_gt(forks[AT_END], 0);
    ck_assert_int_eq(forks[AT_STATE], 1);
    ck_assert_int_eq(forks[AT_DONE], 1);
    ck_assert(drive != BY_LOOP || (forks[IN_WATCH] && forks[IN_TIMER]));
    fx.session = NULL;
    close_session();
}
END_TEST

/* ---- what a child does afterwards ---- */

/* The child ends by exit(). The functions that run at exit, such as the check for leaks, find no
 * fault. */
START_TEST(ends_by_exit)
{
    static const struct setting o = {.tls = 1, .files = 3};

    action = (enum action)_i;
    by_exit = 1;
    open_session(&o);
    start(BY_RESOURCE);
    forks_max[AT_RESOURCE] = forks_max[AT_STATE] = forks_max[IN_LOG] = armed = 1;
    finish_session();
}
END_TEST

/* The child keeps the session until its parent has finished. */
START_TEST(beside_its_parent)
{
    static const struct setting o = {.tls = 1, .files = 3, .provider = 1};
    action = RETURN;
    drive = (enum drive)(_i % DRIVES);
    open_session(&o);
    start(BY_RESOURCE);
    ck_assert_int_eq(pipe(go), 0);
    forks_max[_i / DRIVES ? AT_RESOURCE : IN_PROVIDER] = armed = 1;
    UNTIL(lingering || in_child);
    UNTIL(run->done && bcda_request_result(request) != BCDA_ERR_AGAIN);
    check_parent();
    close(go[0]);
    close(go[1]);
    await_child(lingering, lingering_end, OUTSIDE);
    close_session();
}
END_TEST

/* Makes a new session in the child and downloads from the same server. */
static int run_new_session(void)
{
    static const struct setting o = {.tls = 1, .files = 3};

    armed = locks = 0;
    make_config(&o);
    if (bcda_session_new(&fx.session, fx.config))
        return NEW_SESSION;
    if (locks) /* the child took a lock that a thread of the parent may have held */
        return FORBIDDEN;
    bcda_config_free(fx.config);
    fx.config = NULL;
    in_child = 0;
    fx.runs = NULL;
    drive = BY_STEP;
    start(BY_RESOURCE);
    UNTIL(run->done && bcda_request_result(request) != BCDA_ERR_AGAIN);
    check_records();
    bcda_session_free(fx.session);
    return 0;
}

START_TEST(makes_a_new_session)
{
    static const struct setting o = {.tls = 1, .files = 3};

    action = (enum action)(_i / DRIVES);
    drive = (enum drive)(_i % DRIVES);
    then = run_new_session;
    open_session(&o);
    start(BY_RESOURCE);
    forks_max[AT_BEGIN] = armed = 1;
    UNTIL(run->done && bcda_request_result(request) != BCDA_ERR_AGAIN);
    check_records();
    ck_assert_uint_eq(server_process_count(&server, paths[0]), 2);
    close_session();
}
END_TEST

/* Checks that programs which the application starts inherit no descriptor of the session. Returns
 * the number of connections. */
static int check_descriptors(void)
{
    int fd, n = 0;

    for (fd = 3; fd < 256; fd++) {
        if (!is_own(fd))
            continue;
        ck_assert_int_eq(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
        n += is_connection(fd);
    }
    return n;
}

START_TEST(descriptors_close_on_exec)
{
    struct setting o = {.tls = 1, .files = 3, .verified = _i};
    int connections = 0;

    drive = BY_STEP;
    open_session(&o);
    start(BY_RESOURCE);
    while (!run->done) {
        ck_assert(next_round() || run->done);
        connections += check_descriptors();
    }
    ck_assert_int_gt(connections, 0);
    UNTIL(bcda_request_result(request) != BCDA_ERR_AGAIN);
    check_parent();
    close_session();
}
END_TEST

/* ---- a fork by another thread, while the session's thread is in a callback ---- */

static int in_callback, may_return;

static int wait_in_callback(struct run *r, enum where where, void *object)
{
    (void)r;
    (void)object;
    __real_pthread_mutex_lock(&gate_lock);
    in_callback = where == AT_RESOURCE;
    pthread_cond_broadcast(&gate_moved);
    while (in_callback && !may_return)
        __real_pthread_cond_wait(&gate_moved, &gate_lock);
    __real_pthread_mutex_unlock(&gate_lock);
    return BCDA_CONTINUE;
}

static void *run_in_thread(void *unused)
{
    (void)unused;
    session_thread = pthread_self();
    UNTIL(run->done && bcda_request_result(request) != BCDA_ERR_AGAIN);
    return NULL;
}

static void move_callback(int release)
{
    __real_pthread_mutex_lock(&gate_lock);
    while (!release && !in_callback)
        __real_pthread_cond_wait(&gate_moved, &gate_lock);
    may_return = release;
    pthread_cond_broadcast(&gate_moved);
    __real_pthread_mutex_unlock(&gate_lock);
}

/* Ends the child. bcda_session_free() frees nothing here, because the callback of the other thread
 * never returns in the child. */
static void leave_beside_thread(void)
{
    int code = use_everything(), own = count_own();

    bcda_session_free(fx.session);
    if (!code && count_own() != own)
        code = DESCRIPTORS;
    if (!code)
        code = use_everything();
    drop_references();
    _exit(forbidden ? FORBIDDEN : code);
}

START_TEST(by_another_thread)
{
    static const struct setting o = {.tls = 1, .files = 3};
    pthread_t thread;

    drive = (enum drive)_i;
    open_session(&o);
    start(BY_RESOURCE);
    run->hook = wait_in_callback;
    ck_assert_int_eq(__real_pthread_create(&thread, NULL, run_in_thread, NULL), 0);
    move_callback(0);
    if (fork_once(OUTSIDE))
        leave_beside_thread();
    move_callback(1);
    ck_assert_int_eq(__real_pthread_join(thread, NULL), 0);
    session_thread = main_thread;
    check_parent();
    close_session();
}
END_TEST

static void add_case(const char *name, const TTest *test, int first, int end)
{
    suite_case(name);
    suite_loop(test, first, end);
}

SUITE("fork")
{
    add_case("in_each_callback", in_each_callback, 0, VARIANTS * ACTIONS * DRIVES);
    add_case("between_calls", between_calls, 0, 4 * DRIVES);
    add_case("pulled", pulled, 0, DRIVES);
    add_case("while_signing_in", while_signing_in, 0, SIGN_INS * DRIVES);
    add_case("while_decoding", while_decoding, 0, ACTIONS * DRIVES);
    add_case("too_few_threads", too_few_threads, 0, 2 * ACTIONS);
    add_case("in_destroy", in_destroy, 0, ACTIONS * DRIVES);
    add_case("in_calls_from_outside", in_calls_from_outside, RETURN, ACTIONS);
    add_case("while_freed", while_freed, 0, ACTIONS * DRIVES);
    add_case("ends_by_exit", ends_by_exit, 0, ACTIONS);
    add_case("beside_its_parent", beside_its_parent, 0, 2 * DRIVES);
    add_case("makes_a_new_session", makes_a_new_session, FREE, END * DRIVES);
    add_case("by_another_thread", by_another_thread, 0, DRIVES);
    add_case("descriptors_close_on_exec", descriptors_close_on_exec, 0, 2);
}
