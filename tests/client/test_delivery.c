/* Tests of what the callbacks and the batches of a job deliver, and of the objects that the
 * application may keep. */
#include <stdio.h>
#include <string.h>

#include "fixture.h"

static struct fixture fx;

struct seen_batches {
    size_t counts[64], n;
};

static int note_batch(struct run *r, enum where where, void *object)
{
    struct seen_batches *seen = r->arg;

    if (where == AT_BATCH) {
        ck_assert_uint_lt(seen->n, 64);
        seen->counts[seen->n++] = bcda_batch_count(object);
    }
    return BCDA_CONTINUE;
}

static void check_held(struct run *r, bcda_batch *b, size_t first, size_t count)
{
    const uint64_t *offsets, *lengths, *numbers = bcda_batch_line_numbers(b);
    const char *base;
    size_t i, len;

    ck_assert_uint_eq(bcda_batch_count(b), count);
    ck_assert_ok(bcda_batch_column(b, BCDA_COLUMN_ID, &base, &offsets, &lengths));
    for (i = 0; i < count; i++) {
        const struct got *g = &r->got[first + i];
        const bcda_resource *resource = bcda_batch_resource(b, i);
        const char *json = bcda_resource_json(resource, &len);

        ck_assert_uint_eq(len, g->json_len);
        ck_assert_mem_eq(json, g->json, len);
        ck_assert_str_eq(bcda_resource_id(resource), g->id);
        ck_assert_uint_eq(lengths[i], strlen(g->id));
        ck_assert_mem_eq(base + offsets[i], g->id, lengths[i]);
        ck_assert_int_eq((int64_t)numbers[i], g->number);
    }
    ck_assert_ptr_null(bcda_batch_resource(b, count));
}

START_TEST(held_batches)
{
    struct seen_batches seen = {{0}, 0};
    struct run *r;
    size_t i, at = 0;

    fixture_open_scripted(&fx, 0);
    fixture_reply_patients(&fx, "/data/", 0, 300);
    scripted_export(fx.server, fixture_files, 1);
    fixture_set(&fx, BCDA_OPT_BATCH_SIZE, 4096);
    fixture_session(&fx);
    r = fixture_start_hook(&fx, BY_BATCH, note_batch, &seen);
    r->hold = 1;
    fixture_finish(&fx);
    fixture_check_result(r, 0);
    fixture_check_patients(r, 0, 0, 300);
    ck_assert_uint_gt(seen.n, 3);
    ck_assert_uint_eq(r->batch_count, seen.n);
    for (i = 0; i < seen.n; i++) {
        check_held(r, r->batches[i], at, seen.counts[i]);
        at += seen.counts[i];
    }
    ck_assert_uint_eq(at, 300);
    fixture_close(&fx);
}
END_TEST

static const char issues[] =
    "{\"resourceType\":\"OperationOutcome\",\"issue\":[{\"severity\":\"error\",\"code\":\"x\"},"
    "{\"severity\":\"warning\",\"code\":\"y\"},{\"severity\":\"error\",\"code\":\"z\"}]}\n"
    "{\"resourceType\":\"OperationOutcome\",\"issue\":[{\"severity\":\"fatal\",\"code\":\"x\"},"
    "{\"severity\":\"information\",\"code\":\"y\"},{\"severity\":\"odd\",\"code\":\"z\"}]}\n";

START_TEST(issue_counts)
{
    static const struct scripted_entry files[] = {{"Patient", "/data/a.ndjson", NULL, 0},
                                                  {"OperationOutcome", "/data/e.ndjson", NULL, 1}};
    static const enum delivery_way ways[] = {BY_PULL, BY_RESOURCE, BY_BATCH};
    struct run *r;

    fixture_open_scripted(&fx, 0);
    fixture_reply_patients(&fx, "/data/a", 0, 3);
    scripted_reply(fx.server, "/data/e", "200 OK", "", issues, sizeof issues - 1);
    scripted_export(fx.server, files, 2);
    r = fixture_run(&fx, ways[_i]);
    fixture_check_result(r, 0);
    fixture_check_patients(r, 0, 0, 3);
    ck_assert_int_eq(bcda_job_issue_count(r->job, BCDA_SEVERITY_ERROR), 2);
    ck_assert_int_eq(bcda_job_issue_count(r->job, BCDA_SEVERITY_WARNING), 1);
    ck_assert_int_eq(bcda_job_issue_count(r->job, BCDA_SEVERITY_FATAL), 1);
    ck_assert_int_eq(bcda_job_issue_count(r->job, BCDA_SEVERITY_INFORMATION), 1);
    ck_assert_int_eq(bcda_job_issue_count(r->job, BCDA_SEVERITY_UNKNOWN), 1);
    ck_assert_uint_eq(r->issue_count, 6); /* on_server_issue is called in every way of delivery */
    fixture_close(&fx);
}
END_TEST

START_TEST(page_in_place_of_data)
{
    static const char page[] = "{\"resourceType\":\"Patient\",\"id\":\"a-login-page\"}\n";
    struct run *r;

    fixture_open_scripted(&fx, 0);
    scripted_reply(fx.server, "/data/", "200 OK", "Content-Type: text/html; charset=utf-8\r\n",
                   page, sizeof page - 1);
    scripted_export(fx.server, fixture_files, 1);
    r = fixture_run(&fx, BY_RESOURCE);
    fixture_check_result(r, BCDA_ERR_NOT_JSON);
    ck_assert_uint_eq(r->count, 0);
    fixture_close(&fx);
}
END_TEST

SUITE("delivery")
{
    suite_case("delivery");
    suite_test(held_batches);
    suite_loop(issue_counts, 0, 3);
    suite_test(page_in_place_of_data);
}
