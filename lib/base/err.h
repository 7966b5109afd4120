/* What went wrong, as a value: filled in place and copied, so that reporting an error never needs
 * an allocation. Texts are one line, without secrets, tokens, patient data, bodies or
 * query strings; what the server said itself stands apart in `server`. */
#ifndef BCDA_BASE_ERR_H
#define BCDA_BASE_ERR_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "bcda/error.h"

struct bcda_error {
    atomic_int refs; /* 0 = part of another object */
    int code;
    int retryable;
    int http_status;     /* 0 = none */
    int64_t retry_after; /* milliseconds, -1 = the server named none */
    int64_t line;        /* from 1; 0 = none */
    int64_t offset;      /* bytes from the start of the decoded file; -1 = none */
    char text[480];
    char file[160];   /* the file's name in its URL, "" = none */
    char server[640]; /* the server's words, "" = none */
};

void bcda__err_clear(struct bcda_error *e);
/* Starts a new error: code, default retryability, text. Gives `code` back, for `return
 * bcda__err_set(…)`. `e` may be NULL. */
int bcda__err_set(struct bcda_error *e, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
int bcda__err_nomem(struct bcda_error *e);
/* Puts "context: " before the text, once, at the layer that knows it. */
void bcda__err_context(struct bcda_error *e, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void bcda__err_where(struct bcda_error *e, const char *file, int64_t line, int64_t offset);
/* Keeps the server's own words: control characters become spaces, length is capped. */
void bcda__err_server(struct bcda_error *e, const char *text, size_t len);
/* Wipes the server's words, which may name a person, before its owner is freed. */
void bcda__err_forget(struct bcda_error *e);
void bcda__err_copy(struct bcda_error *to, const struct bcda_error *from); /* not refs */

/* Objects: */
struct bcda_error *bcda__err_new(void); /* refs 1; NULL where memory is refused */

/* ---- the table of codes ---- */

int bcda__err_default_retryable(int code); /* whether another attempt can succeed later */
/* How many attempts in a row that bring nothing new the code is worth, at most `most`
 * (BCDA_OPT_ATTEMPTS); 1 = it is believed at once. */
int bcda__err_attempts(int code, int most);

#endif
