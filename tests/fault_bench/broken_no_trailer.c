/* A client that takes a gzip file for whole wherever it ends, and does not compare its checksum. */
#include <zlib.h>

#include "codec/inflate.h"

int __wrap_bcda__inflate_finish(struct bcda__inflate *z);
int __real_inflateInit2_(z_streamp z, int bits, const char *version, int size);
int __wrap_inflateInit2_(z_streamp z, int bits, const char *version, int size);

int __wrap_bcda__inflate_finish(struct bcda__inflate *z)
{
    (void)z;
    return 0;
}

int __wrap_inflateInit2_(z_streamp z, int bits, const char *version, int size)
{
    int rc = __real_inflateInit2_(z, bits, version, size);

    return rc == Z_OK ? inflateValidate(z, 0) : rc;
}
