/* The ring buffer that holds bytes between the network and their consumer. */
#include "net/ring.h"
#include "suite.h"

#include <string.h>

static struct bcda__ring_pool pool;

static void put(struct bcda__ring *r, const char *text)
{
    ck_assert_int_eq(bcda__ring_put(r, &pool, text, strlen(text)), 0);
}

static void check_data(const struct bcda__ring *r, const char *text)
{
    ck_assert_uint_eq(r->len, strlen(text));
    ck_assert_int_eq(memcmp(bcda__ring_data(r), text, strlen(text)), 0);
}

START_TEST(one_run)
{
    struct bcda__ring r = {.cap = 8};

    put(&r, "abcd");
    put(&r, "ef");
    ck_assert_uint_eq(bcda__ring_room(&r), 2);
    check_data(&r, "abcdef");
    bcda__ring_take(&r, &pool, 3);
    put(&r, "ghijk"); /* fits only if the remaining bytes move to the front */
    check_data(&r, "defghijk");
    ck_assert_uint_eq(bcda__ring_room(&r), 0);
    bcda__ring_drop(&r, &pool);
    ck_assert_uint_eq(bcda__ring_room(&r), 8);
    bcda__ring_pool_trim(&pool);
}
END_TEST

/* A ring that becomes empty returns its memory to the pool. The next ring that needs memory gets
 * that same piece. */
START_TEST(memory_is_pooled)
{
    struct bcda__ring a = {.cap = 64}, b = {.cap = 64};
    const uint8_t *was;

    ck_assert_ptr_null(bcda__ring_data(&a));
    put(&a, "of a");
    was = bcda__ring_data(&a);
    bcda__ring_take(&a, &pool, 4);
    ck_assert_ptr_null(bcda__ring_data(&a));
    put(&b, "of b");
    ck_assert_ptr_eq(bcda__ring_data(&b), was);
    put(&a, "again");
    ck_assert_ptr_ne(bcda__ring_data(&a), was);
    check_data(&b, "of b");
    bcda__ring_drop(&a, &pool);
    bcda__ring_drop(&b, &pool);
    ck_assert_ptr_nonnull(pool.spare.bytes); /* the pool keeps one piece of memory */
    bcda__ring_pool_trim(&pool);
    ck_assert_ptr_null(pool.spare.bytes); /* trimming the pool frees that piece */
}
END_TEST

/* A ring never gets a piece of memory that is smaller than the ring. */
START_TEST(sizes)
{
    struct bcda__ring small = {.cap = 16}, large = {.cap = 1024};
    char text[1024];

    put(&small, "x");
    bcda__ring_drop(&small, &pool);
    ck_assert_uint_eq(pool.spare.cap, 16);
    memset(text, 'y', sizeof text);
    ck_assert_int_eq(bcda__ring_put(&large, &pool, text, sizeof text), 0);
    ck_assert_uint_eq(bcda__ring_room(&large), 0);
    bcda__ring_drop(&large, &pool);
    ck_assert_uint_eq(pool.spare.cap, 1024);
    put(&small, "z"); /* `small` now has the large piece, but keeps its own limit */
    ck_assert_uint_eq(bcda__ring_room(&small), 15);
    ck_assert_uint_eq(small.piece.cap, 1024);
    ck_assert_uint_eq(small.piece.high, 1024); /* wiping this piece includes the bytes of `large` */
    bcda__ring_drop(&small, &pool);
    bcda__ring_pool_trim(&pool);
}
END_TEST

SUITE("ring")
{
    suite_case("ring");
    suite_test(one_run, memory_is_pooled, sizes);
}
