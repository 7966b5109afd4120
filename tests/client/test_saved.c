/* Saved jobs: which files the saved text lists as done, and which texts and URLs are refused. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"

static struct fixture fx;

/* Whether the saved text lists the file as complete. */
static int is_complete_in(const char *saved, const char *path)
{
    char member[200];

    snprintf(member, sizeof member,
             "{\"path\":\"%s\",\"type\":\"Patient\",\"verdict\":\"complete\"}", path);
    return strstr(saved, member) != NULL;
}

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
    ck_assert_int_eq(is_complete_in(saved, "/data/a.ndjson"), 0);
    ck_assert_ptr_nonnull(
        strstr(saved, "{\"path\":\"/data/a.ndjson\",\"type\":\"Patient\",\"verdict\":\"failed\"}"));
    ck_assert_int_eq(is_complete_in(saved, "/data/b.ndjson"), 1);
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
    ck_assert_msg(is_complete_in(later, "/data/a.ndjson") == listed, "saved: %s", later);
    ck_assert_int_eq(is_complete_in(later, "/data/b.ndjson"), 0);

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

/* Runs a job that is saved and cancelled at the end of its first file. */
static void load_first_file(struct first_saved *saved)
{
    struct run *r;

    fixture_set(&fx, BCDA_OPT_PARALLEL, 1);
    r = fixture_run_hook(&fx, BY_RESOURCE, save_at_first_end, saved);
    fixture_check_result(r, BCDA_ERR_CANCELLED);
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
    load_first_file(&saved);
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

/* Answers requests of the job's status, `times` of them (0 = all), with a manifest of two files.
 * A file is named by its host and its path. `more` is added to the manifest. */
static void reply_manifest_of(unsigned times, const char *const files[2][2], const char *more)
{
    struct scripted_answer *a = scripted_on(fx.server, "/jobs/1", times);
    struct buf manifest = {0};
    char head[100];
    size_t i;

    buf_printf(&manifest,
               "{\"transactionTime\":\"2020-01-01T00:00:00Z\",\"request\":\"%s/"
               "x?_typeFilter=Claim%%3Fpatient%%3D"
               "P4T13NT\"%s,",
               scripted_origin(fx.server), more);
    buf_printf(&manifest, "\"requiresAccessToken\":true,\"error\":[],\"output\":[");
    for (i = 0; i < 2; i++) {
        buf_printf(&manifest, "%s{\"type\":\"Patient\",\"url\":\"http://%s%s%s\"}", i ? "," : "",
                   files[i][0], strrchr(scripted_origin(fx.server), ':'), files[i][1]);
    }
    buf_printf(&manifest, "]}");
    snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", manifest.len);
    scripted_text(a, head);
    scripted_send(a, manifest.p, manifest.len);
    buf_free(&manifest);
}

/* Two files of a job have the same path on two servers, with or without the same query. */
START_TEST(save_knows_files_by_origin)
{
    static const char *const files[][2][2] = {
        {{"127.0.0.1", "/data/f"}, {"localhost", "/data/f"}},
        {{"127.0.0.1", "/data/f?n=1"}, {"localhost", "/data/f?n=1"}},
        {{"127.0.0.1", "/data/f?n=1"}, {"localhost", "/data/f"}}};
    struct first_saved saved = {NULL};
    struct run *r;

    fixture_open_scripted(&fx, 0);
    fixture_reply_patients(&fx, "/data/f", 0, 3);
    reply_manifest_of(0, files[_i], "");
    scripted_export(fx.server, fixture_files, 1);
    load_first_file(&saved);
    ck_assert_ptr_null(strstr(saved.text, "P4T13NT")); /* the request may name a patient */
    r = fixture_restore(&fx, BY_RESOURCE, saved.text);
    fixture_finish(&fx);
    fixture_check_came(r, 3);
    fixture_check_patients(r, 1, 0, 3);
    bcda_free(saved.text);
    fixture_close(&fx);
}
END_TEST

/* A text of version 1 names files by path and query, also if several have the path. The text that
 * is saved before the manifest comes has no query, and knows the file too. */
START_TEST(old_text_with_queries)
{
    static const struct scripted_entry files[][2] = {
        {{"Patient", "/data/f?n=1", NULL, 0}, {"Patient", "/data/g?n=1", NULL, 0}},
        {{"Patient", "/data/f?n=1", NULL, 0}, {"Patient", "/data/f?n=2", NULL, 0}}};
    struct run *r;
    char old[256];
    char *saved;

    fixture_open_scripted(&fx, 0);
    fixture_reply_patients(&fx, files[_i][0].path, 0, 3);
    fixture_reply_patients(&fx, files[_i][1].path, 3, 3);
    scripted_export(fx.server, files[_i], 2);
    fixture_session(&fx);
    snprintf(old, sizeof old, "{\"bcda\":1,\"url\":\"%s/api/v1/jobs/1\",\"done\":[\"%s\"]}",
             scripted_origin(fx.server), files[_i][0].path);
    r = fixture_restore(&fx, BY_RESOURCE, old);
    ck_assert_ok(bcda_job_save(r->job, &saved));
    ck_assert_ptr_null(strstr(saved, "n=1"));
    fixture_finish(&fx);
    fixture_check_came(r, 3);
    fixture_check_patients(r, 1, 3, 3);
    r = fixture_restore(&fx, BY_RESOURCE, saved);
    fixture_finish(&fx);
    fixture_check_came(r, 3);
    fixture_check_patients(r, 1, 3, 3);
    bcda_free(saved);
    fixture_close(&fx);
}
END_TEST

/* ---- changes ---- */

struct journal {
    struct buf text;
    int stop_at_first; /* stop the job at the end of the first file */
    int ends;
};

static void add_changes(struct run *r, struct journal *j)
{
    char *changes;

    ck_assert_ok(bcda_job_save_changes(r->job, &changes));
    buf_printf(&j->text, "%s", changes);
    bcda_free(changes);
    ck_assert_ok(bcda_job_save_changes(r->job, &changes));
    ck_assert_str_eq(changes, "");
    bcda_free(changes);
}

static int keep_journal(struct run *r, enum where where, void *object)
{
    struct journal *j = r->arg;

    (void)object;
    if ((where == AT_STATE && bcda_job_url(r->job)[0]) || where == AT_END)
        add_changes(r, j);
    if (where == AT_END)
        j->ends++;
    return where == AT_END && j->stop_at_first ? BCDA_STOP : BCDA_CONTINUE;
}

static unsigned count_of(const char *text, const char *word)
{
    unsigned n = 0;

    for (; (text = strstr(text, word)); text += strlen(word))
        n++;
    return n;
}

/* The changes of a job restore it, and list the files only twice: before and after the manifest. */
START_TEST(changes_restore_the_job)
{
    struct journal j = {0};
    struct run *r;

    fixture_open_scripted(&fx, 0);
    fixture_reply_two_files(&fx);
    r = fixture_run_hook(&fx, BY_RESOURCE, keep_journal, &j);
    fixture_check_result(r, 0);
    ck_assert_int_eq(j.ends, 2);
    ck_assert_uint_eq(count_of(j.text.p, "\"files\":"), 2);
    ck_assert_uint_eq(count_of(j.text.p, "\n"), 4);
    r = fixture_restore(&fx, BY_RESOURCE, j.text.p);
    fixture_finish(&fx);
    fixture_check_came(r, 0);
    ck_assert_int_eq(bcda_file_verdict(bcda_job_file(r->job, 0)), BCDA_VERDICT_SKIPPED);
    ck_assert_int_eq(bcda_file_verdict(bcda_job_file(r->job, 1)), BCDA_VERDICT_SKIPPED);
    /* A restored job writes the whole job first. */
    add_changes(r, &j);
    ck_assert_uint_eq(count_of(j.text.p, "\"files\":"), 3);
    buf_free(&j.text);
    fixture_close(&fx);
}
END_TEST

/* Without the last line, only the last file is downloaded again; without a line between, nothing
 * is restored. */
START_TEST(changes_without_a_line)
{
    struct journal j = {0};
    struct run *r;
    bcda_job *job = NULL;
    char *last, *before;

    fixture_open_scripted(&fx, 0);
    fixture_reply_two_files(&fx);
    fixture_set(&fx, BCDA_OPT_PARALLEL, 1);
    r = fixture_run_hook(&fx, BY_RESOURCE, keep_journal, &j);
    fixture_check_result(r, 0);
    last = strrchr(j.text.p, '\n');
    *last = '\0';
    r = fixture_restore(&fx, BY_RESOURCE, j.text.p);
    fixture_finish(&fx);
    fixture_check_patients(r, 0, 0, 0);
    fixture_check_patients(r, 1, 3, 3);
    before = strrchr(j.text.p, '\n');
    memmove(before + 1, last + 1, strlen(last + 1) + 1);
    ck_assert_int_eq(bcda_job_restore(fx.session, j.text.p, strlen(j.text.p), NULL, NULL, &job),
                     BCDA_ERR_INVALID);
    buf_free(&j.text);
    fixture_close(&fx);
}
END_TEST

/* The application saves the changes, but then cannot store the file, and stops the job. The next
 * changes replace those that say that the file is complete. */
START_TEST(changes_after_stop)
{
    struct journal j = {.stop_at_first = 1};
    struct run *r;

    fixture_open_scripted(&fx, 0);
    fixture_reply_two_files(&fx);
    fixture_set(&fx, BCDA_OPT_PARALLEL, 1);
    r = fixture_run_hook(&fx, BY_RESOURCE, keep_journal, &j);
    fixture_check_result(r, BCDA_ERR_STOPPED);
    ck_assert_uint_eq(count_of(j.text.p, "\"verdict\":\"complete\""), 1);
    add_changes(r, &j);
    r = fixture_restore(&fx, BY_RESOURCE, j.text.p);
    fixture_finish(&fx);
    fixture_check_came(r, 6);
    buf_free(&j.text);
    fixture_close(&fx);
}
END_TEST

/* The first request of the job's status gets this manifest. */
static void manifest_once(const struct scripted_entry *entries, size_t count)
{
    struct scripted_answer *a = scripted_on(fx.server, "/jobs/1", 1);
    struct buf manifest = {0};
    char head[100];

    scripted_manifest(fx.server, &manifest, entries, count);
    snprintf(head, sizeof head,
             "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
             manifest.len);
    scripted_text(a, head);
    scripted_send(a, manifest.p, manifest.len);
    buf_free(&manifest);
}

/* Signatures in the queries of the URLs are secrets, and differ in each manifest. */
START_TEST(queries_are_not_saved)
{
    static const struct scripted_entry first[] = {{"Patient", "/data/a?sig=S3CR3T1", NULL, 0},
                                                  {"Patient", "/data/b?sig=S3CR3T2", NULL, 0}};
    static const struct scripted_entry later[] = {{"Patient", "/data/a?sig=S3CR3T3", NULL, 0},
                                                  {"Patient", "/data/b?sig=S3CR3T4", NULL, 0}};
    struct first_saved saved = {NULL};
    struct run *r;

    fixture_open_scripted(&fx, 0);
    fixture_reply_patients(&fx, "/data/a", 0, 3);
    fixture_reply_patients(&fx, "/data/b", 3, 3);
    manifest_once(first, 2);
    scripted_export(fx.server, later, 2);
    load_first_file(&saved);
    ck_assert_ptr_null(strstr(saved.text, "S3CR3T"));
    ck_assert_int_eq(is_complete_in(saved.text, "/data/a"), 1);
    r = fixture_restore(&fx, BY_RESOURCE, saved.text);
    fixture_finish(&fx);
    fixture_check_result(r, 0);
    fixture_check_patients(r, 0, 0, 0);
    fixture_check_patients(r, 1, 3, 3);
    ck_assert_uint_eq(scripted_count(fx.server, "GET /data/b?sig=S3CR3T4"), 1);
    bcda_free(saved.text);
    fixture_close(&fx);
}
END_TEST

/* ---- jobs that the server no longer has ---- */

static const struct {
    const char *head;
    int code;
} gone[] = {{"HTTP/1.1 404 Not Found", BCDA_ERR_NOT_FOUND}, {"HTTP/1.1 410 Gone", BCDA_ERR_GONE}};

/* A restored job that has expired says what is loaded, and an export requests the rest. */
START_TEST(expired)
{
    static const struct scripted_entry entries[] = {{"Patient", "/data/a.ndjson", NULL, 0},
                                                    {"Coverage", "/data/b.ndjson", NULL, 0},
                                                    {"Patient", "/data/c.ndjson", NULL, 0},
                                                    {"Group", "/data/d.ndjson", NULL, 0}};
    struct first_saved saved = {NULL};
    struct scripted_answer *a;
    bcda_export *x, *rest = NULL;
    struct run *r;
    char reply[100];

    fixture_open_scripted(&fx, 0);
    fixture_reply_patients(&fx, "/data/", 0, 3);
    manifest_once(entries, 4);
    a = scripted_on(fx.server, "GET /api/v1/jobs/1", 0);
    snprintf(reply, sizeof reply, "%s\r\nContent-Length: 0\r\n\r\n", gone[_i].head);
    scripted_text(a, reply);
    scripted_export(fx.server, entries, 4);
    load_first_file(&saved);
    r = fixture_restore(&fx, BY_RESOURCE, saved.text);
    fixture_finish(&fx);
    ck_assert_ptr_nonnull(strstr(bcda_error_text(fixture_check_failed(r, gone[_i].code)),
                                 "1 of the 4 files of the job were loaded before"));
    ck_assert_uint_eq(bcda_job_file_count(r->job), 4);
    ck_assert_int_eq(bcda_file_verdict(bcda_job_file(r->job, 0)), BCDA_VERDICT_SKIPPED);
    ck_assert_int_eq(bcda_file_verdict(bcda_job_file(r->job, 1)), BCDA_VERDICT_NONE);
    ck_assert_str_eq(bcda_job_transaction_time(r->job), "2020-01-01T00:00:00Z");

    ck_assert_ok(bcda_export_new(&x, BCDA_LEVEL_PATIENT));
    ck_assert_ok(bcda_export_add_type(x, "Claim"));
    ck_assert_ok(bcda_export_set_since(x, "2019-01-01T00:00:00Z"));
    ck_assert_ok(bcda_export_set_parameter(x, "_type", "Claim"));
    ck_assert_ok(bcda_export_set_parameter(x, "a", "b"));
    ck_assert_ok(bcda_export_add_type_filter(x, "Claim?x=1"));
    ck_assert_ok(bcda_export_add_type_filter(x, "Group?x=1"));
    ck_assert_ok(bcda_export_new_remaining(&rest, x, r->job));
    ck_assert_ok(bcda_job_start(fx.session, rest, NULL, NULL));
    while (scripted_count(fx.server, "$export?") < 1)
        (void)fixture_step(&fx);
    ck_assert_uint_eq(scripted_count(fx.server,
                                     "GET /api/v1/Patient/$export?_type=Coverage,Patient,Group&"
                                     "_since=2019-01-01T00:00:00Z&_typeFilter=Group%3Fx%3D1&a=b"),
                      1);
    bcda_export_free(rest);
    bcda_export_free(x);
    bcda_free(saved.text);
    fixture_close(&fx);
}
END_TEST

/* The job has expired; two of its files have the same path. What is loaded is known, and a text
 * that is saved now restores the job if the server has it after all. */
START_TEST(expired_with_queries)
{
    static const struct scripted_entry entries[] = {{"Patient", "/data/f?n=1", NULL, 0},
                                                    {"Patient", "/data/f?n=2", NULL, 0}};
    struct first_saved saved = {NULL};
    struct run *r;
    char *later;

    fixture_open_scripted(&fx, 0);
    fixture_reply_patients(&fx, entries[0].path, 0, 3);
    fixture_reply_patients(&fx, entries[1].path, 3, 3);
    manifest_once(entries, 2);
    scripted_text(scripted_on(fx.server, "GET /api/v1/jobs/1", 1),
                  "HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n");
    scripted_export(fx.server, entries, 2);
    load_first_file(&saved);
    r = fixture_restore(&fx, BY_RESOURCE, saved.text);
    fixture_finish(&fx);
    (void)fixture_check_failed(r, BCDA_ERR_GONE);
    ck_assert_int_eq(bcda_file_verdict(bcda_job_file(r->job, 0)), BCDA_VERDICT_SKIPPED);
    ck_assert_int_eq(bcda_file_verdict(bcda_job_file(r->job, 1)), BCDA_VERDICT_NONE);
    ck_assert_ok(bcda_job_save(r->job, &later));
    r = fixture_restore(&fx, BY_RESOURCE, later);
    fixture_finish(&fx);
    fixture_check_came(r, 3);
    fixture_check_patients(r, 1, 3, 3);
    bcda_free(later);
    bcda_free(saved.text);
    fixture_close(&fx);
}
END_TEST

/* The files are organized by another resource, so the type of a file does not say what is in it:
 * after the job has expired, all types are requested. */
START_TEST(expired_and_organized)
{
    static const char *const files[][2] = {{"127.0.0.1", "/data/a"}, {"127.0.0.1", "/data/b"}};
    struct first_saved saved = {NULL};
    bcda_export *rest = NULL;
    struct run *r;

    fixture_open_scripted(&fx, 0);
    fixture_reply_patients(&fx, "/data/", 0, 3);
    reply_manifest_of(1, files, ",\"outputOrganizedBy\":\"Patient\"");
    scripted_text(scripted_on(fx.server, "GET /api/v1/jobs/1", 1),
                  "HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n");
    scripted_export(fx.server, fixture_files, 1);
    load_first_file(&saved);
    r = fixture_restore(&fx, BY_RESOURCE, saved.text);
    fixture_finish(&fx);
    (void)fixture_check_failed(r, BCDA_ERR_GONE);
    ck_assert_int_eq(bcda_file_verdict(bcda_job_file(r->job, 0)), BCDA_VERDICT_SKIPPED);
    ck_assert_ok(bcda_export_new_remaining(&rest, fx.x, r->job));
    ck_assert_uint_eq(rest->types.count, 0); /* those of fx.x: all */
    bcda_free(saved.text);
    bcda_export_free(rest);
    fixture_close(&fx);
}
END_TEST

/* Nothing remains of a job that has loaded everything, and of a job without a manifest, all. */
START_TEST(remaining_of_all_and_none)
{
    bcda_export *rest = NULL;
    struct run *r;

    fixture_open_scripted(&fx, 0);
    fixture_reply_two_files(&fx);
    r = fixture_run(&fx, BY_RESOURCE);
    fixture_check_result(r, 0);
    ck_assert_int_eq(bcda_export_new_remaining(&rest, fx.x, r->job), BCDA_ERR_END);
    ck_assert_ptr_null(rest);
    ck_assert_int_eq(bcda_export_new_remaining(&rest, NULL, r->job), BCDA_ERR_INVALID);
    r = fixture_start(&fx, BY_RESOURCE);
    ck_assert_ok(bcda_export_new_remaining(&rest, fx.x, r->job));
    bcda_export_free(rest);
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
    suite_loop(save_knows_files_by_origin, 0, 3);
    suite_loop(old_text_with_queries, 0, 2);
    suite_case("changes");
    suite_test(changes_restore_the_job);
    suite_test(changes_without_a_line);
    suite_test(changes_after_stop);
    suite_test(queries_are_not_saved);
    suite_case("expired");
    suite_loop(expired, 0, 2);
    suite_test(expired_with_queries);
    suite_test(expired_and_organized);
    suite_test(remaining_of_all_and_none);
}
