/* What several test programs need. */
#ifndef BCDA_TESTS_HELPER_H
#define BCDA_TESTS_HELPER_H

#include <stdint.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static uint32_t seed = 1;

/* A number below `below`; the sequence follows from the seed. */
static inline uint32_t roll(uint32_t below)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % below;
}

#endif
