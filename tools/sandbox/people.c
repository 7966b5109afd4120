/* People and resources that change from day to day (--day). What exists on a day, and since when,
 * depends only on the seed, the number of people and the day. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#define DAY_MS     86400000
#define DAY_ZERO   1629158400000 /* 2021-08-17T00:00:00Z */
#define NEVER      UINT32_MAX
#define MAX_PEOPLE 99999 /* the ids of claims have five digits for the person */
#define MAX_DAY    1500  /* `_since` must be in the past */

struct life {
    uint32_t born, gone; /* days */
};

struct people {
    uint64_t seed;
    unsigned day, count;
    struct life life[];
};

int64_t people_change_time(unsigned day)
{
    return DAY_ZERO + (int64_t)day * DAY_MS + 9 * 3600000; /* 05:00 in the morning in Baltimore */
}

int64_t people_export_time(unsigned day)
{
    return DAY_ZERO + (int64_t)day * DAY_MS + 20 * 3600000;
}

/* Each day brings a twentieth of the first people, at least two, and takes a twenty-fifth. */
static unsigned births(unsigned first)
{
    return first >= 40 ? first / 20 : 2;
}

static unsigned deaths(unsigned first)
{
    return first >= 25 ? first / 25 : 1;
}

bool people_day_valid(const struct sandbox_options *options, unsigned day)
{
    return day <= MAX_DAY && options->patients <= MAX_PEOPLE &&
           (uint64_t)day * births(options->patients) <= MAX_PEOPLE - options->patients;
}

/* Chooses the people that are gone from this day on, of the first `count`, who are those that were
 * there before. At least one person remains. */
static void take_away(struct people *p, unsigned day, unsigned count, unsigned n)
{
    unsigned present = 0;

    for (unsigned i = 0; i < count; i++)
        present += p->life[i].gone == NEVER;
    for (unsigned k = 0; k < n && present > 1; k++, present--) {
        unsigned i = (unsigned)(random_mix(p->seed ^ random_mix(day * 65536u + k)) % count);

        while (p->life[i].gone != NEVER)
            i = (i + 1) % count;
        p->life[i].gone = day;
    }
}

struct people *people_new(const struct sandbox_options *options, unsigned day)
{
    unsigned first = options->patients, more = births(first), count = first + day * more;
    struct people *p = xcalloc(1, sizeof *p + count * sizeof *p->life);

    p->seed = options->seed;
    p->day = day;
    p->count = count;
    for (unsigned i = 0; i < count; i++)
        p->life[i] = (struct life){i < first ? 0 : (i - first) / more + 1, NEVER};
    for (unsigned d = 1; d <= day; d++)
        take_away(p, d, first + (d - 1) * more, deaths(first));
    return p;
}

unsigned people_count(const struct people *p)
{
    return p->count;
}

bool people_present(const struct people *p, unsigned person)
{
    return p->life[person].gone == NEVER;
}

bool people_gone_after(const struct people *p, unsigned person, int64_t since)
{
    return !people_present(p, person) && people_change_time(p->life[person].gone) > since;
}

static uint64_t hash_type(const char *type)
{
    uint64_t h = 0;

    while (*type)
        h = random_mix(h ^ (unsigned char)*type++);
    return h;
}

unsigned people_changed(const struct people *p, const char *type, unsigned person, unsigned number)
{
    uint64_t which = random_mix(hash_type(type) ^ ((uint64_t)person << 24 | number));
    unsigned day = p->day;

    /* One in eight resources changes on a day. */
    while (day > p->life[person].born && random_mix(p->seed ^ random_mix(which + day)) % 8 != 0)
        day--;
    return day;
}
