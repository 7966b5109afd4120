/* The line scanner: proves in one fast pass that a line is valid, and makes its index. It accepts
 * only objects that json.c accepts, too. It never says that a line is invalid: if it has no proof,
 * yajl must decide. */
#ifndef BCDA_CODEC_SCAN_H
#define BCDA_CODEC_SCAN_H

#include <stddef.h>
#include <stdint.h>

#include "codec/index.h"

enum {
    /* The number of bytes after the end of a line that must be readable. The scanner reads at most
     * 8 of them; their values, except that of the first, have no influence. */
    BCDA__SCAN_PADDING = 64,
    /* The maximum size of the index, in percent of the length of the line. A line with a larger
     * index is not sure. Claims need 80, the densest line of real data that is known 117. */
    BCDA__SCAN_INDEX_PERCENT = 150,
    BCDA__SCAN_INDEX_MIN = 16 * 1024, /* bytes that the index of any line may have */
    /* Objects and arrays that are nested deeper are not sure, whatever the option says. */
    BCDA__SCAN_DEPTH_MAX = 63,
};

struct bcda__scan;
/* Creates a scanner. `max_depth` is the maximum number of nested objects and arrays. */
int bcda__scan_new(struct bcda__scan **out, int max_depth);

enum bcda__scan_result {
    BCDA__SCAN_SURE = 1,
    BCDA__SCAN_NOT_SURE = 2,
};
/* Scans a line. line[len] must be a line feed, and BCDA__SCAN_PADDING bytes after line[len - 1]
 * must be readable. Returns BCDA__SCAN_SURE and sets *index, which is valid until the next call,
 * if the line is an object and is valid: JSON of RFC 8259, UTF-8, no surrogate without its pair,
 * no more nested levels than `max_depth`. Returns BCDA__SCAN_NOT_SURE if one of these is wrong, or
 * if the line is unusual: it begins with white space, contains a tab or carriage return outside
 * its end, is 2 GiB or longer, or its index exceeds its limit. Returns BCDA_ERR_NOMEM, which is
 * negative. */
int bcda__scan_line(struct bcda__scan *s, const char *line, size_t len,
                    const struct bcda__index **index);
/* Frees the memory of the index if it is larger than `keep` bytes. */
void bcda__scan_trim(struct bcda__scan *s, size_t keep);
void bcda__scan_free(struct bcda__scan *s);

#endif
