/* A description of an error. The caller provides the structure, so reporting an error needs no
 * allocation. `text` is one line without secrets, tokens, patient data, bodies or query strings.
 * The server's own text is kept separately, in `server`. */
#ifndef BCDA_BASE_ERR_H
#define BCDA_BASE_ERR_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "bcda/error.h"

struct bcda_error {
    atomic_int refs; /* 0 = the error is a member of another object */
    int code;
    int retryable;
    int http_status;     /* of the response that caused the error; 0 = no response */
    int64_t retry_after; /* milliseconds; -1 = the server sent no Retry-After */
    /* the number of the invalid line, from 1; 0 = the error is not about a line */
    int64_t line;
    int64_t offset; /* of that line: bytes from the start of the decoded file; -1 = none */
    char text[480];
    char file[160];   /* the name of the file in its URL; "" = none */
    char server[640]; /* the server's own text; "" = none */
};

void bcda__err_clear(struct bcda_error *e);
/* Fills `e` with this code, its default retryability and this text, and clears all other fields.
 * `e` may be NULL. Returns `code`, so a caller can write `return bcda__err_set(…)`. */
int bcda__err_set(struct bcda_error *e, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
int bcda__err_nomem(struct bcda_error *e);
/* Puts the formatted context and ": " before the text. Call it once for an error, in the layer that
 * knows the context. */
void bcda__err_context(struct bcda_error *e, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Puts "; " and the formatted text after the text. */
void bcda__err_add(struct bcda_error *e, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void bcda__err_where(struct bcda_error *e, const char *file, int64_t line, int64_t offset);
/* Copies the server's own text to `server`. Control characters become spaces; a text that is too
 * long is cut. */
void bcda__err_server(struct bcda_error *e, const char *text, size_t len);
/* Wipes `server`, which may name a person. Call it before the object that contains `e` is freed. */
void bcda__err_forget(struct bcda_error *e);
/* Copies all fields but `refs`. */
void bcda__err_copy(struct bcda_error *to, const struct bcda_error *from);

/* Allocates an error with `refs` 1. Returns NULL if there is no memory. */
struct bcda_error *bcda__err_new(void);

/* ---- the table of codes ---- */

int bcda__err_default_retryable(int code); /* 1 if a later attempt may succeed */
/* Returns how many consecutive attempts without progress a request may make that fails with this
 * code. The result is at most `most`, which is BCDA_OPT_ATTEMPTS; 1 means no retry. */
int bcda__err_attempts(int code, int most);

#endif
