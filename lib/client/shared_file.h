/* A small file through which several processes of one user share a value, and its lock.
 *
 * The file must be a regular file that belongs to the effective user, without any permission for
 * group and others, and it must be empty or begin as such a file does: the application may have
 * named a key by mistake, which must not be overwritten. No function waits: a lock that another
 * process holds is reported as busy.
 *
 * The lock is one of flock(): it belongs to the open file, so the system releases it when the last
 * descriptor of the open file is closed, even if the process is killed. A child of fork() has a
 * descriptor of the same open file. Therefore unlocking is always explicit, which holds for all
 * copies, and a child calls bcda__shared_file_abandon(). A child that does not call it, because it
 * uses no function of the library, holds the lock only if its parent is killed while it has the
 * lock. So whoever waits for a busy lock limits the time.
 *
 * Nothing is synchronised to the disk: after a failure of the system the value is not needed any
 * more. The content is written in place, because the lock belongs to the file, and a new file would
 * not have it. */
#ifndef BCDA_CLIENT_SHARED_FILE_H
#define BCDA_CLIENT_SHARED_FILE_H

#include <stddef.h>

#include "base/err.h"

struct bcda__shared_file {
    const char *kind;  /* for error texts, such as "the token cache" */
    const char *begin; /* how the content of such a file begins */
    char *path;
    int fd; /* -1 = not open */
};

enum bcda__shared_result {
    BCDA__SHARED_LOCKED = 1,
    BCDA__SHARED_BUSY,    /* another process holds the lock; the file is not locked */
    BCDA__SHARED_MISSING, /* there is no file, and it was not to be created */
};

enum bcda__shared_lock { BCDA__SHARED_READ, BCDA__SHARED_WRITE };

/* Stores the path; `kind` and `begin` are static texts. A relative path is made absolute, so that
 * the file stays the same if the application changes its working directory. Opens nothing. Returns
 * 0 or BCDA_ERR_NOMEM. */
int bcda__shared_file_init(struct bcda__shared_file *f, const char *kind, const char *begin,
                           const char *path);
/* Opens the file, if it is not open, and locks it. If `create` is 1, a missing file is created. If
 * the open file is not the one that the path names now, because it was deleted or replaced, the one
 * that the path names is opened. If the file is locked already, the kind of lock is changed;
 * another process may lock and change it meanwhile. Returns a bcda__shared_result, or BCDA_ERR_IO
 * with `err` filled. Unless it is locked for the caller, the file is then closed. */
int bcda__shared_file_lock(struct bcda__shared_file *f, enum bcda__shared_lock lock, int create,
                           struct bcda_error *err);
/* Returns 1 if the path still names the open file. */
int bcda__shared_file_is_named(const struct bcda__shared_file *f);

/* These functions require a lock. */
/* Reads at most `size` bytes of the content. Returns 0 or BCDA_ERR_IO. */
int bcda__shared_file_read(const struct bcda__shared_file *f, char *out, size_t size, size_t *len,
                           struct bcda_error *err);
/* Replaces the first bytes of the file. Returns 0 or BCDA_ERR_IO; a part may then be written. */
int bcda__shared_file_write(const struct bcda__shared_file *f, const char *text, size_t len,
                            struct bcda_error *err);
int bcda__shared_file_cut(const struct bcda__shared_file *f, size_t len, struct bcda_error *err);
/* Overwrites the content with zeros, then empties the file. Does what is possible. */
void bcda__shared_file_wipe(const struct bcda__shared_file *f);

void bcda__shared_file_unlock(const struct bcda__shared_file *f); /* and keeps it open */
void bcda__shared_file_close(struct bcda__shared_file *f);        /* unlocks and closes it */
/* In a child of fork(): closes the file without unlocking it, because the lock is the parent's. The
 * child may then use `f` as a process of its own. */
void bcda__shared_file_abandon(struct bcda__shared_file *f);
void bcda__shared_file_free(struct bcda__shared_file *f); /* closes the file, and frees the path */

#endif
