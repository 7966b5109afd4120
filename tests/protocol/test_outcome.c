/* Parses all shapes of OperationOutcome that the server has sent (bcda-api 8.1 and 6.6), and bodies
 * that are not an OperationOutcome. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "helper.h"
#include "protocol/outcome.h"
#include "suite.h"

struct seen {
    int count;
    struct bcda__issue last;
    struct bcda__issue first;
    int stop_after; /* number of the issue to stop at; 0 = never */
};

static int collect(void *ctx, const struct bcda__issue *issue)
{
    struct seen *seen = ctx;

    if (seen->count++ == 0)
        seen->first = *issue;
    seen->last = *issue;
    return seen->stop_after && seen->count == seen->stop_after ? BCDA_ERR_STOPPED : 0;
}

static int run(const char *body, struct seen *seen)
{
    memset(seen, 0, sizeof *seen);
    return bcda__outcome_each(body, strlen(body), collect, seen);
}

#define OO "{\"resourceType\":\"OperationOutcome\",\"issue\":["

static const struct shape {
    const char *body;
    enum bcda__severity severity;
    const char *code;
    const char *text;
} shapes[] = {
    /* until 2020-04-01 */
    {OO "{\"severity\":\"Error\",\"code\":\"Exception\",\"details\":{\"coding\":[{\"display\":"
        "\"Invalid Token\"}],\"text\":\"Invalid Token\"}}]}",
     BCDA__SEVERITY_ERROR, "Exception", "Invalid Token"},
    /* answers about a missing header in era A (bcda-api 0.2): `diagnostics` follows `details` */
    {OO "{\"severity\":\"Error\",\"code\":\"Structural "
        "Issue\",\"details\":{\"coding\":[{\"display\":\"Request Error\"}],\"text\":\"Request "
        "Error\"},\"diagnostics\":\"Prefer header is required\"}]}",
     BCDA__SEVERITY_ERROR, "Structural Issue", "Prefer header is required"},
    /* 2020-04 to 2020-06 */
    {OO "{\"severity\":\"Error\",\"code\":\"Exception\",\"details\":{\"coding\":[{\"system\":"
        "\"http://hl7.org/fhir/ValueSet/operation-outcome\",\"code\":\"Token "
        "Error\",\"display\":\"Shown Token\"}]}}]}",
     BCDA__SEVERITY_ERROR, "Exception", "Shown Token"},
    /* 2020-06 to 2021-02 */
    {OO "{\"severity\":\"error\",\"code\":\"exception\",\"details\":{\"coding\":[{\"system\":"
        "\"http://hl7.org/fhir/ValueSet/operation-outcome\",\"code\":\"Invalid Token\"}]}}]}",
     BCDA__SEVERITY_ERROR, "exception", "Invalid Token"},
    /* 2021-02 to 2024-03: keys in alphabetical order */
    {"{\"issue\":[{\"code\":\"exception\",\"details\":{\"coding\":[{\"code\":\"Invalid "
     "Token\",\"system\":\"http://hl7.org/fhir/ValueSet/"
     "operation-outcome\"}]},\"severity\":\"error\"}],\"resourceType\":\"OperationOutcome\"}",
     BCDA__SEVERITY_ERROR, "exception", "Invalid Token"},
    /* 2024-03 to 2025-12, v1 */
    {"{\"issue\":[{\"code\":\"exception\",\"diagnostics\":\"Invalid "
     "Token\",\"severity\":\"error\"}],\"resourceType\":\"OperationOutcome\"}",
     BCDA__SEVERITY_ERROR, "exception", "Invalid Token"},
    /* the current API v1 */
    {OO "{\"severity\":\"error\",\"code\":\"forbidden\",\"diagnostics\":\"Invalid Token\"}]}",
     BCDA__SEVERITY_ERROR, "forbidden", "Invalid Token"},
    /* the current API v2 */
    {OO
     "{\"severity\":\"error\",\"code\":\"forbidden\",\"details\":{\"coding\":[{\"system\":\"http://"
     "hl7.org/fhir/ValueSet/operation-outcome\",\"code\":\"Request Error\",\"display\":\"Expired "
     "Token\"}],\"text\":\"Expired Token\"},\"diagnostics\":\"Expired Token\"}]}",
     BCDA__SEVERITY_ERROR, "forbidden", "Expired Token"},
    /* the current API v3, with and without `details.text` */
    {OO
     "{\"severity\":\"error\",\"code\":\"not-found\",\"details\":{\"text\":\"Job not found\"}}]}",
     BCDA__SEVERITY_ERROR, "not-found", "Job not found"},
    {OO "{\"severity\":\"error\",\"code\":\"forbidden\",\"details\":{}}]}", BCDA__SEVERITY_ERROR,
     "forbidden", ""},
    /* lines of error files (bcda-api 6.6) in the eras A, B and C (bcda-api 0.2) and in API v3 */
    {OO "{\"severity\":\"Error\",\"code\":\"Exception\",\"details\":{\"coding\":[{\"display\":"
        "\"Error retrieving Patient for beneficiary 1 in ACO a\"}],\"text\":\"Error retrieving "
        "Patient for beneficiary 1 in ACO a\"}}]}",
     BCDA__SEVERITY_ERROR, "Exception", "Error retrieving Patient for beneficiary 1 in ACO a"},
    {OO "{\"severity\":\"error\",\"code\":\"exception\",\"details\":{\"coding\":[{\"system\":"
        "\"http://hl7.org/fhir/ValueSet/operation-outcome\",\"code\":\"Blue Button "
        "Error\",\"display\":\"shown\"}],\"text\":\"said\"}}]}",
     BCDA__SEVERITY_ERROR, "exception", "said"},
    {OO "{\"severity\":\"error\",\"code\":\"not-found\",\"diagnostics\":\"Error retrieving "
        "BlueButton ID\"}]}",
     BCDA__SEVERITY_ERROR, "not-found", "Error retrieving BlueButton ID"},
    {OO "{\"severity\":\"warning\",\"code\":\"processing\",\"details\":{\"text\":\"Default "
        "behavior\"}}]}",
     BCDA__SEVERITY_WARNING, "processing", "Default behavior"},
    /* severities */
    {OO "{\"severity\":\"INFORMATION\"}]}", BCDA__SEVERITY_INFORMATION, "", ""},
    {OO "{\"severity\":\"Fatal\"}]}", BCDA__SEVERITY_FATAL, "", ""},
    {OO "{\"severity\":\"success\"}]}", BCDA__SEVERITY_UNKNOWN, "", ""},
    {OO "{\"severity\":3,\"code\":4,\"diagnostics\":[\"no\"],\"details\":\"no\"}]}",
     BCDA__SEVERITY_UNKNOWN, "", ""},
    /* the issue's text is the first of these that is not empty: diagnostics, details.text, and
     * display and code of details.coding */
    {OO "{\"diagnostics\":\" \\n "
        "\",\"details\":{\"text\":\"\",\"coding\":[{\"code\":\"c\",\"display\":\"\"}]}}]}",
     BCDA__SEVERITY_UNKNOWN, "", "c"},
    /* the order in the document does not matter */
    {OO "{\"diagnostics\":\"1\",\"details\":{\"text\":\"2\",\"coding\":[{\"display\":\"3\","
        "\"code\":\"4\"}]}}]}",
     BCDA__SEVERITY_UNKNOWN, "", "1"},
    {OO "{\"details\":{\"text\":\"2\",\"coding\":[{\"code\":\"4\",\"display\":\"3\"}]}}]}",
     BCDA__SEVERITY_UNKNOWN, "", "2"},
    {OO "{\"details\":{\"coding\":[{\"display\":\"3\",\"code\":\"4\"}]}}]}", BCDA__SEVERITY_UNKNOWN,
     "", "3"},
    /* only the first element of the array `coding` is read */
    {OO "{\"details\":{\"coding\":[{\"code\":\"a\"},{\"display\":\"b\"}]}}]}",
     BCDA__SEVERITY_UNKNOWN, "", "a"},
    {OO "{\"details\":{\"coding\":[[],{\"display\":\"b\"}]}}]}", BCDA__SEVERITY_UNKNOWN, "", ""},
    /* the text becomes one line */
    {OO "{\"diagnostics\":\"  a\\r\\nb\\tc\\u0000d\\u001b[31m \"}]}", BCDA__SEVERITY_UNKNOWN, "",
     "a  b c d [31m"},
    /* a body of two documents: only the first is read */
    {OO "{\"severity\":\"error\",\"code\":\"not-found\",\"diagnostics\":\"Job not "
        "found\"}]}{\"resourceType\":\"OperationOutcome\",\"issue\":[{\"severity\":\"error\","
        "\"code\":\"gone\",\"diagnostics\":\"second\"}]}",
     BCDA__SEVERITY_ERROR, "not-found", "Job not found"},
};

START_TEST(each_shape)
{
    struct bcda_error err;
    struct seen seen;
    size_t i;

    for (i = 0; i < COUNT(shapes); i++) {
        ck_assert_msg(run(shapes[i].body, &seen) == 0, "%s", shapes[i].body);
        ck_assert_int_eq(seen.count, 1);
        ck_assert_int_eq(seen.last.severity, shapes[i].severity);
        ck_assert_str_eq(seen.last.code, shapes[i].code);
        ck_assert_str_eq(seen.last.text, shapes[i].text);
        bcda__err_clear(&err);
        bcda__outcome_describe(&err, shapes[i].body, strlen(shapes[i].body));
        ck_assert_str_eq(err.server, shapes[i].text);
    }
}
END_TEST

START_TEST(no_issue)
{
    static const char *const bodies[] = {
        "{\"resourceType\":\"OperationOutcome\"}", /* for a failed job in 2018 to 2020 (era A) */
        OO "]}",
        "{\"resourceType\":\"OperationOutcome\",\"issue\":null}",
        "{\"resourceType\":\"OperationOutcome\",\"issue\":\"text\"}",
        "{\"resourceType\":\"OperationOutcome\",\"issue\":{\"diagnostics\":\"x\"}}",
        OO "null,1,[{\"code\":\"x\"}]]}",
        "{\"resourceType\":\"OperationOutcome\",\"x\":{\"issue\":[{\"diagnostics\":\"x\"}]}}",
    };
    struct seen seen;
    size_t i;

    for (i = 0; i < COUNT(bodies); i++) {
        ck_assert_int_eq(run(bodies[i], &seen), 0);
        ck_assert_msg(seen.count == 0, "%s", bodies[i]);
    }
}
END_TEST

START_TEST(others_of_the_same_name)
{
    struct seen seen;

    ck_assert_int_eq(
        run("{\"resourceType\":\"OperationOutcome\",\"contained\":[{\"resourceType\":\"Patient\","
            "\"issue\":[{\"diagnostics\":\"no\"}]}],\"issue\":[{\"extension\":[{\"diagnostics\":"
            "\"no\",\"code\":\"no\",\"severity\":\"fatal\",\"details\":{\"text\":\"no\"}}],\"x\":{"
            "\"diagnostics\":\"no\",\"code\":\"no\",\"text\":\"no\"},\"details\":{\"x\":{\"text\":"
            "\"no\"},\"extension\":[{\"text\":\"no\",\"coding\":[{\"display\":\"no\"}]}],"
            "\"coding\":[{\"x\":{\"display\":\"no\"},\"extension\":[{\"code\":\"no\"}],\"code\":"
            "\"yes\"}]},\"severity\":\"warning\",\"code\":\"c\"}]}",
            &seen),
        0);
    ck_assert_int_eq(seen.count, 1);
    ck_assert_str_eq(seen.last.text, "yes");
    ck_assert_str_eq(seen.last.code, "c");
    ck_assert_int_eq(seen.last.severity, BCDA__SEVERITY_WARNING);
}
END_TEST

START_TEST(many_issues)
{
    static const char body[] = "{\"issue\":[{\"severity\":\"error\",\"code\":\"a\",\"diagnostics\":"
                               "\"1\"},{\"code\":\"transient\"},{\"details\":{\"coding\":[{"
                               "\"code\":\"3\"}]}}],\"resourceType\":\"OperationOutcome\"}";
    struct seen seen;

    ck_assert_int_eq(run(body, &seen), 0);
    ck_assert_int_eq(seen.count, 3);
    ck_assert_str_eq(seen.first.text, "1");
    ck_assert_str_eq(seen.last.text, "3");
    ck_assert_str_eq(seen.last.code, ""); /* nothing of the previous issue is left */
    ck_assert_int_eq(seen.last.severity, BCDA__SEVERITY_UNKNOWN);
    memset(&seen, 0, sizeof seen);
    seen.stop_after = 2;
    ck_assert_int_eq(bcda__outcome_each(body, strlen(body), collect, &seen), BCDA_ERR_STOPPED);
    ck_assert_int_eq(seen.count, 2);
}
END_TEST

START_TEST(transient)
{
    static const char *const yes[] = {
        OO "{\"code\":\"transient\"}]}",
        OO "{\"code\":\"x\"},{\"code\":\"Transient\"}]}",
    };
    static const char *const no[] = {
        "",
        "transient",
        OO "{\"code\":\"exception\",\"diagnostics\":\"transient\"}]}",
        OO "{\"details\":{\"coding\":[{\"code\":\"transient\"}]}}]}",
        "{\"resourceType\":\"Patient\",\"issue\":[{\"code\":\"transient\"}]}",
    };
    size_t i;

    for (i = 0; i < COUNT(yes); i++)
        ck_assert(bcda__outcome_is_transient(yes[i], strlen(yes[i])));
    for (i = 0; i < COUNT(no); i++)
        ck_assert(!bcda__outcome_is_transient(no[i], strlen(no[i])));
}
END_TEST

START_TEST(other_bodies)
{
    struct seen seen;
    static const struct {
        const char *body;
        int code;
    } rows[] = {
        {"", BCDA_ERR_NOT_JSON},
        {"page not found 404\n", BCDA_ERR_NOT_JSON},
        {"404 page not found\n", BCDA_ERR_LINE_TYPE}, /* JSON: the number 404 */
        {"<html></html>", BCDA_ERR_NOT_JSON},
        {OO "{\"diagnostics\":\"x\"}]", BCDA_ERR_NOT_JSON},
        {"{\"resourceType\":\"Bundle\",\"issue\":[{\"diagnostics\":\"x\"}]}", BCDA_ERR_LINE_TYPE},
        {"{\"issue\":[{\"diagnostics\":\"x\"}],\"resourceType\":\"Bundle\"}", BCDA_ERR_LINE_TYPE},
        {OO "{}],\"resourceType\":\"Bundle\"}", BCDA_ERR_LINE_TYPE},
        {"{\"resourceType\":\"Bundle\",\"issue\":[{}],\"resourceType\":\"OperationOutcome\"}",
         BCDA_ERR_LINE_TYPE},
        {"{\"issue\":[{\"diagnostics\":\"x\"}]}", BCDA_ERR_LINE_TYPE},
        {"{\"x\":{\"resourceType\":\"OperationOutcome\"},\"issue\":[{}]}", BCDA_ERR_LINE_TYPE},
        {"{\"resourceType\":[\"OperationOutcome\"],\"issue\":[{}]}", BCDA_ERR_LINE_TYPE},
        {"{\"resourceType\":null,\"issue\":[{}]}", BCDA_ERR_LINE_TYPE},
        {"[{\"resourceType\":\"OperationOutcome\",\"issue\":[{}]}]", BCDA_ERR_LINE_TYPE},
        {"\"OperationOutcome\"", BCDA_ERR_LINE_TYPE},
        {"null", BCDA_ERR_LINE_TYPE},
    };
    size_t i;

    for (i = 0; i < COUNT(rows); i++) {
        ck_assert_msg(run(rows[i].body, &seen) == rows[i].code, "%s", rows[i].body);
        ck_assert_int_eq(seen.count, 0);
    }
}
END_TEST

START_TEST(described)
{
    static const struct {
        const char *body, *text;
    } rows[] = {
        {"", ""},
        {"404 page not found\n", "404 page not found"},
        {"Unauthorized\n", "Unauthorized"},
        {"\r\n  first line\r\nsecond line\n", "first line"},
        {"a\tb", "a b"},
        {"<entity> exceeded", ""},
        {"<!DOCTYPE html>\n<html>", ""},
        {" \n <html>", ""},
        {"\x1F\x8B\x08 gzip", ""},
        {"bell\a", ""},
        {"\x7F", ""},
        {"caf\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80", "caf\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80"},
        {"latin \xE9t\xE9", ""},
        {"overlong \xC0\xAF", ""},
        {"surrogate \xED\xA0\x80", ""},
        {"control \xC2\x9B", ""},
        {"cut \xE2\x82", "cut"},
        {"{\"message\":\"Limit Exceeded\"}", "{\"message\":\"Limit Exceeded\"}"},
        {OO "{\"code\":\"x\"},{\"diagnostics\":\"second\"}]}", "second"},
        {"{\"resourceType\":\"OperationOutcome\"}", ""},
    };
    struct bcda_error err;
    size_t i;

    for (i = 0; i < COUNT(rows); i++) {
        bcda__err_clear(&err);
        bcda__outcome_describe(&err, rows[i].body, strlen(rows[i].body));
        ck_assert_msg(strcmp(err.server, rows[i].text) == 0, "'%s' gives '%s'", rows[i].body,
                      err.server);
    }
    bcda__err_clear(&err);
    bcda__outcome_describe(&err, "a\0b", 3);
    ck_assert_str_eq(err.server, "");
    bcda__outcome_describe(&err, NULL, 0);
    bcda__outcome_describe(NULL, "text", 4);
}
END_TEST

/* The server's texts are shortened to limits: an issue's text and code, and err.server. Tests
 * lengths just below and above each limit, and a character of two bytes that crosses the limit. */
START_TEST(capped)
{
    char body[5000];
    char words[2000];
    struct bcda_error err;
    struct seen seen;
    size_t n, i;

    for (n = 600; n < 700; n++) {
        words[0] = 'x';
        for (i = 1; i + 1 < n; i += 2)
            memcpy(words + i, "\xC3\xA9", 2);
        words[i] = '\0';
        snprintf(body, sizeof body, OO "{\"code\":\"%s\",\"details\":{\"text\":\"%s\"}}]}", words,
                 words);
        ck_assert_int_eq(run(body, &seen), 0);
        ck_assert_uint_eq(strlen(seen.last.text), i < 640 ? i : 639);
        ck_assert_int_eq(strncmp(seen.last.text, words, strlen(seen.last.text)), 0);
        ck_assert_uint_eq(strlen(seen.last.code), 63);
        bcda__err_clear(&err);
        bcda__outcome_describe(&err, words, strlen(words));
        ck_assert_uint_eq(strlen(err.server), i < 640 ? i : 639);
        words[i] = 'y'; /* now the limit falls inside a character */
        words[i + 1] = '\0';
        bcda__err_clear(&err);
        bcda__outcome_describe(&err, words + 1, strlen(words + 1));
        ck_assert_uint_eq(strlen(err.server), i < 640 ? i : 638);
    }
}
END_TEST

/* bcda__outcome_describe() does not keep a text with control characters (C0 or C1) in err.server.
 */
START_TEST(control_characters)
{
    static const char *const texts[] = {"a\001b", "a\033[2Jb", "a\177b", "a\302\200b",
                                        "a\302\237b"};
    struct bcda_error err;
    size_t i;

    for (i = 0; i < COUNT(texts); i++) {
        bcda__err_set(&err, BCDA_ERR_STATUS, "x");
        bcda__outcome_describe(&err, texts[i], strlen(texts[i]));
        ck_assert_msg(err.server[0] == '\0', "text %zu", i);
    }
    bcda__outcome_describe(&err, "a\tb\302\240c", 6); /* a tab and a no-break space are allowed */
    ck_assert_str_ne(err.server, "");
}
END_TEST

START_TEST(mutated_and_cut)
{
    char copy[2000];
    struct bcda_error err;
    struct seen seen;
    size_t i, len, cut;
    int k, flips;

    for (i = 0; i < COUNT(shapes); i++) {
        len = strlen(shapes[i].body);
        for (cut = 0; cut < len; cut++) {
            char *exact = malloc(cut + 1);

            memcpy(exact, shapes[i].body, cut);
            memset(&seen, 0, sizeof seen);
            if (bcda__outcome_each(exact, cut, collect, &seen) != 0)
                ck_assert_int_eq(seen.count, 0);
            free(exact);
        }
        for (k = 0; k < 2000; k++) {
            memcpy(copy, shapes[i].body, len);
            for (flips = (int)roll(4); flips >= 0; flips--)
                copy[roll((uint32_t)len)] = (char)roll(256);
            memset(&seen, 0, sizeof seen);
            bcda__outcome_each(copy, len, collect, &seen);
            bcda__err_clear(&err);
            bcda__outcome_describe(&err, copy, len);
            ck_assert(!strpbrk(err.server, "\n\r\033"));
        }
    }
}
END_TEST

SUITE("outcome")
{
    suite_case("all");
    suite_timeout(240);
    suite_test(each_shape, no_issue, others_of_the_same_name, many_issues, transient, other_bodies,
               described, control_characters, capped, mutated_and_cut);
}
