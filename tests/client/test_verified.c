/* Verified delivery: nothing of a file is delivered before the whole file was checked. Until then
 * the file waits on disk, where it has no name and cannot be read. */
#include "fixture.h"

#include <dirent.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../tempdir.h"

static struct fixture fx;
static char folder[PATH_MAX];

#define EOB "ExplanationOfBenefit"

static const char *const eras[] = {"2018-12", "2019-04", "2019-12", "2021", "current"};

static void remove_folder(void)
{
    if (folder[0])
        rmdir(folder);
}

static void make_folder(void)
{
    snprintf(folder, sizeof folder, "%s/bcda-verified-XXXXXX", tempdir());
    ck_assert_ptr_nonnull(mkdtemp(folder));
    atexit(remove_folder);
}

static void begin(const char *era)
{
    struct sandbox_options o = {0};

    o.era = era;
    make_folder();
    fixture_open_sandbox(&fx, &o);
    fixture_set_verified(&fx, folder);
    fixture_export_eob(&fx, era);
}

static void check_folder_empty(void)
{
    DIR *d = opendir(folder);
    const struct dirent *e;

    ck_assert_ptr_nonnull(d);
    while ((e = readdir(d)))
        ck_assert_msg(e->d_name[0] == '.', "the spool has a name: %s", e->d_name);
    closedir(d);
}

/* Checks that no open file in the spool folder contains readable NDJSON or a gzip header. Returns
 * how many of these files are not empty. Shorter patterns can be in random ciphertext. */
static int check_spools(void)
{
    char link[64], path[PATH_MAX];
    int fd, seen = 0;
    size_t len;
    ssize_t n;
    char *bytes;

    for (fd = 0; fd < 256; fd++) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        n = readlink(link, path, sizeof path - 1);
        if (n < 0)
            continue;
        path[n] = '\0';
        if (strncmp(path, folder, strlen(folder)) != 0)
            continue;
        bytes = fixture_read(link, &len);
        ck_assert_ptr_null(memmem(bytes, len, "resourceType", 12));
        ck_assert_ptr_null(memmem(bytes, len, "\"id\":\"", 6));
        ck_assert(len < 4 || memcmp(bytes, "\x1f\x8b\x08\0", 4) != 0);
        free(bytes);
        seen += len > 0;
    }
    return seen;
}

static int look(struct run *r, enum where where, void *object)
{
    (void)object;
    check_folder_empty();
    if ((where == AT_RESOURCE || where == AT_BATCH) && r->count < 2)
        *(int *)r->arg += check_spools();
    return BCDA_CONTINUE;
}

static void check_none_provisional(const struct run *r)
{
    size_t i;

    for (i = 0; i < r->count; i++)
        ck_assert_int_eq(r->got[i].provisional, 0);
}

static void close_all(void)
{
    check_folder_empty();
    fixture_close(&fx);
    ck_assert_int_eq(rmdir(folder), 0);
    folder[0] = '\0';
}

START_TEST(complete)
{
    int seen = 0;
    struct run *r;

    begin(eras[_i / 3]);
    r = fixture_run_hook(&fx, (enum delivery_way)(_i % 3), look, &seen);
    fixture_check_export(r);
    check_none_provisional(r);
    ck_assert_uint_gt(r->count, 0);
    if (r->way != BY_PULL)
        ck_assert_int_gt(seen, 0);
    ck_assert_int_eq(fixture_stat(&fx, BCDA_STAT_BYTES_DECODED), bcda_job_bytes(r->job));
    close_all();
}
END_TEST

struct spoilt {
    const char *era, *faults[3];
    int code;
};

static const struct spoilt spoilt[] = {
    {"2019-04", {"data-flip:-1", NULL}, BCDA_ERR_TAG},
    {"2019-04", {"data-flip:50", NULL}, BCDA_ERR_TAG},
    {"2019-04", {"data-flip:300000", NULL}, BCDA_ERR_TAG},
    {"2019-04", {"data-extra:5000", NULL}, BCDA_ERR_TAG},
    {"2019-04", {"data-short:27", NULL}, BCDA_ERR_CIPHER_SHORT},
    {"2019-04", {"bad-json", "data-flip:-1", NULL}, BCDA_ERR_TAG},
    {"current", {"data-short:2000", NULL}, BCDA_ERR_GZIP_CUT},
    {"current", {"data-extra:1", NULL}, BCDA_ERR_GZIP},
    {"current", {"chunked-no-end", NULL}, BCDA_ERR_TRUNCATED},
    {"2021", {"data-cut:5000", NULL}, BCDA_ERR_TRUNCATED},
    {"2019-12", {"no-range", "data-cut:300000", NULL}, BCDA_ERR_TRUNCATED},
    {"2019-04", {"no-range", "data-cut:300000", NULL}, BCDA_ERR_TRUNCATED},
    {"2019-12", {"data-html", NULL}, BCDA_ERR_NOT_JSON},
    {"2019-04", {"data-404", NULL}, BCDA_ERR_NOT_FOUND},
};

/* Nothing is delivered of a file that fails its check. Each of the at most 5 files fails after a
 * limited number of attempts: 8 in a row without a new byte, and one more for the whole file where
 * a range did not help. */
START_TEST(nothing_of_it)
{
    const struct spoilt *c = &spoilt[_i / 3];
    struct run *r;
    int i;

    begin(c->era);
    for (i = 0; c->faults[i]; i++)
        fixture_fault(&fx, c->faults[i]);
    r = fixture_run(&fx, (enum delivery_way)(_i % 3));
    (void)fixture_check_failed(r, c->code);
    ck_assert_int_eq(bcda_file_verdict(fixture_file(r, EOB, 0)), BCDA_VERDICT_FAILED);
    ck_assert_uint_eq(r->count, 0);
    ck_assert_uint_eq(r->bad_count, 0);
    ck_assert_int_eq(bcda_job_resources(r->job), 0);
    ck_assert_int_le(fixture_stat(&fx, BCDA_STAT_REQUESTS), 5 * (8 + 8 + 1) + 10);
    close_all();
}
END_TEST

/* A transfer that breaks off is resumed with a range or restarted, and the file is delivered once.
 */
START_TEST(broken)
{
    static const struct spoilt cases[] = {
        {"2019-04", {"data-cut:60000", NULL}, 0},
        {"2019-12", {"data-cut:60000", NULL}, 0},
        {"current", {"data-cut:7000", NULL}, 0},
        {"2019-12", {"no-range", "data-cut:300000*5", NULL}, 0},
        {"2019-04", {"no-range", "data-cut:300000*5", NULL}, 0},
        {"2021", {"data-cut:5000*5", NULL}, 0},
        {"2018-12", {"data-503-once*3", NULL}, 0},
    };
    const struct spoilt *c = &cases[_i / 3];
    struct run *r;
    int i;

    begin(c->era);
    for (i = 0; c->faults[i]; i++)
        fixture_fault(&fx, c->faults[i]);
    r = fixture_run(&fx, (enum delivery_way)(_i % 3));
    fixture_check_export(r);
    check_none_provisional(r);
    ck_assert_int_ge(fixture_stat(&fx, BCDA_STAT_BYTES_DECODED), bcda_job_bytes(r->job));
    close_all();
}
END_TEST

/* ---- the spool directory ---- */

START_TEST(needs_directory)
{
    begin("2019-04");
    ck_assert_ok(bcda_config_set_spool_directory(fx.config, NULL));
    ck_assert_int_eq(bcda_session_new(&fx.session, fx.config), BCDA_ERR_CONFIG);
    ck_assert_ptr_nonnull(strstr(bcda_error_text(bcda_config_error(fx.config)), "spool directory"));
    close_all();
}
END_TEST

START_TEST(bad_directory)
{
    static const char *const paths[] = {"/nonexistent/spool", "/proc/self/status", "/proc"};
    struct run *r;

    begin("2019-04");
    ck_assert_ok(bcda_config_set_spool_directory(fx.config, paths[_i]));
    r = fixture_run(&fx, BY_RESOURCE);
    (void)fixture_check_failed(r, BCDA_ERR_SPOOL);
    ck_assert_uint_eq(r->count, 0);
    ck_assert_uint_eq(sandbox_count(fx.sandbox, "data"), 0);
    close_all();
}
END_TEST

static int limit_files(struct run *r, enum where where, void *object)
{
    struct rlimit l;

    (void)object;
    if (where != AT_BEGIN && where != AT_END)
        return BCDA_CONTINUE;
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &l), 0);
    l.rlim_cur = where == AT_BEGIN ? *(rlim_t *)r->arg : l.rlim_max;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &l), 0);
    return BCDA_CONTINUE;
}

/* The test simulates a full disk by a limit on file sizes, because both make a write fail. The
 * limits are not small, because they also apply to the files that the test framework "check"
 * writes. */
START_TEST(full_disk)
{
    static const rlim_t most[] = {200000, 262144, 300001};
    rlim_t limit = most[_i];
    struct run *r;

    ck_assert(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    begin("2019-12");
    r = fixture_run_hook(&fx, BY_RESOURCE, limit_files, &limit);
    (void)fixture_check_failed(r, BCDA_ERR_SPOOL_FULL);
    ck_assert_uint_eq(r->count, 0);
    ck_assert_uint_eq(sandbox_count(fx.sandbox, "data"), 1);
    close_all();
}
END_TEST

/* ---- the second pass, which delivers the checked file ---- */

static int pause_often(struct run *r, enum where where, void *object)
{
    int *calls = r->arg;

    (void)object;
    if (where != AT_RESOURCE && where != AT_BATCH)
        return BCDA_CONTINUE;
    return ++*calls % 2 ? BCDA_PAUSE : BCDA_CONTINUE;
}

START_TEST(pauses)
{
    int calls = 0;
    struct run *r;

    begin(eras[_i / 2]);
    fixture_set(&fx, BCDA_OPT_BATCH_SIZE, _i % 2 ? 262144 : 32768);
    fixture_session(&fx);
    r = fixture_start_hook(&fx, _i % 2 ? BY_RESOURCE : BY_BATCH, pause_often, &calls);
    while (!r->done) {
        fixture_idle(&fx);
        check_folder_empty();
        if (!r->done)
            ck_assert_ok(bcda_job_resume(r->job));
    }
    fixture_check_export(r);
    check_none_provisional(r);
    ck_assert_int_gt(calls, 2);
    close_all();
}
END_TEST

enum { CANCEL, STOP, PAUSE_AND_CANCEL, ODD, LEAVE, ACTS };

static int act(struct run *r, enum where where, void *object)
{
    int what = *(int *)r->arg;

    (void)object;
    if ((where != AT_RESOURCE && where != AT_BATCH) || r->count < 1)
        return BCDA_CONTINUE;
    if (what == CANCEL || what == PAUSE_AND_CANCEL)
        ck_assert_ok(bcda_job_cancel(r->job));
    if (what == LEAVE) /* or the job might end before the session is freed */
        ck_assert_ok(bcda_job_pause(r->job));
    return what == PAUSE_AND_CANCEL ? BCDA_PAUSE
           : what == STOP           ? BCDA_STOP
           : what == ODD            ? 77
                                    : BCDA_CONTINUE;
}

START_TEST(ends_in_second)
{
    int what = _i % ACTS, code;
    struct run *r;

    begin(_i / ACTS ? "current" : "2019-04");
    fixture_set(&fx, BCDA_OPT_BATCH_SIZE, 32768);
    fixture_session(&fx);
    r = fixture_start_hook(&fx, _i % 2 ? BY_RESOURCE : BY_BATCH, act, &what);
    if (what == LEAVE) {
        fixture_until_count(&fx, r, 1);
        fixture_free_session(&fx);
    }
    if (fx.session)
        fixture_finish(&fx);
    code = what == STOP ? BCDA_ERR_STOPPED : what == ODD ? BCDA_ERR_CALLBACK : BCDA_ERR_CANCELLED;
    (void)fixture_check_failed(r, code);
    check_none_provisional(r);
    close_all();
}
END_TEST

START_TEST(bad_lines)
{
    static const int64_t tolerated[] = {0, 1, -1};
    int64_t most = tolerated[_i / 3 % 3];
    struct run *r;

    begin(_i / 9 ? "current" : "2019-04");
    fixture_fault(&fx, "bad-json");
    fixture_set(&fx, BCDA_OPT_BAD_LINES_MAX, most);
    r = fixture_run(&fx, (enum delivery_way)(_i % 3));
    ck_assert_uint_eq(r->bad_count, 1);
    ck_assert_int_eq(r->bad[0].number, 2);
    if (most == 0) {
        (void)fixture_check_failed(r, BCDA_ERR_LINE_JSON);
        ck_assert_uint_eq(r->count, 1);
    } else {
        ck_assert_int_eq(r->result, 0);
        ck_assert_int_eq(bcda_file_verdict(fixture_file(r, EOB, 0)),
                         BCDA_VERDICT_COMPLETE_BAD_LINES);
        ck_assert_uint_eq(r->count, 49);
    }
    close_all();
}
END_TEST

START_TEST(line_cut)
{
    struct run *r;

    begin(eras[_i]);
    fixture_fault(&fx, "cut-line");
    r = fixture_run(&fx, BY_BATCH);
    (void)fixture_check_failed(r, BCDA_ERR_LINE_CUT);
    ck_assert_uint_eq(r->count, 49);
    close_all();
}
END_TEST

SUITE("verified")
{
    suite_case("first");
    suite_loop(complete, 0, 15);
    suite_loop(nothing_of_it, 0, 3 * (int)(sizeof spoilt / sizeof *spoilt));
    suite_loop(broken, 0, 21);
    suite_case("directory");
    suite_test(needs_directory);
    suite_loop(bad_directory, 0, 3);
    suite_loop(full_disk, 0, 3);
    suite_case("second");
    suite_loop(pauses, 0, 10);
    suite_loop(ends_in_second, 0, 2 * ACTS);
    suite_loop(bad_lines, 0, 18);
    suite_loop(line_cut, 0, 5);
}
