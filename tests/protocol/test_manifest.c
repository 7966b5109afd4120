/* Parses manifests (bcda-api 5.2), in one piece and in many: all shapes that the server has sent,
 * and hostile ones. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "helper.h"
#include "protocol/manifest.h"
#include "sample.h"
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

/* Returns the three texts joined, with " in place of ' and the value of the macro H in place of ~.
 * The result is valid until the next call. */
static const char *json(const char *before, const char *text, const char *after)
{
    const char *parts[] = {before, text, after}, *c;
    static char out[4000];
    size_t i, n = 0;

    for (i = 0; i < COUNT(parts); i++)
        for (c = parts[i]; *c; c++) {
            ck_assert_uint_lt(n + sizeof H, sizeof out);
            if (*c == '~')
                n += (size_t)sprintf(out + n, H);
            else
                out[n++] = *c == '\'' ? '"' : *c;
        }
    out[n] = '\0';
    return out;
}

/* Parses the body in pieces of `piece` bytes (0: all at once, -1: random sizes). Each piece is an
 * allocation of its own, so that a sanitizer detects a read beyond the piece, or a use of the piece
 * after the call. */
static int parse_cut(const char *body, size_t len, int piece, size_t max,
                     struct bcda__manifest **out)
{
    struct bcda__manifest_parser *p;
    size_t at = 0;
    int rc = bcda__manifest_parser_new(&p, max, 0);

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
    else
        ck_assert_int_eq(bcda__manifest_parser_finish(p, out, &err), rc);
    bcda__manifest_parser_free(p);
    return rc;
}

/* Parses the body, converted by json(), in one piece. */
static int parse(const char *body, struct bcda__manifest **out)
{
    const char *text = json("", body, "");

    return parse_cut(text, strlen(text), 0, 1000, out);
}

/* Parses the body in pieces of several sizes. If `problem` is NULL, the parser must accept the
 * body, and `check` (unless NULL) gets the manifest. Otherwise the parser must return
 * BCDA_ERR_MANIFEST with an error text that contains `problem` and no URL. */
static void try_all(const char *body, size_t max, const char *problem,
                    void (*check)(const struct bcda__manifest *m, const void *row), const void *row)
{
    struct bcda__manifest *m;
    int piece, rc;

    for (piece = -1; piece < 3; piece++) {
        m = NULL;
        rc = parse_cut(body, strlen(body), piece, max, &m);
        ck_assert_msg(rc == (problem ? BCDA_ERR_MANIFEST : 0), "%s: %d %s", body, rc, err.text);
        ck_assert_int_eq(err.code, rc);
        ck_assert_int_eq(m == NULL, rc != 0);
        if (problem) {
            ck_assert_msg(strstr(err.text, problem) != NULL, "%s: %s", body, err.text);
            ck_assert_msg(!strstr(err.text, "://"), "%s", err.text);
        } else if (check) {
            check(m, row);
        }
        bcda__manifest_unref(m);
    }
}

struct shape {
    const char *body;
    /* transactionTime|request|JobID|requiresAccessToken|number of files in output, then for each
     * file type|url|name|key|is_error|count; the key "-" means that there is none. */
    const char *want;
};

static const struct shape shapes[] = {
    /* the example in the user guide of April 2019, era A (bcda-api 0.2) */
    {"{'transactionTime':'2019-04-26T15:02:11.38342Z','request':'https://sandbox.bcda.cms.gov/api/"
     "v1/Patient/$export','requiresAccessToken':true,'output':[{'type':'Patient','url':'~" UUID1
     ".ndjson','encryptedKey':'4fd0aa'}],'error':[],'KeyMap':{'" UUID1
     ".ndjson':'4fd0aa'},'JobID':42}",
     "2019-04-26T15:02:11.38342Z|https://sandbox.bcda.cms.gov/api/v1/Patient/$export|42|1|1 "
     "Patient|~" UUID1 ".ndjson|" UUID1 ".ndjson|4fd0aa|0|-1"},
    /* encrypted keys only in KeyMap, which follows output; an error file with a key of its own */
    {"{'transactionTime':'2019-01-02T00:00:00Z','request':'','requiresAccessToken':true,'output':[{"
     "'type':'Patient','url':'~" UUID2
     ".ndjson'}],'error':[{'type':'OperationOutcome','url':'~" UUID2
     "-error.ndjson'}],'KeyMap':{'" UUID2 "-error.ndjson':'bb02','" UUID2
     ".ndjson':'aa01'},'JobID':7}",
     "2019-01-02T00:00:00Z||7|1|1 Patient|~" UUID2 ".ndjson|" UUID2
     ".ndjson|aa01|0|-1 OperationOutcome|~" UUID2 "-error.ndjson|" UUID2 "-error.ndjson|bb02|1|-1"},
    /* late 2018: KeyMap's file names padded with spaces to 127 characters; also the array `keys` */
    {"{'transactionTime':'2018-11-20T10:00:00Z','request':'r','requiresAccessToken':true,'output':["
     "{'type':'ExplanationOfBenefit','url':'~" UUID1 ".ndjson'}],'error':[],'KeyMap':{'" UUID1
     ".ndjson" SPACES "':' aa01 '},'keys':['aa01|" UUID1 ".ndjson" SPACES "']}",
     "2018-11-20T10:00:00Z|r|-1|1|1 ExplanationOfBenefit|~" UUID1 ".ndjson|" UUID1
     ".ndjson|aa01|0|-1"},
    /* encrypted keys only in the array `keys` */
    {"{'output':[{'type':'Patient','url':'~a.ndjson'},{'type':'Patient','url':'~b.ndjson'}],'keys':"
     "['bb|b.ndjson','aa|a.ndjson']}",
     "||-1|1|2 Patient|~a.ndjson|a.ndjson|aa|0|-1 Patient|~b.ndjson|b.ndjson|bb|0|-1"},
    /* KeyMap and `keys` name different keys for a.ndjson: the parser takes that of KeyMap, although
     * `keys` comes first */
    {"{'keys':['01|a.ndjson','02|b.ndjson'],'output':[{'url':'~a.ndjson'},{'url':'~b.ndjson'}],'"
     "KeyMap':{'a.ndjson':'aa'}}",
     "||-1|1|2 |~a.ndjson|a.ndjson|aa|0|-1 |~b.ndjson|b.ndjson|02|0|-1"},
    /* an unencrypted job of 2018 */
    {"{'transactionTime':'t','output':[{'type':'Patient','url':'~a.ndjson'}],'error':[],'KeyMap':{}"
     ",'keys':null}",
     "t||-1|1|1 Patient|~a.ndjson|a.ndjson|-|0|-1"},
    /* an export with encrypt=false in 2019: "NO_ENCRYPTION" in hex takes the place of a key */
    {"{'transactionTime':'t','output':[{'type':'Patient','url':'~a.ndjson','encryptedKey':"
     "'" NO_ENCRYPTION
     "'},{'type':'Patient','url':'~b.ndjson'}],'error':[],'KeyMap':{'a.ndjson':'" NO_ENCRYPTION
     "','b.ndjson':'4E4F5F454E4352595054494F4E'}}",
     "t||-1|1|2 Patient|~a.ndjson|a.ndjson|-|0|-1 Patient|~b.ndjson|b.ndjson|-|0|-1"},
    /* if encryptedKey is empty, the parser takes the key from KeyMap; if KeyMap's value is empty,
     * too, the file has no key */
    {"{'KeyMap':{'a.ndjson':'aa','b.ndjson':'','c.ndjson':null},'output':[{'url':'~a.ndjson','"
     "encryptedKey':''},{'url':'~b.ndjson','encryptedKey':null},{'url':'~c.ndjson'}]}",
     "||-1|1|3 |~a.ndjson|a.ndjson|aa|0|-1 |~b.ndjson|b.ndjson|-|0|-1 |~c.ndjson|c.ndjson|-|0|-1"},
    /* `output` is null: a race in the server of era A (bcda-api 0.2) caused this */
    {"{'transactionTime':'t','request':'r','requiresAccessToken':true,'output':null,'error':[],'"
     "KeyMap':{},'JobID':1}",
     "t|r|1|1|0"},
    {"{'transactionTime':'0001-01-01T00:00:00Z','output':[],'error':null,'JobID':1}",
     "0001-01-01T00:00:00Z||1|1|0"},
    /* era C (bcda-api 0.2), whose server writes & as \u0026 */
    {"{'transactionTime':'2026-08-21T01:02:03.123456789Z','request':'https://h/api/v2/Patient/"
     "$export?_type=Patient\\u0026_since=2020-01-01T00:00:00%2B05:00','requiresAccessToken':true,'"
     "output':[{'type':'Patient','url':'https://h/data/9/"
     "p.ndjson'}],'error':[{'type':'OperationOutcome','url':'https://h/data/9/"
     "warnings-and-info.ndjson'},{'type':'OperationOutcome','url':'https://h/data/9/"
     "p-error.ndjson'}],'JobID':4294967296}",
     "2026-08-21T01:02:03.123456789Z|https://h/api/v2/Patient/"
     "$export?_type=Patient&_since=2020-01-01T00:00:00%2B05:00|4294967296|1|1 "
     "Patient|https://h/data/9/p.ndjson|p.ndjson|-|0|-1 "
     "OperationOutcome|https://h/data/9/warnings-and-info.ndjson|warnings-and-info.ndjson|-|1|-1 "
     "OperationOutcome|https://h/data/9/p-error.ndjson|p-error.ndjson|-|1|-1"},
    /* other Bulk Data servers: `error` comes first; counts; extensions; no token required; http
     * behind a proxy; a URL with a query; a job number that is a string */
    {"{'extension':{'url':'https://x/y','output':[{'url':1}]},'error':[{'url':'http://h:3000/"
     "e.ndjson'}],'deleted':[{'type':'Bundle','url':'http://h:3000/"
     "d'}],'output':[{'extension':[{'url':'https://x/"
     "checksum','valueString':'sha256:1'},{'url':'https://x/"
     "length','deep':{'url':[{'url':null}],'type':9}}],'type':'Patient','count':1234,'url':'http://"
     "h:3000/f/p%20x.ndjson?sig=a/b'},{'count':null,'url':'http://h:3000/"
     "q','type':'Patient','count2':[1],'x':{'encryptedKey':'no'}}],'requiresAccessToken':false,'"
     "JobID':'77','link':[]}",
     "||77|0|2 Patient|http://h:3000/f/p%20x.ndjson?sig=a/b|p%20x.ndjson|-|0|1234 "
     "Patient|http://h:3000/q|q|-|0|-1 |http://h:3000/e.ndjson|e.ndjson|-|1|-1"},
    /* 2019-02-27 to 2019-04-03: the server listed the error file in `output`, too, and its key
     * could be only there */
    {"{'output':[{'type':'Patient','url':'~e-error.ndjson','encryptedKey':'ee'},{'type':'Patient','"
     "url':'~a.ndjson','encryptedKey':'aa'}],'error':[{'type':'OperationOutcome','url':'~e-error."
     "ndjson','encryptedKey':''}],'transactionTime':'t'}",
     "t||-1|1|1 Patient|~a.ndjson|a.ndjson|aa|0|-1 "
     "OperationOutcome|~e-error.ndjson|e-error.ndjson|ee|1|-1"},
    /* 2024-02-23 to 2024-03-04: the server listed an error file only in `output`, a file twice, and
     * its internal marker blank.ndjson, which is no file of the export */
    {"{'output':[{'type':'Patient','url':'~x-error.ndjson'},{'type':'Patient','url':'~a.ndjson'},{'"
     "type':'Patient','url':'~blank.ndjson'},{'type':'Coverage','url':'~a.ndjson','encryptedKey':'"
     "aa'}],'error':[{'url':'~blank.ndjson'}]}",
     "||-1|1|1 Patient|~x-error.ndjson|x-error.ndjson|-|1|-1 Patient|~a.ndjson|a.ndjson|aa|0|-1"},
    /* no member is required, not even `output`; members with the value null are ignored */
    {" \n{'transactionTime':'t','request':null,'requiresAccessToken':null,'JobID':null,'KeyMap':"
     "null}",
     "t||-1|1|0"},
};

static const char *describe(const struct bcda__manifest *m)
{
    static char text[3000];
    int n = snprintf(text, sizeof text, "%s|%s|%" PRId64 "|%d|%zu", m->transaction_time, m->request,
                     m->job_id, m->requires_access_token, m->kind_count[BCDA__FILE_DATA]);
    size_t i;

    for (i = 0; i < m->count; i++) {
        const struct bcda__entry *e = &m->entries[i];

        n +=
            snprintf(text + n, sizeof text - (size_t)n, " %s|%s|%s|%s|%d|%" PRId64, e->type, e->url,
                     e->name, e->key ? e->key : "-", e->kind == BCDA__FILE_ERRORS, e->count);
        ck_assert_int_lt(n, (int)sizeof text);
    }
    return text;
}

static void check_shape(const struct shape *s, int piece)
{
    const char *body = json("", s->body, "");
    struct bcda__manifest *m = NULL;

    ck_assert_msg(parse_cut(body, strlen(body), piece, 5, &m) == 0, "%s: %s", body, err.text);
    ck_assert_str_eq(describe(m), json("", s->want, ""));
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

/* Each error names the member that is wrong, and does not show the member's value. */
START_TEST(refused)
{
    static const struct {
        const char *body, *word;
    } rows[] = {
        {"[]", "no object"},
        {"null", "no object"},
        {"'output'", "no object"},
        {"[{'output':[]}]", "no object"},
        {"{}", "neither output"},
        {"{'resourceType':'Bundle','type':'searchset','total':0,'entry':[]}", "neither output"},
        {"{'resourceType':'OperationOutcome','issue':[{'code':'x'}]}", "neither output"},
        {"{'KeyMap':{},'JobID':1,'request':'r'}", "neither output"},
        {"{'x':{'output':[]}}", "neither output"},
        {"{'Output':[],'OUTPUT':[]}", "neither output"},
        {"{'output':'x'}", "output is not an array"},
        {"{'output':{}}", "output is not an array"},
        {"{'output':[],'error':false}", "error is not an array"},
        {"{'transactionTime':5}", "transactionTime is not a string"},
        {"{'transactionTime':{}}", "transactionTime is not a string"},
        {"{'transactionTime':'a\\u0000b'}", "transactionTime holds a NUL"},
        {"{'output':[],'request':[]}", "request is not a string"},
        {"{'output':[],'requiresAccessToken':'true'}", "requiresAccessToken is not"},
        {"{'output':[],'KeyMap':[]}", "KeyMap is not an object"},
        {"{'output':[],'KeyMap':'x'}", "KeyMap is not an object"},
        {"{'output':[],'KeyMap':{'a':5}}", "KeyMap holds a value"},
        {"{'output':[],'KeyMap':{'a':{'b':'c'}}}", "KeyMap holds a value"},
        {"{'output':[],'KeyMap':{'a\\u0000b':'c'}}", "KeyMap holds a NUL"},
        {"{'output':[],'KeyMap':{'a':'c\\u0000'}}", "KeyMap holds a NUL"},
        {"{'output':[],'KeyMap':{'a':'b','a':'c'}}", "two keys for one file"},
        {"{'output':[],'KeyMap':{'a':'b','a  ':'c'}}", "two keys for one file"},
        {"{'output':[],'keys':['b|a','c|a']}", "two keys for one file"},
        {"{'output':[],'keys':{}}", "keys is not an array"},
        {"{'output':[],'keys':['a|b',5]}", "keys[1] is not"},
        {"{'output':[],'keys':['ab']}", "keys[0] is not"},
        {"{'output':[],'JobID':[]}", "JobID is not a number"},
        {"{'output':[],'JobID':true}", "JobID is not a number"},
        {"{'output':[],'error':[],'output':[]}", "output is there twice"},
        {"{'output':[],'o\\u0075tput':[]}", "output is there twice"},
        {"{'output':null,'output':[]}", "output is there twice"},
        {"{'output':[],'KeyMap':{},'KeyMap':{}}", "KeyMap is there twice"},
        {"{'output':[null]}", "output[0] is not an object"},
        {"{'output':[{'url':'~a'},'~a']}", "output[1] is not an object"},
        {"{'error':[[]]}", "error[0] is not an object"},
        {"{'output':[{}]}", "output[0].url is missing"},
        {"{'output':[{'x':{'url':'~a'}}]}", "output[0].url is missing"},
        {"{'output':[{'extension':[{'url':'~a'}],'type':'Patient'}]}", "output[0].url is missing"},
        {"{'output':[{'URL':'~a'}]}", "output[0].url is missing"},
        {"{'output':[{'url':null}]}", "output[0].url is not a string"},
        {"{'output':[{'url':5}]}", "output[0].url is not a string"},
        {"{'output':[{'url':['~a']}]}", "output[0].url is not a string"},
        {"{'output':[{'url':'~a','url':'~b'}]}", "output[0].url is there twice"},
        {"{'output':[{'url':'~a'},{'url':'~b'},{'url':'~c'},{'url':'data/d'}]}",
         "output[3].url is not an absolute"},
        {"{'output':[{'url':'~a'}],'error':[{'url':''}]}", "error[0].url is not an absolute"},
        {"{'output':[{'url':'ftp://h/a'}]}", "output[0].url is not an absolute"},
        {"{'output':[{'url':'https://u:p@h/a'}]}", "output[0].url is not an absolute"},
        {"{'output':[{'url':'https://h/a\\\\b'}]}", "output[0].url is not an absolute"},
        {"{'output':[{'url':'https://h/a b'}]}", "output[0].url is not an absolute"},
        {"{'output':[{'url':'https://h/a#b'}]}", "output[0].url is not an absolute"},
        {"{'output':[{'url':'https://h/a\\r\\nb'}]}", "output[0].url is not an absolute"},
        {"{'output':[{'url':'https://h/a\\u0000b'}]}", "output[0].url holds a NUL"},
        {"{'output':[{'url':'https://h'}]}", "output[0].url ends without"},
        {"{'output':[{'url':'~'}]}", "output[0].url ends without"},
        {"{'output':[{'url':'https://h/data/?a'}]}", "output[0].url ends without"},
        {"{'output':[{'url':'https://h/data/..'}]}", "output[0].url ends in dots"},
        {"{'output':[{'url':'https://h/data/.?a'}]}", "output[0].url ends in dots"},
        {"{'output':[{'url':'~a','type':5}]}", "output[0].type is not a string"},
        {"{'output':[{'url':'~a','type':'a\\u0000'}]}", "output[0].type holds"},
        {"{'output':[{'url':'~a','encryptedKey':5}]}", "output[0].encryptedKey is not"},
        {"{'output':[{'url':'~a','encryptedKey':{}}]}", "output[0].encryptedKey is not"},
        {"{'output':[{'url':'~a','encryptedKey':'a\\u0000'}]}", "output[0].encryptedKey holds"},
        {"{'output':[{'url':'~a','count':'5'}]}", "output[0].count is not a number"},
        {"{'output':[{'url':'~a','extension':5}]}", "output[0].extension is not"},
        {"{'output':[{'url':'~a','extension':[{'url':'https://dpc.cms.gov/"
         "checksum','valueString':'sha256:" HALF "'}]}]}",
         "checksum that is no SHA-256"},
        {"{'output':[{'url':'~a','extension':[{'url':'https://dpc.cms.gov/"
         "checksum','valueString':'sha256:" HALF HALF "0'}]}]}",
         "checksum that is no SHA-256"},
        {"{'output':[{'url':'~a','extension':[{'url':'https://dpc.cms.gov/"
         "checksum','valueString':'sha256:" HALF "00112233445566778899aabbccddee-f'}]}]}",
         "checksum that is no SHA-256"},
        {"{'output':[{'url':'~a','extension':[{'url':'https://dpc.cms.gov/"
         "checksum','valueString':'sha256:" HALF HALF
         "'},{'url':'https://dpc.cms.gov/checksum','valueString':'sha256:" HALF HALF "'}]}]}",
         "two checksums"},
    };
    size_t i;

    for (i = 0; i < COUNT(rows); i++)
        try_all(json("", rows[i].body, ""), 1000, rows[i].word, NULL, NULL);
}
END_TEST

struct deleted_row {
    const char *list;
    size_t count;
    const char *problem; /* NULL = none */
};

static void check_deleted(const struct bcda__manifest *m, const void *row)
{
    ck_assert_uint_eq(m->deleted_count, ((const struct deleted_row *)row)->count);
    ck_assert_uint_eq(m->count, 1);
    ck_assert_uint_eq(m->kind_count[BCDA__FILE_DATA], 1);
}

/* The files in `deleted` are counted, are checked as those of the other lists, and count towards
 * the limit of entries. */
START_TEST(deleted)
{
    static const struct deleted_row rows[] = {
        {"[]", 0, NULL},
        {"null", 0, NULL},
        {"[{'type':'Bundle','url':'~d1'}]", 1, NULL},
        {"[{'url':'~d1'},{'count':3,'url':'~d2'}]", 2, NULL},
        {"[{'url':'~a'}]", 1, NULL}, /* a file that is also in output */
        {"{}", 0, "deleted is not an array"},
        {"'x'", 0, "deleted is not an array"},
        {"[null]", 0, "deleted[0] is not an object"},
        {"[{'url':'~d'},{'type':'Bundle'}]", 0, "deleted[1].url is missing"},
        {"[{'url':'not a url'}]", 0, "deleted[0].url is not an absolute"},
        {"[{'url':5}]", 0, "deleted[0].url is not a string"},
        {"[{'url':'~d','type':5}]", 0, "deleted[0].type is not a string"},
    };
    static const char before[] = "{'deleted':", after[] = ",'output':[{'url':'~a'}]}";
    struct bcda__manifest *m;
    const char *two;
    size_t i;

    for (i = 0; i < COUNT(rows); i++)
        try_all(json(before, rows[i].list, after), 3, rows[i].problem, check_deleted, &rows[i]);
    ck_assert_int_eq(parse("{'deleted':[],'output':[],'deleted':[]}", &m), BCDA_ERR_MANIFEST);
    two = json(before, rows[3].list, after);
    ck_assert_int_eq(parse_cut(two, strlen(two), 0, 2, &m), BCDA_ERR_BODY_TOO_LARGE);
    ck_assert(strstr(err.text, "2 entries"));
}
END_TEST

/* Members that point to more data: `link` to the next page of the manifest, and a file that is
 * continued in a file outside the list. The library follows neither, so it must refuse the
 * manifest: otherwise the export would look complete without that data. STU 3 sends pages only to a
 * client that asks with allowPartialManifests. */
START_TEST(elsewhere)
{
    static const struct {
        const char *members;
        const char *problem; /* NULL = none */
    } rows[] = {
        {"'link':null,'output':[]", NULL},
        {"'link':[],'output':[]", NULL},
        {"'link':[{}],'output':[]", NULL},
        {"'link':[{'relation':'self','url':'~m1'}],'output':[]", NULL},
        {"'link':[{'x':'next'},{'x':{'relation':'next'}}],'output':[]", NULL},
        {"'x':[{'relation':'next'}],'output':[]", NULL},
        {"'link':[{'relation':'next','url':'~m2'}],'output':[]", "link names a next page"},
        {"'output':[{'url':'~a'}],'link':[{'relation':'self'},{'url':'~m2','relation':'Next'}]",
         "link names a next page"},
        {"'link':{'relation':'next'},'output':[]", "link is not an array"},
        {"'link':['next'],'output':[]", "link has an element that is not an object"},
        {"'link':[],'link':[],'output':[]", "link is there twice"},
        {"'output':[{'url':'~a','continuesInFile':'~b'},{'url':'~b'}]", NULL},
        {"'output':[{'url':'~b'},{'url':'~a','continuesInFile':'~b'}]", NULL},
        {"'output':[{'url':'~a','continuesInFile':null}]", NULL},
        {"'output':[{'url':'~a'},{'url':'~b','continuesInFile':'~c'}]",
         "output[1].continuesInFile names a file that is not listed"},
        {"'output':[{'url':'~a','continuesInFile':''}]",
         "output[0].continuesInFile names a file that is not listed"},
        {"'deleted':[{'url':'~c'}],'output':[{'url':'~a','continuesInFile':'~c'}]",
         "output[0].continuesInFile names a file that is not listed"},
        {"'output':[{'url':'~a','continuesInFile':5}]",
         "output[0].continuesInFile is not a string"},
        {"'output':[{'url':'~a','continuesInFile':'a\\u0000'}]",
         "output[0].continuesInFile holds a NUL"},
        {"'outputOrganizedBy':5,'output':[]", "outputOrganizedBy is not a string"},
    };
    struct bcda__manifest *m;
    size_t i;

    for (i = 0; i < COUNT(rows); i++)
        try_all(json("{", rows[i].members, "}"), 10, rows[i].problem, NULL, NULL);
    ck_assert_int_eq(parse("{'output':[],'outputOrganizedBy':'Patient'}", &m), 0);
    ck_assert_str_eq(m->organized_by, "Patient");
    bcda__manifest_unref(m);
    ck_assert_int_eq(parse("{'output':[],'outputOrganizedBy':null}", &m), 0);
    ck_assert_str_eq(m->organized_by, "");
    bcda__manifest_unref(m);
}
END_TEST

/* STU 4 renames `error` to `outcome`. */
START_TEST(outcomes)
{
    static const char body[] = "{'outcome':[{'url':'~o'},{'url':'~a'}],'output':[{'type':'Patient',"
                               "'url':'~p'},{'url':'~a'}],'error':[{'url':'~e'}]}";
    struct bcda__manifest *m;

    ck_assert_int_eq(parse(body, &m), 0);
    ck_assert_uint_eq(m->count, 4);
    ck_assert_uint_eq(m->kind_count[BCDA__FILE_DATA], 1);
    ck_assert_str_eq(m->entries[0].name, "p");
    ck_assert_str_eq(m->entries[1].name, "o");
    ck_assert_str_eq(m->entries[2].name, "a");
    ck_assert_str_eq(m->entries[3].name, "e");
    ck_assert_int_eq(m->entries[1].kind, BCDA__FILE_ERRORS);
    bcda__manifest_unref(m);
    ck_assert_int_eq(parse("{'output':[],'outcome':[{'url':5}]}", &m), BCDA_ERR_MANIFEST);
    ck_assert(strstr(err.text, "outcome[0].url is not a string"));
}
END_TEST

struct extension_row {
    const char *extension;
    int64_t length;
    int checksum;
};

static void check_extension(const struct bcda__manifest *m, const void *row)
{
    static const uint8_t sum[32] =
        "\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff\x00\x11\x22\x33\x44\x55"
        "\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff";
    const struct extension_row *r = row;

    ck_assert_uint_eq(m->count, 2);
    ck_assert_str_eq(m->entries[0].url, H "a");
    ck_assert_str_eq(m->entries[0].type, "Patient");
    ck_assert_msg(m->entries[0].length == r->length, "%s", r->extension);
    ck_assert_msg(!m->entries[0].checksum == !r->checksum, "%s", r->extension);
    if (r->checksum)
        ck_assert_mem_eq(m->entries[0].checksum, sum, sizeof sum);
    ck_assert_int_eq(m->entries[1].length, -1);
    ck_assert_ptr_null(m->entries[1].checksum);
}

/* Parses the extensions in which AB2D and DPC (other servers of CMS) state the checksum and length
 * of a file. They may come in any order, and among other extensions. */
START_TEST(extensions)
{
    static const struct extension_row rows[] = {
        {"[]", -1, 0},
        {"null", -1, 0},
        {"{'https://ab2d.cms.gov/checksum':'sha256:x'}", -1, 0},
        {"[{'url':'https://ab2d.cms.gov/checksum','valueString':'sha256:" HALF HALF
         "'},{'url':'https://ab2d.cms.gov/file_length','valueDecimal':32747}]",
         32747, 1},
        {"[{'valueString':'SHA256:" HALF HALF
         "','url':'https://dpc.cms.gov/checksum'},{'valueInteger':'0','url':'https://dpc.cms.gov/"
         "file_length'}]",
         0, 1},
        {"[{'url':'https://ab2d.cms.gov/checksum','valueString':'sha512:00'}]", -1, 0},
        {"[{'url':'https://ab2d.cms.gov/checksum'},{'valueString':'sha256:0'}]", -1, 0},
        {"[{'url':'https://elsewhere.example/checksum','valueString':'sha256:0'}]", -1, 0},
        {"[{'url':'https://ab2d.cms.gov/file_length','valueDecimal':-5}]", -1, 0},
        {"[{'url':'https://ab2d.cms.gov/file_length','valueDecimal':1.5e3}]", -1, 0},
        {"[{'url':'https://ab2d.cms.gov/file_length','valueDecimal':99999999999999999999}]", -1, 0},
        {"[{'extension':[{'url':'https://ab2d.cms.gov/file_length','valueDecimal':5}]}]", -1, 0},
        {"[[{'url':'https://ab2d.cms.gov/file_length','valueDecimal':5}]]", -1, 0},
        {"[5,'x',{'url':'https://dpc.cms.gov/file_length','valueDecimal':5}]", 5, 0},
    };
    size_t i;

    for (i = 0; i < COUNT(rows); i++)
        try_all(json("{'output':[{'url':'~a','extension':", rows[i].extension,
                     ",'type':'Patient'},{'url':'~b'}]}"),
                1000, NULL, check_extension, &rows[i]);
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
        snprintf(body, sizeof body, "{'JobID':%s,'output':[{'url':'~a','count':%s}]}",
                 rows[i].value, rows[i].value);
        ck_assert_int_eq(parse(body, &m), 0);
        ck_assert_int_eq(m->job_id, rows[i].number);
        ck_assert_int_eq(m->entries[0].count, rows[i].number);
        bcda__manifest_unref(m);
    }
    ck_assert_int_eq(parse("{'JobID':'4a','output':[]}", &m), 0);
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
        /* with a byte order mark: the test allows success and an error */
        {"\xEF\xBB\xBF{\"output\":[]}", NULL},
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

/* A manifest that is cut at any byte is refused. Otherwise the files in the missing part would not
 * be downloaded, and nobody would notice. */
START_TEST(truncated)
{
    struct bcda__manifest *m;
    size_t i, len, cut;

    for (i = 0; i < COUNT(shapes); i++) {
        const char *body = json("", shapes[i].body, "");

        len = strlen(body);
        for (cut = 0; cut < len; cut++) {
            ck_assert_int_eq(parse_cut(body, cut, 0, 1000, &m), BCDA_ERR_NOT_JSON);
            ck_assert_int_eq(parse_cut(body, cut, 1, 1000, &m), BCDA_ERR_NOT_JSON);
        }
        ck_assert_int_eq(parse_cut(body, cut, 0, 1000, &m), 0);
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
        data += e->kind == BCDA__FILE_DATA;
    }
    ck_assert_uint_eq(data, m->kind_count[BCDA__FILE_DATA]);
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
            len = strlen(strcpy(copy, json("", shapes[i].body, "")));
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

/* ---- manifests with very many files ---- */

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

START_TEST(at_the_limit)
{
    struct bcda__buf b;
    struct bcda__manifest *m;
    char text[32];
    size_t i, count = (size_t)sample_rounds(50000, 200000);

    /* A parser with quadratic time would exceed the time limit of this test program. */
    add_many(&b, count, 1);
    ck_assert_int_eq(parse_cut(b.data, b.len, 16384, count, &m), 0);
    ck_assert_uint_eq(m->count, count);
    ck_assert_uint_eq(m->kind_count[BCDA__FILE_DATA], count);
    for (i = 0; i < m->count; i++) {
        snprintf(text, sizeof text, "aa%zx", i);
        ck_assert_str_eq(m->entries[i].key, text);
        ck_assert_str_eq(m->entries[i].type, i % 7 ? "ExplanationOfBenefit" : "Patient");
    }
    bcda__manifest_unref(m);
    ck_assert_int_eq(parse_cut(b.data, b.len, 16384, count - 1, &m), BCDA_ERR_BODY_TOO_LARGE);
    snprintf(text, sizeof text, "%zu entries", count - 1);
    ck_assert(strstr(err.text, text));
    bcda__buf_free(&b);
    add_many(&b, count + 1, 0);
    ck_assert_int_eq(parse_cut(b.data, b.len, 16384, count, &m), BCDA_ERR_BODY_TOO_LARGE);
    snprintf(text, sizeof text, "%zu entries", count);
    ck_assert(strstr(err.text, text));
    bcda__buf_free(&b);
}
END_TEST

/* Parses a manifest of 200,000 entries that repeat three URLs. `error` comes before `output`. */
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
    ck_assert_int_eq(parse_cut(b.data, b.len, 1000, 200000, &m), 0);
    ck_assert_uint_eq(m->count, 3);
    ck_assert_uint_eq(m->kind_count[BCDA__FILE_DATA], 1);
    ck_assert_str_eq(m->entries[0].name, "c");
    ck_assert_str_eq(m->entries[1].name, "b");
    ck_assert_str_eq(m->entries[2].name, "a");
    bcda__manifest_unref(m);
    bcda__buf_free(&b);
}
END_TEST

/* The number of keys is limited, too, so that a large KeyMap cannot exhaust memory. */
START_TEST(too_many_keys)
{
    static const char before[] = "{'output':[{'url':'~a'}],'KeyMap':{'a':'1'";
    struct bcda__manifest *m;
    const char *body = json(before, ",'b':'2','c':'3'", "}}");

    ck_assert_int_eq(parse_cut(body, strlen(body), 0, 1, &m), BCDA_ERR_BODY_TOO_LARGE);
    ck_assert(strstr(err.text, "2 file keys"));
    body = json(before, "},'keys':['2|b']", "}");
    ck_assert_int_eq(parse_cut(body, strlen(body), 0, 1, &m), 0);
    ck_assert_str_eq(m->entries[0].key, "1");
    bcda__manifest_unref(m);
}
END_TEST

/* Parses texts whose sizes are near the size of the memory chunks in which the parser stores them.
 */
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
    ck_assert_int_eq(parse_cut(b.data, b.len, 4096, 400, &m), 0);
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
    ck_assert_int_eq(bcda__manifest_parser_new(&p, 5, 0), 0);
    bcda__manifest_parser_free(p);
    ck_assert_int_eq(bcda__manifest_parser_new(&p, 5, 0), 0);
    ck_assert_int_eq(bcda__manifest_parser_write(p, "{\"output\":[]}", 13, NULL), 0);
    ck_assert_int_eq(bcda__manifest_parser_finish(p, &m, NULL), 0);
    ck_assert_int_ne(bcda__manifest_parser_finish(p, &none, NULL), 0);
    bcda__manifest_parser_free(p);
    ck_assert_ptr_eq(bcda__manifest_ref(m), m);
    bcda__manifest_unref(m);
    ck_assert_uint_eq(m->count, 0);
    bcda__manifest_unref(m);

    /* After an error, every later call returns that error. The first error may come from a later
     * write than the one with the bad bytes, because the parser first collects a few KiB. */
    ck_assert_int_eq(bcda__manifest_parser_new(&p, 5, 0), 0);
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
