/* What is saved of a job, and what a saved text or a URL may bring about. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scene.h"

static const struct scripted_entry two_files[] = {{"Patient", "/data/a.ndjson", NULL, 0},
                                                  {"Patient", "/data/b.ndjson", NULL, 0}};

/* A file that failed is not done: a later run of the saved job fetches it, and no other. */
START_TEST(failed_file)
{
    struct scripted_answer *a;
    struct scene c;
    struct run *r;
    char *saved;

    scene_open(&c, 0);
    a = scripted_on(c.s, "/data/a", 1);
    scripted_text(a, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    scene_reply_patients(&c, "/data/a", 0, 3);
    scene_reply_patients(&c, "/data/b", 3, 3);
    scripted_export(c.s, two_files, 2);
    scene_session(&c);
    r = harness_start(&c.h, DOOR_RESOURCE);
    scene_finish(&c);
    (void)harness_check_failed(r, BCDA_ERR_FORBIDDEN);
    ck_assert_uint_eq(r->count, 3);
    ck_assert_int_eq(bcda_job_save(r->job, &saved), 0);
    ck_assert_ptr_null(strstr(saved, "/data/a.ndjson"));
    ck_assert_ptr_nonnull(strstr(saved, "/data/b.ndjson"));
    r = harness_restore(&c.h, DOOR_RESOURCE, saved);
    scene_finish(&c);
    ck_assert_int_eq(r->result, 0);
    ck_assert_uint_eq(r->count, 3);
    ck_assert_str_eq(r->got[0].id, "p0");
    ck_assert_uint_eq(scripted_count(c.s, "GET /data/a"), 2);
    ck_assert_uint_eq(scripted_count(c.s, "GET /data/b"), 1);
    bcda_free(saved);
    scene_close(&c);
}
END_TEST

/* Texts of another version, or of something else, are refused, and no job is made. */
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
    struct scene c;
    char text[256];

    scene_open(&c, 0);
    scene_session(&c);
    snprintf(text, sizeof text, "%s%s/api/v1/jobs/1%s", texts[_i][0], scripted_origin(c.s),
             texts[_i][1]);
    ck_assert_int_eq(bcda_job_restore(c.h.session, text, strlen(text), NULL, NULL, &job),
                     BCDA_ERR_INVALID);
    ck_assert_ptr_null(job);
    scene_close(&c);
}
END_TEST

/* The token would go to another origin: neither a URL nor a saved text may bring that about. */
START_TEST(other_origin)
{
    static const char *const urls[] = {"http://127.0.0.1:1/api/v1/jobs/1",
                                       "https://127.0.0.1:1/api/v1/jobs/1"};
    bcda_job *job = NULL;
    struct scene c;
    char text[256];

    scene_open(&c, 0);
    scene_session(&c);
    ck_assert_int_eq(bcda_job_attach(c.h.session, urls[_i], NULL, NULL, &job), BCDA_ERR_ORIGIN);
    snprintf(text, sizeof text, "{\"bcda\":1,\"url\":\"%s\",\"done\":[]}", urls[_i]);
    ck_assert_int_eq(bcda_job_restore(c.h.session, text, strlen(text), NULL, NULL, &job),
                     BCDA_ERR_ORIGIN);
    ck_assert_ptr_null(job);
    scene_close(&c);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("saved");
    TCase *t = tcase_create("saved");

    tcase_set_timeout(t, 60);
    tcase_add_test(t, failed_file);
    tcase_add_loop_test(t, other_texts, 0, 6);
    tcase_add_loop_test(t, other_origin, 0, 2);
    suite_add_tcase(s, t);
    return harness_main(s);
}
