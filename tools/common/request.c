/* Creates the export request of a job. */
#include "common.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int request_refused(const bcda_export *e, const char *option, const char *value, int rc)
{
    char what[300];

    if (!rc)
        return 0;
    snprintf(what, sizeof what, "%s %s", option, value);
    if (bcda_export_error(e))
        complain_error(what, bcda_export_error(e));
    else
        complain("%s: %s", what, bcda_error_string(rc));
    return -1;
}

static int request_add_types(bcda_export *e, const struct options *o, const char *only_type)
{
    size_t i;

    if (only_type)
        return request_refused(e, "--type", only_type, bcda_export_add_type(e, only_type));
    for (i = 0; i < o->type_count; i++)
        if (request_refused(e, "--type", o->types[i], bcda_export_add_type(e, o->types[i])))
            return -1;
    return 0;
}

/* Returns the option that must be used for this parameter, or NULL if there is none. */
static const char *option_for(const char *name)
{
    static const char *const options[][2] = {
        {"_type", "--type"}, {"_since", "--since"}, {"_typeFilter", "--type-filter"}};
    size_t i;

    for (i = 0; i < sizeof options / sizeof options[0]; i++)
        if (strcmp(options[i][0], name) == 0)
            return options[i][1];
    return NULL;
}

static int request_add_parameter(bcda_export *e, const char *parameter)
{
    const char *value = strchr(parameter, '=');
    char *name = value ? strndup(parameter, (size_t)(value - parameter)) : NULL;
    int rc = -1;

    if (!value)
        complain("--parameter %s: not NAME=VALUE", parameter);
    else if (!name)
        complain("out of memory");
    else if (option_for(name))
        complain("--parameter %s: use %s", parameter, option_for(name));
    else
        rc = request_refused(e, "--parameter", parameter,
                             bcda_export_set_parameter(e, name, value + 1));
    free(name);
    return rc;
}

static int request_add_all(bcda_export *e, const struct options *o, const char *only_type)
{
    size_t i;

    if (o->group && request_refused(e, "--group", o->group, bcda_export_set_group(e, o->group)))
        return -1;
    if (o->since && request_refused(e, "--since", o->since, bcda_export_set_since(e, o->since)))
        return -1;
    if (request_add_types(e, o, only_type))
        return -1;
    for (i = 0; i < o->type_filter_count; i++)
        if (request_refused(e, "--type-filter", o->type_filters[i],
                            bcda_export_add_type_filter(e, o->type_filters[i])))
            return -1;
    for (i = 0; i < o->parameter_count; i++)
        if (request_add_parameter(e, o->parameters[i]))
            return -1;
    return 0;
}

bcda_export *request_new(const struct options *o, int level, const char *only_type)
{
    bcda_export *e = NULL;
    int rc = bcda_export_new(&e, level);

    if (rc) {
        complain("%s", bcda_error_string(rc));
        return NULL;
    }
    if (request_add_all(e, o, only_type) == 0)
        return e;
    bcda_export_free(e);
    return NULL;
}

char *request_text(const struct options *o)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    size_t i;

    if (out) {
        fprintf(out, "level %d, group %s, types", o->level, o->group ? o->group : "-");
        for (i = 0; i < o->type_count; i++)
            fprintf(out, " %s", o->types[i]);
    }
    if (!out || fclose(out)) {
        complain("out of memory");
        free(text);
        return NULL;
    }
    for (i = 0; text[i]; i++)
        if ((unsigned char)text[i] < 0x20)
            text[i] = ' '; /* the text must be one line of the state */
    return text;
}
