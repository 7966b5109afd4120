/* The lines of a file of deletions. */
#include "codec/deletion.h"

#include <stdio.h>
#include <string.h>

#include "bcda/error.h"
#include "helper.h"
#include "suite.h"

static char found[400];

static int add_deletion(void *ctx, const struct bcda__deletion *d)
{
    size_t at = strlen(found);

    (void)ctx;
    snprintf(found + at, sizeof found - at, "%s/%s ", d->type, d->id);
    return strcmp(d->id, "stop") == 0 ? BCDA_ERR_STOPPED : 0;
}

#define DELETE(url)   "{\"request\":{\"method\":\"DELETE\",\"url\":\"" url "\"}}"
#define BUNDLE(entry) "{\"resourceType\":\"Bundle\",\"type\":\"transaction\",\"entry\":[" entry "]}"
#define ID64          "0123456789012345678901234567890123456789012345678901234567890123"

static const struct {
    const char *json;
    int rc;
    const char *found;
} rows[] = {
    {BUNDLE(DELETE("Patient/1")), 0, "Patient/1 "},
    {BUNDLE(DELETE("Patient/1") "," DELETE("Coverage/-a.B")), 0, "Patient/1 Coverage/-a.B "},
    {BUNDLE(DELETE("https:\\/\\/h/api/v2/Patient/1")), 0, "Patient/1 "},
    {BUNDLE(DELETE("/Patient/1")), 0, "Patient/1 "},
    {BUNDLE(DELETE("Patient/" ID64)), 0, "Patient/" ID64 " "},
    {BUNDLE(""), 0, ""},
    {"{\"resourceType\":\"Bundle\"}", 0, ""},
    {"{\"entry\":[" DELETE("Patient/1") "],\"resourceType\":\"Bundle\"}", 0, "Patient/1 "},
    {BUNDLE("{\"request\":{\"url\":\"Patient/1\",\"method\":\"DELETE\"},\"fullUrl\":\"x\"}"), 0,
     "Patient/1 "},
    {BUNDLE(DELETE("Patient/stop") "," DELETE("Patient/2")), BCDA_ERR_STOPPED, "Patient/stop "},
    /* not only deletions */
    {BUNDLE("{\"request\":{\"method\":\"PUT\",\"url\":\"Patient/1\"}}"), BCDA_ERR_LINE_TYPE, ""},
    {BUNDLE("{\"request\":{\"method\":\"delete\",\"url\":\"Patient/1\"}}"), BCDA_ERR_LINE_TYPE, ""},
    {BUNDLE(DELETE("Patient/1") ",{\"request\":{\"method\":\"DELETE\"}}"), BCDA_ERR_LINE_TYPE,
     "Patient/1 "},
    {BUNDLE("{\"request\":{\"url\":\"Patient/1\"}}"), BCDA_ERR_LINE_TYPE, ""},
    {BUNDLE("{}"), BCDA_ERR_LINE_TYPE, ""},
    {BUNDLE("null"), BCDA_ERR_LINE_TYPE, ""},
    {BUNDLE("\"Patient/1\""), BCDA_ERR_LINE_TYPE, ""},
    {BUNDLE("[" DELETE("Patient/1") "]"), BCDA_ERR_LINE_TYPE, ""},
    /* URLs of another form */
    {BUNDLE(DELETE("Patient")), BCDA_ERR_LINE_TYPE, ""},
    {BUNDLE(DELETE("Patient/")), BCDA_ERR_LINE_TYPE, ""},
    {BUNDLE(DELETE("/1")), BCDA_ERR_LINE_TYPE, ""},
    {BUNDLE(DELETE("patient/1")), BCDA_ERR_LINE_TYPE, ""},
    {BUNDLE(DELETE("Patient?identifier=1")), BCDA_ERR_LINE_TYPE, ""},
    {BUNDLE(DELETE("Patient/1/_history/2")), BCDA_ERR_LINE_TYPE, ""},
    {BUNDLE(DELETE("Patient/a_b")), BCDA_ERR_LINE_TYPE, ""},
    {BUNDLE(DELETE("my-Patient/1")), BCDA_ERR_LINE_TYPE, ""},
    {BUNDLE(DELETE("Patient/1\\u0000")), BCDA_ERR_LINE_TYPE, ""},
    {BUNDLE(DELETE("Patient/" ID64 "4")), BCDA_ERR_LINE_TYPE, ""},
    {BUNDLE(DELETE("")), BCDA_ERR_LINE_TYPE, ""},
    /* no Bundle */
    {"{\"resourceType\":\"Patient\",\"id\":\"1\"}", BCDA_ERR_LINE_TYPE, ""},
    {"{\"entry\":[]}", BCDA_ERR_LINE_TYPE, ""},
    {"[]", BCDA_ERR_LINE_TYPE, ""},
    {"{", BCDA_ERR_LINE_TYPE, ""},
};

START_TEST(each)
{
    size_t len = strlen(rows[_i].json);
    int without = rows[_i].rc == BCDA_ERR_STOPPED ? 0 : rows[_i].rc;

    found[0] = '\0';
    ck_assert_int_eq(bcda__deletion_each(rows[_i].json, len, add_deletion, NULL), rows[_i].rc);
    ck_assert_str_eq(found, rows[_i].found);
    ck_assert_int_eq(bcda__deletion_each(rows[_i].json, len, NULL, NULL), without);
}
END_TEST

SUITE("deletion")
{
    suite_case("deletion");
    suite_loop(each, 0, COUNT(rows));
}
