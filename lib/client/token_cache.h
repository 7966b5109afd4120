/* An access token that several processes share through a file (client/shared_file.h), because BCDA
 * limits token requests (429).
 *
 * The file is one JSON document: version, origin, client_id, scope, missing (the scopes that were
 * not granted, if any), expires (Unix time in milliseconds), token, and at the end check, the
 * SHA-256 of the text before it. Version, origin, client_id and scope are compared with what this
 * session would request; a document of another identity is not used, and is overwritten. So each
 * identity needs a file of its own. A file that begins as such a document but is none counts as
 * empty: it is cut (the process was killed while it wrote), damaged, or larger than 64 KiB. Nothing
 * is synchronised to the disk: a token that is lost is requested again.
 *
 * Finding a token requires the shared lock, so processes that only read do not exclude each other.
 * Fetching one requires the exclusive lock, from bcda__token_cache_look() until
 * bcda__token_cache_store() or bcda__token_cache_release(): one process fetches, the others wait.
 * In the moment between the two, two processes that found no token may exclude each other; one of
 * them is then BUSY although nobody fetches, and asks again. */
#ifndef BCDA_CLIENT_TOKEN_CACHE_H
#define BCDA_CLIENT_TOKEN_CACHE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/secret.h"

struct bcda__token_cache;

/* `origin` is any text that identifies the servers that accept and issue the token. `scope` may be
 * NULL. The texts are copied. Opens nothing. Returns 0 or BCDA_ERR_NOMEM. A text that is not UTF-8
 * is never found again, so each process then fetches its own token. */
int bcda__token_cache_new(struct bcda__token_cache **out, const char *path, const char *origin,
                          const char *client_id, const char *scope);
/* Releases the lock. In a child of fork(), call bcda__token_cache_set_forked() first. */
void bcda__token_cache_free(struct bcda__token_cache *c);
/* In a child of fork(), before any other function: the descriptor is closed, and the lock stays
 * with the parent. */
void bcda__token_cache_set_forked(struct bcda__token_cache *c);
/* Checks that the file can be created and used. Returns 0, or BCDA_ERR_IO with `err` filled; the
 * text names the file and the cause. */
int bcda__token_cache_check(struct bcda__token_cache *c, struct bcda_error *err);

enum bcda__cache_result {
    /* *token and *expires_ms (on the wall clock) are set. No lock is kept. */
    BCDA__CACHE_HIT = 1,
    /* There is no token, and this process now has the lock. It must fetch a token, and then call
     * bcda__token_cache_store() or bcda__token_cache_release(). */
    BCDA__CACHE_MISS,
    /* Another process has the lock, because it fetches a token: ask again a little later. The
     * caller limits how long, because the other process may be stopped. */
    BCDA__CACHE_BUSY,
};

/* Looks for a token of this identity that is valid at `wall_ms` and at least `margin_ms` longer,
 * but not for more than 100 years. `token` is zero or an earlier token; unless the result is HIT,
 * it is unchanged. Returns a bcda__cache_result, or with `err` filled BCDA_ERR_IO, BCDA_ERR_NOMEM
 * or BCDA_ERR_LIBRARY; there is then no lock. */
int bcda__token_cache_look(struct bcda__token_cache *c, int64_t wall_ms, int64_t margin_ms,
                           struct bcda__secret *token, int64_t *expires_ms, struct bcda_error *err);
/* After MISS: stores the token that was fetched, and releases the lock, whatever the result.
 * `expires_ms` <= 0 means unknown; the token is then not stored. If the file was deleted or
 * replaced meanwhile, the token is stored in the file that the path now names, unless that one is
 * locked. Without a lock, nothing is done. Returns 0, or with `err` filled BCDA_ERR_IO (also if the
 * document would be larger than 64 KiB), BCDA_ERR_NOMEM or BCDA_ERR_LIBRARY; the file is then
 * empty, or as it was. */
int bcda__token_cache_store(struct bcda__token_cache *c, const char *token, size_t len,
                            int64_t expires_ms, struct bcda_error *err);
/* The scopes that were asked for and not granted, "" if there are none: of the next token that is
 * stored, and of the last token that was found. At most 511 bytes of printable ASCII. */
void bcda__token_cache_set_missing(struct bcda__token_cache *c, const char *scopes);
const char *bcda__token_cache_missing(const struct bcda__token_cache *c);
/* After MISS: releases the lock, because no token could be fetched. */
void bcda__token_cache_release(struct bcda__token_cache *c);
/* The server refused this token. If the file contains this token for this identity, the file is
 * overwritten with zeros and emptied, unless another process has the lock. The hash of the token is
 * remembered, so that bcda__token_cache_look() does not return it until it is stored again. */
void bcda__token_cache_refuse(struct bcda__token_cache *c, const char *token, size_t len);

#endif
