/* Saved jobs that the library keeps: in a file, or by on_saved_state. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fixture.h"
#include "tempdir.h"

static struct fixture fx;
static char path[200];

/* ---- calls that fail ---- */

/* The number of a call, counted from 1, that fails with ENOSPC, and all calls after it; 0 = none.
 */
static int fails_from, calls, renames;

static int fails_now(void)
{
    if (!fails_from || ++calls < fails_from)
        return 0;
    errno = ENOSPC;
    return 1;
}

/* glibc makes pwrite64() of pwrite() if offsets have 64 bits. A write that fails first takes a part
 * of the data, and then nothing. */
static ssize_t write_or_fail(ssize_t (*real)(int, const void *, size_t, off_t), int fd,
                             const void *data, size_t len, off_t at)
{
    if (!fails_now())
        return real(fd, data, len, at);
    if (calls == fails_from && len > 1 && real(fd, data, len / 2, at) > 0)
        return (ssize_t)(len / 2);
    return -1;
}

ssize_t __real_pwrite(int fd, const void *data, size_t len, off_t at);
ssize_t __wrap_pwrite(int fd, const void *data, size_t len, off_t at);
ssize_t __wrap_pwrite(int fd, const void *data, size_t len, off_t at)
{
    return write_or_fail(__real_pwrite, fd, data, len, at);
}

ssize_t __real_pwrite64(int fd, const void *data, size_t len, off_t at);
ssize_t __wrap_pwrite64(int fd, const void *data, size_t len, off_t at);
ssize_t __wrap_pwrite64(int fd, const void *data, size_t len, off_t at)
{
    return write_or_fail(__real_pwrite64, fd, data, len, at);
}

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
    return fails_now() ? -1 : __real_fsync(fd);
}

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __wrap_fdatasync(int fd)
{
    return fails_now() ? -1 : __real_fdatasync(fd);
}

int __real_renameat(int from_fd, const char *from, int to_fd, const char *to);
int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to);
int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to)
{
    renames++;
    return fails_now() ? -1 : __real_renameat(from_fd, from, to_fd, to);
}

/* ---- a job whose text is kept ---- */

static void choose_path(void)
{
    snprintf(path, sizeof path, "%s/bcda-saved-file-%ld", tempdir(), (long)getpid());
    unlink(path);
}

static void remove_path(void)
{
    char temporary[sizeof path + 4];

    unlink(path);
    snprintf(temporary, sizeof temporary, "%s.tmp", path);
    ck_assert_int_eq(access(temporary, F_OK), -1); /* nothing is left behind */
}

/* Serves an export of two files, whose jobs are kept in a new file. */
static void serve_two_files(void)
{
    choose_path();
    fixture_open_scripted(&fx, 0);
    fixture_reply_two_files(&fx);
}

/* Makes a session that confirms lines, and downloads one file after the other. */
static void open_confirming_session(void)
{
    fixture_set(&fx, BCDA_OPT_PARALLEL, 1);
    fixture_set(&fx, BCDA_OPT_CONFIRM_LINES, BCDA_CONFIRM_STAGED);
    fixture_session(&fx);
    fixture_export(&fx, BCDA_LEVEL_PATIENT, NULL);
}

struct stopping {
    int files; /* the job is cancelled after so many files */
};

static int stop_after(struct run *r, enum where where, void *object)
{
    struct stopping *s = r->arg;

    (void)object;
    if (where == AT_END && --s->files == 0)
        ck_assert_ok(bcda_job_cancel(r->job));
    return BCDA_CONTINUE;
}

static struct run *start_kept(struct stopping *s)
{
    struct run *r;

    fixture_set(&fx, BCDA_OPT_PARALLEL, 1);
    fixture_session(&fx);
    fixture_export(&fx, BCDA_LEVEL_PATIENT, NULL);
    r = fixture_start_hook(&fx, BY_RESOURCE, stop_after, s);
    ck_assert_ok(bcda_job_save_to_file(r->job, path));
    return r;
}

static struct run *restore_kept(void)
{
    struct run *r = fixture_run_new(&fx, BY_RESOURCE, NULL, NULL);
    bcda_handlers *h = fixture_handlers(r);

    ck_assert_ok(bcda_job_restore_from_file(fx.session, path, fx.x, h, &r->job));
    bcda_handlers_free(h);
    return r;
}

static void release_job(struct run *r)
{
    bcda_job_unref(r->job);
    r->job = NULL;
}

/* Ends a test whose last job was kept. */
static void close_kept(struct run *r)
{
    release_job(r);
    remove_path();
    fixture_close(&fx);
}

/* The first file is complete, then the job is cancelled. Restored twice, it downloads the second
 * file once, and then nothing. */
START_TEST(kept_and_restored)
{
    struct stopping s = {1};
    struct stat st;
    struct run *r;

    serve_two_files();
    r = start_kept(&s);
    fixture_finish(&fx);
    fixture_check_result(r, BCDA_ERR_CANCELLED);
    release_job(r);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0600);

    r = restore_kept();
    fixture_finish(&fx);
    fixture_check_result(r, 0);
    fixture_check_patients(r, 0, 0, 0);
    fixture_check_patients(r, 1, 3, 3);
    release_job(r);
    r = restore_kept();
    fixture_finish(&fx);
    fixture_check_came(r, 0);
    close_kept(r);
}
END_TEST

/* The program ends before the server has accepted the job: the file is empty. The application is
 * expected to start the job, and does that with the same file. */
START_TEST(ended_before_accepted)
{
    struct stopping s = {0};
    bcda_job *job = NULL;
    struct run *r;

    serve_two_files();
    r = start_kept(&s);
    fixture_free_session(&fx);
    release_job(r);
    fixture_session(&fx);
    ck_assert_int_eq(bcda_job_restore_from_file(fx.session, path, NULL, NULL, &job), BCDA_ERR_END);
    ck_assert_ptr_null(job);
    ck_assert_ptr_null(bcda_session_error(fx.session));
    r = fixture_start(&fx, BY_RESOURCE);
    ck_assert_ok(bcda_job_save_to_file(r->job, path));
    fixture_finish(&fx);
    fixture_check_came(r, 6);
    close_kept(r);
}
END_TEST

/* While a job keeps the file, no other job can use it. */
START_TEST(in_use)
{
    struct stopping s = {0};
    bcda_job *other = NULL;
    struct run *r;
    int fd;

    serve_two_files();
    r = start_kept(&s);
    ck_assert_int_eq(bcda_job_restore_from_file(fx.session, path, NULL, NULL, &other), BCDA_ERR_IO);
    ck_assert_ptr_nonnull(
        strstr(bcda_error_text(bcda_session_error(fx.session)), "is in use: another job"));
    ck_assert_int_eq(bcda_job_save_to_file(r->job, path), BCDA_ERR_STATE);
    fixture_finish(&fx);
    fixture_check_result(r, 0);
    /* The file that replaced the first one is locked too. */
    fd = open(path, O_RDONLY);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(flock(fd, LOCK_EX | LOCK_NB), -1);
    release_job(r);
    ck_assert_int_eq(flock(fd, LOCK_EX | LOCK_NB), 0);
    close(fd);
    remove_path();
    fixture_close(&fx);
}
END_TEST

/* Ends a job, so that its file can be used again. */
static void drop_job(bcda_job *job)
{
    ck_assert_ok(bcda_job_cancel(job));
    while (bcda_job_result(job) == BCDA_ERR_AGAIN)
        (void)fixture_step(&fx);
    bcda_job_unref(job);
}

/* The text is changed: it is refused. Or it is cut: it is refused, or an earlier text is restored.
 */
START_TEST(damaged)
{
    struct stopping s = {0};
    bcda_job *job = NULL;
    struct run *r;
    size_t len, at;
    char *text;

    serve_two_files();
    r = start_kept(&s);
    fixture_finish(&fx);
    release_job(r);
    text = fixture_read(path, &len);
    for (at = 0; at < len; at++) {
        FILE *f = fopen(path, "w");
        int rc;

        text[at] ^= 4;
        ck_assert_uint_eq(fwrite(text, 1, _i ? at : len, f), _i ? at : len);
        ck_assert_int_eq(fclose(f), 0);
        text[at] ^= 4;
        rc = bcda_job_restore_from_file(fx.session, path, NULL, NULL, &job);
        if (!_i && at + 1 < len)
            ck_assert_msg(rc == BCDA_ERR_INVALID || rc == BCDA_ERR_UNSUPPORTED, "%zu: %d", at, rc);
        if (_i && at == 0) /* the file is empty */
            ck_assert_int_eq(rc, BCDA_ERR_END);
        else if (rc)
            ck_assert_msg(rc == BCDA_ERR_INVALID || rc == BCDA_ERR_UNSUPPORTED, "%zu: %d", at, rc);
        else
            drop_job(job);
    }
    free(text);
    remove_path();
    fixture_close(&fx);
}
END_TEST

/* ---- at the END of a file ---- */

enum { FIRST_GATE = 1, SECOND_GATE = 2, B_LINES = 100 };

struct ending {
    int by_confirm; /* 1: a line of the other file is confirmed; 0: the file is chosen only now */
    int answer;     /* the result of on_file */
};

/* At the END of the first file, the saved text is written, before the application says that it has
 * stored the file. */
static int write_at_end(struct run *r, enum where where, void *object)
{
    const struct ending *e = r->arg;
    char *text;
    size_t len;

    if (where != AT_END || bcda_file_index(object) != 0)
        return BCDA_CONTINUE;
    if (e->by_confirm)
        ck_assert_ok(bcda_job_confirm(r->job, bcda_job_file(r->job, 1), 1));
    else
        ck_assert_ok(bcda_job_save_to_file(r->job, path));
    text = fixture_read(path, &len);
    ck_assert_msg(!strstr(text, "complete"), "kept: %s", text);
    ck_assert_int_eq(strstr(text, "\"line\":1,") != NULL, e->by_confirm);
    free(text);
    scripted_open_gate(fx.server, SECOND_GATE);
    return e->answer;
}

/* The first file waits until the first lines of the second one were delivered. */
static void reply_gated(void)
{
    struct scripted_answer *a = scripted_on(fx.server, "/data/a", 1);
    struct scripted_answer *b = scripted_on(fx.server, "/data/b", 1);
    struct buf first = {0}, second = {0}, last = {0};
    char head[100];

    fixture_add_patients(&first, 0, 3);
    fixture_add_patients(&second, 3, B_LINES - 1);
    fixture_add_patients(&last, 3 + B_LINES - 1, 1);
    snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", first.len);
    scripted_gate(a, FIRST_GATE);
    scripted_text(a, head);
    scripted_send(a, first.p, first.len);
    snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n",
             second.len + last.len);
    scripted_text(b, head);
    scripted_send(b, second.p, second.len);
    scripted_gate(b, SECOND_GATE);
    scripted_send(b, last.p, last.len);
    buf_printf(&second, "%s", last.p);
    scripted_reply(fx.server, "/data/a", "200 OK", "", first.p, first.len);
    scripted_reply(fx.server, "/data/b", "200 OK", "", second.p, second.len);
    scripted_export(fx.server, fixture_files, 2);
    buf_free(&first);
    buf_free(&second);
    buf_free(&last);
}

/* The kept text does not list a file as complete before on_file has returned CONTINUE: if the
 * application stops the job, or is killed in on_file, the file is delivered again. */
START_TEST(kept_in_on_file)
{
    struct ending e = {_i % 2, _i / 2 ? BCDA_CONTINUE : BCDA_STOP};
    struct run *r;

    choose_path();
    fixture_open_scripted(&fx, 0);
    reply_gated();
    fixture_set(&fx, BCDA_OPT_BATCH_SIZE, 4096);
    fixture_set(&fx, BCDA_OPT_CONFIRM_LINES, BCDA_CONFIRM_STAGED);
    fixture_session(&fx);
    fixture_export(&fx, BCDA_LEVEL_PATIENT, NULL);
    r = fixture_start_hook(&fx, BY_RESOURCE, write_at_end, &e);
    if (e.by_confirm)
        ck_assert_ok(bcda_job_save_to_file(r->job, path));
    fixture_until(&fx, r->count > 0);
    scripted_open_gate(fx.server, FIRST_GATE);
    fixture_finish(&fx);
    fixture_check_result(r, e.answer == BCDA_STOP ? BCDA_ERR_STOPPED : 0);
    release_job(r);
    r = restore_kept();
    fixture_finish(&fx);
    fixture_check_result(r, 0);
    fixture_check_patients(r, 0, 0, e.answer == BCDA_STOP ? 3 : 0);
    if (e.answer == BCDA_STOP)
        fixture_check_patients(r, 1, e.by_confirm ? 4 : 3, e.by_confirm ? B_LINES - 1 : B_LINES);
    else
        fixture_check_patients(r, 1, 0, 0);
    close_kept(r);
}
END_TEST

/* ---- the disk ---- */

/* The disk is full from each call on. The job fails with a clear error, or the file cannot be
 * opened. Without the fault, what was kept is restored, and every file that is not in it is
 * delivered. */
START_TEST(disk_full)
{
    int from, ended_well = 0;

    fixture_open_scripted(&fx, 0);
    fixture_reply_two_files(&fx);
    fixture_set(&fx, BCDA_OPT_PARALLEL, 1);
    fixture_session(&fx);
    fixture_export(&fx, BCDA_LEVEL_PATIENT, NULL);
    for (from = 1; !ended_well; from++) {
        struct run *r;
        char *text;
        size_t len, first;

        ck_assert_int_le(from, 40);
        choose_path();
        calls = 0;
        fails_from = from;
        r = fixture_start(&fx, BY_RESOURCE);
        ck_assert_ok(bcda_job_save_to_file(r->job, path));
        fixture_finish(&fx);
        fails_from = 0;
        ended_well = bcda_job_result(r->job) == 0;
        if (!ended_well)
            ck_assert_ptr_nonnull(strstr(bcda_error_text(fixture_check_failed(r, BCDA_ERR_IO)),
                                         "cannot be written: No space left on device"));
        first = r->count;
        release_job(r);
        text = fixture_read(path, &len);
        free(text);
        if (len) { /* else the server's answer was not kept: the application starts anew */
            r = restore_kept();
            fixture_finish(&fx);
            fixture_check_result(r, 0);
            ck_assert_uint_ge(first + r->count, 6);
            release_job(r);
        }
        remove_path();
    }
    ck_assert_int_ge(from, 10);
    fixture_close(&fx);
}
END_TEST

/* Confirms the first two lines, and the disk is full at the first one. */
static int confirm_on_full_disk(struct run *r, enum where where, void *object)
{
    const bcda_file *f = bcda_job_file(r->job, 0);

    if (where != AT_RESOURCE)
        return BCDA_CONTINUE;
    if (bcda_resource_line_number(object) == 1) {
        fails_from = 1;
        calls = 0;
        ck_assert_int_eq(bcda_job_confirm(r->job, f, 1), BCDA_ERR_IO);
        ck_assert_int_eq(bcda_file_confirmed_line(f), 0);
        fails_from = 0;
    } else {
        ck_assert_ok(bcda_job_confirm(r->job, f, 2));
        ck_assert_ok(bcda_job_cancel(r->job));
    }
    return BCDA_CONTINUE;
}

/* What could not be written completely does not remain in the file when a later line is confirmed.
 */
START_TEST(full_for_a_moment)
{
    struct run *r;

    serve_two_files();
    open_confirming_session();
    r = fixture_start_hook(&fx, BY_RESOURCE, confirm_on_full_disk, NULL);
    ck_assert_ok(bcda_job_save_to_file(r->job, path));
    fixture_finish(&fx);
    fixture_check_result(r, BCDA_ERR_CANCELLED);
    release_job(r);
    r = restore_kept();
    fixture_finish(&fx);
    fixture_check_result(r, 0);
    fixture_check_patients(r, 0, 2, 1);
    fixture_check_patients(r, 1, 3, 3);
    close_kept(r);
}
END_TEST

/* A job of many files appends to the text, and does not write it anew for each file. */
START_TEST(many_files)
{
    enum { MANY = 60 };
    struct stopping s = {0};
    struct stat st;
    struct run *r;

    choose_path();
    fixture_open_scripted(&fx, 0);
    fixture_export_many(&fx, MANY, NULL);
    fixture_reply_patients(&fx, "/data/", 0, 1);
    fails_from = 1 << 30; /* only counts */
    calls = 0;
    r = start_kept(&s);
    fixture_finish(&fx);
    fixture_check_result(r, 0);
    release_job(r);
    ck_assert_int_ge(calls, 2 * MANY);
    ck_assert_int_le(renames, 3);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_le(st.st_size, MANY * 250);
    fails_from = 0;
    r = restore_kept();
    fixture_finish(&fx);
    fixture_check_came(r, 0);
    close_kept(r);
}
END_TEST

static int confirm_each(struct run *r, enum where where, void *object)
{
    if (where == AT_RESOURCE)
        ck_assert_ok(
            bcda_job_confirm(r->job, bcda_job_file(r->job, 0), bcda_resource_line_number(object)));
    return BCDA_CONTINUE;
}

/* When the changes have become long, the file is written anew. */
START_TEST(many_changes)
{
    enum { LINES = 1500 };
    struct stat st;
    struct run *r;

    choose_path();
    fixture_open_scripted(&fx, 0);
    fixture_reply_patients(&fx, "/data/a", 0, LINES);
    scripted_export(fx.server, fixture_files, 1);
    fixture_set(&fx, BCDA_OPT_CONFIRM_LINES, BCDA_CONFIRM_STAGED);
    fixture_session(&fx);
    fixture_export(&fx, BCDA_LEVEL_PATIENT, NULL);
    r = fixture_start_hook(&fx, BY_RESOURCE, confirm_each, NULL);
    ck_assert_ok(bcda_job_save_to_file(r->job, path));
    renames = 0;
    fixture_finish(&fx);
    fixture_check_came(r, LINES);
    ck_assert_int_ge(renames, 4);
    ck_assert_int_le(renames, 8);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_le(st.st_size, 70 * 1024);
    close_kept(r);
}
END_TEST

/* A child of fork() does not write to the file, which the parent keeps. */
static void confirm_in_child(bcda_job *job, const bcda_file *f, int64_t line)
{
    pid_t child = fork();
    int status;

    ck_assert_int_ge(child, 0);
    if (child == 0)
        _exit(bcda_job_confirm(job, f, line) == BCDA_ERR_FORKED ? 0 : 1);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
}

/* The last batch of a job that is pulled is confirmed after the job has ended. */
START_TEST(confirmed_after_the_end)
{
    bcda_batch *b, *last = NULL;
    bcda_job *job;
    struct run *r;
    int rc;

    serve_two_files();
    open_confirming_session();
    ck_assert_ok(bcda_job_start(fx.session, fx.x, NULL, &job));
    ck_assert_ok(bcda_job_save_to_file(job, path));
    while ((rc = bcda_job_next(job, &b)) != BCDA_ERR_END) {
        if (rc == BCDA_ERR_AGAIN) {
            (void)fixture_step(&fx);
            continue;
        }
        ck_assert_ok(rc);
        bcda_batch_unref(last);
        last = b;
    }
    ck_assert_ok(bcda_job_result(job));
    confirm_in_child(job, bcda_batch_file(last), 3);
    ck_assert_ok(bcda_job_confirm(job, bcda_batch_file(last), 3));
    bcda_batch_unref(last);
    bcda_job_unref(job);
    r = restore_kept();
    fixture_finish(&fx);
    fixture_check_result(r, 0);
    fixture_check_patients(r, 0, 0, 3); /* nothing of the first file was confirmed */
    fixture_check_patients(r, 1, 0, 0);
    close_kept(r);
}
END_TEST

/* ---- on_saved_state ---- */

struct reported {
    struct buf text;
    unsigned count, stop_at; /* STOP is returned at this call; 0 = never */
};

static int add_reported(bcda_job *job, const char *text, size_t len, void *userdata)
{
    struct reported *to = userdata;
    char *changes;

    ck_assert_uint_eq(strlen(text), len);
    ck_assert_int_eq(bcda_job_save_changes(job, &changes), BCDA_ERR_STATE);
    if (++to->count == to->stop_at)
        return BCDA_STOP;
    buf_printf(&to->text, "%s", text);
    return BCDA_CONTINUE;
}

static struct run *run_reported(struct reported *to)
{
    struct run *r = fixture_run_new(&fx, BY_RESOURCE, NULL, NULL);
    bcda_handlers *h = fixture_handlers(r);

    fixture_set(&fx, BCDA_OPT_PARALLEL, 1);
    fixture_session(&fx);
    fixture_export(&fx, BCDA_LEVEL_PATIENT, NULL);
    ck_assert_ok(bcda_handlers_on_saved_state(h, add_reported, to, NULL));
    ck_assert_ok(bcda_job_start(fx.session, fx.x, h, &r->job));
    ck_assert_int_eq(bcda_job_save_to_file(r->job, "/nonexistent/saved"), BCDA_ERR_STATE);
    ck_assert_int_eq(bcda_job_restore_from_file(fx.session, "/nonexistent/saved", fx.x, h, NULL),
                     BCDA_ERR_INVALID);
    bcda_handlers_free(h);
    fixture_finish(&fx);
    return r;
}

/* It is called for the URL, the manifest and each file. If it stops the job, the file does not
 * count as loaded. */
START_TEST(reported_changes)
{
    struct reported to = {.stop_at = (unsigned)_i};
    struct run *r;
    char *saved;

    fixture_open_scripted(&fx, 0);
    fixture_reply_two_files(&fx);
    r = run_reported(&to);
    fixture_check_result(r, _i ? BCDA_ERR_STOPPED : 0);
    ck_assert_uint_eq(to.count, _i ? (unsigned)_i : 4);
    if (_i) {
        ck_assert_ok(bcda_job_save(r->job, &saved));
        ck_assert_int_eq(strstr(saved, "complete") != NULL, _i == 4);
        bcda_free(saved);
    }
    if (_i != 1) {
        r = fixture_restore(&fx, BY_RESOURCE, to.text.p);
        fixture_finish(&fx);
        fixture_check_came(r, _i == 0 ? 0 : _i == 4 ? 3 : 6);
    }
    buf_free(&to.text);
    fixture_close(&fx);
}
END_TEST

static int add_text(bcda_job *job, const char *text, size_t len, void *userdata)
{
    (void)job;
    (void)len;
    buf_printf(userdata, "%s", text);
    return BCDA_CONTINUE;
}

/* The last batch is confirmed after the job has ended, which has no callbacks any more: the
 * application asks for the text, and appends it. */
START_TEST(not_reported_after_the_end)
{
    bcda_batch *b, *last = NULL;
    struct buf text = {0};
    bcda_handlers *h;
    bcda_job *job;
    struct run *r;
    char *changes;
    int rc;

    fixture_open_scripted(&fx, 0);
    fixture_reply_two_files(&fx);
    open_confirming_session();
    ck_assert_ok(bcda_handlers_new(&h));
    ck_assert_ok(bcda_handlers_on_saved_state(h, add_text, &text, NULL));
    ck_assert_ok(bcda_job_start(fx.session, fx.x, h, &job));
    bcda_handlers_free(h);
    while ((rc = bcda_job_next(job, &b)) != BCDA_ERR_END) {
        if (rc == BCDA_ERR_AGAIN) {
            (void)fixture_step(&fx);
            continue;
        }
        ck_assert_ok(rc);
        if (last)
            ck_assert_ok(bcda_job_confirm(job, bcda_batch_file(last), 3));
        bcda_batch_unref(last);
        last = b;
    }
    ck_assert_ok(bcda_job_confirm(job, bcda_batch_file(last), 3));
    ck_assert_ok(bcda_job_save_changes(job, &changes));
    buf_printf(&text, "%s", changes);
    bcda_free(changes);
    bcda_batch_unref(last);
    bcda_job_unref(job);
    r = fixture_restore(&fx, BY_RESOURCE, text.p);
    fixture_finish(&fx);
    fixture_check_came(r, 0);
    buf_free(&text);
    fixture_close(&fx);
}
END_TEST

static int free_session_then(bcda_job *job, const char *text, size_t len, void *userdata)
{
    int *answer = userdata;

    (void)job;
    (void)len;
    if (!strstr(text, "\"line\":"))
        return BCDA_CONTINUE;
    bcda_session_free(fx.session);
    fx.session = NULL;
    return *answer;
}

/* A line is confirmed between two steps, and on_saved_state frees the session: it is freed when
 * bcda_job_confirm() returns. */
START_TEST(session_freed_when_reported)
{
    int answer = _i ? BCDA_CONTINUE : BCDA_STOP, rc;
    bcda_handlers *h;
    bcda_batch *b;
    bcda_job *job;

    fixture_open_scripted(&fx, 0);
    fixture_reply_two_files(&fx);
    open_confirming_session();
    ck_assert_ok(bcda_handlers_new(&h));
    ck_assert_ok(bcda_handlers_on_saved_state(h, free_session_then, &answer, NULL));
    ck_assert_ok(bcda_job_start(fx.session, fx.x, h, &job));
    bcda_handlers_free(h);
    while ((rc = bcda_job_next(job, &b)) == BCDA_ERR_AGAIN)
        (void)fixture_step(&fx);
    ck_assert_ok(rc);
    ck_assert_int_eq(bcda_job_confirm(job, bcda_batch_file(b), 1), _i ? 0 : BCDA_ERR_STOPPED);
    ck_assert_int_eq(bcda_job_result(job), BCDA_ERR_CANCELLED);
    ck_assert_int_eq(bcda_file_confirmed_line(bcda_batch_file(b)), _i);
    bcda_batch_unref(b);
    bcda_job_unref(job);
    fixture_close(&fx);
}
END_TEST

static int fork_then(bcda_job *job, const char *text, size_t len, void *userdata)
{
    (void)job;
    (void)len;
    if (strstr(text, "\"line\":"))
        *(pid_t *)userdata = fork();
    return BCDA_CONTINUE;
}

/* A line is confirmed between two steps, and on_saved_state forks: in the child the line is not
 * confirmed. */
START_TEST(forked_when_reported)
{
    pid_t child = -1;
    bcda_handlers *h;
    bcda_batch *b;
    bcda_job *job;
    int rc, status;

    fixture_open_scripted(&fx, 0);
    fixture_reply_two_files(&fx);
    fixture_set(&fx, BCDA_OPT_CONFIRM_LINES, BCDA_CONFIRM_STAGED);
    fixture_session(&fx);
    fixture_export(&fx, BCDA_LEVEL_PATIENT, NULL);
    ck_assert_ok(bcda_handlers_new(&h));
    ck_assert_ok(bcda_handlers_on_saved_state(h, fork_then, &child, NULL));
    ck_assert_ok(bcda_job_start(fx.session, fx.x, h, &job));
    bcda_handlers_free(h);
    while ((rc = bcda_job_next(job, &b)) == BCDA_ERR_AGAIN)
        (void)fixture_step(&fx);
    ck_assert_ok(rc);
    rc = bcda_job_confirm(job, bcda_batch_file(b), 1);
    if (child == 0)
        _exit(rc == BCDA_ERR_FORKED ? 0 : 1);
    ck_assert_ok(rc);
    ck_assert_int_gt(child, 0);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    bcda_batch_unref(b);
    bcda_job_unref(job);
    fixture_close(&fx);
}
END_TEST

SUITE("saved file")
{
    suite_case("file");
    suite_test(kept_and_restored);
    suite_test(ended_before_accepted);
    suite_test(in_use);
    suite_loop(damaged, 0, 2);
    suite_test(confirmed_after_the_end);
    suite_loop(kept_in_on_file, 0, 4);
    suite_case("disk");
    suite_test(disk_full);
    suite_test(full_for_a_moment);
    suite_test(many_files);
    suite_test(many_changes);
    suite_case("reported");
    suite_loop(reported_changes, 0, 5);
    suite_loop(session_freed_when_reported, 0, 2);
    suite_test(forked_when_reported);
    suite_test(not_reported_after_the_end);
}
