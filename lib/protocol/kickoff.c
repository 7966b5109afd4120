#include "protocol/kickoff.h"

#include <string.h>

#include "base/text.h"
#include "base/url.h"
#include "protocol/calendar.h"

enum { TYPES_MAX = 256, TYPE_LEN_MAX = 64 };

/* ---- the settings ---- */

static int is_dots(const char *segment)
{
    return strcmp(segment, ".") == 0 || strcmp(segment, "..") == 0;
}

static int check_level(const struct bcda__kickoff *k, struct bcda_error *err)
{
    switch (k->level) {
    case BCDA__LEVEL_RESOURCE:
        if (k->type_count != 1)
            return bcda__err_set(err, BCDA_ERR_CONFIG,
                                 "an export at resource level takes exactly one type, and %zu are "
                                 "set",
                                 k->type_count);
        return 0;
    case BCDA__LEVEL_GROUP:
        if (!k->group || !k->group[0])
            return bcda__err_set(err, BCDA_ERR_CONFIG,
                                 "an export at group level needs a group, such as all");
        /* Escaping does not change "." and "..", and ".." would remove /Group from the path. */
        if (is_dots(k->group))
            return bcda__err_set(err, BCDA_ERR_CONFIG, "the group cannot be . or ..");
        return 0;
    case BCDA__LEVEL_PATIENT:
    case BCDA__LEVEL_SYSTEM:
        return 0;
    }
    return bcda__err_set(err, BCDA_ERR_CONFIG, "the export's level is unknown");
}

static int check_kickoff(const struct bcda__kickoff *k, struct bcda_error *err)
{
    struct bcda__url url;
    size_t i;

    if (bcda__url_parse(k->fhir_url, &url) || url.query)
        return bcda__err_set(err, BCDA_ERR_CONFIG,
                             "the FHIR URL must be an absolute URL without a query");
    for (i = 0; i < k->type_count; i++)
        if (!bcda__text_is_alpha(k->types[i], strlen(k->types[i])))
            return bcda__err_set(err, BCDA_ERR_CONFIG, "type %zu is not a name of letters only",
                                 i + 1);
    for (i = 0; i < k->parameter_count; i++)
        if (!k->parameter_names[i][0])
            return bcda__err_set(err, BCDA_ERR_CONFIG, "parameter %zu has no name", i + 1);
    return check_level(k, err);
}

/* ---- the URL ---- */

/* The `$` must not be escaped: the server answers %24export with 404 (bcda-api 1). */
static int add_path(struct bcda__buf *out, const struct bcda__kickoff *k)
{
    int rc = 0;

    switch (k->level) {
    case BCDA__LEVEL_RESOURCE:
        return bcda__buf_addf(out, "/%s/$export", k->types[0]);
    case BCDA__LEVEL_PATIENT:
        return bcda__buf_adds(out, "/Patient/$export");
    case BCDA__LEVEL_GROUP:
        rc = bcda__buf_adds(out, "/Group/");
        if (!rc)
            rc = bcda__url_add_escaped(out, k->group, "");
        if (!rc)
            rc = bcda__buf_adds(out, "/$export");
        return rc;
    case BCDA__LEVEL_SYSTEM:
        return bcda__buf_adds(out, "/$export");
    }
    return rc;
}

/* Adds "?name=" or "&name=". */
static int add_name(struct bcda__buf *out, char *separator, const char *name)
{
    int rc = bcda__buf_add(out, separator, 1);

    *separator = '&';
    if (!rc)
        rc = bcda__url_add_escaped(out, name, "");
    return rc ? rc : bcda__buf_adds(out, "=");
}

/* '+' is escaped, because the server decodes it as a space (bcda-api 4.3). ':' need not be escaped.
 */
static int add_parameter(struct bcda__buf *out, char *separator, const char *name,
                         const char *value)
{
    int rc = add_name(out, separator, name);

    return rc ? rc : bcda__url_add_escaped(out, value, ":");
}

/* Adds the types as one list with commas, because the server ignores a second _type. The list is
 * also sent at resource level. Some servers take /Patient/$export for the patient level, and would
 * export every type without the list. Servers that have a resource level ignore the list there. */
static int add_types(struct bcda__buf *out, char *separator, const struct bcda__kickoff *k)
{
    size_t i;
    int rc = 0;

    for (i = 0; i < k->type_count && !rc; i++) {
        rc = i ? bcda__buf_adds(out, ",") : add_name(out, separator, "_type");
        if (!rc)
            rc = bcda__buf_adds(out, k->types[i]);
    }
    return rc;
}

static int add_query(struct bcda__buf *out, const struct bcda__kickoff *k)
{
    char separator = '?';
    size_t i;
    int rc = 0;

    rc = add_types(out, &separator, k);
    if (!rc && k->since)
        rc = add_parameter(out, &separator, "_since", k->since);
    for (i = 0; i < k->type_filter_count && !rc; i++)
        rc = add_parameter(out, &separator, "_typeFilter", k->type_filters[i]);
    for (i = 0; i < k->parameter_count && !rc; i++)
        rc = add_parameter(out, &separator, k->parameter_names[i], k->parameter_values[i]);
    return rc;
}

int bcda__kickoff_url(struct bcda__buf *out, const struct bcda__kickoff *k, struct bcda_error *err)
{
    int rc = check_kickoff(k, err);

    bcda__buf_clear(out);
    if (rc)
        return rc;
    rc = bcda__url_add_base(out, k->fhir_url);
    if (!rc)
        rc = add_path(out, k);
    if (!rc)
        rc = add_query(out, k);
    if (!rc)
        return 0;
    bcda__buf_clear(out);
    if (rc == BCDA_ERR_NOMEM)
        return bcda__err_nomem(err);
    return bcda__err_set(err, BCDA_ERR_INVALID, "the URL of the export is longer than %zu bytes",
                         out->max);
}

/* ---- the types of a kick-off URL ---- */

static int has_type(const struct bcda__texts *types, const char *name, size_t len)
{
    size_t i;

    for (i = 0; i < types->count; i++)
        if (strlen(types->at[i]) == len && memcmp(types->at[i], name, len) == 0)
            return 1;
    return 0;
}

/* Adds a type. Invalid names are ignored: no file can have such a type, and the name would appear
 * in log lines. FHIR has about 150 types, so types beyond TYPES_MAX are ignored too. */
static int add_type_name(struct bcda__texts *out, const char *name, size_t len)
{
    if (len > TYPE_LEN_MAX || !bcda__text_is_alpha(name, len) || out->count >= TYPES_MAX ||
        has_type(out, name, len))
        return 0;
    return bcda__texts_add(out, name, len);
}

int bcda__types_add_list(struct bcda__texts *out, const char *list)
{
    int rc = 0;

    for (;;) {
        size_t len = strcspn(list, ",");

        rc = add_type_name(out, list, len);
        if (rc || !list[len])
            return rc;
        list += len + 1;
    }
}

/* Adds the type that a path at resource level contains, such as /ExplanationOfBenefit/$export. */
static int add_type_of_path(struct bcda__texts *out, const struct bcda__url *u,
                            const char *fhir_url)
{
    static const char operation[] = "/$export";
    const size_t operation_len = sizeof operation - 1;
    struct bcda__url fhir;
    const char *type;
    size_t len;

    if (bcda__url_parse(fhir_url, &fhir))
        return 0;
    len = fhir.path_len;
    while (len && fhir.path[len - 1] == '/')
        len--;
    if (u->path_len < len + operation_len + 2 || memcmp(u->path, fhir.path, len) != 0 ||
        memcmp(u->path + u->path_len - operation_len, operation, operation_len) != 0)
        return 0;
    type = u->path + len + 1;
    len = u->path_len - operation_len - len - 1;
    if (type[-1] != '/' || !bcda__text_is_alpha(type, len) ||
        (len == strlen("Patient") && memcmp(type, "Patient", len) == 0))
        return 0;
    return add_type_name(out, type, len);
}

/* Adds the types in one "name=value" of a query, if the name is _type. */
static int add_types_of_parameter(struct bcda__texts *out, const char *text, size_t len)
{
    static const char name[] = "_type=";
    struct bcda__buf value;
    int rc;

    if (len < sizeof name - 1 || memcmp(text, name, sizeof name - 1) != 0)
        return 0;
    bcda__buf_init(&value, len);
    rc = bcda__url_add_unescaped(&value, text + sizeof name - 1, len - (sizeof name - 1));
    if (!rc && value.len)
        rc = bcda__types_add_list(out, value.data);
    bcda__buf_free(&value);
    return rc;
}

int bcda__types_of_request(struct bcda__texts *out, const char *request, const char *fhir_url)
{
    struct bcda__url u;
    const char *at;
    size_t len;
    int rc;

    if (bcda__url_parse(request, &u))
        return 0;
    rc = add_type_of_path(out, &u, fhir_url);
    for (at = u.query; !rc && at; at = at[len] ? at + len + 1 : NULL) {
        len = strcspn(at, "&");
        rc = add_types_of_parameter(out, at, len);
    }
    return rc;
}

/* ---- instants ---- */

static int two_digits(const char *p)
{
    if (p[0] < '0' || p[0] > '9' || p[1] < '0' || p[1] > '9')
        return -1;
    return (p[0] - '0') * 10 + (p[1] - '0');
}

static int in_range(const char *p, int low, int high)
{
    int value = two_digits(p);

    return value >= low && value <= high;
}

static int check_day(const char *p) /* YYYY-MM-DD */
{
    int century = two_digits(p);
    int year = century < 0 ? -1 : two_digits(p + 2);

    if (year < 0 || century * 100 + year == 0 || p[4] != '-' || !in_range(p + 5, 1, 12) ||
        p[7] != '-')
        return -1;
    return in_range(p + 8, 1, bcda__days_in_month(century * 100 + year, two_digits(p + 5))) ? 0
                                                                                            : -1;
}

/* Checks a zone: Z or ±hh:mm, at most 14:00, as in FHIR's regular expression. */
static int check_zone(const char *p)
{
    size_t len = strlen(p);

    if (len == 1 && p[0] == 'Z')
        return 0;
    if (len != 6 || (p[0] != '+' && p[0] != '-') || p[3] != ':')
        return -1;
    if (!in_range(p + 1, 0, 14) || !in_range(p + 4, 0, two_digits(p + 1) == 14 ? 0 : 59))
        return -1;
    return 0;
}

int bcda__instant_check(const char *text)
{
    static const size_t fixed = sizeof "YYYY-MM-DDThh:mm:ss" - 1;
    const char *p = text + fixed;
    size_t digits;

    if (strlen(text) <= fixed || check_day(text))
        return -1;
    if (text[10] != 'T' || !in_range(text + 11, 0, 23) || text[13] != ':' ||
        !in_range(text + 14, 0, 59) || text[16] != ':' || !in_range(text + 17, 0, 60))
        return -1;
    if (*p == '.') {
        digits = strspn(++p, "0123456789");
        if (digits == 0)
            return -1;
        p += digits;
    }
    return check_zone(p);
}
