/* A strict reader of JSON (RFC 8259). */
#ifndef SANDBOX_JSON_H
#define SANDBOX_JSON_H

#include <stdbool.h>
#include <stddef.h>

enum json_kind { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json {
    enum json_kind kind;
    char *name; /* of a member of an object; NULL otherwise */
    char *text; /* of a string; a number, true, false or null as it is written; NULL otherwise */
    struct json *child; /* the first element or member */
    struct json *next;  /* the next one in the same array or object */
};

/* Returns NULL unless the text is exactly one value. An object with two members of one name, a
 * string with NUL and a nesting of more than 16 levels are refused. */
struct json *json_parse(const char *text, size_t n);
void json_free(struct json *v);
/* Returns a member, or NULL if there is none or the value is not an object. */
const struct json *json_member(const struct json *object, const char *name);
/* Returns the text of a member that is a string, or NULL. */
const char *json_string(const struct json *object, const char *name);

#endif
