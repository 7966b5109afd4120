/* Range requests, which resume a download inside a file (RFC 9110 14; bcda-api 6.1). */
#ifndef BCDA_PROTOCOL_RANGE_H
#define BCDA_PROTOCOL_RANGE_H

#include <stddef.h>
#include <stdint.h>

/* Parses the Content-Range of a 206, such as "bytes 100-199/1000". If the length is "*", *total is
 * -1. Returns 0, or -1 if the value has another form or contradicts itself. */
int bcda__content_range(const char *value, int64_t *first, int64_t *last, int64_t *total);
/* Returns the length in the Content-Range of a 416, or -1 if there is none. */
int64_t bcda__unsatisfied_range(const char *value);

/* A resumed download requests this many of the last received bytes again. It compares them with the
 * first copy, to check that the server still has the same file. */
enum { BCDA__OVERLAP = 64 };

/* The last bytes that were received before the interruption, to compare them with the second
 * copy. */
struct bcda__tail {
    uint8_t at[BCDA__OVERLAP];
    size_t len;
};
void bcda__tail_add(struct bcda__tail *t, const uint8_t *data, size_t len);

#endif
