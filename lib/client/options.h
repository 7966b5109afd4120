/* The table of options: names, ranges, defaults. */
#ifndef BCDA_CLIENT_OPTIONS_H
#define BCDA_CLIENT_OPTIONS_H

#include <stddef.h>
#include <stdint.h>

enum { BCDA__OPTIONS_MAX = 40 };

struct bcda__options {
    int64_t number[BCDA__OPTIONS_MAX]; /* index: row of the table */
    char *text[BCDA__OPTIONS_MAX];     /* index: row of the table; NULL = the default */
};

void bcda__options_init(struct bcda__options *o);
/* Returns 0 or BCDA_ERR_NOMEM. */
int bcda__options_copy(struct bcda__options *to, const struct bcda__options *from);
void bcda__options_free(struct bcda__options *o);
int bcda__options_set_int(struct bcda__options *o, int option, int64_t value);
int bcda__options_set_str(struct bcda__options *o, int option, const char *value);
int bcda__options_get_int(const struct bcda__options *o, int option, int64_t *out);
int bcda__options_get_str(const struct bcda__options *o, int option, const char **out);
/* Gives the range of an option, for error texts. Returns 0, or -1 if the option is unknown. */
int bcda__options_limits(int option, int64_t *min, int64_t *max);
/* Returns the value of an option that is known to exist. */
int64_t bcda__option(const struct bcda__options *o, int option);

#endif
