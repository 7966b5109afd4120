/* Measures the line reader of the library alone, with the scanner or with yajl.
 *
 *     bench-lines scanner|yajl BYTES FILE    reads FILE again and again, at least BYTES in all.
 *         Prints "<CPU seconds> <bytes> <lines> <lines that yajl has read>"
 *     bench-lines count 0 FILE               calls bench_mark() before and after each reader has
 *         read FILE, first the scanner's, then yajl's; prints the bytes of FILE
 *
 * Each line must be a resource. As in the library, a reader is used for many lines, and the lines
 * of a batch are in the CPU cache. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "codec/line.h"
#include "input.h"

enum { DEPTH = 64 }; /* the default of BCDA_OPT_JSON_DEPTH_MAX */

struct sums {
    double cpu;
    long long bytes, lines;
};

static void fail(const char *what)
{
    fprintf(stderr, "bench-lines: %s\n", what);
    exit(1);
}

/* Writes the lengths of the lines of a piece, without their LF. Returns their number. This is not
 * measured: the decoder finds the lines, not the reader. */
static size_t find_lines(const char *at, size_t len, uint32_t *lengths)
{
    const char *end = at + len, *lf;
    size_t count = 0;

    for (; (lf = memchr(at, '\n', (size_t)(end - at))); at = lf + 1)
        lengths[count++] = (uint32_t)(lf - at);
    return count;
}

static void read_lines(struct bcda__line_reader *r, const char *at, const uint32_t *lengths,
                       size_t count)
{
    struct bcda__line_info info;
    size_t i;

    for (i = 0; i < count; at += lengths[i++] + 1)
        if (bcda__line_read(r, at, lengths[i], &info) || info.code)
            fail("a line is not a resource");
}

static void read_file(struct bcda__line_reader *r, const struct input *f, struct sums *sums)
{
    static char hot[TEXT + BCDA__LINE_PADDING];
    static uint32_t lengths[TEXT];
    size_t at, len;

    for (at = 0; at < f->len; at += len) {
        size_t count;
        double before;

        len = input_piece(f, at, 0);
        memcpy(hot, f->at + at, len); /* brings the piece into the CPU cache */
        count = find_lines(hot, len, lengths);
        before = bench_cpu();
        read_lines(r, hot, lengths, count);
        sums->cpu += bench_cpu() - before;
        sums->lines += (long long)count;
    }
    sums->bytes += (long long)f->len;
}

static struct bcda__line_reader *new_reader(int yajl_only)
{
    struct bcda__line_reader *r;

    if (bcda__line_reader_new(&r, DEPTH, NULL, yajl_only))
        fail("no memory");
    return r;
}

static void time_reader(int yajl_only, long long bytes, const struct input *f)
{
    struct bcda__line_reader *r = new_reader(yajl_only);
    struct sums sums = {0};

    while (sums.bytes < bytes || !sums.bytes)
        read_file(r, f, &sums);
    printf("%.6f %lld %lld %lld\n", sums.cpu, sums.bytes, sums.lines,
           (long long)bcda__line_reader_take_yajl_lines(r));
    bcda__line_reader_free(r);
}

static void count_reader(int yajl_only, const struct input *f)
{
    uint32_t *lengths = malloc(f->len * sizeof *lengths);
    struct bcda__line_reader *r = new_reader(yajl_only);
    size_t count;

    if (!lengths)
        fail("no memory");
    count = find_lines((const char *)f->at, f->len, lengths);
    bench_mark();
    read_lines(r, (const char *)f->at, lengths, count);
    bench_mark();
    bcda__line_reader_free(r);
    free(lengths);
}

int main(int argc, char **argv)
{
    struct input f;

    if (argc != 4)
        return 2;
    f = input_map(argv[3]);
    if (strcmp(argv[1], "count")) {
        time_reader(strcmp(argv[1], "yajl") == 0, atoll(argv[2]), &f);
        return 0;
    }
    count_reader(0, &f);
    count_reader(1, &f);
    printf("%zu\n", f.len);
    return 0;
}
