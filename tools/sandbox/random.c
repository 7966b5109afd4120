/* Random transient faults. The fault of the n-th answer depends only on the seed, on n and on the
 * kind of request (stage), so a run with the same order of requests is reproducible. */
#include "internal.h"

#include <string.h>

#define SLOTS ((unsigned)sizeof((struct randomness *)0)->row)

uint64_t random_mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

void random_set(struct sandbox *sb, uint64_t seed, unsigned every)
{
    pthread_mutex_lock(&sb->lock);
    memset(&sb->random, 0, sizeof sb->random);
    sb->random.seed = seed;
    sb->random.every = every;
    pthread_mutex_unlock(&sb->lock);
}

static unsigned slot_of(const char *path)
{
    uint64_t h = 0;

    while (*path)
        h = random_mix(h ^ (unsigned char)*path++);
    return (unsigned)(h % SLOTS);
}

static enum random_fault draw(uint64_t bits, const char *stage)
{
    static const enum random_fault token[] = {R_RESET, R_429, R_500, R_503};
    static const enum random_fault job[] = {R_RESET, R_401, R_429, R_500, R_503};
    static const enum random_fault data[] = {R_RESET,      R_401,        R_404,   R_429, R_500,
                                             R_503,        R_CUT,        R_CUT,   R_CUT, R_CUT,
                                             R_BODY_RESET, R_BODY_RESET, R_NO_END};

    if (strcmp(stage, "token") == 0 || strcmp(stage, "discovery") == 0)
        return token[bits % (sizeof token / sizeof *token)];
    if (strcmp(stage, "data") == 0)
        return data[bits % (sizeof data / sizeof *data)];
    return job[bits % (sizeof job / sizeof *job)];
}

/* Chooses the fault of one answer. A client must be able to get past transient faults: after two
 * faults in a row, the next answer for the same address has none, and the due fault goes to a later
 * answer. A 401 never follows another fault, because by the protocol a second 401 is final. */
static enum random_fault choose(struct randomness *r, const char *path, const char *stage,
                                uint32_t *place)
{
    unsigned char *row = &r->row[slot_of(path)];
    uint64_t bits = random_mix(r->seed ^ random_mix(++r->count));
    enum random_fault fault = draw(bits, stage);

    r->owed += r->count % r->every == 0;
    *place = (uint32_t)(bits >> 32);
    if (!r->owed || *row == 2) {
        *row = 0;
        return R_NONE;
    }
    if (fault == R_401 && *row)
        fault = R_503;
    r->owed--;
    ++*row;
    return fault;
}

enum random_fault random_next(struct request *rq, const char *stage, uint32_t *place)
{
    struct sandbox *sb = rq->sb;
    enum random_fault fault = R_NONE;

    pthread_mutex_lock(&sb->lock);
    if (sb->random.every && strcmp(stage, "other") != 0)
        fault = choose(&sb->random, rq->path, stage, place);
    pthread_mutex_unlock(&sb->lock);
    if (fault != R_NONE)
        sb->counts[C_RANDOM]++;
    return fault;
}
