/* A target of libFuzzer. The input is a header, which chooses options and the sizes of the pieces,
 * and a file of lines.
 *
 * 1. Each line is read by the scanner and by yajl alone. Both must find the same.
 * 2. The decoder gets the file in pieces. The rows and invalid lines must be the same as from the
 *    whole file at once, with and without the scanner. */
#include <inttypes.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "bcda/bcda.h"
#include "codec/batch.h"
#include "codec/decoder.h"
#include "line_pair.h"

/* The header: one byte of options, and the sizes of pieces, which are repeated. */
enum { PIECES = 7, HEADER = 1 + PIECES };

/* The bits of the option byte. */
enum {
    WITH_FIELDS = 1,
    SHALLOW = 2,     /* few nested levels are allowed */
    SHORT_LINES = 4, /* few bytes in a line are allowed */
    KEEP = 8,        /* the batches are kept until the end, and so not filled again */
    BATCH_SIZE_SHIFT = 6,
};

struct input {
    unsigned options;
    const uint8_t *pieces;
    const char *text;
    size_t len;
};

static struct bcda__field_set *fields;
static uint64_t lines, sure_lines;

static void print_lines(void)
{
    fprintf(stderr, "stat::lines:                    %" PRIu64 "\n", lines);
    fprintf(stderr, "stat::sure_lines:               %" PRIu64 "\n", sure_lines);
}

static void open_fields(void)
{
    static const char *const paths[] = {"id",  "meta.lastUpdated", "a",
                                        "a.b", "identifier.value", "x.y.z"};
    size_t i;
    int index;

    ck_assert_int_eq(bcda__field_set_new(&fields), 0);
    for (i = 0; i < sizeof paths / sizeof *paths; i++)
        ck_assert_int_eq(bcda__field_set_add(fields, paths[i], &index), 0);
}

static int depth_of(const struct input *in)
{
    return in->options & SHALLOW ? 4 : 64;
}

static const struct bcda__field_set *fields_of(const struct input *in)
{
    return in->options & WITH_FIELDS ? fields : NULL;
}

/* ---- each line by both readers ---- */

static void read_lines_twice(const struct input *in)
{
    const char *at = in->text, *end = in->text + in->len;
    struct bcda__line_info info;
    struct line_pair pair;
    uint64_t count = 0;

    line_pair_open(&pair, depth_of(in), fields_of(in));
    while (at < end) {
        const char *lf = memchr(at, '\n', (size_t)(end - at));
        size_t len = (size_t)((lf ? lf : end) - at);

        line_pair_read(&pair, at, len, &info);
        count++;
        at += len + 1;
    }
    lines += count;
    sure_lines += count - (uint64_t)bcda__line_reader_take_yajl_lines(pair.fast);
    line_pair_close(&pair);
}

/* ---- the file by the decoder ---- */

static void log_text(struct bcda__buf *log, const char *text, size_t len)
{
    ck_assert_int_eq(bcda__buf_addf(log, " %zu:", len), 0);
    ck_assert_int_eq(bcda__buf_add(log, text, len), 0);
}

static void log_row(struct bcda__buf *log, const bcda_resource *row)
{
    const char *text;
    size_t len, k;
    int i;

    ck_assert_int_eq(bcda__buf_addf(log, "\nrow %" PRId64 " at %" PRId64 ":",
                                    bcda_resource_line_number(row), bcda_resource_offset(row)),
                     0);
    text = bcda_resource_json(row, &len);
    log_text(log, text, len);
    text = bcda_resource_line(row, &len);
    log_text(log, text, len);
    log_text(log, bcda_resource_type(row), strlen(bcda_resource_type(row)));
    log_text(log, bcda_resource_id(row), strlen(bcda_resource_id(row)));
    log_text(log, bcda_resource_last_updated(row), strlen(bcda_resource_last_updated(row)));
    log_text(log, bcda_resource_full_url(row), strlen(bcda_resource_full_url(row)));
    for (i = 0; i < bcda__field_set_count(fields); i++)
        for (k = 0; k < bcda_resource_field_count(row, i); k++) {
            ck_assert_int_eq(bcda_resource_field(row, i, k, &text, &len), 0);
            log_text(log, text, len);
        }
}

/* The length of a line that exceeds its limit depends on the pieces. */
static void log_bad_line(struct bcda__buf *log, const struct bcda_bad_line *bad)
{
    int is_long = bad->code == BCDA_ERR_LINE_TOO_LONG && !bad->kept;

    ck_assert_int_eq(
        bcda__buf_addf(
            log, "\ninvalid %d: line %" PRId64 " at %" PRId64 ", %" PRId64 " bytes, at %zu",
            bad->code, bad->line_number, bad->offset, is_long ? -1 : bad->length, bad->bad_at),
        0);
    if (bad->kept)
        log_text(log, bad->batch->bytes + bad->at, (size_t)bad->length);
}

static void log_batch(struct bcda__buf *log, bcda_batch *batch)
{
    size_t row, next = 0, rows = bcda_batch_count(batch), bad = bcda_batch_bad_line_count(batch);

    for (row = 0; row <= rows; row++) {
        for (; next < bad && bcda_batch_bad_line(batch, next)->before <= row; next++)
            log_bad_line(log, bcda_batch_bad_line(batch, next));
        if (row < rows)
            log_row(log, bcda_batch_resource(batch, row));
    }
    ck_assert(next == bad);
}

struct kept {
    bcda_batch *at[4];
    size_t count;
};

/* Takes the batch, if there is one. */
static void take(struct bcda__decoder *d, struct bcda__buf *log, struct kept *kept)
{
    bcda_batch *batch;
    int rc = bcda__decoder_take(d, &batch);

    if (rc == BCDA_ERR_END)
        return;
    ck_assert_int_eq(rc, 0);
    log_batch(log, batch);
    if (kept && kept->count < sizeof kept->at / sizeof *kept->at)
        kept->at[kept->count++] = batch;
    else
        bcda__decoder_give_back(d, batch);
}

static size_t piece_size(const struct input *in, size_t number)
{
    unsigned n = in->pieces[number % PIECES];

    return n < 128 ? n + 1 : (n - 127) * 64;
}

/* Decodes the file in pieces or at once, and logs everything that the decoder finds. */
static void decode(const struct input *in, int whole, int yajl_only, struct bcda__buf *log)
{
    static const size_t batch_sizes[] = {1, 100, 4096, 65536};
    struct bcda__decoder_options o = {0};
    struct kept kept = {{NULL}, 0};
    struct bcda__decoder *d;
    struct bcda_error err;
    size_t at = 0, number = 0, used;
    int rc = 0;

    memset(&err, 0, sizeof err);
    o.name = "file";
    o.line_max = in->options & SHORT_LINES ? 100 : 1024 * 1024;
    o.depth_max = depth_of(in);
    o.batch_size = batch_sizes[in->options >> BATCH_SIZE_SHIFT & 3];
    o.fields = fields_of(in);
    o.yajl_only = yajl_only;
    ck_assert_int_eq(bcda__decoder_new(&d, &o, &err), 0);
    while (at < in->len) {
        size_t len = whole ? in->len : piece_size(in, number++);

        len = len < in->len - at ? len : in->len - at;
        ck_assert_int_eq(bcda__decoder_write(d, in->text + at, len, &used, &err), 0);
        at += used;
        if (bcda__decoder_is_full(d))
            take(d, log, in->options & KEEP ? &kept : NULL);
        else
            ck_assert(used == len);
    }
    while ((rc = bcda__decoder_finish(d, &err)) == BCDA_ERR_AGAIN)
        take(d, log, NULL);
    take(d, log, NULL);
    ck_assert_int_eq(bcda__buf_addf(log, "\nend %d: %" PRId64 " bytes, %" PRId64 " lines", rc,
                                    bcda__decoder_bytes(d), bcda__decoder_lines(d)),
                     0);
    while (kept.count)
        bcda_batch_unref(kept.at[--kept.count]);
    bcda__decoder_free(d);
}

static void check_same_log(const struct bcda__buf *a, const struct bcda__buf *b, const char *what)
{
    if (a->len != b->len || memcmp(a->data, b->data, a->len) != 0)
        ck_abort_msg("%s\n%s\n---- at once, by yajl ----\n%s", what, a->data, b->data);
}

static void decode_in_pieces(const struct input *in)
{
    enum { LOG_MAX = 256 * 1024 * 1024 };
    struct bcda__buf want, found;

    bcda__buf_init(&want, LOG_MAX);
    decode(in, 1, 1, &want);
    bcda__buf_init(&found, LOG_MAX);
    decode(in, 1, 0, &found);
    check_same_log(&found, &want, "at once");
    bcda__buf_free(&found);
    bcda__buf_init(&found, LOG_MAX);
    decode(in, 0, 0, &found);
    check_same_log(&found, &want, "in pieces");
    bcda__buf_free(&found);
    bcda__buf_free(&want);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in;

    if (!fields) {
        open_fields();
        atexit(print_lines);
    }
    if (size < HEADER)
        return -1; /* not added to the corpus */
    in.options = data[0];
    in.pieces = data + 1;
    in.text = (const char *)data + HEADER;
    in.len = size - HEADER;
    read_lines_twice(&in);
    decode_in_pieces(&in);
    return 0;
}
