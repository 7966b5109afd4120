/* Samples of a sweep: a long loop over equal cases, such as each byte to cut a file at. A default
 * run takes some of them, chosen by a seed, and always the first and the last. The environment:
 *
 * BCDA_TEST_SEED=N: the seed of the samples and of random cases. Without it a program chooses one,
 * and prints it as a TAP comment.
 *
 * BCDA_TEST_ROUNDS=N: how many random cases to run.
 *
 * BCDA_TEST_EXHAUSTIVE=1: every case, and the larger number of random ones; the seed is 1 unless
 * BCDA_TEST_SEED is set. sh tests/run --rest sets it.
 *
 * tests/client/sample.py is the same for the tests in Python. */
#ifndef BCDA_TESTS_SAMPLE_H
#define BCDA_TESTS_SAMPLE_H

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static inline int sample_is_exhaustive(void)
{
    const char *value = getenv("BCDA_TEST_EXHAUSTIVE");

    return value && strcmp(value, "1") == 0;
}

static inline uint64_t sample_seed(void)
{
    const char *value = getenv("BCDA_TEST_SEED");

    return value ? strtoull(value, NULL, 10) : 1;
}

/* How many random cases to run. */
static inline uint64_t sample_rounds(uint64_t sampled, uint64_t exhaustive)
{
    const char *value = getenv("BCDA_TEST_ROUNDS");

    if (value)
        return strtoull(value, NULL, 10);
    return sample_is_exhaustive() ? exhaustive : sampled;
}

/* Before main(), and so before the tests fork: all of them have the same seed. */
__attribute__((constructor)) static void sample_choose_seed(void)
{
    struct timespec t;
    char text[32];

    if (sample_is_exhaustive() || getenv("BCDA_TEST_SEED"))
        return;
    clock_gettime(CLOCK_REALTIME, &t);
    snprintf(text, sizeof text, "%" PRIu32, (uint32_t)(t.tv_nsec ^ t.tv_sec ^ (getpid() << 12)));
    setenv("BCDA_TEST_SEED", text, 1);
    dprintf(STDOUT_FILENO, "# BCDA_TEST_SEED=%s\n", text);
}

/* Is case `index` of `count` one of about `wanted` to run? */
static inline int sample_takes(uint64_t index, uint64_t count, uint64_t wanted)
{
    uint64_t x;

    if (sample_is_exhaustive() || count <= wanted || index == 0 || index + 1 >= count)
        return 1;
    x = (sample_seed() + 1) * 0x9e3779b97f4a7c15u ^ (index + 1) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 31) * 0x94d049bb133111ebu;
    return (x ^ x >> 29) % count < wanted;
}

#endif
