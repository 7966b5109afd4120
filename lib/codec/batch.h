/* A batch: decoded lines and an index of them. The decoder fills it, callbacks read it, and the
 * application may keep it. */
#ifndef BCDA_CODEC_BATCH_H
#define BCDA_CODEC_BATCH_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "bcda/batch.h"
#include "bcda/resource.h"
#include "codec/fields.h"
#include "codec/mark.h"
#include "codec/values.h"

/* The columns of the index. Each is the public BCDA_COLUMN_* minus one. */
enum bcda__column {
    BCDA__COL_JSON, /* values of this column and the next are in the `bytes` of the batch */
    BCDA__COL_LINE,
    BCDA__COL_TYPE, /* values of this column and those below are in the `text` of the batch */
    BCDA__COL_ID,
    BCDA__COL_LAST_UPDATED,
    BCDA__COL_FULL_URL,
    BCDA__COL_COUNT
};

struct bcda_bad_line {
    int code;
    int64_t line_number;
    int64_t offset; /* in the decoded file */
    int64_t length; /* bytes of the line; if it exceeds its limit, only those read until then */
    size_t bad_at;  /* offset of the fault in the line */
    size_t at;      /* offset of the line in `bytes`; valid if `kept` is 1 */
    int kept;       /* 0 = the line exceeds its limit and is not in `bytes` */
    size_t before;  /* the index of the first row that follows this line */
    const bcda_batch *batch;
};

struct bcda__value {
    uint64_t at, len; /* the position of the value in the `text` of the batch */
};

struct bcda_resource {
    const bcda_batch *batch;
    size_t row;
};

struct bcda__field_index {
    uint64_t *first, *offsets, *lengths;
};

/* A pool that recycles batches. The last bcda_batch_unref() of a batch, on any thread, puts it in
 * the pool, and the decoder takes it from there. Without the pool, memory would be allocated and
 * wiped for every batch that the application keeps and releases itself. The pool holds one batch;
 * when another batch is put in it, the first one is freed. Each batch holds a reference to its
 * pool. */
struct bcda__batch_pool {
    atomic_int refs;
    atomic_int closed;
    _Atomic(struct bcda_batch *) spare;
    /* A batch whose `cap` is larger than this is freed instead of recycled. */
    size_t cap;
};

struct bcda_batch {
    atomic_int refs;
    struct bcda__batch_pool *pool; /* NULL = none */
    /* The object that owns `file` and `name`. The layers above set these fields. The batch holds a
     * reference to the owner, and releases it by `owner_unref`. */
    void *owner;
    void (*owner_unref)(void *owner);
    const bcda_file *file;
    const char *name; /* the file's name, for error texts; "" = none */

    size_t size; /* the batch is full if its lines or its index exceed this many bytes */
    /* The lines, with all bytes between them. BCDA__LINE_PADDING bytes more than `cap` are
     * allocated. */
    char *bytes;
    size_t cap, fill;
    size_t written; /* the largest `fill` so far: so many bytes must be wiped */

    size_t rows, row_cap;
    uint64_t *at[BCDA__COL_COUNT];
    uint64_t *len[BCDA__COL_COUNT];
    uint64_t *line_number;
    uint64_t *offset;
    uint64_t *matrix; /* the memory block of the arrays above */
    struct bcda__buf text;

    /* The values of all rows, sorted by row and field. For each row there are field_count + 1
     * elements of value_starts: where the values of each field begin, and where the last ones
     * end. */
    struct bcda__value *values;
    size_t value_count, value_cap;
    uint32_t *value_starts;
    int field_count;
    int is_deletions;                      /* the lines are Bundles of deletions */
    struct bcda__deletion_list *deletions; /* one block, made when needed (deletion_list.c) */
    struct bcda__field_index *fields;      /* one index for each field; built when needed */

    struct bcda_bad_line *bad;
    size_t bad_count, bad_cap;

    int provisional;
    struct bcda__mark end; /* where the batch ends in the file; `line` 0 = marks are not made */
    size_t consumed;       /* rows already delivered; the public functions skip them */
    struct bcda_resource cursor;
};

int bcda__batch_pool_new(struct bcda__batch_pool **out, size_t cap);
/* Releases the caller's reference to the pool. bcda_batch_unref() then frees batches instead of
 * putting them in the pool. */
void bcda__batch_pool_close(struct bcda__batch_pool *p);
struct bcda_batch *bcda__batch_pool_take(struct bcda__batch_pool *p); /* NULL: pool is empty */
/* Sets the pool into which the last bcda_batch_unref() puts `b`. */
void bcda__batch_set_pool(struct bcda_batch *b, struct bcda__batch_pool *p);
int bcda__batch_new(struct bcda_batch **out, size_t cap, int field_count);
/* Enlarges `bytes` to `cap` and keeps the content. */
int bcda__batch_reserve(struct bcda_batch *b, size_t cap);
/* Counts `len` more bytes, which were written behind the first `fill` bytes. */
void bcda__batch_add_bytes(struct bcda_batch *b, size_t len);
int bcda__batch_add_row(struct bcda_batch *b, const struct bcda__line_info *info, size_t line_at,
                        size_t line_len, int64_t line_number, int64_t offset);
int bcda__batch_add_bad(struct bcda_batch *b, const struct bcda_bad_line *bad);
void bcda__batch_cut(struct bcda_batch *b, size_t rows);   /* keeps the first `rows` rows */
int bcda__batch_is_empty(const struct bcda_batch *b);      /* 1 = no rows, no invalid lines */
size_t bcda__batch_index_size(const struct bcda_batch *b); /* in bytes */
int bcda__batch_is_shared(const struct bcda_batch *b);     /* 1 = more than one reference */
/* Removes all lines, so that the batch can be filled again. Frees arrays that are unusually large.
 */
void bcda__batch_clear(struct bcda_batch *b);

#endif
