/* When the status of a job is requested: how long after the last answer, or at the time that the
 * server names. */
#include <stdio.h>

#include "fixture.h"

static struct fixture fx;

/* The first poll comes after a second, or after BCDA_OPT_POLL_MAX_MS if that is shorter. */
static const struct {
    int64_t most, first;
} first_polls[] = {{30000, 1000}, {20, 20}};

START_TEST(first_poll)
{
    struct run *r;
    int64_t before;

    fixture_open_sandbox(&fx, NULL);
    fixture_set(&fx, BCDA_OPT_POLL_MAX_MS, first_polls[_i].most);
    fixture_session(&fx);
    fixture_export(&fx, BCDA_LEVEL_PATIENT, "Patient", NULL);
    r = fixture_start(&fx, BY_RESOURCE);
    fixture_until_state(&fx, r, BCDA_JOB_RUNNING);
    before = fx.now;
    while (sandbox_count(fx.sandbox, "status") == 0)
        ck_assert_int_eq(fixture_step(&fx), 1);
    ck_assert_int_eq(fx.now - before, first_polls[_i].first);
    fixture_close(&fx);
}
END_TEST

/* The time between two polls is an eighth of the time since the server accepted the job, but at
 * least 1 s and at most BCDA_OPT_POLL_MAX_MS. */
START_TEST(polls_follow_time)
{
    struct sandbox_options options = {0};
    enum { POLLS = 60, MOST = 20000 };
    int64_t accepted, last, gap, eighth;
    unsigned seen = 0;
    struct run *r;

    options.polls = POLLS;
    fixture_open_sandbox(&fx, &options);
    fixture_set(&fx, BCDA_OPT_POLL_MAX_MS, MOST);
    fixture_session(&fx);
    fixture_export(&fx, BCDA_LEVEL_PATIENT, "Patient", NULL);
    /* The time before the job is accepted does not count. */
    fixture_fault(&fx, "kickoff-429:100*1");
    r = fixture_start(&fx, BY_RESOURCE);
    fixture_until_state(&fx, r, BCDA_JOB_RUNNING);
    accepted = last = fx.now;
    while (!r->done) {
        ck_assert_int_eq(fixture_step(&fx), 1);
        if (sandbox_count(fx.sandbox, "status") == seen)
            continue;
        seen = sandbox_count(fx.sandbox, "status");
        gap = fx.now - last;
        eighth = (last - accepted) / 8;
        ck_assert_int_eq(gap, eighth < 1000 ? 1000 : eighth > MOST ? MOST : eighth);
        last = fx.now;
    }
    fixture_check_export(r);
    ck_assert_uint_eq(seen, POLLS + 1);
    ck_assert_int_gt(last - accepted, MOST * 8);
    fixture_close(&fx);
}
END_TEST

/* Retry-After names a point in time, in seconds (_i is 0) or in milliseconds since 1970. */
START_TEST(retry_at_a_time)
{
    int64_t until;
    char spec[64];
    struct run *r;

    fixture_open_sandbox(&fx, NULL);
    fixture_session(&fx);
    fixture_export(&fx, BCDA_LEVEL_PATIENT, "Patient", NULL);
    until = fx.now / 1000 * 1000 + 120000;
    snprintf(spec, sizeof spec, "retry-after:%lld", (long long)(_i ? until : until / 1000));
    fixture_fault(&fx, "status-503:0*1");
    fixture_fault(&fx, spec);
    r = fixture_start(&fx, BY_RESOURCE);
    while (sandbox_count(fx.sandbox, "status") < 2)
        ck_assert_int_eq(fixture_step(&fx), 1);
    ck_assert_int_eq(fx.now, until);
    fixture_finish(&fx);
    fixture_check_export(r);
    fixture_close(&fx);
}
END_TEST

SUITE("polling")
{
    suite_case("polling");
    suite_loop(first_poll, 0, 2);
    suite_test(polls_follow_time);
    suite_loop(retry_at_a_time, 0, 2);
}
