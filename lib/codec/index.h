/* The index of one JSON line: where its strings, objects and arrays stand. scan.c makes it; line.c
 * reads the wanted values from it. The values between the strings (numbers, true, false, null) are
 * not in the index. They are found in the line again when they are wanted. */
#ifndef BCDA_CODEC_INDEX_H
#define BCDA_CODEC_INDEX_H

#include <stddef.h>
#include <stdint.h>

/* An object or array. The containers of a line are numbered in the order of their opening brackets;
 * its quotes are numbered in order, without the escaped ones. */
struct bcda__container {
    uint32_t start;       /* the offset of the opening bracket */
    uint32_t end;         /* the offset of the closing bracket */
    uint32_t first_quote; /* the number of the first quote after the opening bracket */
    uint32_t end_quote;   /* the number of the first quote after the closing bracket */
    uint32_t next;        /* the number of the next container that is not inside this one */
};

struct bcda__index {
    const char *line;
    uint32_t len;
    /* quotes[2 * i] and quotes[2 * i + 1] are the offsets of the opening and the closing quote of
     * string i. */
    uint32_t *quotes;
    struct bcda__container *containers; /* containers[0] is the value of the line */
    uint32_t quote_count, container_count;
    int has_escapes; /* a string has an escape */
    int escaped_key; /* a member name has an escape */
};

enum bcda__kind {
    BCDA__KIND_STRING,
    BCDA__KIND_OBJECT,
    BCDA__KIND_ARRAY,
    BCDA__KIND_SCALAR, /* a number, true, false or null */
};

struct bcda__index_value {
    enum bcda__kind kind;
    uint32_t at;        /* its offset; of a string without the quote */
    uint32_t end;       /* of a string: the offset of the closing quote */
    uint32_t container; /* of an object or array: its number */
};

/* A walk over the members of an object or the elements of an array. */
struct bcda__index_walk {
    const struct bcda__index *index;
    uint32_t at;        /* in an array: an offset after the last element, not after the next one */
    uint32_t quote;     /* the number of the next quote */
    uint32_t container; /* the number of the next container */
    uint32_t end_quote; /* the number of the first quote after the object or array */
};

static inline void bcda__index_walk_init(struct bcda__index_walk *w,
                                         const struct bcda__index *index, uint32_t container)
{
    const struct bcda__container *c = &index->containers[container];

    w->index = index;
    w->at = c->start + 1;
    w->quote = c->first_quote;
    w->container = container + 1;
    w->end_quote = c->end_quote;
}

static inline uint32_t bcda__index_skip_spaces(const char *line, uint32_t at)
{
    while (line[at] == ' ')
        at++;
    return at;
}

/* Reads the value at `at` and goes behind it. */
static inline void bcda__index_read_value(struct bcda__index_walk *w, uint32_t at,
                                          struct bcda__index_value *value)
{
    char c = w->index->line[at];

    value->at = at;
    if (c == '"') {
        value->kind = BCDA__KIND_STRING;
        value->at = at + 1;
        value->end = w->index->quotes[w->quote + 1];
        w->quote += 2;
    } else if ((c | 0x20) == '{') { /* or '[', which differs in this bit */
        value->kind = c == '{' ? BCDA__KIND_OBJECT : BCDA__KIND_ARRAY;
        value->container = w->container;
        w->quote = w->index->containers[w->container].end_quote;
        w->container = w->index->containers[w->container].next;
    } else {
        value->kind = BCDA__KIND_SCALAR;
    }
}

/* Goes to the next member of an object. Returns 1 and sets its name, as written in the line, and
 * its value; or returns 0 if there are no more. */
static inline int bcda__index_next_member(struct bcda__index_walk *w, const char **name,
                                          uint32_t *name_len, struct bcda__index_value *value)
{
    const char *line = w->index->line;
    uint32_t open, at;

    if (w->quote >= w->end_quote)
        return 0;
    open = w->index->quotes[w->quote];
    at = w->index->quotes[w->quote + 1];
    *name = line + open + 1;
    *name_len = at - open - 1;
    at = bcda__index_skip_spaces(line, at + 1);
    w->quote += 2;
    bcda__index_read_value(w, bcda__index_skip_spaces(line, at + 1), value); /* after the colon */
    return 1;
}

/* Returns the offset after the number, true, false or null at `at`. */
static inline uint32_t bcda__index_scalar_end(const struct bcda__index *index, uint32_t at)
{
    const char *line = index->line;

    while (line[at] > ' ' && line[at] != ',' && line[at] != ']' && line[at] != '}')
        at++;
    return at;
}

/* Goes to the next element of an array. Returns 0 if there are no more. */
static inline int bcda__index_next_element(struct bcda__index_walk *w,
                                           struct bcda__index_value *value)
{
    const struct bcda__index *index = w->index;
    uint32_t at = w->at;

    while (index->line[at] == ' ' || index->line[at] == ',')
        at++;
    if (index->line[at] == ']')
        return 0;
    bcda__index_read_value(w, at, value);
    if (value->kind == BCDA__KIND_STRING)
        w->at = value->end + 1;
    else if (value->kind == BCDA__KIND_SCALAR)
        w->at = bcda__index_scalar_end(index, at);
    else
        w->at = index->containers[value->container].end + 1;
    return 1;
}

#endif
