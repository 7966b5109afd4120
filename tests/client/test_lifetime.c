/* Which objects outlive others: sessions that are freed while jobs run, jobs to which the
 * application has no reference, and files, batches and errors that it keeps. */
#include <string.h>

#include "fixture.h"

static struct fixture fx;

#define EOB "ExplanationOfBenefit"

START_TEST(free_outside)
{
    int when = _i / 3;
    struct run *r[2];
    int i;

    fixture_setup_one_file(&fx);
    fixture_fault(&fx, "stall");
    fx.jump_open = 1;
    for (i = 0; i < 2; i++)
        r[i] = fixture_start(&fx, (enum delivery_way)(_i % 3));
    if (when == 4)
        fixture_until_count(&fx, r[0], 1);
    else if (when > 0)
        fixture_until_state(&fx, r[0], when);
    fixture_free_session(&fx);
    for (i = 0; i < 2; i++) {
        (void)fixture_check_failed(r[i], BCDA_ERR_CANCELLED);
        ck_assert_ok(bcda_job_cancel(r[i]->job)); /* calls for a job without a session succeed */
        ck_assert_ok(bcda_job_resume(r[i]->job));
    }
    fixture_close(&fx);
}
END_TEST

/* A job continues after the application has released its only reference. */
START_TEST(unref_at_once)
{
    struct run *r;

    fixture_setup_one_file(&fx);
    r = fixture_start(&fx, BY_RESOURCE);
    bcda_job_unref(r->job);
    r->job = NULL;
    while (!r->done)
        ck_assert_int_eq(fixture_step(&fx), 1);
    fixture_check_came(r, 50);
    fixture_close(&fx);
}
END_TEST

/* Files, batches and errors outlive the session and the job. */
START_TEST(outlive)
{
    const bcda_file *f;
    bcda_error *e;
    bcda_job *job;
    struct run *r;
    size_t i, total = 0;
    bcda_batch *held[8];
    size_t held_count;

    fixture_setup_one_file(&fx);
    fixture_fault(&fx, "data-flip:-1");
    r = fixture_start(&fx, (enum delivery_way)(_i ? BY_PULL : BY_BATCH));
    r->hold = 1;
    fixture_finish(&fx);
    (void)fixture_check_failed(r, BCDA_ERR_TAG);
    job = bcda_job_ref(r->job);
    e = bcda_error_ref(bcda_job_error(job));
    held_count = r->batch_count;
    ck_assert_uint_gt(held_count, 1);
    ck_assert_uint_le(held_count, 8);
    for (i = 0; i < held_count; i++)
        held[i] = bcda_batch_ref(r->batches[i]);
    fixture_end(&fx);

    f = bcda_job_file(job, 0);
    ck_assert_int_eq(bcda_error_code(bcda_file_error(f)), BCDA_ERR_TAG);
    ck_assert_int_eq(bcda_job_result(job), BCDA_ERR_TAG);
    ck_assert_ptr_eq(bcda_batch_file(held[0]), f);
    bcda_job_unref(job);
    ck_assert_int_eq(bcda_error_code(e), BCDA_ERR_TAG);
    ck_assert_str_eq(bcda_error_file(e), bcda_file_name(bcda_batch_file(held[0])));
    bcda_error_unref(e);
    for (i = 0; i < held_count; i++) {
        size_t k, len;

        total += bcda_batch_count(held[i]);
        for (k = 0; k < bcda_batch_count(held[i]); k++)
            ck_assert_int_eq(bcda_resource_json(bcda_batch_resource(held[i], k), &len)[0], '{');
        bcda_batch_unref(held[i]);
    }
    ck_assert_uint_gt(total, 0);
    fixture_close(&fx);
}
END_TEST

/* Many jobs leak neither descriptors nor memory. The fixture counts the descriptors at the end of
 * each session. */
START_TEST(no_leak)
{
    struct sandbox_options options = {0};
    int i;

    options.era = "current";
    options.allow_duplicates = 1;
    fixture_open_sandbox(&fx, &options);
    for (i = 0; i < 5; i++) {
        fixture_config(&fx);
        fixture_session(&fx);
        (void)fixture_start(&fx, (enum delivery_way)(i % 3));
        if (i < 3)
            fixture_finish(&fx);
        else
            fixture_until_state(&fx, fx.runs, i - 1);
        fixture_end(&fx);
    }
    fixture_close(&fx);
}
END_TEST

SUITE("lifetime")
{
    suite_case("lifetime");
    suite_loop(free_outside, 0, 15);
    suite_test(unref_at_once);
    suite_loop(outlive, 0, 2);
    suite_test(no_leak);
}
