/* A file that holds the saved text of a job (client/state.h). It is replaced as a whole by
 * renaming, and changes are appended to it. After each function that writes, what was written is on
 * the disk. */
#ifndef BCDA_CLIENT_STATE_FILE_H
#define BCDA_CLIENT_STATE_FILE_H

#include "base/buf.h"
#include "base/err.h"

struct bcda__state_file;

/* Opens the file and locks it, so that no other process uses it. If `create` is 1, a file that is
 * missing is created, for its owner only. Returns 0, BCDA_ERR_NOMEM, or BCDA_ERR_IO: the file
 * cannot be opened, or another process uses it. */
int bcda__state_file_open(struct bcda__state_file **out, const char *path, int create,
                          struct bcda_error *err);
/* Adds the content of the file to `text`. Returns 0, BCDA_ERR_IO or BCDA_ERR_NOMEM. */
int bcda__state_file_read(struct bcda__state_file *f, struct bcda__buf *text,
                          struct bcda_error *err);
/* Returns 1 in a child of fork(), which must not write: the parent keeps the file. */
int bcda__state_file_is_inherited(const struct bcda__state_file *f);
/* Replace the content, or append to it. Return 0 or BCDA_ERR_IO; the content is then as before, or,
 * if the disk fails, its last line is incomplete, and it must be replaced next. */
int bcda__state_file_replace(struct bcda__state_file *f, const char *text, size_t len,
                             struct bcda_error *err);
int bcda__state_file_append(struct bcda__state_file *f, const char *text, size_t len,
                            struct bcda_error *err);
/* Returns 1 if the content must be replaced next: nothing was written, or the changes have become
 * much longer than the text that they follow. */
int bcda__state_file_wants_whole(const struct bcda__state_file *f);
void bcda__state_file_close(struct bcda__state_file *f); /* keeps the file */

#endif
