/* Values of a JSON document, found by paths. */
#include "codec/document.h"

#include <stdio.h>
#include <string.h>

#include "bcda/error.h"
#include "helper.h"
#include "suite.h"

/* What the callback received. */
struct seen {
    char text[2000]; /* for each event: the path's letter, then the value */
    int events;
    int stop_at; /* number of the event that returns BCDA_ERR_MANIFEST, from 1; 0 = none */
};

static void add_text(struct seen *s, const char *before, const char *text, size_t len,
                     const char *after)
{
    size_t at = strlen(s->text);
    int n = snprintf(s->text + at, sizeof s->text - at, "%s%.*s%s", before, (int)len, text, after);

    ck_assert_int_lt(n, (int)(sizeof s->text - at));
}

static int note(void *ctx, int what, enum bcda__json_event event, const char *text, size_t len)
{
    static const char *const names[] = {
        [BCDA__JSON_OBJECT] = "{",    [BCDA__JSON_OBJECT_END] = "}", [BCDA__JSON_ARRAY] = "[",
        [BCDA__JSON_ARRAY_END] = "]", [BCDA__JSON_TRUE] = "true",    [BCDA__JSON_FALSE] = "false",
        [BCDA__JSON_NULL] = "null"};
    struct seen *s = ctx;
    char path = (char)what;

    add_text(s, s->events ? " " : "", &path, 1, "");
    if (event == BCDA__JSON_KEY)
        add_text(s, "", text, len, ":");
    else if (event == BCDA__JSON_STRING)
        add_text(s, "'", text, len, "'");
    else if (event == BCDA__JSON_NUMBER)
        add_text(s, "", text, len, "");
    else
        add_text(s, names[event], "", 0, "");
    return ++s->events == s->stop_at ? BCDA_ERR_MANIFEST : 0;
}

/* The paths of a row have the letters A, B and so on. `want` is the expected seen.text: for each
 * event the letter of the path that matched, then a key ("a:") or a value. */
struct row {
    const char *paths[4];
    const char *json, *want;
};

static const struct row rows[] = {
    /* a member gives an event for its key and one for its value; an object or array also gives an
     * event for its end */
    {{"a"}, "{\"a\":\"x\"}", "Aa: A'x'"},
    {{"a"}, "{\"a\":12.50}", "Aa: A12.50"},
    {{"a", "b", "c"}, "{\"a\":true,\"b\":false,\"c\":null}", "Aa: Atrue Bb: Bfalse Cc: Cnull"},
    {{"a"}, "{\"a\":{\"b\":1}}", "Aa: A{ A}"},
    {{"a"}, "{\"a\":[1,[2],{}]}", "Aa: A[ A]"},
    {{"a"}, "{\"a\":\"\",\"\":1}", "Aa: A''"},
    {{"a"}, "{\"\\u0061\":\"\\u00e9\"}", "Aa: A'\303\251'"},
    {{"a.b"}, "{\"a\":{\"b\":1,\"c\":2}}", "Ab: A1"},
    {{"a.b", "a"}, "{\"a\":{\"x\":0,\"b\":{}},\"c\":{}}", "Ba: B{ Ab: A{ A} B}"},
    {{"a"}, "{\"b\":1,\"A\":2,\"aa\":3,\"\":4}", ""},
    {{"ab"}, "{\"a\":1,\"abc\":2}", ""},
    {{"a"}, "{}", ""},
    {{"a"}, "[]", ""},
    {{"a"}, "\"a\"", ""},
    {{"a"}, "[\"a\",{\"a\":1}]", ""},
    /* members of the same name elsewhere do not match */
    {{"a"}, "{\"b\":{\"a\":1},\"c\":[{\"a\":2}],\"d\":[\"a\"]}", ""},
    {{"a.b"}, "{\"b\":1,\"x\":{\"b\":2},\"a\":{\"x\":{\"b\":3},\"y\":[{\"b\":4}]}}", ""},
    {{"a.b"}, "{\"a\":{\"a\":{\"b\":1}},\"b\":{\"b\":2}}", ""},
    {{"a.b"}, "{\"a\":[{\"b\":1}]}", ""},
    {{"a.b"}, "{\"a\":1,\"c\":{\"b\":2}}", ""},
    {{"a.a"}, "{\"a\":{\"a\":{\"a\":1}}}", "Aa: A{ A}"},
    /* "[]" is each element of an array, "[0]" the first */
    {{"[]"}, "[1,\"x\",null]", "A1 A'x' Anull"},
    {{"[0]"}, "[1,2,3]", "A1"},
    {{"[0]"}, "[]", ""},
    {{"[]"}, "{\"a\":1}", ""},
    {{"[0]"}, "{\"a\":1}", ""},
    {{"[]", "[0]"}, "[{},{}]", "A{ B{ A} B} A{ A}"},
    {{"a[]"}, "{\"a\":[1,{\"x\":2},[3]]}", "A1 A{ A} A[ A]"},
    {{"a[0]"}, "{\"a\":[{\"x\":[5]},2]}", "A{ A}"},
    {{"a[]"}, "{\"a\":1}", ""},
    {{"a[]"}, "{\"a\":{\"b\":1}}", ""},
    {{"a[].b"}, "{\"a\":[{\"b\":1},{\"c\":2},5,{\"b\":3}]}", "Ab: A1 Ab: A3"},
    {{"a[0].b"}, "{\"a\":[{\"b\":1},{\"b\":3}]}", "Ab: A1"},
    {{"a[0].b"}, "{\"a\":[5,{\"b\":3}]}", ""},
    {{"a[].b[0].c"},
     "{\"a\":[{\"b\":[{\"c\":1},{\"c\":2}]},{\"b\":[{\"c\":3}]}]}",
     "Ac: A1 Ac: A3"},
    /* arrays in arrays */
    {{"[][]"}, "[1,[2,[3]],[],[4]]", "A2 A[ A] A4"},
    {{"[0][]"}, "[[1,2],[3]]", "A1 A2"},
    {{"[][0]"}, "[[1,2],[3,4]]", "A1 A3"},
    {{"[0][0]", "[]"}, "[[1,2],[3]]", "B[ A1 B] B[ B]"},
    {{"a[][].b"}, "{\"a\":[[{\"b\":1}],{\"b\":2},[[{\"b\":3}],{\"b\":4}]]}", "Ab: A1 Ab: A4"},
    /* "a|b" is either name */
    {{"a|b"}, "{\"b\":1,\"c\":2,\"a\":3,\"a|b\":4}", "Ab: A1 Aa: A3"},
    {{"a|bc|d"}, "{\"b\":1,\"bc\":2,\"c\":3,\"d\":4,\"\":5}", "Abc: A2 Ad: A4"},
    {{"a|b.c|d[]"}, "{\"a\":{\"d\":[1]},\"b\":{\"c\":[2],\"x\":[3]},\"c\":[4]}", "A1 A2"},
    /* "value*" is each name that begins so, "*" each name */
    {{"value*"},
     "{\"value\":1,\"valueInt\":2,\"valu\":3,\"Value\":4,\"xvalue\":5}",
     "Avalue: A1 AvalueInt: A2"},
    {{"x.v*[]"}, "{\"x\":{\"v\":[1],\"w\":[2],\"vw\":[3]},\"v\":[4]}", "A1 A3"},
    {{"a|v*|b"}, "{\"vx\":1,\"b\":2,\"ax\":3,\"a\":4}", "Avx: A1 Ab: A2 Aa: A4"},
    {{"*"}, "{\"a\":1,\"\":[2]}", "Aa: A1 A: A[ A]"},
    {{"*"}, "[1]", ""},
    {{"*.b"},
     "{\"a\":{\"b\":1},\"b\":2,\"c\":{\"b\":3,\"d\":4},\"e\":[{\"b\":5}]}",
     "Ab: A1 Ab: A3"},
    /* the empty path means the top value */
    {{""}, "{\"a\":{}}", "A{ A}"},
    {{""}, "[[]]", "A[ A]"},
    {{""}, "5", "A5"},
    {{""}, "\"x\"", "A'x'"},
    {{"", "a"}, "{\"a\":1}", "A{ Ba: B1 A}"},
    /* several paths match one value: the events come in the order of the paths */
    {{"a", "a"}, "{\"a\":1}", "Aa: Ba: A1 B1"},
    {{"*", "a|b", "a*", "x"}, "{\"a\":[]}", "Aa: Ba: Ca: A[ B[ C[ A] B] C]"},
    {{"a[]", "a[0]"}, "{\"a\":[1,2]}", "A1 B1 A2"},
    {{"a.b", "a.c"}, "{\"a\":{\"c\":1,\"b\":2}}", "Bc: B1 Ab: A2"},
    /* a member that occurs twice is reported twice */
    {{"a"}, "{\"a\":1,\"b\":2,\"a\":3}", "Aa: A1 Aa: A3"},
    {{"a.b"}, "{\"a\":{\"b\":1},\"a\":{\"b\":2,\"b\":3}}", "Ab: A1 Ab: A2 Ab: A3"},
    {{"a[0]"}, "{\"a\":[1,2],\"a\":[3]}", "A1 A3"},
    /* paths of the greatest depth, and values below that depth */
    {{"a.a.a.a.a.a.a.a"},
     "{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":1}}}}}}}}}}",
     "Aa: A{ A}"},
    {{"[][][][][][][][]"}, "[[[[[[[[1,[2,[3]],{\"a\":4}]]]]]]],5]", "A1 A[ A] A{ A}"},
    {{"*.*.*.*.*.*.*.*", "b"},
     "{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"x\":[[[]]],\"y\":2}}}}}}},\"b\":3}",
     "Ax: A[ A] Ay: A2 Bb: B3"},
};

static int fill_paths(const struct row *r, struct bcda__document_path *paths)
{
    int n;

    for (n = 0; n < 4 && r->paths[n]; n++)
        paths[n] = (struct bcda__document_path){r->paths[n], 'A' + n};
    return n;
}

/* Parses the document of each row in one piece, byte by byte, and with other bytes after its end.
 */
START_TEST(each_path)
{
    struct bcda__document_path paths[4];
    const struct row *r = &rows[_i];
    struct seen whole = {0}, pieces = {0}, first = {0};
    size_t i, len = strlen(r->json);
    int count = fill_paths(r, paths);
    struct bcda__document d;
    struct bcda__json *j;
    char more[300];

    ck_assert_int_eq(bcda__document_parse(r->json, len, paths, count, note, &whole), 0);
    ck_assert_str_eq(whole.text, r->want);
    bcda__document_init(&d, paths, count, note, &pieces);
    ck_assert_int_eq(bcda__json_new(&j, 64, bcda__document_event, &d), 0);
    for (i = 0; i < len; i++)
        ck_assert_int_eq(bcda__json_write(j, r->json + i, 1), 0);
    ck_assert_int_eq(bcda__json_finish(j), 0);
    bcda__json_free(j);
    ck_assert_str_eq(pieces.text, r->want);
    snprintf(more, sizeof more, "%s {\"a\":1}", r->json);
    ck_assert_int_eq(bcda__document_parse_first(more, strlen(more), paths, count, note, &first), 0);
    ck_assert_str_eq(first.text, r->want);
}
END_TEST

/* The callback returns an error at the n-th event, for every n. The parser must then return that
 * error, and must not call the callback again. */
START_TEST(stopped)
{
    static const struct row r = {{"a", "a[]", "*"}, "{\"a\":[1,{}],\"b\":2}", NULL};
    struct bcda__document_path paths[4];
    int at, count = fill_paths(&r, paths);
    struct seen all = {0};

    ck_assert_int_eq(bcda__document_parse(r.json, strlen(r.json), paths, count, note, &all), 0);
    ck_assert_str_eq(all.text, "Aa: Ca: A[ C[ B1 B{ B} A] C] Cb: C2");
    for (at = 1; at <= all.events; at++) {
        struct seen s = {.stop_at = at};

        ck_assert_int_eq(bcda__document_parse(r.json, strlen(r.json), paths, count, note, &s),
                         BCDA_ERR_MANIFEST);
        ck_assert_int_eq(s.events, at);
        ck_assert_int_eq(strncmp(s.text, all.text, strlen(s.text)), 0);
    }
}
END_TEST

/* Texts that are not JSON, and objects and arrays nested deeper than the limit of 64, must be
 * refused. */
START_TEST(refused)
{
    static const char *const texts[] = {"", "{\"a\":1", "{\"a\":1}x", "{a:1}", "[1,]"};
    const struct bcda__document_path a = {"a", 'A'};
    char deep[131];
    size_t i;

    for (i = 0; i < COUNT(texts); i++) {
        struct seen s = {0};

        ck_assert_int_eq(bcda__document_parse(texts[i], strlen(texts[i]), &a, 1, note, &s),
                         BCDA_ERR_NOT_JSON);
    }
    for (i = 64; i <= 65; i++) {
        struct seen s = {0};
        int want = i == 64 ? 0 : BCDA_ERR_NOT_JSON;

        memset(deep, '[', i);
        memset(deep + i, ']', i);
        ck_assert_int_eq(bcda__document_parse(deep, 2 * i, &a, 1, note, &s), want);
        ck_assert_int_eq(bcda__document_parse_first(deep, 2 * i, &a, 1, note, &s), want);
        ck_assert_int_eq(s.events, 0);
    }
}
END_TEST

/* Uses the greatest number of paths that is allowed. */
START_TEST(many_paths)
{
    struct bcda__document_path paths[BCDA__DOCUMENT_PATHS_MAX];
    struct seen s = {0};
    int i;

    for (i = 0; i < BCDA__DOCUMENT_PATHS_MAX; i++)
        paths[i] = (struct bcda__document_path){i % 2 ? "[0]" : "[]", '@' + i};
    ck_assert_int_eq(bcda__document_parse("[1,2]", 5, paths, BCDA__DOCUMENT_PATHS_MAX, note, &s),
                     0);
    ck_assert_int_eq(s.events, 32 + 16);
    for (i = 0; i < BCDA__DOCUMENT_PATHS_MAX; i++) {
        ck_assert_int_eq(s.text[3 * i], '@' + i);
        ck_assert_int_eq(s.text[3 * i + 1], '1');
    }
    for (; i < s.events; i++) {
        ck_assert_int_eq(s.text[3 * i], '@' + 2 * (i - 32));
        ck_assert_int_eq(s.text[3 * i + 1], '2');
    }
}
END_TEST

START_TEST(words)
{
    char to[4];

    ck_assert_int_eq(bcda__document_is("abc", 3, "abc"), 1);
    ck_assert_int_eq(bcda__document_is("abc", 2, "abc"), 0);
    ck_assert_int_eq(bcda__document_is("abc", 3, "ab"), 0);
    ck_assert_int_eq(bcda__document_is("abd", 3, "abc"), 0);
    ck_assert_int_eq(bcda__document_is("ab\0", 3, "ab"), 0);
    ck_assert_int_eq(bcda__document_is("x", 0, ""), 1);
    bcda__document_copy(to, sizeof to, "abcd", 3);
    ck_assert_str_eq(to, "abc");
    bcda__document_copy(to, sizeof to, "abcd", 4); /* a text that does not fit gives an empty one */
    ck_assert_str_eq(to, "");
    bcda__document_copy(to, sizeof to, "xy", 1);
    ck_assert_str_eq(to, "x");
    bcda__document_copy(to, sizeof to, "a\0b", 3);
    ck_assert_str_eq(to, "");
    bcda__document_copy(to, sizeof to, "xy", 2);
    bcda__document_copy(to, sizeof to, "z", 0);
    ck_assert_str_eq(to, "");
}
END_TEST

SUITE("document")
{
    suite_case("document");
    suite_loop(each_path, 0, (int)COUNT(rows));
    suite_test(stopped, refused, many_paths, words);
}
