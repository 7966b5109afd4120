#include "client/budget.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "client/shared_file.h"
#include "protocol/limiter.h"

/* The record has a fixed length, so it is replaced by one write, which does not make the file
 * shorter first: level in thousandths of a request, and Unix time in milliseconds. */
#define RECORD_BEGIN "bcda-budget 1 "
enum {
    BEGIN_LEN = sizeof RECORD_BEGIN - 1,
    NUMBER_LEN = 18,
    RECORD_LEN = BEGIN_LEN + NUMBER_LEN + 1 + NUMBER_LEN + 1,
};
static const int64_t NUMBER_MAX = INT64_C(999999999999999999);

struct bcda__budget {
    struct bcda__shared_file file;
};

int bcda__budget_new(struct bcda__budget **out, const char *path)
{
    struct bcda__budget *b = bcda__calloc(1, sizeof *b);

    if (!b)
        return BCDA_ERR_NOMEM;
    if (bcda__shared_file_init(&b->file, "the request budget", RECORD_BEGIN, path)) {
        bcda__free(b);
        return BCDA_ERR_NOMEM;
    }
    *out = b;
    return 0;
}

int bcda__budget_check(struct bcda__budget *b, struct bcda_error *err)
{
    int rc = bcda__shared_file_lock(&b->file, BCDA__SHARED_READ, 1, err);

    bcda__shared_file_unlock(&b->file);
    return rc < 0 ? rc : 0;
}

/* Returns 0, or -1 if the text is no record. */
static int parse_record(const char *text, size_t len, int64_t *level, int64_t *at_ms)
{
    const char *second = text + BEGIN_LEN + NUMBER_LEN + 1;

    if (len != RECORD_LEN || memcmp(text, RECORD_BEGIN, BEGIN_LEN) != 0 || second[-1] != ' ' ||
        second[NUMBER_LEN] != '\n')
        return -1;
    return bcda__text_to_int64(text + BEGIN_LEN, NUMBER_LEN, level) ||
                   bcda__text_to_int64(second, NUMBER_LEN, at_ms)
               ? -1
               : 0;
}

static int64_t limit_number(int64_t n)
{
    return n < 0 ? 0 : n > NUMBER_MAX ? NUMBER_MAX : n;
}

/* If the write fails, the request is not allowed: on a full disk, a file that stays empty would
 * otherwise be a full bucket for every request. */
static int write_record(struct bcda__budget *b, const struct bcda__limiter *l, size_t old_len,
                        struct bcda_error *err)
{
    char record[RECORD_LEN + 1];
    int rc = 0;

    snprintf(record, sizeof record, RECORD_BEGIN "%018" PRId64 " %018" PRId64 "\n",
             limit_number(l->level), limit_number(l->at_ms));
    if (old_len != RECORD_LEN)
        rc = bcda__shared_file_cut(&b->file, 0, err);
    return rc ? rc : bcda__shared_file_write(&b->file, record, RECORD_LEN, err);
}

int64_t bcda__budget_take(struct bcda__budget *b, int64_t wall_ms, int64_t size, int64_t per_second,
                          uint32_t random, struct bcda_error *err)
{
    char text[RECORD_LEN + 1]; /* one more byte, so that a longer file is noticed */
    size_t len;
    struct bcda__limiter l;
    int64_t level, at_ms, wait = 0;
    int rc = bcda__shared_file_lock(&b->file, BCDA__SHARED_WRITE, 1, err);

    if (rc == BCDA__SHARED_BUSY)
        return 1 + random % 5;
    if (rc < 0)
        return -1;
    rc = bcda__shared_file_read(&b->file, text, sizeof text, &len, err);
    if (!rc) {
        if (parse_record(text, len, &level, &at_ms))
            bcda__limiter_init(&l, size, per_second, wall_ms);
        else
            bcda__limiter_resume(&l, size, per_second, level, at_ms, wall_ms);
        wait = bcda__limiter_take(&l, wall_ms);
        rc = write_record(b, &l, len, err);
    }
    bcda__shared_file_unlock(&b->file);
    return rc ? -1 : wait;
}

void bcda__budget_set_forked(struct bcda__budget *b)
{
    bcda__shared_file_abandon(&b->file);
}

void bcda__budget_free(struct bcda__budget *b)
{
    if (!b)
        return;
    bcda__shared_file_free(&b->file);
    bcda__free(b);
}
