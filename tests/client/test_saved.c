/* Saved jobs: which files the saved text lists as done, and which texts and URLs are refused. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"

static struct fixture fx;

/* A file that failed is not saved as done: a later run of the saved job fetches that file, and no
 * other. */
START_TEST(failed_file)
{
    struct scripted_answer *a;
    struct run *r;
    char *saved;

    fixture_open_scripted(&fx, 0);
    a = scripted_on(fx.server, "/data/a", 1);
    scripted_text(a, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    fixture_reply_two_files(&fx);
    r = fixture_run(&fx, BY_RESOURCE);
    (void)fixture_check_failed(r, BCDA_ERR_FORBIDDEN);
    ck_assert_uint_eq(r->count, 3);
    ck_assert_ok(bcda_job_save(r->job, &saved));
    ck_assert_ptr_null(strstr(saved, "/data/a.ndjson"));
    ck_assert_ptr_nonnull(strstr(saved, "/data/b.ndjson"));
    r = fixture_restore(&fx, BY_RESOURCE, saved);
    fixture_finish(&fx);
    fixture_check_came(r, 3);
    ck_assert_str_eq(r->got[0].id, "p0");
    ck_assert_uint_eq(scripted_count(fx.server, "GET /data/a"), 2);
    ck_assert_uint_eq(scripted_count(fx.server, "GET /data/b"), 1);
    bcda_free(saved);
    fixture_close(&fx);
}
END_TEST

/* A saved text of another version, or a text that is no saved job, is refused and makes no job. */
START_TEST(other_texts)
{
    static const char *const texts[][2] = {
        {"{\"url\":\"", "\",\"done\":[]}"},
        {"{\"bcda\":2,\"url\":\"", "\",\"done\":[]}"},
        {"{\"bcda\":\"1\",\"url\":\"", "\",\"done\":[]}"},
        {"{\"bcda\":1,\"uri\":\"", "\",\"done\":[]}"},
        {"{\"bcda\":1,\"url\":\"", "\",\"done\":[]"},
        {"", ""},
    };
    bcda_job *job = NULL;
    char text[256];

    fixture_open_scripted(&fx, 0);
    fixture_session(&fx);
    snprintf(text, sizeof text, "%s%s/api/v1/jobs/1%s", texts[_i][0], scripted_origin(fx.server),
             texts[_i][1]);
    ck_assert_int_eq(bcda_job_restore(fx.session, text, strlen(text), NULL, NULL, &job),
                     BCDA_ERR_INVALID);
    ck_assert_ptr_null(job);
    fixture_close(&fx);
}
END_TEST

/* A job URL of another origin is refused, given as a URL or in a saved text: the token would be
 * sent there. */
START_TEST(other_origin)
{
    static const char *const urls[] = {"http://127.0.0.1:1/api/v1/jobs/1",
                                       "https://127.0.0.1:1/api/v1/jobs/1"};
    bcda_job *job = NULL;
    char text[256];

    fixture_open_scripted(&fx, 0);
    fixture_session(&fx);
    ck_assert_int_eq(bcda_job_attach(fx.session, urls[_i], NULL, NULL, &job), BCDA_ERR_ORIGIN);
    snprintf(text, sizeof text, "{\"bcda\":1,\"url\":\"%s\",\"done\":[]}", urls[_i]);
    ck_assert_int_eq(bcda_job_restore(fx.session, text, strlen(text), NULL, NULL, &job),
                     BCDA_ERR_ORIGIN);
    ck_assert_ptr_null(job);
    fixture_close(&fx);
}
END_TEST

/* ---- what is listed as done ---- */

struct saving {
    int answer, cancel;
    char *in_done;
};

static int end_and_save(struct run *r, enum where where, void *object)
{
    struct saving *s = r->arg;

    (void)object;
    if (where == AT_DONE)
        ck_assert_ok(bcda_job_save(r->job, &s->in_done));
    if (where != AT_END)
        return BCDA_CONTINUE;
    if (s->cancel)
        ck_assert_ok(bcda_job_cancel(r->job));
    return s->answer;
}

static void check_save(int answer, int cancel, int code, int listed)
{
    struct saving s = {answer, cancel, NULL};
    struct run *r;
    char *later;

    fixture_open_scripted(&fx, 0);
    fixture_reply_two_files(&fx);
    fixture_set(&fx, BCDA_OPT_PARALLEL, 1);
    r = fixture_run_hook(&fx, BY_RESOURCE, end_and_save, &s);
    fixture_check_result(r, code);
    ck_assert_ok(bcda_job_save(r->job, &later));
    ck_assert_str_eq(later, s.in_done);
    ck_assert_msg((strstr(later, "/data/a.ndjson") != NULL) == listed, "saved: %s", later);
    ck_assert_ptr_null(strstr(later, "/data/b.ndjson"));

    r = fixture_restore(&fx, BY_RESOURCE, later);
    fixture_finish(&fx);
    fixture_check_result(r, 0);
    fixture_check_patients(r, 0, 0, listed ? 0 : 3);
    fixture_check_patients(r, 1, 3, 3);
    ck_assert_int_eq(bcda_file_verdict(bcda_job_file(r->job, 0)),
                     listed ? BCDA_VERDICT_SKIPPED : BCDA_VERDICT_COMPLETE);
    bcda_free(later);
    bcda_free(s.in_done);
    fixture_close(&fx);
}

START_TEST(save_after_stop)
{
    check_save(BCDA_STOP, 0, BCDA_ERR_STOPPED, 0);
    check_save(99, 0, BCDA_ERR_CALLBACK, 0);
}
END_TEST

START_TEST(save_after_cancel)
{
    check_save(BCDA_CONTINUE, 1, BCDA_ERR_CANCELLED, 1);
}
END_TEST

START_TEST(restore_of_many)
{
    enum { MANY = 60000 };
    struct buf saved = {0};
    struct run *r;
    size_t i;

    fixture_open_scripted(&fx, 0);
    fixture_export_many(&fx, MANY, NULL);
    fixture_session(&fx);
    buf_printf(&saved, "{\"bcda\":1,\"url\":\"%s/api/v1/jobs/1\",\"done\":[",
               scripted_origin(fx.server));
    for (i = MANY; i-- > 0;)
        buf_printf(&saved, "\"/data/%zu.ndjson\"%s", i, i ? "," : "]}");
    r = fixture_restore(&fx, BY_RESOURCE, saved.p);
    fixture_finish(&fx);
    fixture_check_result(r, 0);
    ck_assert_uint_eq(bcda_job_file_count(r->job), MANY);
    ck_assert_uint_eq(bcda_job_files_ended(r->job), MANY);
    for (i = 0; i < MANY; i++)
        ck_assert_int_eq(bcda_file_verdict(bcda_job_file(r->job, i)), BCDA_VERDICT_SKIPPED);
    ck_assert_uint_eq(scripted_count(fx.server, "/data/"), 0);
    buf_free(&saved);
    fixture_close(&fx);
}
END_TEST

struct first_saved {
    char *text;
};

static int save_at_first_end(struct run *r, enum where where, void *object)
{
    struct first_saved *s = r->arg;

    (void)object;
    if (where != AT_END || s->text)
        return BCDA_CONTINUE;
    ck_assert_ok(bcda_job_save(r->job, &s->text));
    ck_assert_ok(bcda_job_cancel(r->job));
    return BCDA_CONTINUE;
}

/* Two files of a job have URLs that differ only before or only after what looks like the file name.
 * The saved job must not mistake one for the other. */
START_TEST(save_knows_files_by_path)
{
    static const struct scripted_entry files[][2] = {
        {{"Patient", "/data/1/f.ndjson", NULL, 0}, {"Patient", "/data/2/f.ndjson", NULL, 0}},
        {{"Patient", "/data/f?n=1", NULL, 0}, {"Patient", "/data/f?n=2", NULL, 0}}};
    struct first_saved saved = {NULL};
    struct run *r;

    fixture_open_scripted(&fx, 0);
    fixture_reply_patients(&fx, files[_i][0].path, 0, 3);
    fixture_reply_patients(&fx, files[_i][1].path, 3, 3);
    scripted_export(fx.server, files[_i], 2);
    fixture_set(&fx, BCDA_OPT_PARALLEL, 1);
    r = fixture_run_hook(&fx, BY_RESOURCE, save_at_first_end, &saved);
    fixture_check_result(r, BCDA_ERR_CANCELLED);
    r = fixture_restore(&fx, BY_RESOURCE, saved.text);
    fixture_finish(&fx);
    fixture_check_result(r, 0);
    fixture_check_patients(r, 0, 0, 0);
    fixture_check_patients(r, 1, 3, 3);
    ck_assert_int_eq(bcda_file_verdict(bcda_job_file(r->job, 0)), BCDA_VERDICT_SKIPPED);
    ck_assert_int_eq(bcda_file_verdict(bcda_job_file(r->job, 1)), BCDA_VERDICT_COMPLETE);
    bcda_free(saved.text);
    fixture_close(&fx);
}
END_TEST

SUITE("saved")
{
    suite_case("saved");
    suite_test(failed_file);
    suite_loop(other_texts, 0, 6);
    suite_loop(other_origin, 0, 2);
    suite_case("listed");
    suite_test(save_after_stop);
    suite_test(save_after_cancel);
    suite_test(restore_of_many);
    suite_loop(save_knows_files_by_path, 0, 2);
}
