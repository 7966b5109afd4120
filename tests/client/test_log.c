/* Log lines name the job by its number, and a file by its index and type. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"

static struct fixture fx;
static struct buf lines;

#define EOB "ExplanationOfBenefit"

static void on_log(int level, const char *component, const char *message, void *userdata)
{
    fixture_check_text(userdata, message);
    buf_printf(&lines, "%d %s: %s\n", level, component, message);
}

/* Returns 1 if a log line begins with `begin` and has `rest` somewhere after that. */
static int has_line(const char *begin, const char *rest)
{
    const char *p = lines.p, *end;
    char line[2048];

    for (; p && *p; p = end + 1) {
        end = strchr(p, '\n');
        snprintf(line, sizeof line, "%.*s", (int)(end - p), p);
        if (strncmp(line, begin, strlen(begin)) == 0 && strstr(line + strlen(begin), rest))
            return 1;
    }
    return 0;
}

static void check_line(const char *begin, const char *rest)
{
    ck_assert_msg(has_line(begin, rest), "no line `%s` … `%s` in:\n%s", begin, rest, lines.p);
}

static struct run *run(const char *const *faults, int option, int64_t value)
{
    fixture_open_sandbox(&fx, SANDBOX(.era = "current", .polls = 1));
    for (; faults && *faults; faults++)
        fixture_fault(&fx, *faults);
    fixture_config(&fx);
    ck_assert_ok(bcda_config_set_log(fx.config, BCDA_LOG_DEBUG, on_log, &fx, NULL));
    fixture_set(&fx, option, value);
    fixture_session(&fx);
    fixture_export(&fx, BCDA_LEVEL_PATIENT, EOB, "Patient", NULL);
    return fixture_start(&fx, BY_RESOURCE);
}

/* Returns the expected beginning of a line, such as "2 client: job 42, file 1 (Patient): ". `file`
 * may be NULL. */
static const char *label(int level, const struct run *r, const bcda_file *file)
{
    static char text[200];
    int n = snprintf(text, sizeof text, "%d client: job %s", level, bcda_job_id(r->job));

    if (file)
        n += snprintf(text + n, sizeof text - (size_t)n, ", file %zu (%s)", bcda_file_index(file),
                      bcda_file_type(file));
    snprintf(text + n, sizeof text - (size_t)n, ": ");
    return text;
}

START_TEST(retries)
{
    static const char *const faults[] = {"token-500-once",        "kickoff-500-once",
                                         "status-503:1",          "data-cut:50%*1@Patient",
                                         "data-503-once@Patient", NULL};
    char status[100];
    struct run *r = run(faults, BCDA_OPT_GZIP, 1);
    const bcda_file *patient;

    fixture_finish(&fx);
    ck_assert_int_eq(r->result, 0);
    check_line("2 client: token request: ", "(500): try again later; attempt again in ");
    check_line("2 client: job, kick-off: ", "(500): try again later; attempt again in ");
    snprintf(status, sizeof status, "2 client: job %s, status: ", bcda_job_id(r->job));
    check_line(status, "(503): try again later; attempt again in ");
    patient = fixture_file(r, "Patient", 0);
    check_line(label(BCDA_LOG_WARNING, r, patient), "(503): try again later; attempt again in ");
    check_line(label(BCDA_LOG_WARNING, r, patient), "the connection ended");
    check_line(label(BCDA_LOG_INFO, r, patient), "complete");
    check_line(label(BCDA_LOG_INFO, r, fixture_file(r, EOB, 0)), "complete");
    check_line(label(BCDA_LOG_INFO, r, NULL), "complete");
    fixture_close(&fx);
}
END_TEST

START_TEST(failures)
{
    static const char *const faults[] = {"data-404@Patient", NULL};
    struct run *r = run(faults, BCDA_OPT_GZIP, 1);

    fixture_finish(&fx);
    (void)fixture_check_failed(r, BCDA_ERR_NOT_FOUND);
    check_line(label(BCDA_LOG_WARNING, r, fixture_file(r, "Patient", 0)),
               "failed: the server does not have it");
    check_line(label(BCDA_LOG_WARNING, r, NULL), "failed: the server does not have it");
    fixture_close(&fx);
}
END_TEST

START_TEST(invalid_lines)
{
    static const char *const faults[] = {"bad-json@Patient", NULL};
    struct run *r = run(faults, BCDA_OPT_BAD_LINES_MAX, -1);

    fixture_finish(&fx);
    ck_assert_int_eq(r->result, 0);
    check_line(label(BCDA_LOG_WARNING, r, fixture_file(r, "Patient", 0)),
               "complete, with 1 invalid line");
    check_line(label(BCDA_LOG_WARNING, r, NULL),
               "complete, with errors: 1 invalid line, 0 issues, 0 missing types, 0 files of "
               "deletions");
    fixture_close(&fx);
}
END_TEST

START_TEST(taken_over)
{
    struct run *first = run(NULL, BCDA_OPT_DUPLICATE_JOB, BCDA_DUPLICATE_TAKE_OVER), *second;
    char begin[100];

    fixture_until_state(&fx, first, BCDA_JOB_RUNNING);
    second = fixture_run(&fx, BY_RESOURCE);
    ck_assert_int_eq(bcda_job_is_taken_over(second->job), 1);
    snprintf(begin, sizeof begin, "3 client: job: an identical export is already running: job %s, ",
             bcda_job_id(first->job));
    check_line(begin, "taken over");
    fixture_close(&fx);
}
END_TEST

/* If the server sends something else in place of a type name, no log line contains that text. */
START_TEST(odd_types)
{
    static const char form[] =
        "{\"transactionTime\":\"t\",\"outputOrganizedBy\":\"%s\",\"output\":[{"
        "\"type\":\"%s\",\"url\":\"%s/data/a.ndjson\"}]}";
    static const char line[] = "{\"resourceType\":\"Patient\",\"id\":\"a\"}\n";
    static const char *const types[] = {"", "Pat ient", "\\u00e9\\u00e9", "\\n4 net: forged"};
    char body[600], begin[100];
    struct run *r;

    fixture_open_scripted(&fx, 0);
    snprintf(body, sizeof body, form, types[_i], types[_i], scripted_origin(fx.server));
    scripted_reply(fx.server, "/jobs/1", "200 OK", "", body, strlen(body));
    scripted_reply(fx.server, "/data/", "200 OK", "", line, sizeof line - 1);
    scripted_export(fx.server, NULL, 0);
    fixture_config(&fx);
    ck_assert_ok(bcda_config_set_log(fx.config, BCDA_LOG_DEBUG, on_log, &fx, NULL));
    fixture_export(&fx, BCDA_LEVEL_PATIENT, "Patient", NULL);
    r = fixture_run(&fx, BY_RESOURCE);
    ck_assert_int_eq(r->result, 0);
    snprintf(begin, sizeof begin, "%d client: job 1, file 0: ", BCDA_LOG_INFO);
    check_line(begin, "complete");
    if (_i)
        check_line("2 client: job 1: the files are organized by ", "another resource: ");
    ck_assert_msg(!strstr(lines.p, "Pat ient") && !strstr(lines.p, "forged") &&
                      !strstr(lines.p, "\xC3"),
                  "%s", lines.p);
    fixture_close(&fx);
}
END_TEST

SUITE("client log")
{
    suite_case("log");
    suite_test(retries);
    suite_test(failures);
    suite_test(invalid_lines);
    suite_test(taken_over);
    suite_loop(odd_types, 0, 4);
}
