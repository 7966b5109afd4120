/* The manifest of a completed job (bcda-api 5.2). The parser takes the body in pieces; memory
 * depends on the number of entries. */
#ifndef BCDA_PROTOCOL_MANIFEST_H
#define BCDA_PROTOCOL_MANIFEST_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct bcda__entry {
    const char *type; /* "" = none */
    const char *url;  /* an absolute URL */
    const char *name; /* the last segment of the URL, not decoded; the label of the wrapped key */
    const char *key;  /* the wrapped key in hexadecimal, trimmed; NULL = the file is plain */
    int is_error;     /* it is in `error`, or its name ends in "-error.ndjson" (bcda-api 6.6) */
    int64_t count;    /* Bulk Data `count`, the number of resources; -1 = unknown */
    /* Extensions of AB2D and DPC, about the file without its Content-Encoding: */
    int64_t length;          /* file_length; -1 = unknown */
    const uint8_t *checksum; /* the 32 bytes of SHA-256; NULL = unknown */
};

struct bcda__manifest {
    atomic_int refs;
    const char *transaction_time; /* exactly as sent; "" = none */
    const char *request;          /* "" = none */
    /* outputOrganizedBy: a file has lines of several types. "" = none. */
    const char *organized_by;
    int64_t job_id;            /* a number, which may be sent as a string; -1 = unknown */
    int requires_access_token; /* 1 if absent, because BCDA always needs the token */
    /* In the order of the document, `output` before `error`. A URL that is in both has one entry,
     * as an error (bcda-api 5.2). */
    struct bcda__entry *entries;
    size_t count;
    size_t output_count;  /* the number of entries with is_error 0 */
    size_t deleted_count; /* items of `deleted`, which are checked like the others but not kept */
    /* Private to manifest.c: the texts. */
    struct bcda__manifest_arena *arena;
};

struct bcda__manifest_parser;
/* `max_entries` = BCDA_OPT_MANIFEST_ENTRIES_MAX. */
int bcda__manifest_parser_new(struct bcda__manifest_parser **out, size_t max_entries);
/* 0; BCDA_ERR_NOT_JSON; BCDA_ERR_MANIFEST; BCDA_ERR_BODY_TOO_LARGE (more than `max_entries`);
 * NOMEM. On an error `err` is filled. */
int bcda__manifest_parser_write(struct bcda__manifest_parser *p, const void *data, size_t len,
                                struct bcda_error *err);
/* Ends the body. The caller owns one reference to *out, and must then free the parser.
 *
 * BCDA_ERR_MANIFEST: a known member is there twice or has another type (null is the same as
 * absent); an item has no valid URL and file name; a file has two keys; a checksum is wrong or
 * there twice; there are further pages; a file continues in a file that is not listed.
 *
 * The key of a file is `encryptedKey` of its item, or else the value of `KeyMap` with the file's
 * name, or else that of the array `keys` ("hex|name"). Names and values are trimmed, because the
 * server padded names to 127 characters in 2018; they are otherwise compared exactly. No key, ""
 * and the text "NO_ENCRYPTION" in hexadecimal mean that the file is plain.
 *
 * The entry "blank.ndjson" is left out (bcda-api 6.3). */
int bcda__manifest_parser_finish(struct bcda__manifest_parser *p, struct bcda__manifest **out,
                                 struct bcda_error *err);
void bcda__manifest_parser_free(struct bcda__manifest_parser *p);

struct bcda__manifest *bcda__manifest_ref(struct bcda__manifest *m);
void bcda__manifest_unref(struct bcda__manifest *m);

#endif
