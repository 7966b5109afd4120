/* The access token that processes share. A second cache object with the same path acts as another
 * process: a lock belongs to the open file. The test owns the clock. */
#include <sched.h>
#include <stdatomic.h>

#include "base/text.h"
#include "client/token_cache.h"
#include "codec/crypto.h"
#include "helper.h"
#include "shared_files.h"
#include "torture/refuse.h"

/* Freed memory must not contain MARK. */
#define TOKEN       MARK ".eyJ\"a\\b.c-_~"
#define OTHER_TOKEN MARK "-other"
#define ORIGIN      "https://x.test"
#define ID          "client \"1\""

enum { MARGIN = 60000, DOCUMENT_MAX = 64 * 1024 };
static const int64_t now = 1700000000000, end = 1700000000000 + 1200000;
static const int64_t century = INT64_C(100) * 366 * 86400 * 1000;

static struct bcda__token_cache *cache, *other;
static struct bcda__secret token;
static struct bcda_error err;
static int64_t expires;

static struct bcda__token_cache *cache_new(const char *origin, const char *id, const char *scope)
{
    struct bcda__token_cache *c;

    ck_assert_int_eq(bcda__token_cache_new(&c, path, origin, id, scope), 0);
    return c;
}

static void open_test(void)
{
    ck_assert_int_eq(bcda__crypto_init(0, NULL), 0);
    make_folder();
    bcda__err_clear(&err);
    cache = cache_new(ORIGIN, ID, NULL);
    other = cache_new(ORIGIN, ID, NULL);
}

static void close_test(void)
{
    bcda__token_cache_free(cache);
    bcda__token_cache_free(other);
    bcda__secret_free(&token);
    remove_folder();
}

static int look_at(struct bcda__token_cache *c, int64_t wall_ms)
{
    return bcda__token_cache_look(c, wall_ms, MARGIN, &token, &expires, &err);
}

static int look_now(struct bcda__token_cache *c)
{
    return look_at(c, now);
}

static int store(struct bcda__token_cache *c, const char *text)
{
    return bcda__token_cache_store(c, text, strlen(text), end, &err);
}

static void refuse_token(struct bcda__token_cache *c, const char *text)
{
    bcda__token_cache_refuse(c, text, strlen(text));
}

/* Checks that no token is found, and gives the lock back. */
static void check_miss(struct bcda__token_cache *c)
{
    ck_assert_int_eq(look_now(c), BCDA__CACHE_MISS);
    bcda__token_cache_release(c);
}

static void check_hit(struct bcda__token_cache *c, const char *text)
{
    ck_assert_int_eq(look_now(c), BCDA__CACHE_HIT);
    ck_assert_str_eq(token.data, text);
    ck_assert_uint_eq(token.len, strlen(text));
    ck_assert_int_eq(expires, end);
    ck_assert_int_eq(is_free(path), 1);
}

/* Fetches a token: there must be none. */
static void fetch(struct bcda__token_cache *c, const char *text)
{
    ck_assert_int_eq(look_now(c), BCDA__CACHE_MISS);
    ck_assert_int_eq(store(c, text), 0);
    ck_assert_int_eq(is_free(path), 1);
}

/* Writes a document with a right check, whatever it says. */
static void put_document(const char *text)
{
    static char document[2 * DOCUMENT_MAX];
    struct bcda__sha256 *sum;
    uint8_t hash[32];
    char check[45];
    int len;

    ck_assert_int_eq(bcda__sha256_new(&sum), 0);
    bcda__sha256_add(sum, text, strlen(text));
    ck_assert_int_eq(bcda__sha256_read(sum, hash), 0);
    bcda__sha256_free(sum);
    bcda__text_base64(hash, sizeof hash, check);
    len = snprintf(document, sizeof document, "%s,\"check\":\"%s\"}", text, check);
    put_file(path, document, (size_t)len);
}

/* ---- one token ---- */

START_TEST(stored_and_found)
{
    static char content[1000];
    static const char begin[] =
        "{\"version\":1,\"origin\":\"https://x.test\",\"client_id\":\"client \\\"1\\\"\","
        "\"scope\":null,\"expires\":1700001200000,\"token\":\"" MARK ".eyJ\\\"a\\\\b.c-_~\","
        "\"check\":\"";

    ck_assert_int_eq(look_now(cache), BCDA__CACHE_MISS);
    ck_assert_int_eq(size_of(path), 0);
    ck_assert_int_eq(look_now(cache), BCDA__CACHE_MISS); /* has the lock already */
    ck_assert_int_eq(look_now(other), BCDA__CACHE_BUSY);
    ck_assert_ptr_null(token.data);
    ck_assert_int_eq(descriptors_of(path), 1);
    ck_assert_int_eq(store(cache, TOKEN), 0);
    ck_assert_int_eq(descriptors_of(path), 0);
    check_hit(cache, TOKEN);
    check_hit(other, TOKEN);
    ck_assert_int_eq(descriptors_of(path), 0);
    ck_assert_int_gt(get_file(path, content, sizeof content), (ssize_t)sizeof begin);
    ck_assert_int_eq(strncmp(content, begin, sizeof begin - 1), 0);
    ck_assert_ptr_null(strchr(content, '\n'));
}
END_TEST

START_TEST(released)
{
    ck_assert_int_eq(look_now(cache), BCDA__CACHE_MISS);
    ck_assert_int_eq(look_now(other), BCDA__CACHE_BUSY);
    if (_i) {
        bcda__token_cache_free(cache);
        cache = cache_new(ORIGIN, ID, NULL);
    } else
        bcda__token_cache_release(cache);
    ck_assert_int_eq(look_now(other), BCDA__CACHE_MISS);
    ck_assert_int_eq(look_now(cache), BCDA__CACHE_BUSY);
    bcda__token_cache_release(cache); /* releases no lock of another process */
    ck_assert_int_eq(is_free(path), 0);
}
END_TEST

/* A process that reads does not make another one busy. */
START_TEST(readers)
{
    int fd;

    fetch(cache, TOKEN);
    fd = lock_from_outside(path, LOCK_SH);
    ck_assert_int_eq(look_now(cache), BCDA__CACHE_HIT);
    ck_assert_int_eq(look_at(cache, end), BCDA__CACHE_BUSY); /* cannot fetch in this moment */
    close(fd);
    ck_assert_int_eq(look_at(cache, end), BCDA__CACHE_MISS);
}
END_TEST

static void fetch_in_between(void)
{
    fetch(other, OTHER_TOKEN);
}

static void lock_in_between(void)
{
    ck_assert_int_eq(look_now(other), BCDA__CACHE_MISS);
}

/* Between reading and locking, another process fetches a token, or begins to. */
START_TEST(stored_in_between)
{
    calls_of.hook_at = 2; /* the exclusive lock */
    calls_of.hook = _i ? lock_in_between : fetch_in_between;
    ck_assert_int_eq(look_now(cache), _i ? BCDA__CACHE_BUSY : BCDA__CACHE_HIT);
    ck_assert_int_eq(descriptors_of(path), _i);
    if (!_i)
        ck_assert_str_eq(token.data, OTHER_TOKEN);
}
END_TEST

START_TEST(validity)
{
    static const struct {
        int64_t wall, margin, expires;
        int result;
    } rows[] = {
        {1000, 60, 1060, BCDA__CACHE_HIT},
        {1000, 60, 1059, BCDA__CACHE_MISS},
        {1000, 0, 1001, BCDA__CACHE_HIT},
        {1000, 0, 1000, BCDA__CACHE_MISS},
        {1000, 0, 999, BCDA__CACHE_MISS},
        {1000, -500, 999, BCDA__CACHE_MISS},
        {1000, 60, 1000 + INT64_C(3162240000000), BCDA__CACHE_HIT},
        {1000, 60, 1001 + INT64_C(3162240000000), BCDA__CACHE_MISS},
        {1000, 60, 999999999999999999, BCDA__CACHE_MISS},
        {1000, INT64_MAX, 2000, BCDA__CACHE_MISS},
        {INT64_MAX, 60, 2000, BCDA__CACHE_MISS},
        {INT64_MIN, 60, 2000, BCDA__CACHE_MISS},
        {1000, INT64_MIN, 2000, BCDA__CACHE_MISS},
        {1000, 60, INT64_MAX, BCDA__CACHE_MISS}, /* has 19 digits, and counts as empty */
    };

    ck_assert_int_eq(century, INT64_C(3162240000000));
    ck_assert_int_eq(look_now(cache), BCDA__CACHE_MISS);
    ck_assert_int_eq(bcda__token_cache_store(cache, "t", 1, rows[_i].expires, &err), 0);
    ck_assert_int_eq(
        bcda__token_cache_look(other, rows[_i].wall, rows[_i].margin, &token, &expires, &err),
        rows[_i].result);
}
END_TEST

/* Without a lifetime, or without the lock, nothing is stored. */
START_TEST(not_stored)
{
    static const int64_t unknown[] = {0, -1, INT64_MIN};
    char content[1000];
    int i;

    fetch(cache, TOKEN);
    for (i = 0; i < 3; i++) {
        ck_assert_int_eq(look_at(cache, end), BCDA__CACHE_MISS);
        ck_assert_int_eq(bcda__token_cache_store(cache, "t", 1, unknown[i], &err), 0);
        ck_assert_int_eq(is_free(path), 1);
    }
    ck_assert_int_eq(store(cache, OTHER_TOKEN), 0);
    check_hit(other, TOKEN);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(store(cache, OTHER_TOKEN), 0);
    ck_assert_int_eq(get_file(path, content, sizeof content), -1);
}
END_TEST

START_TEST(other_identity)
{
    static const struct {
        const char *origin, *id, *scope;
    } rows[] = {
        {"https://y.test", ID, NULL}, {"", ID, NULL},
        {ORIGIN, "client", NULL},     {ORIGIN, ID, ""},
        {ORIGIN, ID, "null"},         {ORIGIN, ID, "system/*.read"},
        {ORIGIN "/", ID, NULL},
    };

    bcda__token_cache_free(other);
    other = cache_new(rows[_i].origin, rows[_i].id, rows[_i].scope);
    fetch(cache, TOKEN);
    check_miss(other);
    check_hit(cache, TOKEN); /* a look changes nothing */
    fetch(other, OTHER_TOKEN);
    check_hit(other, OTHER_TOKEN);
    check_miss(cache);
}
END_TEST

/* ---- a token that was refused ---- */

START_TEST(refused_is_wiped)
{
    ssize_t i;

    fetch(cache, TOKEN);
    refuse_token(cache, TOKEN);
    ck_assert_int_eq(size_of(path), 0);
    ck_assert_int_gt(calls_of.cut_len, 0);
    for (i = 0; i < calls_of.cut_len; i++)
        ck_assert_int_eq(calls_of.cut[i], 0);
    ck_assert_int_eq(descriptors_of(path), 0);
    check_miss(other);
    fetch(other, OTHER_TOKEN);
    check_hit(cache, OTHER_TOKEN);
}
END_TEST

/* Only this token of this identity is wiped. */
START_TEST(refused_is_another)
{
    static const char *const texts[] = {
        OTHER_TOKEN, MARK ".eyJ", TOKEN "x", "", MARK ".eyJ\"a\\b.c-_x", TOKEN};
    struct bcda__token_cache *stranger = cache_new("https://y.test", ID, NULL);

    fetch(other, TOKEN);
    refuse_token(_i == 5 ? stranger : cache, texts[_i]);
    check_hit(other, TOKEN);
    check_hit(cache, TOKEN);
    bcda__token_cache_free(stranger);
}
END_TEST

START_TEST(refused_without_file)
{
    refuse_token(cache, TOKEN);
    ck_assert_int_eq(access(path, F_OK), -1);
    fetch(other, TOKEN);
    check_miss(cache);
}
END_TEST

/* Another process is fetching. It may fail to, and then the file still has the refused token. */
START_TEST(refused_while_busy)
{
    fetch(cache, TOKEN);
    ck_assert_int_eq(look_at(other, end), BCDA__CACHE_MISS);
    refuse_token(cache, TOKEN);
    ck_assert_int_gt(size_of(path), 0);
    ck_assert_int_eq(is_free(path), 0);
    ck_assert_int_eq(look_now(cache), BCDA__CACHE_BUSY);
    if (_i == 0) {
        bcda__token_cache_release(other);
        check_hit(other, TOKEN);
        fetch(cache, OTHER_TOKEN);
        check_hit(other, OTHER_TOKEN);
    } else {
        ck_assert_int_eq(store(other, OTHER_TOKEN), 0);
        check_hit(cache, OTHER_TOKEN);
    }
    /* the server issues the refused token again: it is used again */
    refuse_token(cache, OTHER_TOKEN);
    fetch(cache, OTHER_TOKEN);
    check_hit(cache, OTHER_TOKEN);
}
END_TEST

/* The process that fetches has refused the token itself: it keeps the lock. */
START_TEST(refused_while_fetching)
{
    fetch(cache, TOKEN);
    ck_assert_int_eq(look_at(cache, end), BCDA__CACHE_MISS);
    refuse_token(cache, OTHER_TOKEN);
    ck_assert_int_gt(size_of(path), 0);
    refuse_token(cache, TOKEN);
    ck_assert_int_eq(size_of(path), 0);
    ck_assert_int_eq(is_free(path), 0);
    ck_assert_int_eq(store(cache, OTHER_TOKEN), 0);
    check_hit(other, OTHER_TOKEN);
}
END_TEST

/* ---- damaged files ---- */

#define BEGIN "{\"version\":1,\"origin\":"

/* Checks that a file with other content is refused, and kept. */
static void check_foreign(const char *content, size_t len)
{
    static char kept[2000];

    put_file(path, content, len);
    ck_assert_msg(look_now(other) == BCDA_ERR_IO, "%.*s", (int)len, content);
    ck_assert_int_eq(is_free(path), 1);
    ck_assert_int_eq(get_file(path, kept, sizeof kept), (ssize_t)len);
    ck_assert_int_eq(memcmp(kept, content, len), 0);
}

START_TEST(every_byte)
{
    char content[1000], changed[1000];
    ssize_t len, i;
    int bit;

    fetch(cache, TOKEN);
    len = get_file(path, content, sizeof content);
    for (i = 0; i < len; i++) {
        put_file(path, content, (size_t)i);
        check_miss(other);
        for (bit = 0; bit < 8; bit++) {
            memcpy(changed, content, (size_t)len);
            changed[i] = (char)(changed[i] ^ 1 << bit);
            if (i < (ssize_t)strlen(BEGIN)) {
                check_foreign(changed, (size_t)len);
                continue;
            }
            put_file(path, changed, (size_t)len);
            check_miss(other);
        }
    }
    fetch(other, OTHER_TOKEN); /* what is damaged is overwritten */
    check_hit(cache, OTHER_TOKEN);
    put_file(path, content, (size_t)len);
    check_hit(other, TOKEN);
}
END_TEST

#define HEAD HEAD_OF("1")
#define HEAD_OF(version)                                                    \
    "{\"version\":" version ",\"origin\":\"https://x.test\",\"client_id\":" \
    "\"client \\\"1\\\"\""

/* The scopes that were not granted come with the token. */
START_TEST(missing_scopes)
{
    bcda__token_cache_set_missing(cache, "system/\"a\" b");
    fetch(cache, "one");
    check_hit(other, "one");
    ck_assert_str_eq(bcda__token_cache_missing(other), "system/\"a\" b");
    put_document(HEAD ",\"scope\":null,\"expires\":1700001200000,\"token\":\"t\"");
    check_hit(other, "t");
    ck_assert_str_eq(bcda__token_cache_missing(other), "");
}
END_TEST

START_TEST(documents)
{
    static const char *const good[] = {
        HEAD ",\"scope\":null,\"expires\":1700001200000,\"token\":\"t\"",
        HEAD " , \"more\":{\"token\":\"x\"},\"token\":\"\\u0074\",\"expires\":1700001200000,"
             "\"scope\":null",
    };
    static const char *const bad[] = {
        HEAD ",\"scope\":null,\"expires\":1700001200000",
        HEAD ",\"scope\":null,\"token\":\"t\"",
        HEAD ",\"expires\":1700001200000,\"token\":\"t\"",
        HEAD ",\"scope\":null,\"expires\":\"1700001200000\",\"token\":\"t\"",
        HEAD ",\"scope\":null,\"expires\":1700001200000.0,\"token\":\"t\"",
        HEAD ",\"scope\":null,\"expires\":-1700001200000,\"token\":\"t\"",
        HEAD ",\"scope\":null,\"expires\":1700001200000,\"token\":\"\"",
        HEAD ",\"scope\":null,\"expires\":1700001200000,\"token\":null",
        HEAD ",\"scope\":null,\"expires\":1700001200000,\"token\":\"a\\r\\nb\"",
        HEAD ",\"scope\":null,\"expires\":1700001200000,\"token\":\"a b\"",
        HEAD ",\"scope\":null,\"expires\":1700001200000,\"token\":\"a\\u0000\"",
        HEAD ",\"scope\":null,\"expires\":1700001200000,\"token\":[\"t\"]",
        HEAD ",\"scope\":null,\"missing\":7,\"expires\":1700001200000,\"token\":\"t\"",
        HEAD ",\"scope\":{},\"expires\":1700001200000,\"token\":\"t\"",
        HEAD ",\"scope\":null,\"expires\":1700001200000,\"token\":\"t\",\"version\":2",
    };
    static const char *const foreign[] = {
        "[{\"version\":1,\"origin\":\"https://x.test\"",
        "-----BEGIN PRIVATE KEY-----",
        HEAD_OF("2") ",\"scope\":null,\"expires\":1700001200000,\"token\":\"t\"}",
    };
    size_t i;

    for (i = 0; i < COUNT(good); i++) {
        put_document(good[i]);
        check_hit(other, "t");
    }
    for (i = 0; i < COUNT(bad); i++) {
        put_document(bad[i]);
        ck_assert_msg(look_now(other) == BCDA__CACHE_MISS, "%s", bad[i]);
        bcda__token_cache_release(other);
    }
    for (i = 0; i < COUNT(foreign); i++)
        check_foreign(foreign[i], strlen(foreign[i]));
}
END_TEST

START_TEST(binary)
{
    static char content[200000];
    static const size_t sizes[] = {1, 75, 76, 77, 4096, DOCUMENT_MAX, DOCUMENT_MAX + 1, 200000};
    size_t i;

    for (i = 0; _i && i < sizeof content; i++)
        content[i] = i < strlen(BEGIN) ? BEGIN[i] : (char)roll(256);
    for (i = 0; i < COUNT(sizes); i++) {
        put_file(path, content, sizes[i]);
        fetch(cache, TOKEN);
        check_hit(other, TOKEN);
        refuse_token(other, TOKEN);
        refuse_token(other, "");
    }
}
END_TEST

/* Documents of 64 KiB, and of one byte more, which a later version might write. */
START_TEST(largest)
{
    static char long_token[DOCUMENT_MAX], text[2 * DOCUMENT_MAX];
    size_t len;

    memset(long_token, 'x', sizeof long_token - 1);
    fetch(cache, "t");
    len = DOCUMENT_MAX - (size_t)size_of(path) + 1; /* of the longest token */
    ck_assert_int_eq(look_at(cache, end), BCDA__CACHE_MISS);
    ck_assert_int_eq(bcda__token_cache_store(cache, long_token, len + 1, end, &err), BCDA_ERR_IO);
    ck_assert_str_eq(err.text, "the token cache cannot hold such a large token");
    check_hit(other, "t"); /* the file is as it was, and not locked */

    ck_assert_int_eq(look_at(cache, end), BCDA__CACHE_MISS);
    ck_assert_int_eq(bcda__token_cache_store(cache, long_token, len, end, &err), 0);
    ck_assert_int_eq(size_of(path), DOCUMENT_MAX);
    ck_assert_int_eq(look_now(other), BCDA__CACHE_HIT);
    ck_assert_uint_eq(token.len, len);

    snprintf(text, sizeof text, HEAD ",\"scope\":null,\"expires\":1700001200000,\"token\":\"%.*s\"",
             (int)len + 1, long_token);
    put_document(text);
    ck_assert_int_eq(size_of(path), DOCUMENT_MAX + 1);
    check_miss(other);
}
END_TEST

/* ---- files ---- */

/* Each function reports why the file cannot be used, without a lock. */
START_TEST(unusable)
{
    static const char *const causes[] = {"run chmod 600", "it is a symbolic link",
                                         "it is not a regular file", "Is a directory"};

    if (_i == 0) {
        fetch(other, TOKEN);
        ck_assert_int_eq(chmod(path, 0640), 0);
    } else if (_i == 1)
        ck_assert_int_eq(symlink(other_path, path), 0);
    else if (_i == 2)
        ck_assert_int_eq(mkfifo(path, 0600), 0);
    else
        ck_assert_int_eq(mkdir(path, 0700), 0);
    ck_assert_int_eq(bcda__token_cache_check(cache, &err), BCDA_ERR_IO);
    ck_assert_msg(strstr(err.text, causes[_i]) != NULL, "%s", err.text);
    bcda__err_clear(&err);
    ck_assert_int_eq(look_now(cache), BCDA_ERR_IO);
    ck_assert_msg(strstr(err.text, causes[_i]) != NULL, "%s", err.text);
    ck_assert_int_eq(strncmp(err.text, "the token cache /", 17), 0);
    refuse_token(cache, TOKEN);
    ck_assert_int_eq(store(cache, OTHER_TOKEN), 0);
    ck_assert_int_eq(access(other_path, F_OK), -1);
    ck_assert(_i != 0 || size_of(path) > 0);
}
END_TEST

START_TEST(checked)
{
    ck_assert_int_eq(access(path, F_OK), -1); /* creating an object opens nothing */
    ck_assert_int_eq(bcda__token_cache_check(cache, &err), 0);
    ck_assert_int_eq(is_free(path), 1);
    ck_assert_int_eq(descriptors_of(path), 0);
    ck_assert_int_eq(look_now(other), BCDA__CACHE_MISS);
    ck_assert_int_eq(bcda__token_cache_check(cache, &err), 0); /* busy is no error */
    ck_assert_int_eq(bcda__token_cache_check(other, &err), 0);
    ck_assert_int_eq(is_free(path), 0);
    ck_assert_int_eq(store(other, TOKEN), 0);
    ck_assert_int_eq(bcda__token_cache_check(cache, &err), 0);
    check_hit(cache, TOKEN);
}
END_TEST

/* While this process fetches, the file is deleted, or replaced by the file of another process that
 * fetches too, has stored its token, or made the file readable for others. */
START_TEST(replaced_while_locked)
{
    ck_assert_int_eq(look_now(cache), BCDA__CACHE_MISS);
    ck_assert_int_eq(unlink(path), 0);
    if (_i == 1)
        ck_assert_int_eq(look_now(other), BCDA__CACHE_MISS);
    else if (_i == 2)
        fetch(other, OTHER_TOKEN);
    else if (_i == 3) {
        put_file(path, "", 0);
        ck_assert_int_eq(chmod(path, 0644), 0);
    }
    ck_assert_int_eq(store(cache, TOKEN), _i == 3 ? BCDA_ERR_IO : 0);
    if (_i == 1) {
        ck_assert_int_eq(is_free(path), 0); /* the lock of the other process */
        ck_assert_int_eq(store(other, OTHER_TOKEN), 0);
        check_hit(cache, OTHER_TOKEN);
    } else if (_i == 3)
        ck_assert_int_eq(size_of(path), 0);
    else
        check_hit(other, TOKEN);
}
END_TEST

/* The disk is full after a half of the document: nothing of the token stays there. */
START_TEST(disk_full)
{
    fetch(cache, TOKEN);
    ck_assert_int_eq(look_at(cache, end), BCDA__CACHE_MISS);
    calls_of.write_errno = ENOSPC;
    ck_assert_int_eq(store(cache, OTHER_TOKEN), BCDA_ERR_IO);
    ck_assert_msg(strstr(err.text, "cannot be written: No space left on device") != NULL, "%s",
                  err.text);
    ck_assert_ptr_null(strstr(err.text, MARK));
    ck_assert_int_eq(size_of(path), 0);
    ck_assert_ptr_null(memmem(calls_of.cut, (size_t)calls_of.cut_len, "version", 7));
    calls_of.write_errno = 0;
    fetch(other, TOKEN);
    check_hit(cache, TOKEN);
}
END_TEST

START_TEST(small_steps)
{
    calls_of.small_steps = 1;
    fetch(cache, TOKEN);
    check_hit(other, TOKEN);
    refuse_token(other, TOKEN);
    ck_assert_int_eq(size_of(path), 0);
}
END_TEST

/* ---- memory ---- */

enum { BLOCKS_OF_OBJECT = 5 }; /* what bcda__token_cache_new(), which fills no error, allocates */

static struct bcda__token_cache *tortured;

/* Uses all functions. A token that was refused must not be found, even if there was no memory to
 * remember it. */
static int use_all(void)
{
    int rc = bcda__token_cache_new(&tortured, path, ORIGIN, ID, "scope");

    if (rc)
        return rc;
    rc = bcda__token_cache_check(tortured, &err);
    rc = rc < 0 ? rc : look_now(tortured);
    ck_assert_int_ne(rc, BCDA__CACHE_HIT);
    rc = rc < 0 ? rc : store(tortured, TOKEN);
    rc = rc < 0 ? rc : look_now(tortured);
    if (rc == BCDA__CACHE_HIT) {
        refuse_token(tortured, TOKEN);
        rc = look_now(tortured);
        ck_assert_int_ne(rc, BCDA__CACHE_HIT);
        rc = rc < 0 ? rc : store(tortured, OTHER_TOKEN);
        rc = rc < 0 ? rc : look_now(tortured);
        if (rc == BCDA__CACHE_HIT)
            ck_assert_str_eq(token.data, OTHER_TOKEN);
    }
    ck_assert_int_eq(is_free(path), rc != BCDA__CACHE_MISS);
    bcda__token_cache_free(tortured);
    bcda__secret_free(&token);
    return rc;
}

START_TEST(allocations)
{
    long total, at;
    int all, rc;

    refuse_from(0, 0);
    ck_assert_int_eq(use_all(), BCDA__CACHE_HIT);
    total = calls;
    ck_assert_int_gt(total, 20);
    for (all = 0; all < 2; all++)
        for (at = 1; at <= total; at++) {
            (void)unlink(path);
            bcda__err_clear(&err);
            refuse_from(at, all);
            rc = use_all();
            ck_assert_msg(live == 0, "%ld blocks are left, %s", (long)live, refusal());
            ck_assert_int_ge(refused, 1);
            ck_assert_msg(rc == BCDA_ERR_NOMEM || rc == BCDA__CACHE_HIT, "%d, %s", rc, refusal());
            ck_assert_int_eq(err.code, rc == BCDA_ERR_NOMEM && at > BLOCKS_OF_OBJECT ? rc : 0);
            ck_assert_ptr_null(strstr(err.text, MARK));
        }
    refuse_from(0, 0);
    bcda__token_cache_free(NULL);
}
END_TEST

/* The token that was refused stays in the file, because another process has the lock, and there is
 * no memory to remember it: no token is trusted until one is stored. */
START_TEST(refused_without_memory)
{
    fetch(other, TOKEN);
    ck_assert_int_eq(look_at(other, end), BCDA__CACHE_MISS);
    refuse_from(1, 1);
    refuse_token(cache, TOKEN);
    refuse_from(0, 0);
    bcda__token_cache_release(other);
    check_hit(other, TOKEN);
    fetch(cache, OTHER_TOKEN);
    check_hit(cache, OTHER_TOKEN);
}
END_TEST

/* ---- processes ---- */

enum { PROCESSES = 6 };

struct shared {
    atomic_int fetching, misses, busy, hits;
};

/* The process that may fetch waits until all others have seen that it does. */
static void compete(struct shared *all)
{
    struct bcda__token_cache *c = cache_new(ORIGIN, ID, NULL);
    int result, was_busy = 0;

    while ((result = look_now(c)) == BCDA__CACHE_BUSY) {
        all->busy += !was_busy;
        was_busy = 1;
        sched_yield();
    }
    if (result == BCDA__CACHE_HIT) {
        all->hits++;
        _exit(!was_busy || strcmp(token.data, TOKEN) != 0);
    }
    all->misses++;
    if (result != BCDA__CACHE_MISS || all->fetching++)
        _exit(1);
    while (all->busy - was_busy < PROCESSES - 1)
        sched_yield();
    all->fetching--;
    _exit(store(c, TOKEN) != 0);
}

START_TEST(one_fetches)
{
    struct shared *all = shared_memory(sizeof *all);
    pid_t pids[PROCESSES];
    int i;

    for (i = 0; i < PROCESSES; i++) {
        pids[i] = fork();
        if (pids[i] == 0)
            compete(all);
    }
    for (i = 0; i < PROCESSES; i++)
        finish_child(pids[i]);
    ck_assert_int_eq(all->misses, 1);
    ck_assert_int_eq(all->hits, PROCESSES - 1);
    check_hit(cache, TOKEN);
    munmap(all, sizeof *all);
}
END_TEST

/* Processes whose tokens are always too old: one after the other fetches. */
START_TEST(all_fetch)
{
    struct shared *all = shared_memory(sizeof *all);
    pid_t pids[PROCESSES];
    int i, result;

    for (i = 0; i < PROCESSES; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            while ((result = look_at(cache, end)) == BCDA__CACHE_BUSY)
                sched_yield();
            if (result != BCDA__CACHE_MISS || all->fetching++)
                _exit(1);
            all->misses++;
            sched_yield();
            all->fetching--;
            _exit(store(cache, TOKEN) != 0);
        }
    }
    for (i = 0; i < PROCESSES; i++)
        finish_child(pids[i]);
    ck_assert_int_eq(all->misses, PROCESSES);
    munmap(all, sizeof *all);
}
END_TEST

/* The system releases the lock of a process that is killed while it fetches. */
START_TEST(killed)
{
    int ready[2];
    char c;
    pid_t pid;

    ck_assert_int_eq(pipe(ready), 0);
    pid = fork();
    if (pid == 0) {
        if (look_now(cache) == BCDA__CACHE_MISS && write(ready[1], "x", 1) == 1)
            for (;;)
                pause();
        _exit(1);
    }
    ck_assert_int_eq(read(ready[0], &c, 1), 1);
    ck_assert_int_eq(look_now(other), BCDA__CACHE_BUSY);
    ck_assert_int_eq(kill(pid, SIGKILL), 0);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
    fetch(other, TOKEN);
    check_hit(cache, TOKEN);
}
END_TEST

/* A child of the process that fetches: the lock stays with the parent. The child asks as any other
 * process does. */
START_TEST(forked)
{
    pid_t pid;

    ck_assert_int_eq(look_now(cache), BCDA__CACHE_MISS);
    pid = fork();
    if (pid == 0) {
        bcda__token_cache_set_forked(cache);
        if (descriptors_of(path) != 0 || look_now(cache) != BCDA__CACHE_BUSY ||
            store(cache, OTHER_TOKEN) != 0)
            _exit(1);
        bcda__token_cache_release(cache);
        bcda__token_cache_free(cache);
        _exit(0);
    }
    finish_child(pid);
    ck_assert_int_eq(look_now(other), BCDA__CACHE_BUSY);
    ck_assert_int_eq(store(cache, TOKEN), 0);
    check_hit(other, TOKEN);
}
END_TEST

/* A child that knows nothing of the cache lives on: the parent nevertheless releases the lock. */
START_TEST(child_lives_on)
{
    int go[2];
    pid_t pid;

    ck_assert_int_eq(pipe(go), 0);
    ck_assert_int_eq(look_now(cache), BCDA__CACHE_MISS);
    pid = fork();
    if (pid == 0) {
        char c;

        close(go[1]);
        _exit(read(go[0], &c, 1) != 0);
    }
    close(go[0]);
    if (_i)
        ck_assert_int_eq(store(cache, TOKEN), 0);
    else
        bcda__token_cache_release(cache);
    ck_assert_int_eq(look_now(other), _i ? BCDA__CACHE_HIT : BCDA__CACHE_MISS);
    close(go[1]);
    finish_child(pid);
}
END_TEST

SUITE("token_cache")
{
    suite_case("token");
    suite_checked(open_test, close_test);
    suite_test(stored_and_found, readers, not_stored, missing_scopes);
    suite_loop(released, 0, 2);
    suite_loop(stored_in_between, 0, 2);
    suite_loop(validity, 0, 14);
    suite_loop(other_identity, 0, 7);

    suite_case("refused");
    suite_checked(open_test, close_test);
    suite_test(refused_is_wiped, refused_without_file, refused_while_fetching);
    suite_loop(refused_is_another, 0, 6);
    suite_loop(refused_while_busy, 0, 2);

    suite_case("damaged");
    suite_checked(open_test, close_test);
    suite_test(every_byte, documents, largest);
    suite_loop(binary, 0, 2);

    suite_case("files");
    suite_checked(open_test, close_test);
    suite_loop(unusable, 0, 4);
    suite_test(checked, disk_full, small_steps);
    suite_loop(replaced_while_locked, 0, 4);

    suite_case("memory");
    suite_checked(open_test, close_test);
    suite_test(allocations, refused_without_memory);

    suite_case("processes");
    suite_checked(open_test, close_test);
    suite_test(one_fetches, all_fetch, killed, forked);
    suite_loop(child_lives_on, 0, 2);
}
