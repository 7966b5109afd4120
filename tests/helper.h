/* Helpers that several test programs use. */
#ifndef BCDA_TESTS_HELPER_H
#define BCDA_TESTS_HELPER_H

#include <stdint.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static uint32_t seed = 1;

/* Returns the next pseudo-random number, which is below `below`. The seed fixes the sequence. */
static inline uint32_t roll(uint32_t below)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % below;
}

#endif
