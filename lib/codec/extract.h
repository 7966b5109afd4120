/* Reads the wanted values of a line from its index. */
#ifndef BCDA_CODEC_EXTRACT_H
#define BCDA_CODEC_EXTRACT_H

#include "codec/fields.h"
#include "codec/index.h"
#include "codec/values.h"

/* Sets the spans of *info, and, if `fields` is not NULL, adds the values of the fields to *values.
 * `len` is the length of the line with the white space at its end. Returns BCDA__SCAN_SURE
 * (scan.h); BCDA__SCAN_NOT_SURE if the line is not a resource, nor an envelope with a resource, or
 * exceeds a limit, or is unusual: a member that is read from every line stands twice or has an
 * escape in its value, or a member name has an escape; or BCDA_ERR_NOMEM. */
int bcda__extract(const struct bcda__index *index, size_t len, const struct bcda__field_set *fields,
                  struct bcda__values *values, struct bcda__line_info *info);

#endif
