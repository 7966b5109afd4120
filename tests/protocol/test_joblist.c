/* The answer to GET /jobs (bcda-api 5.4): finds the running job with an identical export. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "helper.h"
#include "protocol/joblist.h"
#include "suite.h"

#define WANTED \
    "https://api.bcda.cms.gov/api/v2/Group/all/$export?_type=Patient,Coverage&_since=a%2Bb"

#define TASK(id, status, request)                                                                \
    "{\"resource\":{\"resourceType\":\"Task\",\"identifier\":[{\"use\":\"official\",\"system\":" \
    "\"https://h/api/v2/jobs\",\"value\":\"" id "\"}],\"status\":\"" status                      \
    "\",\"intent\":\"order\",\"input\":[{\"type\":{\"text\":\"BULK FHIR Export\"},"              \
    "\"valueString\":\"" request "\"}],\"executionPeriod\":{\"start\":\"x\",\"end\":\"y\"}}}"
#define BUNDLE(tasks) \
    "{\"resourceType\":\"Bundle\",\"type\":\"searchset\",\"total\":1,\"entry\":[" tasks "]}"

/* a Task with its keys in the order of 2021-02 to 2026-07 */
#define TASK_2021(id, status, request)                                                        \
    "{\"resource\":{\"executionPeriod\":{\"end\":\"x\"},\"identifier\":[{\"system\":\"s\","   \
    "\"use\":\"official\",\"value\":\"" id "\"}],\"input\":[{\"type\":{\"text\":\"BULK FHIR " \
    "Export\"},\"valueString\":\"" request "\"}],\"intent\":\"order\",\"resourceType\":"      \
    "\"Task\",\"status\":\"" status "\"}}"

#define SAME "GET " WANTED

static const struct {
    const char *body;
    int result;
    const char *id;
} rows[] = {
    {BUNDLE(TASK("42", "in-progress", SAME)), 1, "42"},
    {BUNDLE(TASK("42", "accepted", SAME)), 1, "42"},
    {BUNDLE(TASK_2021("7", "in-progress", SAME)), 1, "7"},
    {BUNDLE(TASK("1", "completed", SAME)), 0, NULL},
    {BUNDLE(TASK("1", "failed", SAME) "," TASK("2", "cancelled", SAME)), 0, NULL},
    {BUNDLE(TASK("1", "completed", SAME) "," TASK("2", "accepted", SAME) "," TASK("3", "accepted",
                                                                                  SAME)),
     1, "2"},
    /* the same request with another host, scheme or escapes */
    {BUNDLE(
         TASK("5", "accepted",
              "GET http://10.0.0.7/api/v2/Group/all/$export?_type=Patient,Coverage&_since=a%2bb")),
     1, "5"},
    {BUNDLE(TASK("5", "accepted",
                 "GET "
                 "https://h/api/v2/Group/all/$export?_type=Patient%2CCoverage\\u0026_since=a%2Bb")),
     1, "5"},
    /* other requests */
    {BUNDLE(TASK("5", "accepted", "POST " WANTED)), 0, NULL},
    {BUNDLE(TASK("5", "accepted", SAME "&_x=1")), 0, NULL},
    {BUNDLE(TASK("5", "accepted", "GET https://h/api/v2/Group/all/$export")), 0, NULL},
    {BUNDLE(TASK("5", "accepted",
                 "GET https://h/api/v1/Group/all/$export?_type=Patient,Coverage&_since=a%2Bb")),
     0, NULL},
    {BUNDLE(TASK("5", "accepted",
                 "GET https://h/api/v2/Group/all/$export?_type=Patient,Coverage&_since=a+b")),
     0, NULL},
    {BUNDLE(TASK("5", "accepted",
                 "GET https://h/api/v2/Group/all/$export?_type=Patient,Coverage%26_since=a%2Bb")),
     0, NULL},
    {BUNDLE(TASK("5", "accepted",
                 "GET https://h/api/v2/Group/all/$export?_type=Patient,Coverage&_since=a%252Bb")),
     0, NULL},
    {BUNDLE(TASK("5", "accepted", "GET /api/v2/Group/all/$export?_type=Patient,Coverage")), 0,
     NULL},
    {BUNDLE(TASK("5", "accepted", "GET https://h/a\\u0000b")), 0, NULL},
    {BUNDLE(TASK("5", "accepted", "GET")), 0, NULL},
    {BUNDLE(TASK("5", "accepted", "")), 0, NULL},
    /* ids that would change the job's URL */
    {BUNDLE(TASK("../jobs", "accepted", SAME)), 0, NULL},
    {BUNDLE(TASK("1?x", "accepted", SAME)), 0, NULL},
    {BUNDLE(TASK("1%2f", "accepted", SAME)), 0, NULL},
    {BUNDLE(TASK("", "accepted", SAME)), 0, NULL},
    {BUNDLE(TASK("0123456789012345678901234567890123456789012345678901234567890123", "accepted",
                 SAME)),
     1, "0123456789012345678901234567890123456789012345678901234567890123"},
    {BUNDLE(TASK("01234567890123456789012345678901234567890123456789012345678901234", "accepted",
                 SAME)),
     0, NULL},
    /* two tasks that each match only in part: the parser must not combine them */
    {BUNDLE(TASK("8", "accepted", "GET https://h/other") "," TASK("9", "completed", SAME)), 0,
     NULL},
    /* `status`, `value` and `valueString` count only inside a Task of the Bundle's `entry` */
    {"{\"status\":\"accepted\",\"value\":\"4\",\"valueString\":\"" SAME "\"}", 0, NULL},
    {"{\"x\":[{\"resource\":{\"status\":\"accepted\",\"identifier\":[{\"value\":\"4\"}],\"input\":"
     "[{\"valueString\":\"" SAME "\"}]}}]}",
     0, NULL},
    {BUNDLE(""), 0, NULL},
    {"{}", 0, NULL},
    {"[]", 0, NULL},
    {"", BCDA_ERR_NOT_JSON, NULL},
    {"<html>", BCDA_ERR_NOT_JSON, NULL},
    {"{\"entry\":[", BCDA_ERR_NOT_JSON, NULL},
    /* without jobs the server sends an OperationOutcome, followed by a Bundle */
    {"{\"resourceType\":\"OperationOutcome\",\"issue\":[]}" BUNDLE(TASK("42", "accepted", SAME)), 0,
     NULL},
};

START_TEST(identical_exports)
{
    char id[BCDA__JOB_ID_MAX + 1] = "untouched";
    /* a copy of exact size, so that a sanitizer detects a read beyond it */
    size_t len = strlen(rows[_i].body);
    char *body = malloc(len + 1);
    int rc;

    memcpy(body, rows[_i].body, len);
    rc = bcda__joblist_twin(body, len, WANTED, id);
    ck_assert_msg(rc == rows[_i].result, "%s: %d", rows[_i].body, rc);
    ck_assert_str_eq(id, rows[_i].id ? rows[_i].id : "untouched");
    free(body);
}
END_TEST

SUITE("joblist")
{
    suite_case("joblist");
    suite_loop(identical_exports, 0, (int)COUNT(rows));
}
