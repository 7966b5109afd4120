/* The manifest of a completed job (bcda-api 5.2). The parser takes the body in pieces. The memory
 * it needs is proportional to the number of entries. */
#ifndef BCDA_PROTOCOL_MANIFEST_H
#define BCDA_PROTOCOL_MANIFEST_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* What the lines of a file are. The order is that of delivery. */
enum bcda__file_kind {
    BCDA__FILE_DATA,    /* resources */
    BCDA__FILE_DELETED, /* Bundles of DELETE requests; is in `deleted` */
    BCDA__FILE_ERRORS,  /* OperationOutcomes; is in `error`, or the name ends in "-error.ndjson"
                         * (bcda-api 6.6) */
    BCDA__FILE_KINDS
};

struct bcda__entry {
    const char *type; /* "" = none */
    const char *url;  /* an absolute URL */
    const char *name; /* the last segment of the URL, not decoded; the label of the wrapped key */
    const char *key;  /* the trimmed wrapped key in hexadecimal; NULL = not encrypted */
    enum bcda__file_kind kind;
    int64_t count; /* Bulk Data `count`, the number of resources; -1 = unknown */
    /* The next two come from extensions of AB2D and DPC. Both describe the file as it is after its
     * Content-Encoding was removed. */
    int64_t length;          /* file_length; -1 = unknown */
    const uint8_t *checksum; /* the 32 bytes of SHA-256; NULL = unknown */
};

struct bcda__manifest {
    atomic_int refs;
    const char *transaction_time; /* exactly as sent; "" = none */
    const char *request;          /* "" = none */
    /* outputOrganizedBy. If it is set, a file may have lines of several types. "" = none. */
    const char *organized_by;
    int64_t job_id; /* JobID, which may be sent as a number or a string; -1 = unknown */
    /* also 1 if the member is absent, because BCDA always requires the token */
    int requires_access_token;
    /* The entries in the order of the document, but `output` before `deleted` before `error`. A URL
     * that is in several has one entry, of the last of these kinds (bcda-api 5.2). */
    struct bcda__entry *entries;
    size_t count;
    size_t kind_count[BCDA__FILE_KINDS]; /* the number of entries of each kind */
    /* The number of items of `deleted`. If they are not kept, they are checked, but are no
     * entries. */
    size_t deleted_count;
    /* The memory of all texts above. Only manifest.c uses it. */
    struct bcda__manifest_arena *arena;
};

struct bcda__manifest_parser;
/* `max_entries` = BCDA_OPT_MANIFEST_ENTRIES_MAX. `keep_deleted` 1 = the items of `deleted` are
 * entries. */
int bcda__manifest_parser_new(struct bcda__manifest_parser **out, size_t max_entries,
                              int keep_deleted);
/* Parses the next bytes of the body. Returns 0, BCDA_ERR_NOT_JSON, BCDA_ERR_MANIFEST,
 * BCDA_ERR_BODY_TOO_LARGE (such as more than `max_entries` entries) or NOMEM. After an error `err`
 * is filled. */
int bcda__manifest_parser_write(struct bcda__manifest_parser *p, const void *data, size_t len,
                                struct bcda_error *err);
/* Ends the body and returns the manifest in *out, of which the caller owns one reference. The
 * caller must then free the parser. Errors are those of bcda__manifest_parser_write().
 *
 * BCDA_ERR_MANIFEST: a known member occurs twice or has a wrong type (null is treated as absent);
 * an item has no valid URL and file name; a file has two keys; a checksum is malformed or occurs
 * twice; the manifest has further pages; a file continues in a file that is not listed.
 *
 * The wrapped key of a file is the `encryptedKey` of its item; if there is none, the value in
 * `KeyMap` with the file's name; if there is none, the element of the array `keys` ("hex|name")
 * with that name. White space around names and values is removed, because the server padded names
 * to 127 characters in 2018; otherwise names must match exactly. If there is no key, or the key is
 * "" or the text "NO_ENCRYPTION" in hexadecimal, the file is not encrypted.
 *
 * The entry "blank.ndjson" is left out (bcda-api 6.3). */
int bcda__manifest_parser_finish(struct bcda__manifest_parser *p, struct bcda__manifest **out,
                                 struct bcda_error *err);
void bcda__manifest_parser_free(struct bcda__manifest_parser *p);

struct bcda__manifest *bcda__manifest_ref(struct bcda__manifest *m);
void bcda__manifest_unref(struct bcda__manifest *m);

#endif
