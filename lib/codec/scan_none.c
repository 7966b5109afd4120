/* Takes the place of scan.c in a build without the scanner (meson option -Dscanner=disabled). No
 * line is sure, so yajl reads all of them. */
#include "codec/scan.h"

int bcda__scan_new(struct bcda__scan **out, int max_depth)
{
    (void)max_depth;
    *out = NULL;
    return 0;
}

int bcda__scan_line(struct bcda__scan *s, const char *line, size_t len,
                    const struct bcda__index **index)
{
    (void)s;
    (void)line;
    (void)len;
    (void)index;
    return BCDA__SCAN_NOT_SURE;
}

void bcda__scan_trim(struct bcda__scan *s, size_t keep)
{
    (void)s;
    (void)keep;
}

void bcda__scan_free(struct bcda__scan *s)
{
    (void)s;
}
