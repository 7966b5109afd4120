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
    uint32_t at;                             /* its offset; of a string without the quote */
    uint32_t end;                            /* of a string: the offset of the closing quote */
    const struct bcda__container *container; /* of an object or array */
};

/* A walk over the members of an object or the elements of an array. */
struct bcda__index_walk {
    const struct bcda__index *index;
    const char *line;
    const uint32_t *quote;               /* the next quote */
    const uint32_t *end_quote;           /* the first quote after the object or array */
    const struct bcda__container *inner; /* the next container */
    /* In an object: the offset of the closing quote of the name, or of the value. In an array: an
     * offset after the last element, not after the next one. */
    uint32_t at;
};

static inline void bcda__index_walk_init(struct bcda__index_walk *w,
                                         const struct bcda__index *index,
                                         const struct bcda__container *c)
{
    w->index = index;
    w->line = index->line;
    w->quote = index->quotes + c->first_quote;
    w->end_quote = index->quotes + c->end_quote;
    w->inner = c + 1;
    w->at = c->start + 1;
}

static inline uint32_t bcda__index_skip_spaces(const char *line, uint32_t at)
{
    while (line[at] == ' ')
        at++;
    return at;
}

/* Goes behind the next container. */
static inline void bcda__index_skip_container(struct bcda__index_walk *w)
{
    w->quote = w->index->quotes + w->inner->end_quote;
    w->inner = w->index->containers + w->inner->next;
}

/* Reads the value at w->at and goes behind it. */
static inline void bcda__index_read_value(struct bcda__index_walk *w,
                                          struct bcda__index_value *value)
{
    char c = w->line[w->at];

    value->at = w->at;
    if (c == '"') {
        value->kind = BCDA__KIND_STRING;
        value->at = w->at + 1;
        value->end = w->quote[1];
        w->quote += 2;
    } else if ((c | 0x20) == '{') { /* or '[', which differs in this bit */
        value->kind = c == '{' ? BCDA__KIND_OBJECT : BCDA__KIND_ARRAY;
        value->container = w->inner;
        bcda__index_skip_container(w);
    } else {
        value->kind = BCDA__KIND_SCALAR;
    }
}

/* Goes to the next member of an object. Returns 1 and sets its name, as written in the line; or
 * returns 0 if there are no more. One of the next two functions must follow. */
static inline int bcda__index_next_name(struct bcda__index_walk *w, const char **name,
                                        uint32_t *name_len)
{
    uint32_t open;

    if (w->quote >= w->end_quote)
        return 0;
    open = w->quote[0];
    w->at = w->quote[1];
    w->quote += 2;
    *name = w->line + open + 1;
    *name_len = w->at - open - 1;
    return 1;
}

/* Nearly always a value stands two bytes after the closing quote of the name. Returns 1 if it does
 * not: then there is a space before or after the colon, and that space or the colon is there. */
static inline int bcda__index_is_before_value(char c)
{
    return c == ' ' || c == ':';
}

/* Goes to a value that stands after the closing quote of the name and spaces. */
static inline void bcda__index_find_value(struct bcda__index_walk *w)
{
    w->at = bcda__index_skip_spaces(w->line, w->at + 1);
    w->at = bcda__index_skip_spaces(w->line, w->at + 1); /* after the colon */
}

/* Reads the value of the member. */
static inline void bcda__index_member_value(struct bcda__index_walk *w,
                                            struct bcda__index_value *value)
{
    uint32_t name_end = w->at;

    w->at += 2;
    bcda__index_read_value(w, value);
    if (value->kind == BCDA__KIND_SCALAR && bcda__index_is_before_value(w->line[w->at])) {
        w->at = name_end;
        bcda__index_find_value(w);
        bcda__index_read_value(w, value);
    }
}

/* Skips the value of the member. */
static inline void bcda__index_skip_value(struct bcda__index_walk *w)
{
    struct bcda__index_value value;
    char c = w->line[w->at + 2];

    if (c == '"')
        w->quote += 2;
    else if ((c | 0x20) == '{')
        bcda__index_skip_container(w);
    else if (bcda__index_is_before_value(c))
        bcda__index_member_value(w, &value);
}

/* Returns the offset after the number, true, false or null at `at`. */
static inline uint32_t bcda__index_scalar_end(const struct bcda__index *index, uint32_t at)
{
    const char *line = index->line;

    /* A comma, a space or the end of the line; a bracket. */
    while ((line[at] > ',' && (line[at] | 0x20) != '}') || line[at] == '+')
        at++;
    return at;
}

/* Goes to the next element of an array. Returns 0 if there are no more. */
static inline int bcda__index_next_element(struct bcda__index_walk *w,
                                           struct bcda__index_value *value)
{
    const struct bcda__index *index = w->index;

    while (w->line[w->at] == ' ' || w->line[w->at] == ',')
        w->at++;
    if (w->line[w->at] == ']')
        return 0;
    bcda__index_read_value(w, value);
    if (value->kind == BCDA__KIND_STRING)
        w->at = value->end + 1;
    else if (value->kind == BCDA__KIND_SCALAR)
        w->at = bcda__index_scalar_end(index, w->at);
    else
        w->at = value->container->end + 1;
    return 1;
}

#endif
