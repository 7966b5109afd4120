/* bcda-api 5.2: every body that a finished job has had, whole and in pieces, and hostile ones. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "helper.h"
#include "protocol/manifest.h"
#include "suite.h"

#define H             "https://sandbox.bcda.cms.gov/data/42/"
#define UUID1         "b8cfdb04-7c57-4c7a-bb78-2fc16cbc05a1"
#define UUID2         "0c527d2e-2e8a-4808-b11d-0fa06baf8254"
#define HALF          "00112233445566778899aabbccddeeff"
#define NO_ENCRYPTION "4e4f5f454e4352595054494f4e"
#define TEN_SPACES    "          "
#define SPACES \
    TEN_SPACES TEN_SPACES TEN_SPACES TEN_SPACES TEN_SPACES TEN_SPACES TEN_SPACES TEN_SPACES

static struct bcda_error err;

/* Piece sizes: 0 = all at once, -1 = at random, else so many bytes. Each piece is an allocation of
 * its own, so that whoever reads beyond it, or keeps a pointer into it, is caught. */
static int parse_cut(const char *body, size_t len, int piece, size_t max,
                     struct bcda__manifest **out)
{
    struct bcda__manifest_parser *p;
    size_t at = 0;
    int rc = bcda__manifest_parser_new(&p, max);

    ck_assert_int_eq(rc, 0);
    bcda__err_clear(&err);
    while (at < len && !rc) {
        size_t n = piece > 0 ? (size_t)piece : piece < 0 ? roll(40) : len;
        char *copy;

        n = n < len - at ? n : len - at;
        copy = malloc(n ? n : 1);
        memcpy(copy, body + at, n);
        rc = bcda__manifest_parser_write(p, copy, n, &err);
        free(copy);
        at += n;
    }
    if (!rc)
        rc = bcda__manifest_parser_finish(p, out, &err);
    bcda__manifest_parser_free(p);
    return rc;
}

static int parse(const char *body, struct bcda__manifest **out)
{
    return parse_cut(body, strlen(body), 0, 1000, out);
}

struct want {
    const char *type, *url, *name, *key;
    int is_error;
    int64_t count;
};

struct shape {
    const char *body;
    const char *time, *request;
    int64_t job_id;
    int token;
    size_t count, output_count;
    struct want entries[4];
};

#define SAYS(time, request, job_id, token, count, output_count) \
    time, request, job_id, token, count, output_count

static const struct shape shapes[] = {
    /* the example of era A */
    {"{\"transactionTime\":\"2019-04-26T15:02:11.38342Z\",\"request\":\"https://"
     "sandbox.bcda.cms.gov/api/v1/Patient/"
     "$export\",\"requiresAccessToken\":true,\"output\":[{\"type\":\"Patient\",\"url\":\"" H UUID1
     ".ndjson\",\"encryptedKey\":\"4fd0aa\"}],\"error\":[],\"KeyMap\":{\"" UUID1
     ".ndjson\":\"4fd0aa\"},\"JobID\":42}",
     SAYS("2019-04-26T15:02:11.38342Z", "https://sandbox.bcda.cms.gov/api/v1/Patient/$export", 42,
          1, 1, 1),
     {{"Patient", H UUID1 ".ndjson", UUID1 ".ndjson", "4fd0aa", 0, -1}}},
    /* only KeyMap, behind output; an error file with a key of its own */
    {"{\"transactionTime\":\"2019-01-02T00:00:00Z\",\"request\":\"\",\"requiresAccessToken\":true,"
     "\"output\":[{\"type\":\"Patient\",\"url\":\"" H UUID2
     ".ndjson\"}],\"error\":[{\"type\":\"OperationOutcome\",\"url\":\"" H UUID2
     "-error.ndjson\"}],\"KeyMap\":{\"" UUID2 "-error.ndjson\":\"bb02\",\"" UUID2
     ".ndjson\":\"aa01\"},\"JobID\":7}",
     SAYS("2019-01-02T00:00:00Z", "", 7, 1, 2, 1),
     {{"Patient", H UUID2 ".ndjson", UUID2 ".ndjson", "aa01", 0, -1},
      {"OperationOutcome", H UUID2 "-error.ndjson", UUID2 "-error.ndjson", "bb02", 1, -1}}},
    /* late 2018: names padded to 127 characters, and `keys` */
    {"{\"transactionTime\":\"2018-11-20T10:00:00Z\",\"request\":\"r\",\"requiresAccessToken\":true,"
     "\"output\":[{\"type\":\"ExplanationOfBenefit\",\"url\":\"" H UUID1
     ".ndjson\"}],\"error\":[],\"KeyMap\":{\"" UUID1 ".ndjson" SPACES
     "\":\" aa01 \"},\"keys\":[\"aa01|" UUID1 ".ndjson" SPACES "\"]}",
     SAYS("2018-11-20T10:00:00Z", "r", -1, 1, 1, 1),
     {{"ExplanationOfBenefit", H UUID1 ".ndjson", UUID1 ".ndjson", "aa01", 0, -1}}},
    /* only `keys` */
    {"{\"output\":[{\"type\":\"Patient\",\"url\":\"" H
     "a.ndjson\"},{\"type\":\"Patient\",\"url\":\"" H
     "b.ndjson\"}],\"keys\":[\"bb|b.ndjson\",\"aa|a.ndjson\"]}",
     SAYS("", "", -1, 1, 2, 2),
     {{"Patient", H "a.ndjson", "a.ndjson", "aa", 0, -1},
      {"Patient", H "b.ndjson", "b.ndjson", "bb", 0, -1}}},
    /* should the two not agree, KeyMap has it, wherever it stands */
    {"{\"keys\":[\"01|a.ndjson\",\"02|b.ndjson\"],\"output\":[{\"url\":\"" H
     "a.ndjson\"},{\"url\":\"" H "b.ndjson\"}],\"KeyMap\":{\"a.ndjson\":\"aa\"}}",
     SAYS("", "", -1, 1, 2, 2),
     {{"", H "a.ndjson", "a.ndjson", "aa", 0, -1}, {"", H "b.ndjson", "b.ndjson", "02", 0, -1}}},
    /* a plain job of 2018 */
    {"{\"transactionTime\":\"t\",\"output\":[{\"type\":\"Patient\",\"url\":\"" H
     "a.ndjson\"}],\"error\":[],\"KeyMap\":{},\"keys\":null}",
     SAYS("t", "", -1, 1, 1, 1),
     {{"Patient", H "a.ndjson", "a.ndjson", NULL, 0, -1}}},
    /* encrypt=false in 2019 */
    {"{\"transactionTime\":\"t\",\"output\":[{\"type\":\"Patient\",\"url\":\"" H
     "a.ndjson\",\"encryptedKey\":\"" NO_ENCRYPTION "\"},{\"type\":\"Patient\",\"url\":\"" H
     "b.ndjson\"}],\"error\":[],\"KeyMap\":{\"a.ndjson\":\"" NO_ENCRYPTION
     "\",\"b.ndjson\":\"4E4F5F454E4352595054494F4E\"}}",
     SAYS("t", "", -1, 1, 2, 2),
     {{"Patient", H "a.ndjson", "a.ndjson", NULL, 0, -1},
      {"Patient", H "b.ndjson", "b.ndjson", NULL, 0, -1}}},
    /* an empty encryptedKey gives way to the map; an empty value is none */
    {"{\"KeyMap\":{\"a.ndjson\":\"aa\",\"b.ndjson\":\"\",\"c.ndjson\":null},\"output\":[{\"url\":"
     "\"" H "a.ndjson\",\"encryptedKey\":\"\"},{\"url\":\"" H
     "b.ndjson\",\"encryptedKey\":null},{\"url\":\"" H "c.ndjson\"}]}",
     SAYS("", "", -1, 1, 3, 3),
     {{"", H "a.ndjson", "a.ndjson", "aa", 0, -1},
      {"", H "b.ndjson", "b.ndjson", NULL, 0, -1},
      {"", H "c.ndjson", "c.ndjson", NULL, 0, -1}}},
    /* the race of era A */
    {"{\"transactionTime\":\"t\",\"request\":\"r\",\"requiresAccessToken\":true,\"output\":null,"
     "\"error\":[],\"KeyMap\":{},\"JobID\":1}",
     SAYS("t", "r", 1, 1, 0, 0),
     {{0}}},
    {"{\"transactionTime\":\"0001-01-01T00:00:00Z\",\"output\":[],\"error\":null,\"JobID\":1}",
     SAYS("0001-01-01T00:00:00Z", "", 1, 1, 0, 0),
     {{0}}},
    /* era C; & written as Go writes it */
    {"{\"transactionTime\":\"2026-08-21T01:02:03.123456789Z\",\"request\":\"https://h/api/v2/"
     "Patient/"
     "$export?_type=Patient\\u0026_since=2020-01-01T00:00:00%2B05:00\",\"requiresAccessToken\":"
     "true,\"output\":[{\"type\":\"Patient\",\"url\":\"https://h/data/9/"
     "p.ndjson\"}],\"error\":[{\"type\":\"OperationOutcome\",\"url\":\"https://h/data/9/"
     "warnings-and-info.ndjson\"},{\"type\":\"OperationOutcome\",\"url\":\"https://h/data/9/"
     "p-error.ndjson\"}],\"JobID\":4294967296}",
     SAYS("2026-08-21T01:02:03.123456789Z",
          "https://h/api/v2/Patient/$export?_type=Patient&_since=2020-01-01T00:00:00%2B05:00",
          INT64_C(4294967296), 1, 3, 1),
     {{"Patient", "https://h/data/9/p.ndjson", "p.ndjson", NULL, 0, -1},
      {"OperationOutcome", "https://h/data/9/warnings-and-info.ndjson", "warnings-and-info.ndjson",
       NULL, 1, -1},
      {"OperationOutcome", "https://h/data/9/p-error.ndjson", "p-error.ndjson", NULL, 1, -1}}},
    /* other servers of the Bulk Data specification: `error` first, counts, extensions, an open one,
     * http behind a proxy, a query, a job number as string */
    {"{\"extension\":{\"url\":\"https://x/"
     "y\",\"output\":[{\"url\":1}]},\"error\":[{\"url\":\"http://h:3000/"
     "e.ndjson\"}],\"deleted\":[{\"type\":\"Bundle\",\"url\":\"http://h:3000/"
     "d\"}],\"output\":[{\"extension\":[{\"url\":\"https://x/"
     "checksum\",\"valueString\":\"sha256:1\"},{\"url\":\"https://x/"
     "length\",\"deep\":{\"url\":[{\"url\":null}],\"type\":9}}],\"type\":\"Patient\",\"count\":"
     "1234,\"url\":\"http://h:3000/f/p%20x.ndjson?sig=a/b\"},{\"count\":null,\"url\":\"http://"
     "h:3000/"
     "q\",\"type\":\"Patient\",\"count2\":[1],\"x\":{\"encryptedKey\":\"no\"}}],"
     "\"requiresAccessToken\":false,\"JobID\":\"77\",\"link\":[]}",
     SAYS("", "", 77, 0, 3, 2),
     {{"Patient", "http://h:3000/f/p%20x.ndjson?sig=a/b", "p%20x.ndjson", NULL, 0, 1234},
      {"Patient", "http://h:3000/q", "q", NULL, 0, -1},
      {"", "http://h:3000/e.ndjson", "e.ndjson", NULL, 1, -1}}},
    /* 2019-02-27 .. 04-03: the error file also in output, where its key may stand */
    {"{\"output\":[{\"type\":\"Patient\",\"url\":\"" H
     "e-error.ndjson\",\"encryptedKey\":\"ee\"},{\"type\":\"Patient\",\"url\":\"" H
     "a.ndjson\",\"encryptedKey\":\"aa\"}],\"error\":[{\"type\":\"OperationOutcome\",\"url\":\"" H
     "e-error.ndjson\",\"encryptedKey\":\"\"}],\"transactionTime\":\"t\"}",
     SAYS("t", "", -1, 1, 2, 1),
     {{"Patient", H "a.ndjson", "a.ndjson", "aa", 0, -1},
      {"OperationOutcome", H "e-error.ndjson", "e-error.ndjson", "ee", 1, -1}}},
    /* 2024-02-23 .. 03-04: an error file only in output; the same file twice; the marker */
    {"{\"output\":[{\"type\":\"Patient\",\"url\":\"" H
     "x-error.ndjson\"},{\"type\":\"Patient\",\"url\":\"" H
     "a.ndjson\"},{\"type\":\"Patient\",\"url\":\"" H
     "blank.ndjson\"},{\"type\":\"Coverage\",\"url\":\"" H
     "a.ndjson\",\"encryptedKey\":\"aa\"}],\"error\":[{\"url\":\"" H "blank.ndjson\"}]}",
     SAYS("", "", -1, 1, 2, 1),
     {{"Patient", H "x-error.ndjson", "x-error.ndjson", NULL, 1, -1},
      {"Patient", H "a.ndjson", "a.ndjson", "aa", 0, -1}}},
    /* little is enough; nulls are as if not there */
    {" \n{\"transactionTime\":\"t\",\"request\":null,\"requiresAccessToken\":null,\"JobID\":null,"
     "\"KeyMap\":null}",
     SAYS("t", "", -1, 1, 0, 0),
     {{0}}},
};

static void check_entry(const struct bcda__entry *e, const struct want *w)
{
    ck_assert_str_eq(e->type, w->type);
    ck_assert_str_eq(e->url, w->url);
    ck_assert_str_eq(e->name, w->name);
    ck_assert_pstr_eq(e->key, w->key);
    ck_assert_int_eq(e->is_error, w->is_error);
    ck_assert_int_eq(e->count, w->count);
}

static void check_shape(const struct shape *s, int piece)
{
    struct bcda__manifest *m = NULL;
    size_t i;

    ck_assert_msg(parse_cut(s->body, strlen(s->body), piece, 5, &m) == 0, "%s: %s", s->body,
                  err.text);
    ck_assert_str_eq(m->transaction_time, s->time);
    ck_assert_str_eq(m->request, s->request);
    ck_assert_int_eq(m->job_id, s->job_id);
    ck_assert_int_eq(m->requires_access_token, s->token);
    ck_assert_uint_eq(m->output_count, s->output_count);
    ck_assert_msg(m->count == s->count, "%s: %zu", s->body, m->count);
    for (i = 0; i < s->count; i++)
        check_entry(&m->entries[i], &s->entries[i]);
    bcda__manifest_unref(m);
}

START_TEST(each_shape)
{
    size_t i;
    int k;

    for (i = 0; i < COUNT(shapes); i++) {
        check_shape(&shapes[i], 0);
        for (k = 1; k < 12; k++)
            check_shape(&shapes[i], k);
        for (k = 0; k < 50; k++)
            check_shape(&shapes[i], -1);
    }
}
END_TEST

/* Each error names the member, and none shows its value. */
START_TEST(refused)
{
    static const struct {
        const char *body, *word;
    } rows[] = {
        {"[]", "no object"},
        {"null", "no object"},
        {"\"output\"", "no object"},
        {"[{\"output\":[]}]", "no object"},
        {"{}", "neither output"},
        {"{\"resourceType\":\"Bundle\",\"type\":\"searchset\",\"total\":0,\"entry\":[]}",
         "neither output"},
        {"{\"resourceType\":\"OperationOutcome\",\"issue\":[{\"code\":\"x\"}]}", "neither output"},
        {"{\"KeyMap\":{},\"JobID\":1,\"request\":\"r\"}", "neither output"},
        {"{\"x\":{\"output\":[]}}", "neither output"},
        {"{\"Output\":[],\"OUTPUT\":[]}", "neither output"},
        {"{\"output\":\"x\"}", "output is not an array"},
        {"{\"output\":{}}", "output is not an array"},
        {"{\"output\":[],\"error\":false}", "error is not an array"},
        {"{\"transactionTime\":5}", "transactionTime is not a string"},
        {"{\"transactionTime\":{}}", "transactionTime is not a string"},
        {"{\"transactionTime\":\"a\\u0000b\"}", "transactionTime holds a NUL"},
        {"{\"output\":[],\"request\":[]}", "request is not a string"},
        {"{\"output\":[],\"requiresAccessToken\":\"true\"}", "requiresAccessToken is not"},
        {"{\"output\":[],\"KeyMap\":[]}", "KeyMap is not an object"},
        {"{\"output\":[],\"KeyMap\":\"x\"}", "KeyMap is not an object"},
        {"{\"output\":[],\"KeyMap\":{\"a\":5}}", "KeyMap holds a value"},
        {"{\"output\":[],\"KeyMap\":{\"a\":{\"b\":\"c\"}}}", "KeyMap holds a value"},
        {"{\"output\":[],\"KeyMap\":{\"a\\u0000b\":\"c\"}}", "KeyMap holds a NUL"},
        {"{\"output\":[],\"KeyMap\":{\"a\":\"c\\u0000\"}}", "KeyMap holds a NUL"},
        {"{\"output\":[],\"KeyMap\":{\"a\":\"b\",\"a\":\"c\"}}", "two keys for one file"},
        {"{\"output\":[],\"KeyMap\":{\"a\":\"b\",\"a  \":\"c\"}}", "two keys for one file"},
        {"{\"output\":[],\"keys\":[\"b|a\",\"c|a\"]}", "two keys for one file"},
        {"{\"output\":[],\"keys\":{}}", "keys is not an array"},
        {"{\"output\":[],\"keys\":[\"a|b\",5]}", "keys[1] is not"},
        {"{\"output\":[],\"keys\":[\"ab\"]}", "keys[0] is not"},
        {"{\"output\":[],\"JobID\":[]}", "JobID is not a number"},
        {"{\"output\":[],\"JobID\":true}", "JobID is not a number"},
        {"{\"output\":[],\"error\":[],\"output\":[]}", "output is there twice"},
        {"{\"output\":[],\"o\\u0075tput\":[]}", "output is there twice"},
        {"{\"output\":null,\"output\":[]}", "output is there twice"},
        {"{\"output\":[],\"KeyMap\":{},\"KeyMap\":{}}", "KeyMap is there twice"},
        {"{\"output\":[null]}", "output[0] is not an object"},
        {"{\"output\":[{\"url\":\"" H "a\"},\"" H "a\"]}", "output[1] is not an object"},
        {"{\"error\":[[]]}", "error[0] is not an object"},
        {"{\"output\":[{}]}", "output[0].url is missing"},
        {"{\"output\":[{\"x\":{\"url\":\"" H "a\"}}]}", "output[0].url is missing"},
        {"{\"output\":[{\"extension\":[{\"url\":\"" H "a\"}],\"type\":\"Patient\"}]}",
         "output[0].url is missing"},
        {"{\"output\":[{\"URL\":\"" H "a\"}]}", "output[0].url is missing"},
        {"{\"output\":[{\"url\":null}]}", "output[0].url is not a string"},
        {"{\"output\":[{\"url\":5}]}", "output[0].url is not a string"},
        {"{\"output\":[{\"url\":[\"" H "a\"]}]}", "output[0].url is not a string"},
        {"{\"output\":[{\"url\":\"" H "a\",\"url\":\"" H "b\"}]}", "output[0].url is there twice"},
        {"{\"output\":[{\"url\":\"" H "a\"},{\"url\":\"" H "b\"},{\"url\":\"" H
         "c\"},{\"url\":\"data/d\"}]}",
         "output[3].url is not an absolute"},
        {"{\"output\":[{\"url\":\"" H "a\"}],\"error\":[{\"url\":\"\"}]}",
         "error[0].url is not an absolute"},
        {"{\"output\":[{\"url\":\"ftp://h/a\"}]}", "output[0].url is not an absolute"},
        {"{\"output\":[{\"url\":\"https://u:p@h/a\"}]}", "output[0].url is not an absolute"},
        {"{\"output\":[{\"url\":\"https://h/a\\\\b\"}]}", "output[0].url is not an absolute"},
        {"{\"output\":[{\"url\":\"https://h/a b\"}]}", "output[0].url is not an absolute"},
        {"{\"output\":[{\"url\":\"https://h/a#b\"}]}", "output[0].url is not an absolute"},
        {"{\"output\":[{\"url\":\"https://h/a\\r\\nb\"}]}", "output[0].url is not an absolute"},
        {"{\"output\":[{\"url\":\"https://h/a\\u0000b\"}]}", "output[0].url holds a NUL"},
        {"{\"output\":[{\"url\":\"https://h\"}]}", "output[0].url ends without"},
        {"{\"output\":[{\"url\":\"" H "\"}]}", "output[0].url ends without"},
        {"{\"output\":[{\"url\":\"https://h/data/?a\"}]}", "output[0].url ends without"},
        {"{\"output\":[{\"url\":\"https://h/data/..\"}]}", "output[0].url ends in dots"},
        {"{\"output\":[{\"url\":\"https://h/data/.?a\"}]}", "output[0].url ends in dots"},
        {"{\"output\":[{\"url\":\"" H "a\",\"type\":5}]}", "output[0].type is not a string"},
        {"{\"output\":[{\"url\":\"" H "a\",\"type\":\"a\\u0000\"}]}", "output[0].type holds"},
        {"{\"output\":[{\"url\":\"" H "a\",\"encryptedKey\":5}]}", "output[0].encryptedKey is not"},
        {"{\"output\":[{\"url\":\"" H "a\",\"encryptedKey\":{}}]}",
         "output[0].encryptedKey is not"},
        {"{\"output\":[{\"url\":\"" H "a\",\"encryptedKey\":\"a\\u0000\"}]}",
         "output[0].encryptedKey holds"},
        {"{\"output\":[{\"url\":\"" H "a\",\"count\":\"5\"}]}", "output[0].count is not a number"},
        {"{\"output\":[{\"url\":\"" H "a\",\"extension\":5}]}", "output[0].extension is not"},
        {"{\"output\":[{\"url\":\"" H "a\",\"extension\":[{\"url\":\"https://dpc.cms.gov/"
         "checksum\",\"valueString\":\"sha256:" HALF "\"}]}]}",
         "checksum that is no SHA-256"},
        {"{\"output\":[{\"url\":\"" H "a\",\"extension\":[{\"url\":\"https://dpc.cms.gov/"
         "checksum\",\"valueString\":\"sha256:" HALF HALF "0\"}]}]}",
         "checksum that is no SHA-256"},
        {"{\"output\":[{\"url\":\"" H "a\",\"extension\":[{\"url\":\"https://dpc.cms.gov/"
         "checksum\",\"valueString\":\"sha256:" HALF "00112233445566778899aabbccddee-f\"}]}]}",
         "checksum that is no SHA-256"},
        {"{\"output\":[{\"url\":\"" H "a\",\"extension\":[{\"url\":\"https://dpc.cms.gov/"
         "checksum\",\"valueString\":\"sha256:" HALF HALF
         "\"},{\"url\":\"https://dpc.cms.gov/checksum\",\"valueString\":\"sha256:" HALF HALF
         "\"}]}]}",
         "two checksums"},
    };
    struct bcda__manifest *m = NULL;
    size_t i;
    int piece;

    for (i = 0; i < COUNT(rows); i++)
        for (piece = 0; piece < 3; piece++) {
            int rc = parse_cut(rows[i].body, strlen(rows[i].body), piece, 1000, &m);

            ck_assert_msg(rc == BCDA_ERR_MANIFEST, "%s: %d %s", rows[i].body, rc, err.text);
            ck_assert_int_eq(err.code, rc);
            ck_assert_msg(strstr(err.text, rows[i].word) != NULL, "%s: %s", rows[i].body, err.text);
            ck_assert_msg(!strstr(err.text, "://"), "%s", err.text);
            ck_assert_ptr_null(m);
        }
}
END_TEST

/* `deleted`: counted, checked as the other lists, and within the limit of entries. */
START_TEST(deleted)
{
    static const struct {
        const char *list;
        size_t count;
        const char *problem; /* NULL = none */
    } rows[] = {
        {"[]", 0, NULL},
        {"null", 0, NULL},
        {"[{\"type\":\"Bundle\",\"url\":\"" H "d1\"}]", 1, NULL},
        {"[{\"url\":\"" H "d1\"},{\"count\":3,\"url\":\"" H "d2\"}]", 2, NULL},
        {"[{\"url\":\"" H "a\"}]", 1, NULL}, /* also in output */
        {"{}", 0, "deleted is not an array"},
        {"\"x\"", 0, "deleted is not an array"},
        {"[null]", 0, "deleted[0] is not an object"},
        {"[{\"url\":\"" H "d\"},{\"type\":\"Bundle\"}]", 0, "deleted[1].url is missing"},
        {"[{\"url\":\"not a url\"}]", 0, "deleted[0].url is not an absolute"},
        {"[{\"url\":5}]", 0, "deleted[0].url is not a string"},
        {"[{\"url\":\"" H "d\",\"type\":5}]", 0, "deleted[0].type is not a string"},
    };
    static const char form[] = "{\"deleted\":%s,\"output\":[{\"url\":\"" H "a\"}]}";
    static const char twice[] = "{\"deleted\":[],\"output\":[],\"deleted\":[]}";
    struct bcda__manifest *m;
    char body[400];
    size_t i;
    int piece, rc;

    for (i = 0; i < COUNT(rows); i++)
        for (piece = -1; piece < 3; piece++) {
            snprintf(body, sizeof body, form, rows[i].list);
            rc = parse_cut(body, strlen(body), piece, 3, &m);
            ck_assert_msg(rc == (rows[i].problem ? BCDA_ERR_MANIFEST : 0), "%s: %d", body, rc);
            if (rc) {
                ck_assert_msg(strstr(err.text, rows[i].problem) != NULL, "%s", err.text);
                continue;
            }
            ck_assert_uint_eq(m->deleted_count, rows[i].count);
            ck_assert_uint_eq(m->count, 1);
            ck_assert_uint_eq(m->output_count, 1);
            bcda__manifest_unref(m);
        }
    ck_assert_int_eq(parse(twice, &m), BCDA_ERR_MANIFEST);
    snprintf(body, sizeof body, form, rows[3].list);
    ck_assert_int_eq(parse_cut(body, strlen(body), 0, 2, &m), BCDA_ERR_BODY_TOO_LARGE);
    ck_assert(strstr(err.text, "2 entries"));
}
END_TEST

/* Members that name data elsewhere. Pages of a manifest (STU 3, only where a client asks for
 * them by allowPartialManifests) are not followed, and a file that is continued in one that is not
 * listed would lose lines: both must fail, since part of the data would pass for all of it. */
START_TEST(elsewhere)
{
    static const struct {
        const char *members;
        const char *problem; /* NULL = none */
    } rows[] = {
        {"\"link\":null,\"output\":[]", NULL},
        {"\"link\":[],\"output\":[]", NULL},
        {"\"link\":[{}],\"output\":[]", NULL},
        {"\"link\":[{\"relation\":\"self\",\"url\":\"" H "m1\"}],\"output\":[]", NULL},
        {"\"link\":[{\"x\":\"next\"},{\"x\":{\"relation\":\"next\"}}],\"output\":[]", NULL},
        {"\"x\":[{\"relation\":\"next\"}],\"output\":[]", NULL},
        {"\"link\":[{\"relation\":\"next\",\"url\":\"" H "m2\"}],\"output\":[]",
         "link names a next page"},
        {"\"output\":[{\"url\":\"" H "a\"}],\"link\":[{\"relation\":\"self\"},{\"url\":\"" H
         "m2\",\"relation\":\"Next\"}]",
         "link names a next page"},
        {"\"link\":{\"relation\":\"next\"},\"output\":[]", "link is not an array"},
        {"\"link\":[\"next\"],\"output\":[]", "link has an element that is not an object"},
        {"\"link\":[],\"link\":[],\"output\":[]", "link is there twice"},
        {"\"output\":[{\"url\":\"" H "a\",\"continuesInFile\":\"" H "b\"},{\"url\":\"" H "b\"}]",
         NULL},
        {"\"output\":[{\"url\":\"" H "b\"},{\"url\":\"" H "a\",\"continuesInFile\":\"" H "b\"}]",
         NULL},
        {"\"output\":[{\"url\":\"" H "a\",\"continuesInFile\":null}]", NULL},
        {"\"output\":[{\"url\":\"" H "a\"},{\"url\":\"" H "b\",\"continuesInFile\":\"" H "c\"}]",
         "output[1].continuesInFile names a file that is not listed"},
        {"\"output\":[{\"url\":\"" H "a\",\"continuesInFile\":\"\"}]",
         "output[0].continuesInFile names a file that is not listed"},
        {"\"deleted\":[{\"url\":\"" H "c\"}],\"output\":[{\"url\":\"" H
         "a\",\"continuesInFile\":\"" H "c\"}]",
         "output[0].continuesInFile names a file that is not listed"},
        {"\"output\":[{\"url\":\"" H "a\",\"continuesInFile\":5}]",
         "output[0].continuesInFile is not a string"},
        {"\"output\":[{\"url\":\"" H "a\",\"continuesInFile\":\"a\\u0000\"}]",
         "output[0].continuesInFile holds a NUL"},
        {"\"outputOrganizedBy\":5,\"output\":[]", "outputOrganizedBy is not a string"},
    };
    struct bcda__manifest *m;
    char body[600];
    size_t i;
    int piece, rc;

    for (i = 0; i < COUNT(rows); i++)
        for (piece = -1; piece < 3; piece++) {
            snprintf(body, sizeof body, "{%s}", rows[i].members);
            rc = parse_cut(body, strlen(body), piece, 10, &m);
            ck_assert_msg(rc == (rows[i].problem ? BCDA_ERR_MANIFEST : 0), "%s: %d %s", body, rc,
                          err.text);
            if (rc)
                ck_assert_msg(strstr(err.text, rows[i].problem) != NULL, "%s", err.text);
            else
                bcda__manifest_unref(m);
        }
    ck_assert_int_eq(parse("{\"output\":[],\"outputOrganizedBy\":\"Patient\"}", &m), 0);
    ck_assert_str_eq(m->organized_by, "Patient");
    bcda__manifest_unref(m);
    ck_assert_int_eq(parse("{\"output\":[],\"outputOrganizedBy\":null}", &m), 0);
    ck_assert_str_eq(m->organized_by, "");
    bcda__manifest_unref(m);
}
END_TEST

/* `outcome` is what STU 4 calls `error`. */
START_TEST(outcomes)
{
    struct bcda__manifest *m;

    ck_assert_int_eq(parse("{\"outcome\":[{\"url\":\"" H "o\"},{\"url\":\"" H
                           "a\"}],\"output\":[{\"type\":\"Patient\",\"url\":\"" H
                           "p\"},{\"url\":\"" H "a\"}],\"error\":[{\"url\":\"" H "e\"}]}",
                           &m),
                     0);
    ck_assert_uint_eq(m->count, 4);
    ck_assert_uint_eq(m->output_count, 1);
    ck_assert_str_eq(m->entries[0].name, "p");
    ck_assert_str_eq(m->entries[1].name, "o");
    ck_assert_str_eq(m->entries[2].name, "a");
    ck_assert_str_eq(m->entries[3].name, "e");
    ck_assert_int_eq(m->entries[1].is_error, 1);
    bcda__manifest_unref(m);
    ck_assert_int_eq(parse("{\"output\":[],\"outcome\":[{\"url\":5}]}", &m), BCDA_ERR_MANIFEST);
    ck_assert(strstr(err.text, "outcome[0].url is not a string"));
}
END_TEST

/* What AB2D and DPC publish of a file, in any order and among other things. */
START_TEST(extensions)
{
    static const struct {
        const char *extension;
        int64_t length;
        int checksum;
    } rows[] = {
        {"[]", -1, 0},
        {"null", -1, 0},
        {"{\"https://ab2d.cms.gov/checksum\":\"sha256:x\"}", -1, 0},
        {"[{\"url\":\"https://ab2d.cms.gov/checksum\",\"valueString\":\"sha256:" HALF HALF
         "\"},{\"url\":\"https://ab2d.cms.gov/file_length\",\"valueDecimal\":32747}]",
         32747, 1},
        {"[{\"valueString\":\"SHA256:" HALF HALF
         "\",\"url\":\"https://dpc.cms.gov/checksum\"},{\"valueInteger\":\"0\",\"url\":\"https://"
         "dpc.cms.gov/file_length\"}]",
         0, 1},
        {"[{\"url\":\"https://ab2d.cms.gov/checksum\",\"valueString\":\"sha512:00\"}]", -1, 0},
        {"[{\"url\":\"https://ab2d.cms.gov/checksum\"},{\"valueString\":\"sha256:0\"}]", -1, 0},
        {"[{\"url\":\"https://elsewhere.example/checksum\",\"valueString\":\"sha256:0\"}]", -1, 0},
        {"[{\"url\":\"https://ab2d.cms.gov/file_length\",\"valueDecimal\":-5}]", -1, 0},
        {"[{\"url\":\"https://ab2d.cms.gov/file_length\",\"valueDecimal\":1.5e3}]", -1, 0},
        {"[{\"url\":\"https://ab2d.cms.gov/file_length\",\"valueDecimal\":99999999999999999999}]",
         -1, 0},
        {"[{\"extension\":[{\"url\":\"https://ab2d.cms.gov/file_length\",\"valueDecimal\":5}]}]",
         -1, 0},
        {"[[{\"url\":\"https://ab2d.cms.gov/file_length\",\"valueDecimal\":5}]]", -1, 0},
        {"[5,\"x\",{\"url\":\"https://dpc.cms.gov/file_length\",\"valueDecimal\":5}]", 5, 0},
    };
    static const char form[] = "{\"output\":[{\"url\":\"" H
                               "a\",\"extension\":%s,\"type\":\"Patient\"},{\"url\":\"" H "b\"}]}";
    static const uint8_t sum[32] =
        "\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff\x00\x11\x22\x33\x44\x55"
        "\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff";
    struct bcda__manifest *m;
    char body[1024];
    size_t i;
    int piece;

    for (i = 0; i < COUNT(rows); i++)
        for (piece = -1; piece < 3; piece++) {
            snprintf(body, sizeof body, form, rows[i].extension);
            ck_assert_msg(parse_cut(body, strlen(body), piece, 1000, &m) == 0, "%s: %s", body,
                          err.text);
            ck_assert_uint_eq(m->count, 2);
            ck_assert_str_eq(m->entries[0].url, H "a");
            ck_assert_str_eq(m->entries[0].type, "Patient");
            ck_assert_msg(m->entries[0].length == rows[i].length, "%s", body);
            ck_assert_msg(!m->entries[0].checksum == !rows[i].checksum, "%s", body);
            if (rows[i].checksum)
                ck_assert_mem_eq(m->entries[0].checksum, sum, sizeof sum);
            ck_assert_int_eq(m->entries[1].length, -1);
            ck_assert_ptr_null(m->entries[1].checksum);
            bcda__manifest_unref(m);
        }
}
END_TEST

START_TEST(numbers)
{
    static const struct {
        const char *value;
        int64_t number;
    } rows[] = {
        {"0", 0},
        {"7", 7},
        {"999999999999999999", INT64_C(999999999999999999)},
        {"-1", -1},
        {"1.5", -1},
        {"1e3", -1},
        {"null", -1},
        {"99999999999999999999", -1},
    };
    struct bcda__manifest *m;
    char body[300];
    size_t i;

    for (i = 0; i < COUNT(rows); i++) {
        snprintf(body, sizeof body, "{\"JobID\":%s,\"output\":[{\"url\":\"" H "a\",\"count\":%s}]}",
                 rows[i].value, rows[i].value);
        ck_assert_int_eq(parse(body, &m), 0);
        ck_assert_int_eq(m->job_id, rows[i].number);
        ck_assert_int_eq(m->entries[0].count, rows[i].number);
        bcda__manifest_unref(m);
    }
    ck_assert_int_eq(parse("{\"JobID\":\"4a\",\"output\":[]}", &m), 0);
    ck_assert_int_eq(m->job_id, -1);
    bcda__manifest_unref(m);
}
END_TEST

START_TEST(not_json)
{
    static const struct {
        const char *body, *word;
    } rows[] = {
        {"", "empty"},
        {" \r\n\t", "empty"},
        {"<!DOCTYPE html><html><body>Sign in</body></html>", "HTML"},
        {"\n  <html>", "HTML"},
        {"Service Unavailable", "not JSON"},
        {"{\"output\":[", "ends before"},
        {"{\"output\":[]\"error\":[]}", "not JSON"},
        {"{\"output\":[{\"url\":\"\xFF\"}]}", "not JSON"},
        {"{\"x\":\"\xC0\xAF\"}", "not JSON"},
        {"{\"output\":[]}{\"output\":[]}", "behind the end"},
        {"{\"output\":[]} \n{\"output\":", "behind the end"},
        {"{\"output\":[]}<html>", "behind the end"},
        {"\xEF\xBB\xBF{\"output\":[]}", NULL}, /* a BOM may pass or not */
    };
    struct bcda__manifest *m;
    char deep[5000];
    size_t i;
    int piece, rc;

    for (i = 0; i < COUNT(rows); i++)
        for (piece = 0; piece < 3; piece++) {
            m = NULL;
            rc = parse_cut(rows[i].body, strlen(rows[i].body), piece, 1000, &m);
            bcda__manifest_unref(m);
            if (!rows[i].word)
                continue;
            ck_assert_msg(rc == BCDA_ERR_NOT_JSON, "%s: %d", rows[i].body, rc);
            ck_assert_msg(strstr(err.text, rows[i].word) != NULL, "%s", err.text);
        }
    memset(deep, '[', sizeof deep);
    memcpy(deep, "{\"x\":", 5);
    ck_assert_int_eq(parse_cut(deep, sizeof deep, 0, 1000, &m), BCDA_ERR_NOT_JSON);
}
END_TEST

/* Cut at every byte: never a manifest, for a part of a list of files is a loss of data. */
START_TEST(truncated)
{
    struct bcda__manifest *m;
    size_t i, len, cut;

    for (i = 0; i < COUNT(shapes); i++) {
        len = strlen(shapes[i].body);
        for (cut = 0; cut < len; cut++) {
            ck_assert_int_eq(parse_cut(shapes[i].body, cut, 0, 1000, &m), BCDA_ERR_NOT_JSON);
            ck_assert_int_eq(parse_cut(shapes[i].body, cut, 1, 1000, &m), BCDA_ERR_NOT_JSON);
        }
        ck_assert_int_eq(parse_cut(shapes[i].body, cut, 0, 1000, &m), 0);
        bcda__manifest_unref(m);
    }
}
END_TEST

static void check_invariants(const struct bcda__manifest *m)
{
    size_t data = 0;
    size_t i;

    for (i = 0; i < m->count; i++) {
        const struct bcda__entry *e = &m->entries[i];

        ck_assert(strlen(e->type) < 10000 && strstr(e->url, e->name));
        ck_assert(e->name[0] && !strpbrk(e->name, "/\\?#\r\n") && strcmp(e->name, "..") != 0);
        ck_assert(!e->key || e->key[0]);
        ck_assert_int_ge(e->count, -1);
        data += !e->is_error;
    }
    ck_assert_uint_eq(data, m->output_count);
    ck_assert(m->transaction_time && m->request);
}

START_TEST(mutated)
{
    static const char *const bits[] = {"{", "}",    "[",       "]",        "\"",           ",",
                                       ":", "null", "\\u0000", "\"url\":", "\"output\":[", "..",
                                       "/", "1",    " "};
    struct bcda__manifest *m;
    char copy[3000];
    size_t i, len, at, n;
    int k, rc;
    int good = 0;

    for (i = 0; i < COUNT(shapes); i++)
        for (k = 0; k < 3000; k++) {
            len = strlen(shapes[i].body);
            memcpy(copy, shapes[i].body, len);
            for (n = roll(4); n > 0; n--) {
                const char *bit = bits[roll(COUNT(bits))];

                at = roll((uint32_t)len - 20);
                if (roll(3))
                    memcpy(copy + at, bit, strlen(bit));
                else
                    copy[at] = (char)roll(256);
            }
            m = NULL;
            rc = parse_cut(copy, len, -(k & 1), 3, &m);
            if (rc == 0) {
                good++;
                check_invariants(m);
                bcda__manifest_unref(m);
                continue;
            }
            ck_assert_ptr_null(m);
            ck_assert(rc == BCDA_ERR_NOT_JSON || rc == BCDA_ERR_MANIFEST ||
                      rc == BCDA_ERR_BODY_TOO_LARGE);
            ck_assert_int_eq(err.code, rc);
        }
    ck_assert_int_gt(good, 1000);
}
END_TEST

/* ---- many ---- */

static void add_many(struct bcda__buf *b, size_t count, int with_keys)
{
    size_t i;

    bcda__buf_init(b, (size_t)1 << 30);
    bcda__buf_adds(b, "{\"transactionTime\":\"t\",\"output\":[");
    for (i = 0; i < count; i++)
        bcda__buf_addf(b, "%s{\"type\":\"%s\",\"url\":\"" H "%08zx-7c57-4c7a-bb78.ndjson\"}",
                       i ? "," : "", i % 7 ? "ExplanationOfBenefit" : "Patient", i * 2654435761u);
    bcda__buf_adds(b, "],\"error\":[],\"KeyMap\":{");
    for (i = 0; with_keys && i < count; i++)
        bcda__buf_addf(b, "%s\"%08zx-7c57-4c7a-bb78.ndjson\":\"aa%zx\"", i ? "," : "",
                       i * 2654435761u, i);
    bcda__buf_adds(b, "}}");
}

static int parse_pieces(const struct bcda__buf *b, size_t piece, size_t max,
                        struct bcda__manifest **out)
{
    struct bcda__manifest_parser *p;
    size_t at, n;
    int rc = bcda__manifest_parser_new(&p, max);

    for (at = 0; at < b->len && !rc; at += n) {
        n = b->len - at < piece ? b->len - at : piece;
        rc = bcda__manifest_parser_write(p, b->data + at, n, &err);
    }
    if (!rc)
        rc = bcda__manifest_parser_finish(p, out, &err);
    else
        ck_assert_int_eq(bcda__manifest_parser_finish(p, out, &err), rc);
    bcda__manifest_parser_free(p);
    return rc;
}

START_TEST(at_the_limit)
{
    struct bcda__buf b;
    struct bcda__manifest *m;
    char key[32];
    size_t i;
    clock_t began;

    add_many(&b, 200000, 1);
    began = clock();
    ck_assert_int_eq(parse_pieces(&b, 16384, 200000, &m), 0);
    /* Generous for a sanitizer on a slow machine, far too little for anything quadratic. */
    ck_assert_int_lt((clock() - began) / CLOCKS_PER_SEC, 20);
    ck_assert_uint_eq(m->count, 200000);
    ck_assert_uint_eq(m->output_count, 200000);
    for (i = 0; i < m->count; i++) {
        snprintf(key, sizeof key, "aa%zx", i);
        ck_assert_str_eq(m->entries[i].key, key);
        ck_assert_str_eq(m->entries[i].type, i % 7 ? "ExplanationOfBenefit" : "Patient");
    }
    bcda__manifest_unref(m);
    ck_assert_int_eq(parse_pieces(&b, 16384, 199999, &m), BCDA_ERR_BODY_TOO_LARGE);
    ck_assert(strstr(err.text, "199999 entries"));
    bcda__buf_free(&b);
    add_many(&b, 200001, 0);
    ck_assert_int_eq(parse_pieces(&b, 16384, 200000, &m), BCDA_ERR_BODY_TOO_LARGE);
    ck_assert(strstr(err.text, "200000 entries"));
    bcda__buf_free(&b);
}
END_TEST

/* The same URL 200,000 times, and error before output. */
START_TEST(many_duplicates)
{
    struct bcda__buf b;
    struct bcda__manifest *m;
    size_t i;

    bcda__buf_init(&b, (size_t)1 << 30);
    bcda__buf_adds(&b, "{\"error\":[");
    for (i = 0; i < 100000; i++)
        bcda__buf_addf(&b, "%s{\"url\":\"" H "%s\"}", i ? "," : "", i % 2 ? "a" : "b");
    bcda__buf_adds(&b, "],\"output\":[");
    for (i = 0; i < 100000; i++)
        bcda__buf_addf(&b, "%s{\"url\":\"" H "%s\"}", i ? "," : "", i % 2 ? "a" : "c");
    bcda__buf_adds(&b, "]}");
    ck_assert_int_eq(parse_pieces(&b, 1000, 200000, &m), 0);
    ck_assert_uint_eq(m->count, 3);
    ck_assert_uint_eq(m->output_count, 1);
    ck_assert_str_eq(m->entries[0].name, "c");
    ck_assert_str_eq(m->entries[1].name, "b");
    ck_assert_str_eq(m->entries[2].name, "a");
    bcda__manifest_unref(m);
    bcda__buf_free(&b);
}
END_TEST

/* A map without files must not cost memory without end either. */
START_TEST(too_many_keys)
{
    static const char three[] =
        "{\"output\":[{\"url\":\"" H "a\"}],\"KeyMap\":{\"a\":\"1\",\"b\":\"2\",\"c\":\"3\"}}";
    static const char two[] =
        "{\"output\":[{\"url\":\"" H "a\"}],\"KeyMap\":{\"a\":\"1\"},\"keys\":[\"2|b\"]}";
    struct bcda__manifest *m;

    ck_assert_int_eq(parse_cut(three, sizeof three - 1, 0, 1, &m), BCDA_ERR_BODY_TOO_LARGE);
    ck_assert(strstr(err.text, "2 file keys"));
    ck_assert_int_eq(parse_cut(two, sizeof two - 1, 0, 1, &m), 0);
    ck_assert_str_eq(m->entries[0].key, "1");
    bcda__manifest_unref(m);
}
END_TEST

/* Texts of every size around the chunks of the arena. */
START_TEST(text_sizes)
{
    struct bcda__manifest *m;
    struct bcda__buf b;
    size_t i;

    bcda__buf_init(&b, (size_t)1 << 24);
    bcda__buf_adds(&b, "{\"output\":[");
    for (i = 1; i < 400; i++)
        bcda__buf_addf(&b, "%s{\"type\":\"%0*d\",\"url\":\"" H "%0*d\"}", i > 1 ? "," : "",
                       (int)(i * 7 % 3000 + 1), 7, (int)(i % 23 ? i : i * 600), 5);
    bcda__buf_adds(&b, "]}");
    ck_assert_int_eq(parse_pieces(&b, 4096, 400, &m), 0);
    for (i = 1; i < 399; i++) {
        ck_assert_uint_eq(strlen(m->entries[i - 1].type), i * 7 % 3000 + 1);
        ck_assert_uint_eq(strlen(m->entries[i - 1].name), i % 23 ? i : i * 600);
    }
    bcda__manifest_unref(m);
    bcda__buf_free(&b);
}
END_TEST

START_TEST(lives)
{
    struct bcda__manifest_parser *p;
    struct bcda__manifest *m;
    struct bcda__manifest *none = NULL;
    char space[4096];

    bcda__manifest_parser_free(NULL);
    bcda__manifest_unref(NULL);
    ck_assert_ptr_null(bcda__manifest_ref(NULL));
    ck_assert_int_eq(bcda__manifest_parser_new(&p, 5), 0);
    bcda__manifest_parser_free(p);
    ck_assert_int_eq(bcda__manifest_parser_new(&p, 5), 0);
    ck_assert_int_eq(bcda__manifest_parser_write(p, "{\"output\":[]}", 13, NULL), 0);
    ck_assert_int_eq(bcda__manifest_parser_finish(p, &m, NULL), 0);
    ck_assert_int_ne(bcda__manifest_parser_finish(p, &none, NULL), 0);
    bcda__manifest_parser_free(p);
    ck_assert_ptr_eq(bcda__manifest_ref(m), m);
    bcda__manifest_unref(m);
    ck_assert_uint_eq(m->count, 0);
    bcda__manifest_unref(m);

    /* a failure stays; it shows once a few KiB were gathered */
    ck_assert_int_eq(bcda__manifest_parser_new(&p, 5), 0);
    ck_assert_int_eq(bcda__manifest_parser_write(p, "{\"output\":5,", 12, NULL), 0);
    memset(space, ' ', sizeof space);
    ck_assert_int_eq(bcda__manifest_parser_write(p, space, sizeof space, NULL), BCDA_ERR_MANIFEST);
    ck_assert_int_eq(bcda__manifest_parser_write(p, "\"error\":[]}", 11, &err), BCDA_ERR_MANIFEST);
    ck_assert(strstr(err.text, "output is not an array"));
    ck_assert_int_eq(bcda__manifest_parser_finish(p, &none, &err), BCDA_ERR_MANIFEST);
    ck_assert_ptr_null(none);
    bcda__manifest_parser_free(p);
}
END_TEST

SUITE("manifest")
{
    suite_case("all");
    suite_timeout(240);
    suite_test(each_shape, refused, deleted, elsewhere, outcomes, extensions, numbers, not_json,
               truncated, mutated, at_the_limit, many_duplicates, too_many_keys, text_sizes, lives);
}
