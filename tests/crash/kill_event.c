/*
 * A library for LD_PRELOAD that ends a loader at a chosen event. It watches the sockets, the SQL
 * and the clock of the program, and so knows in which phase of a load the program is. The loaders
 * must be run without TLS, so that requests can be read.
 *
 * BCDA_KILL_AT is KIND:N: the N-th event of a kind, which is one of
 *   time       milliseconds since the start
 *   bytes      bytes received over HTTP
 *   sync       calls of fsync() and fdatasync()
 *   row        rows stored, one by one or as a chunk of a COPY, and other statements
 *   begin      transactions on the database, at their beginning
 *   commit     the same, before their COMMIT
 *   after      the same, after their COMMIT
 *   a phase    events of all kinds in this phase, see phase_names
 * BCDA_KILL_ACTION is "kill" (the default): the program gets SIGKILL; or "stop": it is stopped
 * once, by SIGSTOP, for the caller to do something meanwhile. In both cases, a line "PHASE KIND N"
 * was written to BCDA_KILL_REPORT. When the program ends by itself, the numbers of all events are
 * written to BCDA_KILL_COUNTS.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define EXPORTED __attribute__((visibility("default")))
/* Finds the function of this name that would have been called, once. */
#define NEXT(type, name)          \
    static __typeof__(type) next; \
    next = next ? next : (type)(uintptr_t)dlsym(RTLD_NEXT, name)

enum phase { STARTING, POLLING, DOWNLOADING, TRANSACTION, COMMITTED, DELETIONS, FINISHING, PHASES };

static const char *const phase_names[PHASES] = {
    "starting", "polling", "downloading", "transaction", "committed", "deletions", "finishing"};

enum kind { TIME, BYTES, SYNC, ROW, BEGIN, COMMIT, AFTER_COMMIT, KINDS };

static const char *const kind_names[KINDS] = {"time",  "bytes",  "sync", "row",
                                              "begin", "commit", "after"};

static _Atomic int phase = STARTING;
static atomic_bool in_transaction, stopped;
static atomic_long counts[KINDS], phase_counts[PHASES];

/* The chosen event; it is constant once the program runs. */
static int chosen_kind = -1, chosen_phase = -1, report_fd = -1;
static long chosen;
static bool only_stop;

static void act(const char *name, long n)
{
    char line[96];
    int len = snprintf(line, sizeof line, "%s %s %ld\n", phase_names[phase], name, n);

    if (report_fd >= 0)
        syscall(SYS_write, report_fd, line, len);
    if (!only_stop)
        kill(getpid(), SIGKILL);
    else if (!atomic_exchange(&stopped, true))
        kill(getpid(), SIGSTOP);
}

/* Counts an event, and acts if it is the chosen one. */
static void count_event(enum kind kind, long n)
{
    long now = atomic_fetch_add(&counts[kind], n) + n;
    long in_phase = atomic_fetch_add(&phase_counts[phase], 1) + 1;

    if ((int)kind == chosen_kind && now >= chosen && !stopped)
        act(kind_names[kind], now);
    if (phase == chosen_phase && in_phase >= chosen && !stopped)
        act("phase", in_phase);
}

static void on_timer(int number)
{
    (void)number;
    act("time", chosen);
}

static void start_timer(void)
{
    struct itimerspec after = {.it_value = {chosen / 1000, chosen % 1000 * 1000000 + 1}};
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMAX};
    struct sigaction action = {.sa_handler = on_timer, .sa_flags = SA_RESTART};
    timer_t timer;

    sigaction(SIGRTMAX, &action, NULL);
    if (timer_create(CLOCK_MONOTONIC, &event, &timer) || timer_settime(timer, 0, &after, NULL))
        abort();
}

static int find_name(const char *const *names, int count, const char *name, size_t len)
{
    for (int i = 0; i < count; i++)
        if (strlen(names[i]) == len && memcmp(names[i], name, len) == 0)
            return i;
    return -1;
}

__attribute__((constructor)) static void read_choice(void)
{
    const char *at = getenv("BCDA_KILL_AT"), *report = getenv("BCDA_KILL_REPORT");
    const char *action = getenv("BCDA_KILL_ACTION");
    size_t len = at ? strcspn(at, ":") : 0;

    if (report)
        report_fd = open(report, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (!at || at[len] != ':')
        return;
    only_stop = action && strcmp(action, "stop") == 0;
    chosen = atol(at + len + 1);
    chosen_kind = find_name(kind_names, KINDS, at, len);
    chosen_phase = chosen_kind < 0 ? find_name(phase_names, PHASES, at, len) : -1;
    if (chosen_kind < 0 && chosen_phase < 0)
        abort();
    if (chosen_kind == TIME)
        start_timer();
}

__attribute__((destructor)) static void write_counts(void)
{
    const char *path = getenv("BCDA_KILL_COUNTS");
    FILE *f = path ? fopen(path, "w") : NULL;

    if (!f)
        return;
    for (int i = BYTES; i < KINDS; i++)
        fprintf(f, "%s %ld\n", kind_names[i], counts[i]);
    for (int i = 0; i < PHASES; i++)
        fprintf(f, "%s %ld\n", phase_names[i], phase_counts[i]);
    fclose(f);
}

/* ---- sockets ---- */

static bool is_http(int fd)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof address;

    return getsockname(fd, (struct sockaddr *)&address, &size) == 0 &&
           (address.ss_family == AF_INET || address.ss_family == AF_INET6);
}

/* Follows the phases by the requests: a status, a data file, a file of deletions. */
static void on_sent(const char *data, size_t len)
{
    const char *end = memchr(data, '\n', len);
    size_t n = end ? (size_t)(end - data) : len;

    if (len < 4 || memcmp(data, "GET ", 4) != 0)
        return;
    if (memmem(data, n, "/jobs/", 6) && phase == STARTING)
        phase = POLLING;
    else if (memmem(data, n, "-deleted", 8))
        phase = DELETIONS;
    else if (memmem(data, n, "/data/", 6) && phase != DELETIONS && !in_transaction)
        phase = DOWNLOADING;
}

EXPORTED ssize_t send(int fd, const void *data, size_t len, int flags)
{
    NEXT(ssize_t(*)(int, const void *, size_t, int), "send");
    if (is_http(fd))
        on_sent(data, len);
    return next(fd, data, len, flags);
}

EXPORTED ssize_t recv(int fd, void *data, size_t len, int flags)
{
    ssize_t n;
    long left;

    NEXT(ssize_t(*)(int, void *, size_t, int), "recv");
    if (!is_http(fd) || (flags & MSG_PEEK))
        return next(fd, data, len, flags);
    if (phase == COMMITTED)
        phase = DOWNLOADING;
    /* The program gets the bytes up to the chosen one, and is killed when it reads on. */
    left = chosen - counts[BYTES];
    if (chosen_kind == BYTES && !stopped && left > 0 && (size_t)left < len)
        len = (size_t)left;
    if (chosen_kind == BYTES && !stopped && left <= 0)
        count_event(BYTES, 0);
    n = next(fd, data, len, flags);
    if (n > 0 && chosen_kind != BYTES)
        count_event(BYTES, n);
    else if (n > 0)
        atomic_fetch_add(&counts[BYTES], n);
    return n;
}

/* ---- disk ---- */

EXPORTED int fsync(int fd)
{
    NEXT(int (*)(int), "fsync");
    count_event(SYNC, 1);
    return next(fd);
}

EXPORTED int fdatasync(int fd)
{
    NEXT(int (*)(int), "fdatasync");
    count_event(SYNC, 1);
    return next(fd);
}

/* ---- SQL ---- */

static bool begins_with(const char *text, const char *word)
{
    return strncasecmp(text, word, strlen(word)) == 0;
}

/* A transaction in which a file is stored is a phase. Others belong to the phase around them. */
static void on_begin(void)
{
    in_transaction = true;
    if (phase == DOWNLOADING || phase == COMMITTED)
        phase = TRANSACTION;
    count_event(BEGIN, 1);
}

static void on_committed(void)
{
    in_transaction = false;
    if (phase == TRANSACTION)
        phase = COMMITTED;
    count_event(AFTER_COMMIT, 1);
    if (phase == DELETIONS)
        phase = FINISHING;
}

/* Looks at a statement before it is run. Returns true if it is the COMMIT of a transaction. */
static bool before_sql(const char *sql)
{
    /* The end of a load is recorded by this column. */
    if (strstr(sql, "SET status") && phase != STARTING)
        phase = FINISHING;
    if (begins_with(sql, "COMMIT") && in_transaction) {
        count_event(COMMIT, 1);
        return true;
    }
    if (begins_with(sql, "ROLLBACK"))
        in_transaction = false;
    return false;
}

static void after_sql(const char *sql, bool commits, bool stages)
{
    if (commits)
        on_committed();
    else if (begins_with(sql, "BEGIN") && !stages)
        on_begin();
    else
        count_event(ROW, 1);
}

struct sqlite3;
struct sqlite3_stmt;

/* sqlite3_exec() calls the other two. */
static _Thread_local bool is_nested;

EXPORTED int sqlite3_exec(struct sqlite3 *db, const char *sql,
                          int (*callback)(void *, int, char **, char **), void *userdata,
                          char **error);
EXPORTED int sqlite3_prepare_v2(struct sqlite3 *db, const char *sql, int len,
                                struct sqlite3_stmt **out, const char **tail);
EXPORTED int sqlite3_step(struct sqlite3_stmt *stmt);

EXPORTED int sqlite3_exec(struct sqlite3 *db, const char *sql,
                          int (*callback)(void *, int, char **, char **), void *userdata,
                          char **error)
{
    bool commits = before_sql(sql);
    int rc;

    NEXT(int (*)(struct sqlite3 *, const char *, int (*)(void *, int, char **, char **), void *,
                 char **),
         "sqlite3_exec");
    is_nested = true;
    rc = next(db, sql, callback, userdata, error);
    is_nested = false;
    /* A transaction on the stage begins with BEGIN alone. */
    after_sql(sql, commits, strcmp(sql, "BEGIN") == 0);
    return rc;
}

EXPORTED int sqlite3_prepare_v2(struct sqlite3 *db, const char *sql, int len,
                                struct sqlite3_stmt **out, const char **tail)
{
    NEXT(int (*)(struct sqlite3 *, const char *, int, struct sqlite3_stmt **, const char **),
         "sqlite3_prepare_v2");
    if (!is_nested)
        before_sql(sql);
    return next(db, sql, len, out, tail);
}

EXPORTED int sqlite3_step(struct sqlite3_stmt *stmt)
{
    NEXT(int (*)(struct sqlite3_stmt *), "sqlite3_step");
    if (!is_nested)
        count_event(ROW, 1);
    return next(stmt);
}

struct pg_conn;
struct pg_result;

/* The connection whose COMMIT was sent; the answer to it has not arrived. */
static struct pg_conn *_Atomic committing;

EXPORTED int PQsendQuery(struct pg_conn *db, const char *sql);
EXPORTED int PQsendQueryParams(struct pg_conn *db, const char *sql, int n, const unsigned *types,
                               const char *const *values, const int *lens, const int *formats,
                               int format);
EXPORTED int PQputCopyData(struct pg_conn *db, const char *data, int len);
EXPORTED struct pg_result *PQgetResult(struct pg_conn *db);

static void send_sql(struct pg_conn *db, const char *sql)
{
    if (before_sql(sql))
        committing = db;
    else
        after_sql(sql, false, false);
}

EXPORTED int PQsendQuery(struct pg_conn *db, const char *sql)
{
    NEXT(int (*)(struct pg_conn *, const char *), "PQsendQuery");
    send_sql(db, sql);
    return next(db, sql);
}

EXPORTED int PQsendQueryParams(struct pg_conn *db, const char *sql, int n, const unsigned *types,
                               const char *const *values, const int *lens, const int *formats,
                               int format)
{
    NEXT(int (*)(struct pg_conn *, const char *, int, const unsigned *, const char *const *,
                 const int *, const int *, int),
         "PQsendQueryParams");
    send_sql(db, sql);
    return next(db, sql, n, types, values, lens, formats, format);
}

EXPORTED int PQputCopyData(struct pg_conn *db, const char *data, int len)
{
    NEXT(int (*)(struct pg_conn *, const char *, int), "PQputCopyData");
    count_event(ROW, 1);
    return next(db, data, len);
}

EXPORTED struct pg_result *PQgetResult(struct pg_conn *db)
{
    struct pg_result *result;

    NEXT(struct pg_result * (*)(struct pg_conn *), "PQgetResult");
    result = next(db);
    if (result && committing == db) {
        committing = NULL;
        on_committed();
    }
    return result;
}
