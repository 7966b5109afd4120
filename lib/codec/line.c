#include "codec/line.h"

#include <string.h>

#include "base/mem.h"
#include "bcda/error.h"
#include "codec/extract.h"
#include "codec/json.h"
#include "codec/scan.h"

struct bcda__line_reader {
    struct bcda__scan *scan;
    struct bcda__json_line *json;
    const struct bcda__field_set *fields; /* NULL = none are requested */
    struct bcda__values values;           /* of a line that the scanner is sure of */
    int yajl_only;
    int64_t yajl_lines; /* not yet taken */
};

int bcda__line_reader_new(struct bcda__line_reader **out, int max_depth,
                          const struct bcda__field_set *fields, int yajl_only)
{
    struct bcda__line_reader *r = bcda__calloc(1, sizeof *r);

    if (!r)
        return BCDA_ERR_NOMEM;
    r->fields = bcda__field_set_count(fields) ? fields : NULL;
    r->yajl_only = yajl_only;
    if (bcda__scan_new(&r->scan, max_depth) ||
        bcda__json_line_new(&r->json, max_depth, r->fields)) {
        bcda__line_reader_free(r);
        return BCDA_ERR_NOMEM;
    }
    *out = r;
    return 0;
}

/* Reads a line by the scanner. Returns BCDA__SCAN_SURE, BCDA__SCAN_NOT_SURE or BCDA_ERR_NOMEM. */
static int read_by_scanner(struct bcda__line_reader *r, const char *line, size_t len,
                           struct bcda__line_info *info)
{
    const struct bcda__index *index;
    int rc = bcda__scan_line(r->scan, line, len, &index);

    bcda__values_clear(&r->values);
    if (rc != BCDA__SCAN_SURE)
        return rc;
    return bcda__extract(index, len, r->fields, &r->values, info);
}

int bcda__line_read(struct bcda__line_reader *r, const char *line, size_t len,
                    struct bcda__line_info *info)
{
    int rc = BCDA__SCAN_NOT_SURE;

    memset(info, 0, sizeof *info);
    if (!r->yajl_only)
        rc = read_by_scanner(r, line, len, info);
    if (rc != BCDA__SCAN_NOT_SURE)
        return rc == BCDA__SCAN_SURE ? 0 : rc;
    r->yajl_lines++;
    if (len > BCDA__LINE_KEEP)
        bcda__scan_trim(r->scan, BCDA__LINE_KEEP); /* yajl may need as much memory */
    return bcda__json_line_read(r->json, line, len, info);
}

int64_t bcda__line_reader_take_yajl_lines(struct bcda__line_reader *r)
{
    int64_t lines = r->yajl_lines;

    r->yajl_lines = 0;
    return lines;
}

void bcda__line_reader_trim(struct bcda__line_reader *r)
{
    bcda__scan_trim(r->scan, BCDA__LINE_KEEP);
    bcda__json_line_trim(r->json, BCDA__LINE_KEEP);
    bcda__values_trim(&r->values, BCDA__LINE_KEEP);
}

void bcda__line_reader_free(struct bcda__line_reader *r)
{
    if (!r)
        return;
    bcda__scan_free(r->scan);
    bcda__json_line_free(r->json);
    bcda__values_free(&r->values);
    bcda__free(r);
}
