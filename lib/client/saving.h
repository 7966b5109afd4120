/* What a job must remember so that it can be saved: which files are loaded, and what has changed
 * since the last text was saved (client/state.h). */
#ifndef BCDA_CLIENT_SAVING_H
#define BCDA_CLIENT_SAVING_H

#include "client/file.h"
#include "client/state.h"

struct bcda__saving {
    /* The text that the job was restored from; empty if it was not. */
    struct bcda__state restored;
    /* The check of the last line that was saved. */
    char check[BCDA__STATE_CHECK];
    int has_begun; /* the first line was saved, and changes can follow it */
    /* The files that have changed since then, in the order of their first change. */
    struct bcda_file *first, *last;
};

/* What the first line of a saved text says about the job. */
struct bcda__saved_job {
    const char *url;
    const struct bcda__texts *types; /* NULL = it is not known what was requested */
    const struct bcda__files *files; /* NULL before the manifest was received */
    /* The application has not said yet whether it has stored this file: it is written without its
     * verdict, and stays noted as changed. NULL = none. */
    struct bcda_file *unsettled;
};

/* Compares the manifest with the restored text: marks the files that are loaded or confirmed in
 * part. Returns 0 or an error code. */
int bcda__saving_take_files(struct bcda__saving *s, struct bcda__files *files);
/* Notes that something of the file has changed that is to be saved. */
void bcda__saving_change(struct bcda__saving *s, struct bcda_file *file);
/* The next text to be saved replaces all texts before it. */
void bcda__saving_begin(struct bcda__saving *s);
int bcda__saving_has_changes(const struct bcda__saving *s);

/* Write the whole job as a line, or the changes since the last call of either function as lines
 * that each have a line feed before them. The changes begin with the whole job if nothing was
 * written before them, or after bcda__saving_begin(). Return 0 or an error code; nothing is then
 * noted as saved. */
int bcda__saving_write(struct bcda__saving *s, const struct bcda__saved_job *job,
                       struct bcda__buf *out);
int bcda__saving_write_changes(struct bcda__saving *s, const struct bcda__saved_job *job,
                               struct bcda__buf *out);
void bcda__saving_free(struct bcda__saving *s);

#endif
