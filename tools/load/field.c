/* The columns of --field. The name of a column is its path in lower case, with '_' in place of all
 * characters but letters and digits. So the path, with '_' in place of '.', names the column in SQL
 * without quotes. */
#include "load.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int is_own_column(const char *name)
{
    static const char *const own[] = {
        "type", "id",   "last_updated", "last_updated_ns", "json",  "ctid", "xmin",
        "xmax", "cmin", "cmax",         "tableoid",        "rowid", "oid",  "_rowid_"};
    size_t i;

    for (i = 0; i < sizeof own / sizeof *own; i++)
        if (strcmp(own[i], name) == 0)
            return 1;
    return 0;
}

static int field_refuse(const char *path, const char *why)
{
    complain("--field %s: %s", path, why);
    return -1;
}

int field_add(struct load_args *a, const char *path)
{
    struct field *f = &a->fields[a->field_count];
    size_t i;

    if (a->field_count == FIELDS_MAX)
        return field_refuse(path, "there are more than 64 fields");
    if (!*path || strlen(path) >= COLUMN_SIZE)
        return field_refuse(path, "a path has 1 to 63 bytes");
    for (i = 0; path[i]; i++)
        f->column[i] = isalnum((unsigned char)path[i]) && (unsigned char)path[i] < 0x80
                           ? (char)tolower((unsigned char)path[i])
                           : '_';
    f->column[i] = '\0';
    f->path = path;
    if (is_own_column(f->column))
        return field_refuse(path, "the table has a column of this name already");
    for (i = 0; i < a->field_count; i++)
        if (strcmp(a->fields[i].column, f->column) == 0)
            return field_refuse(path, strcmp(a->fields[i].path, path) == 0
                                          ? "it is given twice"
                                          : "another field has the same column");
    a->field_count++;
    return 0;
}

static int compare_paths(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

char *field_paths(const struct load_args *a)
{
    const char *paths[FIELDS_MAX];
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    size_t i;

    for (i = 0; i < a->field_count; i++)
        paths[i] = a->fields[i].path;
    qsort(paths, a->field_count, sizeof *paths, compare_paths);
    for (i = 0; out && i < a->field_count; i++)
        fprintf(out, "%s\n", paths[i]);
    if (!out || fclose(out)) {
        complain("out of memory");
        free(text);
        return NULL;
    }
    return text;
}

/* Prints the paths of a text of field_paths() on one line. */
static void complain_fields(const char *what, const char *paths)
{
    char line[1024];
    size_t i;

    snprintf(line, sizeof line, "%s", *paths ? paths : "none");
    for (i = 0; line[i]; i++)
        if (line[i] == '\n')
            line[i] = line[i + 1] ? ' ' : '\0';
    complain("  %s: %s", what, line);
}

/* Adds the recorded fields. Their texts stay in a->recorded. */
static int add_recorded(struct load_args *a, const char *recorded)
{
    char *path;
    char *rest;

    free(a->recorded);
    a->recorded = strdup(recorded);
    if (!a->recorded) {
        complain("out of memory");
        return -1;
    }
    for (path = strtok_r(a->recorded, "\n", &rest); path; path = strtok_r(NULL, "\n", &rest))
        if (field_add(a, path))
            return -1;
    return 0;
}

int field_use_recorded(struct load_args *a, const char *recorded)
{
    char *paths = field_paths(a);
    int same = paths && strcmp(paths, recorded) == 0;
    int rc = paths && (same || !a->field_count) ? 0 : -1;

    if (paths && rc) {
        complain("the columns of the table are not those of --field: use the same fields, or "
                 "another database or schema");
        complain_fields("the table has", recorded);
        complain_fields("the command line has", paths);
    }
    free(paths);
    return rc || same ? rc : add_recorded(a, recorded);
}
