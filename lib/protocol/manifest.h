/* The body of a completed job (bcda-api 5.2), read as it streams in: memory goes by entries. */
#ifndef BCDA_PROTOCOL_MANIFEST_H
#define BCDA_PROTOCOL_MANIFEST_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct bcda__entry {
    const char *type; /* "" where the server names none */
    const char *url;  /* absolute, checked to parse */
    const char *name; /* its last segment as it stands there, the label of the wrapped key */
    const char *key;  /* wrapped key in hex, trimmed; NULL = the file is plain */
    int is_error;     /* stands in `error`, or its name ends in "-error.ndjson" (bcda-api 6.6) */
    int64_t count;    /* resources, where the manifest says (Bulk Data `count`); -1 = not said */
    /* What AB2D and DPC publish as extensions, of the file without its Content-Encoding: */
    int64_t length;          /* file_length; -1 = not said */
    const uint8_t *checksum; /* 32 bytes of SHA-256; NULL = not said */
};

struct bcda__manifest {
    atomic_int refs;
    const char *transaction_time; /* exactly as sent; "" = none */
    const char *request;          /* "" = none */
    const char *organized_by; /* outputOrganizedBy: lines of several types in one file; "" = none */
    int64_t job_id;           /* -1 = not said (a number in BCDA, a string is accepted) */
    int requires_access_token;   /* 1 where absent: BCDA always needs it */
    struct bcda__entry *entries; /* in the order of the document, output before error; a URL that
                                    stands in both is there once, as error (bcda-api 5.2) */
    size_t count;
    size_t output_count;  /* how many of them are data: have is_error 0 */
    size_t deleted_count; /* items of `deleted`, which are checked like the others and not kept */
    /* the rest belongs to manifest.c: the texts */
    struct bcda__manifest_arena *arena;
};

struct bcda__manifest_parser;
/* `max_entries` = BCDA_OPT_MANIFEST_ENTRIES_MAX. */
int bcda__manifest_parser_new(struct bcda__manifest_parser **out, size_t max_entries);
/* 0; BCDA_ERR_NOT_JSON; BCDA_ERR_MANIFEST; BCDA_ERR_BODY_TOO_LARGE (entries); NOMEM; `err` filled.
 */
int bcda__manifest_parser_write(struct bcda__manifest_parser *p, const void *data, size_t len,
                                struct bcda_error *err);
/* The body is over. The caller owns one reference of *out; the parser is only to be freed then.
 * Refused as BCDA_ERR_MANIFEST: a known member given twice or of another type (null is as absent),
 * an item without a good URL and file name, two keys for one file, a checksum that is none. Keys:
 * `encryptedKey` of the item, else the value of `KeyMap` under the file's name (names and values
 * trimmed: they were padded to 127 characters in 2018; compare exactly otherwise), else of the
 * array `keys`
 * ("hex|name"). None, "" and the hex of "NO_ENCRYPTION" mean plain. The marker "blank.ndjson" is
 * left out (bcda-api 6.3).
 */
int bcda__manifest_parser_finish(struct bcda__manifest_parser *p, struct bcda__manifest **out,
                                 struct bcda_error *err);
void bcda__manifest_parser_free(struct bcda__manifest_parser *p);

struct bcda__manifest *bcda__manifest_ref(struct bcda__manifest *m);
void bcda__manifest_unref(struct bcda__manifest *m);

#endif
