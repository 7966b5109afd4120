/* A saved job: the text that bcda_job_save() and bcda_job_save_changes() write, and that
 * bcda_job_restore() reads. The text consists of lines, each a JSON object; empty lines are
 * ignored. The first line holds the whole job. Each later line is a change of one file, or again
 * the whole job, which replaces all lines before it.
 *
 *   {"bcda":2,"url":"…","types":["…"],"transaction_time":"…",
 *    "files":[{"path":"/data/a.ndjson","type":"Patient","verdict":"complete"},…],"check":"…"}
 *   {"path":"/data/b.ndjson","line":200,"bytes":81920,"sha256":"…","check":"…"}
 *
 * "check" is the beginning of the SHA-256 of the line before it and of the "check" of the line
 * before, so lines that were changed, lost or put in another order are detected. */
#ifndef BCDA_CLIENT_STATE_H
#define BCDA_CLIENT_STATE_H

#include "base/buf.h"
#include "base/texts.h"
#include "codec/mark.h"
#include "protocol/manifest.h"

enum bcda__saved_verdict {
    BCDA__SAVED_NONE, /* the file has not ended */
    BCDA__SAVED_COMPLETE,
    BCDA__SAVED_FAILED
};

struct bcda__saved_file {
    char *path; /* what identifies the file in every manifest of the job (client/file.h) */
    char *type; /* NULL = none */
    enum bcda__file_kind kind;
    enum bcda__saved_verdict verdict;
    /* `line` is the last line that the application confirmed. The other members are a position at
     * or after the end of this line. */
    struct bcda__mark confirmed;
};

/* Hexadecimal digits of "check", with NUL; "" before the first line. */
enum { BCDA__STATE_CHECK = 33 };

/* Adds to the path of a file, in place of a text that may be a secret, "?" and a hash of it.
 * Returns 0, BCDA_ERR_NOMEM or BCDA_ERR_LIBRARY. */
int bcda__state_add_hash(struct bcda__buf *path, const char *text, size_t len);

/* What the first line says about the job. */
struct bcda__state_head {
    const char *url;
    const struct bcda__texts *types; /* NULL = it is not known what was requested */
    const char *transaction_time;    /* NULL = the manifest has not been received */
    size_t file_count;
    /* Returns file `i` in *out, whose texts are borrowed until the next call. 0 or NOMEM. */
    int (*file_at)(void *ctx, size_t i, struct bcda__saved_file *out);
    void *ctx;
};

/* Write a line without a line feed. `check` is that of the line before, and becomes that of this
 * line. Return 0 or BCDA_ERR_NOMEM. */
int bcda__state_write(struct bcda__buf *out, char check[BCDA__STATE_CHECK],
                      const struct bcda__state_head *head);
int bcda__state_write_change(struct bcda__buf *out, char check[BCDA__STATE_CHECK],
                             const struct bcda__saved_file *file);

struct bcda__state {
    char *url;
    struct bcda__texts types;
    int types_known; /* the saved text has the member "types"; texts of older versions do not */
    int version;
    char *transaction_time;         /* NULL before the manifest was received */
    struct bcda__saved_file *files; /* in the order of the text */
    size_t file_count, file_cap;
    struct bcda__saved_file **sorted; /* by path; NULL before bcda__state_read() has succeeded */
};
/* Reads a saved text of this version or an older one. *out must be zero before, and must be freed
 * after success. Returns 0, BCDA_ERR_INVALID (not such a text, or a damaged one),
 * BCDA_ERR_UNSUPPORTED (written by a later version) or BCDA_ERR_NOMEM. */
int bcda__state_read(const char *text, size_t len, struct bcda__state *out);
/* Returns how many bytes of a text that was written to a file can be used. A last line that was not
 * written completely does not count: the system was interrupted while it was written. */
size_t bcda__state_usable(const char *text, size_t len);
/* Returns the file with this path, or NULL. */
struct bcda__saved_file *bcda__state_find(const struct bcda__state *state, const char *path);
/* Returns the files as a manifest in *out, of which the caller owns one reference. The URLs of its
 * entries have the origin of the status URL. Returns 0, BCDA_ERR_END (the manifest was not
 * received) or an error of the manifest's parser. */
int bcda__state_manifest(const struct bcda__state *state, struct bcda__manifest **out);
void bcda__state_free(struct bcda__state *state);

#endif
