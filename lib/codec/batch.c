#include "codec/batch.h"

#include <string.h>

#include "base/mem.h"
#include "base/secret.h"
#include "bcda/error.h"
#include "codec/line.h"

enum {
    MATRIX_COLUMNS = 2 * BCDA__COL_COUNT + 2,
    ROW_BYTES = MATRIX_COLUMNS * sizeof(uint64_t),
    FIRST_ROWS = 64,
    /* A decompressor may use the memory behind the bytes that it returns, but not more than this.
     */
    WRITTEN_MORE = 4 * 1024,
    KEEP_BYTES = 512 * 1024, /* bcda__batch_clear() frees arrays that are larger than this */
};

/* The size of value_starts for each row. */
#define STARTS_BYTES(b) (((size_t)(b)->field_count + 1) * sizeof *(b)->value_starts)

int bcda__batch_new(struct bcda_batch **out, size_t cap, int field_count)
{
    struct bcda_batch *b = bcda__calloc(1, sizeof *b);

    if (!b)
        return BCDA_ERR_NOMEM;
    atomic_init(&b->refs, 1);
    bcda__buf_init(&b->text, SIZE_MAX / 2);
    b->size = cap;
    b->field_count = field_count;
    b->name = "";
    if (bcda__batch_reserve(b, cap)) {
        bcda_batch_unref(b);
        return BCDA_ERR_NOMEM;
    }
    *out = b;
    return 0;
}

/* Frees the lines, and wipes them first, because they may be patient data. */
static void free_bytes(struct bcda_batch *b)
{
    size_t wiped = (b->written > b->fill ? b->written : b->fill) + WRITTEN_MORE;

    if (b->bytes)
        bcda__wipe(b->bytes, wiped < b->cap ? wiped : b->cap);
    bcda__free(b->bytes);
    b->bytes = NULL;
    b->written = 0;
}

static void drop_owner(struct bcda_batch *b)
{
    if (b->owner_unref)
        b->owner_unref(b->owner);
    b->owner_unref = NULL;
    b->owner = NULL;
    b->file = NULL;
    b->name = "";
}

int bcda__batch_reserve(struct bcda_batch *b, size_t cap)
{
    char *grown;

    if (cap <= b->cap)
        return 0;
    grown = bcda__alloc(
        cap + BCDA__LINE_PADDING); /* not realloc(): free_bytes() must wipe the old block */
    if (!grown)
        return BCDA_ERR_NOMEM;
    if (b->fill)
        memcpy(grown, b->bytes, b->fill);
    free_bytes(b);
    b->bytes = grown;
    b->cap = cap;
    b->written = b->fill;
    return 0;
}

void bcda__batch_add_bytes(struct bcda_batch *b, size_t len)
{
    b->fill += len;
    if (b->written < b->fill)
        b->written = b->fill;
}

/* Returns the elements of value_starts that belong to a row. */
static uint32_t *starts_of(const struct bcda_batch *b, size_t row)
{
    return b->value_starts + row * ((size_t)b->field_count + 1);
}

static int more_rows(struct bcda_batch *b)
{
    size_t cap = b->row_cap ? b->row_cap * 2 : FIRST_ROWS;
    size_t most = b->size / ROW_BYTES + 1; /* with this many rows the batch is full */
    uint64_t *m, **columns[MATRIX_COLUMNS];
    uint32_t *starts;
    int i;

    if (cap > most && most > b->row_cap)
        cap = most;
    if (b->field_count) {
        starts = bcda__realloc(b->value_starts, cap * STARTS_BYTES(b));
        if (!starts)
            return BCDA_ERR_NOMEM;
        b->value_starts = starts;
    }
    m = bcda__calloc(cap, ROW_BYTES);
    if (!m)
        return BCDA_ERR_NOMEM;
    for (i = 0; i < BCDA__COL_COUNT; i++) {
        columns[2 * i] = &b->at[i];
        columns[2 * i + 1] = &b->len[i];
    }
    columns[MATRIX_COLUMNS - 2] = &b->line_number;
    columns[MATRIX_COLUMNS - 1] = &b->offset;
    for (i = 0; i < MATRIX_COLUMNS; i++) {
        uint64_t *column = m + (size_t)i * cap;

        if (b->rows)
            memcpy(column, *columns[i], b->rows * sizeof *column);
        *columns[i] = column;
    }
    bcda__free(b->matrix);
    b->matrix = m;
    b->row_cap = cap;
    return 0;
}

static const char *span_text(const char *line, const struct bcda__line_info *info,
                             const struct bcda__span *s)
{
    return s->copy ? info->side + s->at : line + s->at;
}

/* Copies a text to `to` and puts a NUL behind it. Returns the end. */
static inline char *put_batch_text(char *to, const char *line, const struct bcda__line_info *info,
                                   const struct bcda__span *s)
{
    memcpy(to, span_text(line, info, s), s->len);
    to[s->len] = '\0';
    return to + s->len + 1;
}

/* Adds a text to b->text, which has room for it. */
static void put_column(struct bcda_batch *b, int column, const char *line,
                       const struct bcda__line_info *info, const struct bcda__span *s)
{
    b->at[column][b->rows] = b->text.len;
    b->len[column][b->rows] = s->len;
    (void)put_batch_text(b->text.data + b->text.len, line, info, s);
    b->text.len += s->len + 1;
}

/* Nearly all lines of a file have the same type. So a row with the type of the previous row shares
 * the text of that row. */
static void put_type(struct bcda_batch *b, const char *line, const struct bcda__line_info *info)
{
    const uint64_t *at = b->at[BCDA__COL_TYPE], *len = b->len[BCDA__COL_TYPE];
    size_t i = b->rows;

    if (i && len[i - 1] == info->type.len &&
        memcmp(b->text.data + at[i - 1], span_text(line, info, &info->type), info->type.len) == 0) {
        b->at[BCDA__COL_TYPE][i] = at[i - 1];
        b->len[BCDA__COL_TYPE][i] = len[i - 1];
    } else {
        put_column(b, BCDA__COL_TYPE, line, info, &info->type);
    }
}

static int reserve_values(struct bcda_batch *b, size_t count)
{
    size_t want = b->value_count + count, cap = 2 * b->value_cap;
    struct bcda__value *grown;

    if (want <= b->value_cap)
        return 0;
    cap = cap < want ? want : cap;
    grown = bcda__realloc(b->values, cap * sizeof *grown);
    if (!grown)
        return BCDA_ERR_NOMEM;
    b->values = grown;
    b->value_cap = cap;
    return 0;
}

/* Makes room for a row and all its texts. */
static int reserve_row(struct bcda_batch *b, const struct bcda__line_info *info)
{
    size_t i, n = b->field_count ? info->value_count : 0;
    size_t bytes = info->type.len + info->id.len + info->last_updated.len + info->full_url.len + 4 +
                   n; /* a NUL for each text */
    int rc = b->rows == b->row_cap ? more_rows(b) : 0;

    for (i = 0; i < n; i++)
        bytes += info->values[i].span.len;
    if (!rc && n)
        rc = reserve_values(b, n);
    return rc ? rc : bcda__buf_reserve(&b->text, bytes);
}

/* Counts the values of each field of a row, and sets where they begin in b->values. */
static void set_starts(struct bcda_batch *b, const struct bcda__line_info *info)
{
    uint32_t *starts = starts_of(b, b->rows);
    size_t i;

    memset(starts, 0, STARTS_BYTES(b));
    for (i = 0; i < info->value_count; i++)
        starts[info->values[i].field + 1]++;
    starts[0] = (uint32_t)b->value_count;
    for (i = 1; i <= (size_t)b->field_count; i++)
        starts[i] += starts[i - 1];
}

/* Appends the values of a row, sorted by field. Values of one field keep the order of the
 * document. */
static void put_values(struct bcda_batch *b, const char *line, const struct bcda__line_info *info)
{
    uint32_t place[BCDA__FIELDS_MAX + 1];
    char *to = b->text.data + b->text.len;
    size_t i;

    set_starts(b, info);
    memcpy(place, starts_of(b, b->rows), STARTS_BYTES(b));
    for (i = 0; i < info->value_count; i++) {
        const struct bcda__field_value *from = &info->values[i];
        struct bcda__value *v = &b->values[place[from->field]++];

        v->at = (size_t)(to - b->text.data);
        v->len = from->span.len;
        to = put_batch_text(to, line, info, &from->span);
    }
    b->text.len = (size_t)(to - b->text.data);
    b->value_count += info->value_count;
}

/* All memory is reserved first, so that a failed call does not change the batch. */
int bcda__batch_add_row(struct bcda_batch *b, const struct bcda__line_info *info, size_t line_at,
                        size_t line_len, int64_t line_number, int64_t offset)
{
    const char *line = b->bytes + line_at;
    int rc = reserve_row(b, info);
    size_t i = b->rows;

    if (rc)
        return rc;
    b->at[BCDA__COL_JSON][i] = line_at + info->resource.at;
    b->len[BCDA__COL_JSON][i] = info->resource.len;
    b->at[BCDA__COL_LINE][i] = line_at;
    b->len[BCDA__COL_LINE][i] = line_len;
    b->line_number[i] = (uint64_t)line_number;
    b->offset[i] = (uint64_t)offset;
    put_type(b, line, info);
    put_column(b, BCDA__COL_ID, line, info, &info->id);
    put_column(b, BCDA__COL_LAST_UPDATED, line, info, &info->last_updated);
    put_column(b, BCDA__COL_FULL_URL, line, info, &info->full_url);
    if (b->field_count)
        put_values(b, line, info);
    b->text.data[b->text.len] = '\0';
    b->rows++;
    return 0;
}

int bcda__batch_add_bad(struct bcda_batch *b, const struct bcda_bad_line *bad)
{
    if (b->bad_count == b->bad_cap) {
        size_t cap = b->bad_cap ? b->bad_cap * 2 : 8;
        struct bcda_bad_line *grown = bcda__realloc(b->bad, cap * sizeof *grown);

        if (!grown)
            return BCDA_ERR_NOMEM;
        b->bad = grown;
        b->bad_cap = cap;
    }
    b->bad[b->bad_count] = *bad;
    b->bad[b->bad_count].before = b->rows;
    b->bad[b->bad_count].batch = b;
    b->bad_count++;
    return 0;
}

int bcda__batch_is_empty(const struct bcda_batch *b)
{
    return b->rows == 0 && b->bad_count == 0;
}

size_t bcda__batch_index_size(const struct bcda_batch *b)
{
    size_t starts = b->field_count ? STARTS_BYTES(b) : 0;

    return b->rows * (ROW_BYTES + starts) + b->text.len + b->value_count * sizeof *b->values +
           b->bad_count * sizeof *b->bad;
}

int bcda__batch_is_shared(const struct bcda_batch *b)
{
    return atomic_load(&b->refs) > 1;
}

/* Frees what was made from the rows when it was needed. */
static void free_indexes(struct bcda_batch *b)
{
    int i;

    bcda__free(b->deletions);
    b->deletions = NULL;
    for (i = 0; b->fields && i < b->field_count; i++) {
        bcda__free(b->fields[i].first);
        bcda__free(b->fields[i].offsets);
        bcda__free(b->fields[i].lengths);
    }
    bcda__free(b->fields);
    b->fields = NULL;
}

/* Also removes the values of the rows that are removed. The field indexes have an element for each
 * row, so they are freed; they are built again when they are needed. */
void bcda__batch_cut(struct bcda_batch *b, size_t rows)
{
    if (rows >= b->rows)
        return;
    b->rows = rows;
    if (b->field_count)
        b->value_count = starts_of(b, rows)[0];
    free_indexes(b);
}

void bcda__batch_clear(struct bcda_batch *b)
{
    b->fill = b->rows = b->value_count = b->bad_count = b->consumed = 0;
    b->provisional = 0;
    b->end.line = 0;
    bcda__buf_clear(&b->text);
    free_indexes(b);
    drop_owner(b);
    if (b->text.cap > KEEP_BYTES)
        bcda__buf_free_secret(&b->text);
    if (b->value_cap * sizeof *b->values > KEEP_BYTES) {
        bcda__free(b->values);
        b->values = NULL;
        b->value_cap = 0;
    }
}

bcda_batch *bcda_batch_ref(bcda_batch *batch)
{
    if (batch)
        atomic_fetch_add(&batch->refs, 1);
    return batch;
}

/* ---- the pool of batches ---- */

static void batch_pool_unref(struct bcda__batch_pool *p)
{
    if (p && atomic_fetch_sub(&p->refs, 1) == 1)
        bcda__free(p);
}

static void free_batch(struct bcda_batch *b)
{
    free_indexes(b);
    drop_owner(b);
    bcda__buf_free_secret(&b->text);
    bcda__free(b->matrix);
    bcda__free(b->values);
    bcda__free(b->value_starts);
    bcda__free(b->bad);
    free_bytes(b);
    batch_pool_unref(b->pool);
    bcda__free(b);
}

int bcda__batch_pool_new(struct bcda__batch_pool **out, size_t cap)
{
    struct bcda__batch_pool *p = bcda__calloc(1, sizeof *p);

    if (!p)
        return BCDA_ERR_NOMEM;
    atomic_init(&p->refs, 1);
    atomic_init(&p->closed, 0);
    atomic_init(&p->spare, NULL);
    p->cap = cap;
    *out = p;
    return 0;
}

struct bcda_batch *bcda__batch_pool_take(struct bcda__batch_pool *p)
{
    return atomic_exchange(&p->spare, NULL);
}

static void empty_batch_pool(struct bcda__batch_pool *p)
{
    struct bcda_batch *b = bcda__batch_pool_take(p);

    if (b)
        free_batch(b);
}

void bcda__batch_pool_close(struct bcda__batch_pool *p)
{
    if (!p)
        return;
    atomic_store(&p->closed, 1);
    empty_batch_pool(p);
    batch_pool_unref(p);
}

void bcda__batch_set_pool(struct bcda_batch *b, struct bcda__batch_pool *p)
{
    atomic_fetch_add(&p->refs, 1);
    b->pool = p;
}

/* Puts a batch in its pool. Returns 0 if the batch must be freed instead. After the exchange,
 * another thread may take or free `b`, and with it the reference of `b` to the pool. So this
 * function holds its own reference. If another thread closes the pool at the same time, either that
 * thread finds `b` in `spare`, or this function finds `closed` set and frees `b`. */
static int recycle_batch(struct bcda_batch *b)
{
    struct bcda__batch_pool *p = b->pool;
    struct bcda_batch *before;

    if (!p || atomic_load(&p->closed) || b->cap > p->cap)
        return 0;
    bcda__batch_clear(b);
    atomic_store(&b->refs, 1);
    atomic_fetch_add(&p->refs, 1);
    before = atomic_exchange(&p->spare, b);
    if (before)
        free_batch(before);
    if (atomic_load(&p->closed))
        empty_batch_pool(p);
    batch_pool_unref(p);
    return 1;
}

void bcda_batch_unref(bcda_batch *b)
{
    if (b && atomic_fetch_sub(&b->refs, 1) == 1 && !recycle_batch(b))
        free_batch(b);
}

/* ---- the public functions ---- */

size_t bcda_batch_count(const bcda_batch *b)
{
    return b ? b->rows - b->consumed : 0;
}

const bcda_file *bcda_batch_file(const bcda_batch *b)
{
    return b ? b->file : NULL;
}

int bcda_batch_is_provisional(const bcda_batch *b)
{
    return b ? b->provisional : 0;
}

const bcda_resource *bcda_batch_resource(bcda_batch *b, size_t i)
{
    if (!b || i >= bcda_batch_count(b))
        return NULL;
    b->cursor.batch = b;
    b->cursor.row = b->consumed + i;
    return &b->cursor;
}

int bcda_batch_column(const bcda_batch *b, int column, const char **base, const uint64_t **offsets,
                      const uint64_t **lengths)
{
    static const uint64_t none[1];
    int c = column - BCDA_COLUMN_JSON;

    if (!b || !base || !offsets || !lengths || c < 0 || c >= BCDA__COL_COUNT)
        return BCDA_ERR_INVALID;
    *base = c <= BCDA__COL_LINE ? b->bytes : b->text.data ? b->text.data : "";
    *offsets = b->rows ? b->at[c] + b->consumed : none;
    *lengths = b->rows ? b->len[c] + b->consumed : none;
    return 0;
}

static int index_field(struct bcda_batch *b, int field)
{
    struct bcda__field_index *f = &b->fields[field];
    size_t row, i, k = 0, n = 0;

    for (row = 0; row < b->rows; row++)
        n += starts_of(b, row)[field + 1] - starts_of(b, row)[field];
    f->first = bcda__calloc(b->rows + 1, sizeof *f->first);
    f->offsets = bcda__calloc(n + 1, sizeof *f->offsets);
    f->lengths = bcda__calloc(n + 1, sizeof *f->lengths);
    if (!f->first || !f->offsets || !f->lengths)
        goto fail;
    for (row = 0; row < b->rows; row++) {
        const uint32_t *starts = starts_of(b, row);

        for (i = starts[field]; i < starts[field + 1]; i++) {
            f->offsets[k] = b->values[i].at;
            f->lengths[k++] = b->values[i].len;
        }
        f->first[row + 1] = k;
    }
    return 0;
fail:
    bcda__free(f->first);
    bcda__free(f->offsets);
    bcda__free(f->lengths);
    memset(f, 0, sizeof *f);
    return BCDA_ERR_NOMEM;
}

static int need_field(struct bcda_batch *b, int index)
{
    if (index < 0 || index >= b->field_count)
        return BCDA_ERR_INVALID;
    if (!b->fields)
        b->fields = bcda__calloc((size_t)b->field_count, sizeof *b->fields);
    if (!b->fields)
        return BCDA_ERR_NOMEM;
    return b->fields[index].first ? 0 : index_field(b, index);
}

int bcda_batch_field_column(bcda_batch *b, int index, const char **base, const uint64_t **first,
                            const uint64_t **offsets, const uint64_t **lengths)
{
    int rc;

    if (!b || !base || !first || !offsets || !lengths)
        return BCDA_ERR_INVALID;
    rc = need_field(b, index);
    if (rc)
        return rc;
    *base = b->text.data ? b->text.data : "";
    *first = b->fields[index].first + b->consumed;
    *offsets = b->fields[index].offsets;
    *lengths = b->fields[index].lengths;
    return 0;
}

const uint64_t *bcda_batch_line_numbers(const bcda_batch *b)
{
    return b && b->rows ? b->line_number + b->consumed : NULL;
}

const uint64_t *bcda_batch_file_offsets(const bcda_batch *b)
{
    return b && b->rows ? b->offset + b->consumed : NULL;
}

size_t bcda_batch_bad_line_count(const bcda_batch *b)
{
    return b ? b->bad_count : 0;
}

const bcda_bad_line *bcda_batch_bad_line(const bcda_batch *b, size_t i)
{
    return b && i < b->bad_count ? &b->bad[i] : NULL;
}

int bcda_batch_set_consumed(bcda_batch *b, size_t count)
{
    if (!b || count > bcda_batch_count(b))
        return BCDA_ERR_INVALID;
    b->consumed += count;
    return 0;
}

static const char *row_text(const bcda_resource *r, int column)
{
    return r ? r->batch->text.data + r->batch->at[column][r->row] : "";
}

const char *bcda_resource_json(const bcda_resource *r, size_t *len)
{
    *len = r ? r->batch->len[BCDA__COL_JSON][r->row] : 0;
    return r ? r->batch->bytes + r->batch->at[BCDA__COL_JSON][r->row] : "";
}

const char *bcda_resource_line(const bcda_resource *r, size_t *len)
{
    *len = r ? r->batch->len[BCDA__COL_LINE][r->row] : 0;
    return r ? r->batch->bytes + r->batch->at[BCDA__COL_LINE][r->row] : "";
}

const char *bcda_resource_type(const bcda_resource *r)
{
    return row_text(r, BCDA__COL_TYPE);
}

const char *bcda_resource_id(const bcda_resource *r)
{
    return row_text(r, BCDA__COL_ID);
}

const char *bcda_resource_last_updated(const bcda_resource *r)
{
    return row_text(r, BCDA__COL_LAST_UPDATED);
}

const char *bcda_resource_full_url(const bcda_resource *r)
{
    return row_text(r, BCDA__COL_FULL_URL);
}

int64_t bcda_resource_line_number(const bcda_resource *r)
{
    return r ? (int64_t)r->batch->line_number[r->row] : 0;
}

int64_t bcda_resource_offset(const bcda_resource *r)
{
    return r ? (int64_t)r->batch->offset[r->row] : -1;
}

int bcda_resource_is_provisional(const bcda_resource *r)
{
    return r ? r->batch->provisional : 0;
}

const bcda_file *bcda_resource_file(const bcda_resource *r)
{
    return r ? r->batch->file : NULL;
}

/* Returns where the values of a field of a resource begin in the values of its batch; the next
 * element is where they end. Returns NULL if there is no such field. */
static const uint32_t *field_starts(const bcda_resource *r, int index)
{
    if (!r || index < 0 || index >= r->batch->field_count)
        return NULL;
    return starts_of(r->batch, r->row) + index;
}

size_t bcda_resource_field_count(const bcda_resource *r, int index)
{
    const uint32_t *starts = field_starts(r, index);

    return starts ? starts[1] - starts[0] : 0;
}

int bcda_resource_field(const bcda_resource *r, int index, size_t k, const char **text, size_t *len)
{
    const uint32_t *starts = field_starts(r, index);
    const struct bcda__value *v;

    if (!text || !len || !starts || k >= starts[1] - starts[0])
        return BCDA_ERR_INVALID;
    v = &r->batch->values[starts[0] + k];
    *text = r->batch->text.data + v->at;
    *len = v->len;
    return 0;
}
