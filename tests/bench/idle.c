/* Counts how often a session wakes up while it waits for a job that does not end. Prints
 *
 *     "<polls> <wake-ups that belong to no poll> <seconds>"
 *
 * A wake-up belongs to a poll if a transfer is open before or after the wake-up, or if a request
 * begins during it.
 *
 * Usage: bench-idle STATUS_URL SECONDS real|own
 * real: real seconds. own: seconds of a clock that moves to the session's next timer whenever no
 * transfer is open, so that an hour takes seconds; sockets and libcurl's timer are real. */
#include <bcda/bcda.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "client/config.h"
#include "client/session.h"

struct watch {
    int64_t polls, idle;
};

static int own;
static int64_t now_ms; /* with the argument "own": the time on the simulated clock */

static int64_t real_ms(void)
{
    return (int64_t)(bench_wall() * 1000);
}

static int64_t read_clock(void *ctx)
{
    (void)ctx;
    return own ? now_ms : real_ms();
}

static int64_t stat(const bcda_session *s, int which)
{
    int64_t n = 0;

    bcda_session_stat(s, which, &n);
    return n;
}

static int readable(bcda_session *s, int64_t wait_ms)
{
    struct pollfd p = {.fd = bcda_session_fd(s), .events = POLLIN};

    return poll(&p, 1, (int)wait_ms) > 0;
}

/* Sleeps until the session's descriptor is readable, as an application's event loop does, or with
 * "own" moves the clock to the next timer. Returns 1 if bcda_session_step() must be called. */
static int asleep(bcda_session *s, int64_t left_ms)
{
    int64_t next = bcda__session_next_timer_ms(s);

    if (!own)
        return readable(s, left_ms);
    if (readable(s, stat(s, BCDA_STAT_TRANSFERS) ? 1000 : 20))
        return 1;
    if (stat(s, BCDA_STAT_TRANSFERS) || next < 0)
        return 0;
    now_ms += next;
    return 1;
}

/* Sleeps once, then calls bcda_session_step() until the session has nothing more to do. Counts the
 * polls, or a wake-up that belongs to no poll. */
static void one_wake(bcda_session *s, struct watch *w, int64_t left_ms)
{
    int64_t requests = stat(s, BCDA_STAT_REQUESTS);
    int open = stat(s, BCDA_STAT_TRANSFERS) > 0;

    if (!asleep(s, left_ms))
        return;
    do {
        bcda_session_step(s);
        open |= stat(s, BCDA_STAT_TRANSFERS) > 0;
    } while (readable(s, 0));
    requests = stat(s, BCDA_STAT_REQUESTS) - requests;
    w->polls += requests;
    w->idle += !open && !requests;
}

static int configure(bcda_config *c)
{
    if (own)
        c->clock.now_ms = c->clock.wall_ms = read_clock;
    return bcda_config_set_fhir_url(c, bench_need("BCDA_FHIR_URL")) ||
           bcda_config_set_client_credentials(c, bench_need("BCDA_CLIENT_ID"),
                                              bench_line_of("BCDA_CLIENT_SECRET_FILE")) ||
           bcda_config_set_ca_file(c, bench_need("BCDA_CA_FILE"));
}

int main(int argc, char **argv)
{
    bcda_config *config = NULL;
    bcda_session *session = NULL;
    bcda_job *job = NULL;
    struct watch w = {0};
    int64_t end;

    if (argc < 4 || bcda_config_new(&config))
        return 2;
    own = strcmp(argv[3], "own") == 0;
    now_ms = real_ms();
    end = now_ms + atoi(argv[2]) * INT64_C(1000);
    if (configure(config) || bcda_session_new(&session, config) ||
        bcda_job_attach(session, argv[1], NULL, NULL, &job))
        return 1;
    while (read_clock(NULL) < end)
        one_wake(session, &w, end - read_clock(NULL));
    printf("%lld %lld %s\n", (long long)w.polls, (long long)w.idle, argv[2]);
    bcda_job_unref(job);
    bcda_session_free(session);
    bcda_config_free(config);
    return 0;
}
