/* Sampling of long loops over similar cases, such as cutting a file at each of its bytes. By
 * default, a test runs only some of the cases: the first, the last, and others that are chosen by a
 * seed. Environment variables:
 *
 * BCDA_TEST_SEED=N: the seed for the choice and for random cases. If it is not set, the program
 * chooses a seed and prints it as a TAP comment.
 *
 * BCDA_TEST_ROUNDS=N: the number of random cases to run.
 *
 * BCDA_TEST_EXHAUSTIVE=1: run every case, and the larger number of random cases. The seed is then 1
 * unless BCDA_TEST_SEED is set. `sh tests/run --rest` sets this variable.
 *
 * tests/client/sample.py does the same for the tests in Python. */
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

/* Returns the number of random cases to run: BCDA_TEST_ROUNDS if that is set, else `exhaustive` or
 * `sampled`, depending on BCDA_TEST_EXHAUSTIVE. */
static inline uint64_t sample_rounds(uint64_t sampled, uint64_t exhaustive)
{
    const char *value = getenv("BCDA_TEST_ROUNDS");

    if (value)
        return strtoull(value, NULL, 10);
    return sample_is_exhaustive() ? exhaustive : sampled;
}

/* Runs before main(), and so before the tests fork: all tests of a program share one seed. */
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

/* Returns 1 if the case `index` of `count` is to be run. About `wanted` of the cases are. */
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
