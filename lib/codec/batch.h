/* A run of decoded lines with its index: the memory that the decoder fills, the callbacks walk, and
 * a host may hold. */
#ifndef BCDA_CODEC_BATCH_H
#define BCDA_CODEC_BATCH_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "bcda/batch.h"
#include "bcda/resource.h"
#include "codec/json.h"

/* The columns of the index; the first ones are numbered as the public BCDA_COLUMN_* less one. */
enum bcda__column {
    BCDA__COL_JSON, /* into bytes */
    BCDA__COL_LINE,
    BCDA__COL_TYPE, /* into text */
    BCDA__COL_ID,
    BCDA__COL_LAST_UPDATED,
    BCDA__COL_FULL_URL,
    BCDA__COL_COUNT
};

struct bcda_bad_line {
    int code;
    int64_t line_number;
    int64_t offset; /* in the decoded file */
    int64_t length; /* of the line, as far as it was read */
    size_t bad_at;  /* in the line */
    size_t at;      /* in bytes; meaningless where !kept */
    int kept;       /* 0 = over the line limit, and so not held */
    size_t before;  /* the row that follows it */
    const bcda_batch *batch;
};

struct bcda__value {
    size_t row;
    int field;
    uint64_t at, len; /* in text */
};

struct bcda_resource {
    const bcda_batch *batch;
    size_t row;
};

struct bcda__field_index {
    uint64_t *first, *offsets, *lengths;
};

/* Where a batch goes when its host lets it go, on whatever thread that is, to be filled again: a
 * host that pulls would otherwise have new memory made, and wiped, for every batch. One place; what
 * comes when it is taken is freed. Counted: the batches that are out hold it. */
struct bcda__home {
    atomic_int refs;
    atomic_int closed;
    _Atomic(struct bcda_batch *) spare;
    size_t cap; /* a batch that has grown beyond this is not kept */
};

struct bcda_batch {
    atomic_int refs;
    struct bcda__home *home; /* NULL = none */
    /* Whom the lines belong to, held while the batch lives: the layers above fill it. */
    void *owner;
    void (*owner_unref)(void *owner);
    const bcda_file *file;
    const char *name; /* of the file, for texts; lives as long as the owner, or is "" */

    size_t size; /* what it gathers: of lines, and of index */
    char *bytes; /* the lines, with whatever stood between them */
    size_t cap, fill;

    size_t rows, row_cap;
    uint64_t *at[BCDA__COL_COUNT];
    uint64_t *len[BCDA__COL_COUNT];
    uint64_t *line_number;
    uint64_t *offset;
    uint64_t *matrix; /* the one allocation behind these columns */
    struct bcda__buf text;

    struct bcda__value *values;
    size_t value_count, value_cap;
    int field_count;
    struct bcda__field_index *fields; /* made when asked for */

    struct bcda_bad_line *bad;
    size_t bad_count, bad_cap;

    int provisional;
    size_t consumed; /* rows that are delivered; the public face begins behind them */
    struct bcda_resource cursor;
};

int bcda__home_new(struct bcda__home **out, size_t cap);
void bcda__home_close(struct bcda__home *h);              /* nothing comes back any more */
struct bcda_batch *bcda__home_take(struct bcda__home *h); /* NULL = none there */
void bcda__batch_settle(struct bcda_batch *b, struct bcda__home *h);
int bcda__batch_new(struct bcda_batch **out, size_t cap, int field_count);
int bcda__batch_reserve(struct bcda_batch *b, size_t cap); /* of bytes; keeps them */
int bcda__batch_add_row(struct bcda_batch *b, const struct bcda__line_info *info, size_t line_at,
                        size_t line_len, int64_t line_number, int64_t offset);
int bcda__batch_add_bad(struct bcda_batch *b, const struct bcda_bad_line *bad);
void bcda__batch_cut(struct bcda_batch *b, size_t rows);   /* drops the rows from there on */
int bcda__batch_is_empty(const struct bcda_batch *b);      /* neither rows nor bad lines */
size_t bcda__batch_index_size(const struct bcda_batch *b); /* bytes that the index takes */
int bcda__batch_is_shared(const struct bcda_batch *b);     /* somebody else holds it too */
void bcda__batch_clear(struct bcda_batch *b); /* for filling again; gives oversized memory back */

#endif
