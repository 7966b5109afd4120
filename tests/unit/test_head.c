/* The head of an HTTP response, given line by line. */
#include "net/head.h"

#include <string.h>

#include "bcda/error.h"
#include "helper.h"
#include "suite.h"

static struct bcda__head head;

static void set_up(void)
{
    bcda__head_init(&head, 4096);
}

static void tear_down(void)
{
    bcda__head_free(&head);
}

/* Splits `lines` at '|' and passes each line, with CR LF, to the head. Returns what the last call
 * returned. */
static int give(const char *lines)
{
    char line[8192];
    int rc = 0;

    while (lines) {
        const char *end = strchr(lines, '|');
        size_t len = end ? (size_t)(end - lines) : strlen(lines);

        ck_assert_uint_lt(len, sizeof line - 2);
        memcpy(line, lines, len);
        memcpy(line + len, "\r\n", 2);
        rc = bcda__head_line(&head, line, len + 2);
        lines = end ? end + 1 : NULL;
    }
    return rc;
}

START_TEST(values)
{
    ck_assert_int_eq(
        give("HTTP/1.1 206 Partial Content|ETag:\t \"a\"  |X: 1|x: 2|Empty:|Content-Length: 7"), 0);
    ck_assert_int_eq(head.state, BCDA__HEAD_READING);
    ck_assert_int_eq(give(""), 1);
    ck_assert_int_eq(head.state, BCDA__HEAD_COMPLETE);
    ck_assert_int_eq(head.status, 206);
    ck_assert_int_eq(head.version, 1);
    ck_assert_str_eq(bcda__head_value(&head, "etag"), "\"a\"");
    ck_assert_str_eq(bcda__head_value(&head, "X"), "2"); /* of equal headers, the last counts */
    ck_assert_str_eq(bcda__head_value(&head, "Empty"), "");
    ck_assert_str_eq(bcda__head_value(&head, "E"), ""); /* a prefix of a name does not match */
    ck_assert_int_eq(bcda__head_content_length(&head), 7);
    ck_assert_int_eq(bcda__head_is_chunked(&head), 0);
}
END_TEST

START_TEST(no_headers)
{
    ck_assert_str_eq(bcda__head_value(&head, "X"), "");
    ck_assert_int_eq(bcda__head_content_length(&head), -1);
    ck_assert_int_eq(give("HTTP/1.1 200 OK|"), 1);
    ck_assert_int_eq(head.status, 200);
    ck_assert_int_eq(bcda__head_content_length(&head), -1);
}
END_TEST

/* The headers of an interim response are dropped; the final response completes the head. */
START_TEST(interim)
{
    ck_assert_int_eq(give("HTTP/1.1 103 Early Hints|Link: </a>|"), 0);
    ck_assert_int_eq(head.state, BCDA__HEAD_READING);
    ck_assert_int_eq(give("HTTP/1.1 200 OK|X: 1|"), 1);
    ck_assert_str_eq(bcda__head_value(&head, "Link"), "");
    ck_assert_str_eq(bcda__head_value(&head, "X"), "1");
}
END_TEST

START_TEST(trailers)
{
    ck_assert_int_eq(give("HTTP/1.1 200 OK|Transfer-Encoding: Chunked|"), 1);
    ck_assert_int_eq(bcda__head_is_chunked(&head), 1);
    ck_assert_int_eq(give("Content-Length: 5"), 0);
    ck_assert_int_eq(bcda__head_content_length(&head),
                     -1); /* a trailer field does not count as a header */
}
END_TEST

/* If the status line has no valid number, the status stays 0, and the head is never complete. */
START_TEST(no_status)
{
    static const char *const lines[] = {"HTTP/1.1|", "HTTP/1.1 |", "HTTP/1.1 2|", "HTTP/1.1 abc|",
                                        "HTTP/1.1 20|"};

    ck_assert_int_eq(give(lines[_i]), 0);
    ck_assert_int_lt(head.status, 200);
    ck_assert_int_eq(head.state, BCDA__HEAD_READING);
}
END_TEST

static const struct {
    const char *headers;
    const char *cause; /* why the head is refused; NULL: accepted */
} framings[] = {
    {"Content-Length: 0", NULL},
    {"Content-Length: 922337203685477579", NULL},
    {"Content-Length: 5|content-length: 5", NULL},
    {"Content-Length: 05|Content-Length: 5", NULL},
    {"Transfer-Encoding: chunked", NULL},
    {"Content-Length: 9223372036854775808", "a Content-Length that is no length"},
    {"Content-Length:", "a Content-Length that is no length"},
    {"Content-Length: -1", "a Content-Length that is no length"},
    {"Content-Length: 5, 5", "a Content-Length that is no length"},
    {"Content-Length: 5|Content-Length: 6", "several Content-Length that differ"},
    {"Content-Length: 5|X: 1|Content-Length: x", "several Content-Length that differ"},
    {"Content-Length: 5|Transfer-Encoding: chunked",
     "both a Transfer-Encoding and a Content-Length"},
    {"Transfer-Encoding: chunked|Transfer-Encoding: chunked",
     "a Transfer-Encoding that was not asked for"},
    {"Transfer-Encoding: gzip, chunked", "a Transfer-Encoding that was not asked for"},
    {"Transfer-Encoding:", "a Transfer-Encoding that was not asked for"},
};

START_TEST(framing)
{
    ck_assert_int_eq(give("HTTP/1.1 200 OK"), 0);
    ck_assert_int_eq(give(framings[_i].headers), 0);
    if (!framings[_i].cause) {
        ck_assert_int_eq(give(""), 1);
        return;
    }
    ck_assert_int_eq(give(""), BCDA_ERR_HTTP);
    ck_assert_str_eq(head.cause, framings[_i].cause);
    ck_assert_int_eq(head.state, BCDA__HEAD_REFUSED);
    ck_assert_int_eq(give("X: 1"), BCDA_ERR_HTTP); /* all later lines are refused, too */
}
END_TEST

/* The limit counts the bytes of interim responses, of the final head and of the trailer fields. */
START_TEST(limit)
{
    size_t max = strlen("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nX: 1\r\n\r\nT: 1\r\n");
    int at = _i; /* 0: at the limit; 1: one byte over it */

    bcda__head_free(&head);
    bcda__head_init(&head, max - (size_t)at);
    ck_assert_int_eq(give("HTTP/1.1 100 Continue||HTTP/1.1 200 OK|X: 1|"), 1);
    ck_assert_int_eq(give("T: 1"), at ? BCDA_ERR_HEADERS_TOO_LARGE : 0);
    ck_assert_int_eq(head.code, at ? BCDA_ERR_HEADERS_TOO_LARGE : 0);
}
END_TEST

SUITE("head")
{
    suite_case("head");
    suite_checked(set_up, tear_down);
    suite_test(values, no_headers, interim, trailers);
    suite_loop(no_status, 0, 5);
    suite_loop(framing, 0, COUNT(framings));
    suite_loop(limit, 0, 2);
}
