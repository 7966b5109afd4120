/* A client for which a gzip file is complete wherever it ends, and that does not compare its
 * checksum. */
#include "codec/gzip.h"
#include "codec/inflate.h"

int __wrap_bcda__inflate_finish(struct bcda__inflate *z);
int __wrap_bcda__gzip_check(const uint8_t *trailer, size_t len, uint32_t crc, uint32_t size);

int __wrap_bcda__inflate_finish(struct bcda__inflate *z)
{
    (void)z;
    return 0;
}

int __wrap_bcda__gzip_check(const uint8_t *trailer, size_t len, uint32_t crc, uint32_t size)
{
    (void)trailer;
    (void)len;
    (void)crc;
    (void)size;
    return 0;
}
