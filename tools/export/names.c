/* The names of data files, such as Patient-0001.ndjson, and lists of them. */
#include "export.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

int name_type_is_fine(const char *type)
{
    size_t n = strspn(type, LETTERS);

    return n > 0 && n < TYPE_SIZE && type[n] == '\0';
}

void name_make(char to[NAME_SIZE], const char *type, unsigned number)
{
    snprintf(to, NAME_SIZE, "%s-%04u.ndjson", type, number);
}

int name_parse(const char *name, char type[TYPE_SIZE], unsigned *number)
{
    size_t n = strspn(name, LETTERS);
    size_t digits;

    if (n == 0 || n >= TYPE_SIZE || name[n] != '-')
        return -1;
    digits = strspn(name + n + 1, "0123456789");
    if (digits < 4 || digits > 9 || strcmp(name + n + 1 + digits, ".ndjson") != 0)
        return -1;
    memcpy(type, name, n);
    type[n] = '\0';
    *number = (unsigned)strtoul(name + n + 1, NULL, 10);
    return 0;
}

int ranges_add(struct ranges *r, const char *type, unsigned first, unsigned last, int staged)
{
    struct range *more;
    size_t i;

    for (i = r->count; i-- > 0;) {
        struct range *at = &r->at[i];

        if (at->last + 1 == first && at->staged == staged && strcmp(at->type, type) == 0) {
            at->last = last;
            return 0;
        }
    }
    more = realloc(r->at, (r->count + 1) * sizeof *more);
    if (!more) {
        complain("out of memory");
        return -1;
    }
    r->at = more;
    more += r->count++;
    *more = (struct range){.first = first, .last = last, .staged = staged};
    snprintf(more->type, sizeof more->type, "%s", type);
    return 0;
}

size_t ranges_files(const struct ranges *r, int staged)
{
    size_t n = 0;
    size_t i;

    for (i = 0; i < r->count; i++)
        if (r->at[i].staged == staged)
            n += r->at[i].last - r->at[i].first + 1;
    return n;
}

int ranges_has_staged(const struct ranges *r, const char *type, unsigned number)
{
    size_t i;

    for (i = 0; i < r->count; i++)
        if (r->at[i].staged && r->at[i].first <= number && number <= r->at[i].last &&
            strcmp(r->at[i].type, type) == 0)
            return 1;
    return 0;
}

void ranges_free(struct ranges *r)
{
    free(r->at);
    *r = (struct ranges){0};
}
