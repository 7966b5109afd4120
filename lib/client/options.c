#include "client/options.h"

#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "bcda/config.h"
#include "bcda/error.h"
#include "bcda/version.h"

#define KIB INT64_C(1024)
#define MIB (KIB * 1024)
#define GIB (MIB * 1024)
#define DAY (INT64_C(24) * 3600 * 1000)

struct row {
    int option;
    const char *name;
    int is_text;
    int64_t min, max, number; /* `number` is the default */
    const char *text;
};

static const struct row table[] = {
    {BCDA_OPT_ALLOW_HTTP_LOOPBACK, "allow_http_loopback", 0, 0, 1, 0, NULL},
    {BCDA_OPT_ANSWER_MAX, "answer_max", 0, KIB, GIB, MIB, NULL},
    {BCDA_OPT_MANIFEST_MAX, "manifest_max", 0, KIB, 4 * GIB, 256 * MIB, NULL},
    {BCDA_OPT_MANIFEST_ENTRIES_MAX, "manifest_entries_max", 0, 1, 10000000, 200000, NULL},
    {BCDA_OPT_LINE_MAX, "line_max", 0, 64, 2 * GIB, 64 * MIB, NULL},
    {BCDA_OPT_JSON_DEPTH_MAX, "json_depth_max", 0, 1, 10000, 64, NULL},
    {BCDA_OPT_HEADERS_MAX, "headers_max", 0, KIB, 16 * MIB, 256 * KIB, NULL},
    {BCDA_OPT_ATTEMPTS, "attempts", 0, 1, 100, 8, NULL},
    {BCDA_OPT_PARALLEL, "parallel", 0, 1, 64, 5, NULL},
    {BCDA_OPT_CONNECT_TIMEOUT_MS, "connect_timeout_ms", 0, 1, DAY, 30000, NULL},
    {BCDA_OPT_LOW_SPEED_BYTES, "low_speed_bytes", 0, 0, GIB, KIB, NULL},
    {BCDA_OPT_LOW_SPEED_TIME_MS, "low_speed_time_ms", 0, 1, DAY, 60000, NULL},
    {BCDA_OPT_JOB_TIMEOUT_MS, "job_timeout_ms", 0, 1, 365 * DAY, DAY, NULL},
    {BCDA_OPT_POLL_MAX_MS, "poll_max_ms", 0, 1, DAY, 30000, NULL},
    {BCDA_OPT_RETRY_MAX_MS, "retry_max_ms", 0, 1, DAY, 60000, NULL},
    {BCDA_OPT_RETRY_AFTER_MAX_MS, "retry_after_max_ms", 0, 1, DAY, 600000, NULL},
    {BCDA_OPT_BATCH_SIZE, "batch_size", 0, 4 * KIB, 64 * MIB, 256 * KIB, NULL},
    {BCDA_OPT_BATCH_DELAY_MS, "batch_delay_ms", 0, 0, DAY, 100, NULL},
    {BCDA_OPT_BAD_LINES_MAX, "bad_lines_max", 0, -1, INT64_MAX, 0, NULL},
    {BCDA_OPT_GZIP, "gzip", 0, 0, 1, 1, NULL},
    {BCDA_OPT_REQUESTS_BURST, "requests_burst", 0, 1, 1000000, 3000, NULL},
    {BCDA_OPT_REQUESTS_PER_SECOND, "requests_per_second", 0, 1, 1000000, 10, NULL},
    {BCDA_OPT_REDIRECTS_MAX, "redirects_max", 0, 0, 50, 5, NULL},
    {BCDA_OPT_DELIVERY, "delivery", 0, BCDA_DELIVERY_STREAMING, BCDA_DELIVERY_VERIFIED,
     BCDA_DELIVERY_STREAMING, NULL},
    {BCDA_OPT_CHECK_COUNT, "check_count", 0, 0, 1, 1, NULL},
    {BCDA_OPT_DUPLICATE_JOB, "duplicate_job", 0, BCDA_DUPLICATE_WAIT, BCDA_DUPLICATE_TAKE_OVER,
     BCDA_DUPLICATE_WAIT, NULL},
    {BCDA_OPT_JOB_RETRIES_MAX, "job_retries_max", 0, 0, 1000000, 1000, NULL},
    {BCDA_OPT_DECODE_THREADS, "decode_threads", 0, 0, 64, 0, NULL},
    {BCDA_OPT_CANCEL_AT_SERVER, "cancel_at_server", 0, 0, 1, 0, NULL},
    {BCDA_OPT_SCANNER, "scanner", 0, 0, 1, 1, NULL},
    {BCDA_OPT_CONFIRM_LINES, "confirm_lines", 0, BCDA_CONFIRM_NONE, BCDA_CONFIRM_STAGED,
     BCDA_CONFIRM_NONE, NULL},
    {BCDA_OPT_PULL_DELETIONS, "pull_deletions", 0, 0, 1, 0, NULL},
    {BCDA_OPT_TOKEN_COMMAND_TIMEOUT_MS, "token_command_timeout_ms", 0, 1, DAY, 60000, NULL},
    {BCDA_OPT_USER_AGENT, "user_agent", 1, 0, 0, 0, "libbcda/" BCDA_VERSION_STRING},
};

enum { ROWS = sizeof table / sizeof table[0] };
_Static_assert((int)ROWS <= (int)BCDA__OPTIONS_MAX,
               "struct bcda__options has a place for each row");

static int find_option(int option)
{
    int i;

    for (i = 0; i < ROWS; i++)
        if (table[i].option == option)
            return i;
    return -1;
}

int bcda_option_by_name(const char *name)
{
    int i;

    for (i = 0; name && i < ROWS; i++)
        if (strcmp(table[i].name, name) == 0)
            return table[i].option;
    return BCDA_ERR_OPTION_UNKNOWN;
}

const char *bcda_option_name(int option)
{
    int i = find_option(option);

    return i < 0 ? NULL : table[i].name;
}

void bcda__options_init(struct bcda__options *o)
{
    int i;

    memset(o, 0, sizeof *o);
    for (i = 0; i < ROWS; i++)
        o->number[i] = table[i].number;
}

int bcda__options_copy(struct bcda__options *to, const struct bcda__options *from)
{
    int i;

    bcda__options_init(to);
    for (i = 0; i < ROWS; i++) {
        to->number[i] = from->number[i];
        if (!from->text[i])
            continue;
        to->text[i] = bcda__strdup(from->text[i]);
        if (!to->text[i]) {
            bcda__options_free(to);
            return BCDA_ERR_NOMEM;
        }
    }
    return 0;
}

void bcda__options_free(struct bcda__options *o)
{
    int i;

    for (i = 0; i < ROWS; i++)
        bcda__free(o->text[i]);
    bcda__options_init(o);
}

int bcda__options_set_int(struct bcda__options *o, int option, int64_t value)
{
    int i = find_option(option);

    if (i < 0)
        return BCDA_ERR_OPTION_UNKNOWN;
    if (table[i].is_text)
        return BCDA_ERR_OPTION_TYPE;
    if (value < table[i].min || value > table[i].max)
        return BCDA_ERR_OPTION_RANGE;
    o->number[i] = value;
    return 0;
}

int bcda__options_set_str(struct bcda__options *o, int option, const char *value)
{
    int i = find_option(option);
    const char *p;
    char *copy;

    if (i < 0)
        return BCDA_ERR_OPTION_UNKNOWN;
    if (!table[i].is_text)
        return BCDA_ERR_OPTION_TYPE;
    for (p = value; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7F)
            return BCDA_ERR_OPTION_RANGE;
    copy = bcda__strdup(value);
    if (!copy)
        return BCDA_ERR_NOMEM;
    bcda__free(o->text[i]);
    o->text[i] = copy;
    return 0;
}

int bcda__options_get_int(const struct bcda__options *o, int option, int64_t *out)
{
    int i = find_option(option);

    if (i < 0)
        return BCDA_ERR_OPTION_UNKNOWN;
    if (table[i].is_text)
        return BCDA_ERR_OPTION_TYPE;
    *out = o->number[i];
    return 0;
}

int bcda__options_get_str(const struct bcda__options *o, int option, const char **out)
{
    int i = find_option(option);

    if (i < 0)
        return BCDA_ERR_OPTION_UNKNOWN;
    if (!table[i].is_text)
        return BCDA_ERR_OPTION_TYPE;
    *out = o->text[i] ? o->text[i] : table[i].text;
    return 0;
}

int bcda__options_limits(int option, int64_t *min, int64_t *max)
{
    int i = find_option(option);

    if (i < 0)
        return -1;
    *min = table[i].min;
    *max = table[i].max;
    return 0;
}

int64_t bcda__option(const struct bcda__options *o, int option)
{
    return o->number[find_option(option)];
}
