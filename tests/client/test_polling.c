/* When the status of a job is asked for: how long after the last answer, and when the server says
 * so. */
#include <stdio.h>

#include "harness.h"

static struct harness h;

/* The first poll, too, comes no later than BCDA_OPT_POLL_MAX_MS: a second, if that is longer. */
static const struct {
    int64_t most, first;
} first_polls[] = {{30000, 1000}, {20, 20}};

START_TEST(first_poll)
{
    struct run *r;
    int64_t before;

    harness_open(&h, NULL);
    harness_config(&h, 1);
    harness_set(&h, BCDA_OPT_POLL_MAX_MS, first_polls[_i].most);
    harness_session(&h);
    harness_export(&h, BCDA_LEVEL_PATIENT, "Patient", NULL);
    r = harness_start(&h, DOOR_RESOURCE);
    harness_until_state(&h, r, BCDA_JOB_RUNNING);
    before = h.now;
    while (sandbox_count(h.sb, "status") == 0)
        ck_assert_int_eq(harness_turn(&h), 1);
    ck_assert_int_eq(h.now - before, first_polls[_i].first);
    harness_close(&h);
}
END_TEST

/* Polls keep to the time since the server accepted the job: an eighth of it, 1 s at least, and
 * BCDA_OPT_POLL_MAX_MS at most. */
START_TEST(polls_follow_time)
{
    struct sandbox_options options = {0};
    enum { POLLS = 60, MOST = 20000 };
    int64_t accepted, last, gap, eighth;
    unsigned seen = 0;
    struct run *r;

    options.polls = POLLS;
    harness_open(&h, &options);
    harness_config(&h, 1);
    harness_set(&h, BCDA_OPT_POLL_MAX_MS, MOST);
    harness_session(&h);
    harness_export(&h, BCDA_LEVEL_PATIENT, "Patient", NULL);
    harness_fault(&h, "kickoff-429:100*1"); /* what goes by before that does not count */
    r = harness_start(&h, DOOR_RESOURCE);
    harness_until_state(&h, r, BCDA_JOB_RUNNING);
    accepted = last = h.now;
    while (!r->done) {
        ck_assert_int_eq(harness_turn(&h), 1);
        if (sandbox_count(h.sb, "status") == seen)
            continue;
        seen = sandbox_count(h.sb, "status");
        gap = h.now - last;
        eighth = (last - accepted) / 8;
        ck_assert_int_eq(gap, eighth < 1000 ? 1000 : eighth > MOST ? MOST : eighth);
        last = h.now;
    }
    harness_check_export(r);
    ck_assert_uint_eq(seen, POLLS + 1);
    ck_assert_int_gt(last - accepted, MOST * 8);
    harness_close(&h);
}
END_TEST

/* Retry-After as a time: in seconds and in milliseconds since 1970. */
START_TEST(retry_at_a_time)
{
    int64_t until;
    char spec[64];
    struct run *r;

    harness_open(&h, NULL);
    harness_config(&h, 1);
    harness_session(&h);
    harness_export(&h, BCDA_LEVEL_PATIENT, "Patient", NULL);
    until = h.now / 1000 * 1000 + 120000;
    snprintf(spec, sizeof spec, "retry-after:%lld", (long long)(_i ? until : until / 1000));
    harness_fault(&h, "status-503:0*1");
    harness_fault(&h, spec);
    r = harness_start(&h, DOOR_RESOURCE);
    while (sandbox_count(h.sb, "status") < 2)
        ck_assert_int_eq(harness_turn(&h), 1);
    ck_assert_int_eq(h.now, until);
    harness_run(&h);
    harness_check_export(r);
    harness_close(&h);
}
END_TEST

SUITE("polling")
{
    suite_case("polling");
    suite_loop(first_poll, 0, 2);
    suite_test(polls_follow_time);
    suite_loop(retry_at_a_time, 0, 2);
}
