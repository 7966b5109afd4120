/* Going on inside a file (RFC 9110 14; bcda-api 6.1). */
#ifndef BCDA_PROTOCOL_RANGE_H
#define BCDA_PROTOCOL_RANGE_H

#include <stddef.h>
#include <stdint.h>

/* Content-Range of a 206, such as "bytes 100-199/1000"; *total is -1 where an asterisk stands for
 * it. 0, or -1 where it is anything else, or contradicts itself. */
int bcda__content_range(const char *value, int64_t *first, int64_t *last, int64_t *total);
/* Content-Range of a 416, which names only the length; -1 where it does not. */
int64_t bcda__unsatisfied_range(const char *value);

/* How many bytes are asked for again, to see that the server counts the same bytes as before. */
enum { BCDA__OVERLAP = 64 };

/* The last bytes that came, for that comparison. */
struct bcda__tail {
    uint8_t at[BCDA__OVERLAP];
    size_t len;
};
void bcda__tail_add(struct bcda__tail *t, const uint8_t *data, size_t len);

#endif
