/* How the engine divides its steps among channels: a step moves a limited number of bytes, and the
 * channel that used up this limit is served last in the next step. There is no network: the linker
 * (-Wl,--wrap) replaces the functions that the engine calls. */
#include <string.h>

#include "net/engine.h"
#include "net/http.h"
#include "net/loop.h"
#include "suite.h"

enum { CHANNELS = 4, FDS = 5, STEPS = 100, A_WHOLE_STEP = 1024 * 1024 };

static struct bcda__engine *engine;
static size_t piece; /* bytes that each call of a replaced function reports as moved */

/* ---- channels that always have something to do ---- */

static struct bcda__channel *channels[CHANNELS];
static int can_dispatch, can_resume;
static unsigned dispatched[CHANNELS], resumed[CHANNELS];

static int channel_number(const struct bcda__http *h)
{
    int i;

    for (i = 0; i < CHANNELS; i++)
        if (channels[i]->http == h)
            return i;
    return -1; /* the shared channel, which is idle here */
}

int __wrap_bcda__http_dispatch(struct bcda__http *h);
int __wrap_bcda__http_has_events(const struct bcda__http *h);
size_t __wrap_bcda__http_resumable(const struct bcda__http *h);
void __wrap_bcda__http_resume(struct bcda__http *h);

int __wrap_bcda__http_dispatch(struct bcda__http *h)
{
    int i = can_dispatch ? channel_number(h) : -1;

    if (i < 0)
        return 0;
    dispatched[i]++;
    bcda__engine_spend(engine, piece);
    return 1;
}

int __wrap_bcda__http_has_events(const struct bcda__http *h)
{
    return can_dispatch && channel_number(h) >= 0;
}

size_t __wrap_bcda__http_resumable(const struct bcda__http *h)
{
    return can_resume && channel_number(h) >= 0;
}

void __wrap_bcda__http_resume(struct bcda__http *h)
{
    resumed[channel_number(h)]++;
    bcda__engine_spend(engine, piece);
}

/* ---- file descriptors that are always readable ---- */

static int are_ready;
static unsigned driven[FDS];

int __wrap_bcda__loop_take(struct bcda__loop *l, struct bcda__loop_ready *out, int max, int *timer,
                           int *woken);
void __wrap_bcda__http_drive(struct bcda__http *h, int fd, int events);

int __wrap_bcda__loop_take(struct bcda__loop *l, struct bcda__loop_ready *out, int max, int *timer,
                           int *woken)
{
    int i;

    (void)l;
    *timer = *woken = 0;
    ck_assert_int_ge(max, FDS);
    for (i = 0; are_ready && i < FDS; i++) {
        out[i].fd = 1000 + i;
        out[i].events = BCDA__LOOP_READ;
    }
    return i;
}

void __wrap_bcda__http_drive(struct bcda__http *h, int fd, int events)
{
    (void)h;
    (void)events;
    driven[fd - 1000]++;
    bcda__engine_spend(engine, piece);
}

/* ---- tests ---- */

static void open_engine(void)
{
    struct bcda__clock clock = bcda__clock_system();
    struct bcda__http_options o = {0};
    static struct bcda__log log;
    struct bcda_error err;
    int i;

    o.user_agent = "test";
    o.headers_max = 65536;
    ck_assert_int_eq(bcda__engine_new(&engine, &o, &clock, &log, &err), 0);
    for (i = 0; i < CHANNELS; i++)
        ck_assert_int_eq(bcda__engine_channel(engine, &channels[i], &err), 0);
}

static void run_steps(int steps)
{
    int woken, i;

    for (i = 0; i < steps; i++) {
        ck_assert_int_ge(bcda__engine_step(engine, &woken), 0);
        ck_assert_int_eq(woken, 0);
    }
}

/* Checks that the `n` counts add up to `total`, and that each is at least half of total / n. */
static void check_shares(const unsigned *counts, unsigned n, unsigned total)
{
    unsigned i, sum = 0;

    for (i = 0; i < n; i++)
        sum += counts[i];
    ck_assert_uint_eq(sum, total);
    for (i = 0; i < n; i++)
        ck_assert_msg(counts[i] >= total / n / 2, "number %u got %u of %u", i, counts[i], total);
}

/* Each call moves as many bytes as a whole step may, so each step serves one channel. */
START_TEST(channels_share_steps)
{
    open_engine();
    piece = A_WHOLE_STEP;
    can_dispatch = 1;
    run_steps(STEPS);
    check_shares(dispatched, CHANNELS, STEPS);
    bcda__engine_free(engine);
}
END_TEST

START_TEST(resumed_channels_share_steps)
{
    open_engine();
    piece = A_WHOLE_STEP;
    can_resume = 1;
    run_steps(STEPS);
    check_shares(resumed, CHANNELS, STEPS);
    bcda__engine_free(engine);
}
END_TEST

START_TEST(descriptors_share_steps)
{
    open_engine();
    piece = A_WHOLE_STEP;
    are_ready = 1;
    run_steps(STEPS);
    check_shares(driven, FDS, STEPS);
    bcda__engine_free(engine);
}
END_TEST

/* A step handles a limited number of events, even if they move hardly any bytes. */
START_TEST(step_is_bounded)
{
    enum { EVENTS = 64 };
    unsigned i, sum = 0;

    open_engine();
    piece = 1;
    can_dispatch = 1;
    run_steps(1);
    for (i = 0; i < CHANNELS; i++)
        sum += dispatched[i];
    ck_assert_uint_eq(sum, EVENTS);
    bcda__engine_free(engine);
}
END_TEST

/* ---- timers ---- */

static int order[8], fired;
static struct bcda__timer timers[3];

static void note_timer(void *ctx)
{
    order[fired++] = (int)((struct bcda__timer *)ctx - timers);
}

static void set_once_more(void *ctx)
{
    fired++;
    bcda__timer_set(engine, ctx, 0, set_once_more, ctx);
}

/* The earliest timer fires first, whatever order the timers were set in. They are hours apart, so
 * that the time between these calls does not matter. */
START_TEST(earliest_timer_first)
{
    int i;

    open_engine();
    for (i = 0; i < 3; i++)
        bcda__timer_set(engine, &timers[i], -(int64_t)((i + 1) % 3) * 3600000, note_timer,
                        &timers[i]);
    run_steps(1);
    ck_assert_int_eq(fired, 3);
    ck_assert_int_eq(order[0], 1);
    ck_assert_int_eq(order[1], 0);
    ck_assert_int_eq(order[2], 2);
    bcda__engine_free(engine);
}
END_TEST

/* A timer that sets itself again, due at once, fires in the next step. Otherwise a step might never
 * end. */
START_TEST(timer_fires_once_a_step)
{
    open_engine();
    bcda__timer_set(engine, &timers[0], 0, set_once_more, &timers[0]);
    run_steps(1);
    ck_assert_int_eq(fired, 1);
    run_steps(5);
    ck_assert_int_eq(fired, 6);
    bcda__timer_clear(&timers[0]);
    run_steps(1);
    ck_assert_int_eq(fired, 6);
    bcda__engine_free(engine);
}
END_TEST

SUITE("fairness")
{
    suite_case("fairness");
    suite_test(channels_share_steps, resumed_channels_share_steps, descriptors_share_steps,
               step_is_bounded);
    suite_case("timers");
    suite_test(earliest_timer_first, timer_fires_once_a_step);
}
