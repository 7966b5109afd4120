/* Reads one NDJSON line: whether it is valid, and the values that are wanted of it. A line is first
 * given to the scanner (scan.c). Lines that the scanner is not sure of are read by yajl (json.c).
 */
#ifndef BCDA_CODEC_LINE_H
#define BCDA_CODEC_LINE_H

#include <stddef.h>
#include <stdint.h>

#include "codec/fields.h"
#include "codec/scan.h"
#include "codec/values.h"

enum {
    /* The number of bytes after a line that must be readable. */
    BCDA__LINE_PADDING = BCDA__SCAN_PADDING,
    /* bcda__line_reader_trim() frees buffers that are larger than this. */
    BCDA__LINE_KEEP = 64 * 1024,
};

struct bcda__line_reader; /* one reader reads all lines of a file */
/* Creates a reader. `fields` may be NULL, and must outlive the reader. If `yajl_only` is 1, yajl
 * reads all lines. */
int bcda__line_reader_new(struct bcda__line_reader **out, int max_depth,
                          const struct bcda__field_set *fields, int yajl_only);
/* Reads one line, which is passed without its LF. line[len] must be a line feed, and
 * BCDA__LINE_PADDING bytes after line[len - 1] must be readable. Returns 0 and sets *info to the
 * result, which is valid until the next call; or returns BCDA_ERR_NOMEM. An invalid line is
 * reported in info->code. */
int bcda__line_read(struct bcda__line_reader *r, const char *line, size_t len,
                    struct bcda__line_info *info);
/* Returns how many lines yajl has read since the last call. */
int64_t bcda__line_reader_take_yajl_lines(struct bcda__line_reader *r);
/* Frees large buffers. Called after a line that is longer than BCDA__LINE_KEEP. The call makes the
 * pointers in the `info` of that line invalid. */
void bcda__line_reader_trim(struct bcda__line_reader *r);
void bcda__line_reader_free(struct bcda__line_reader *r);

#endif
