/*
 * bcda/session.h - one identity at one server, and its event engine. Include <bcda/bcda.h>.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef BCDA_SESSION_H
#define BCDA_SESSION_H

#include <bcda/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * fork(). A session, its jobs and its requests belong to the process that called
 * bcda_session_new(). A child has a copy of them, whether it was forked between two calls or inside
 * a callback. Connections, timers and decode threads belong to the parent, which continues
 * undisturbed. A child may, inside the callback and after it:
 *
 * - End, by _exit(), exit() or exec(), at any point.
 * - Return from the callback. Its result is ignored, and no other callback runs. The call that had
 *   run the callback (run, step, on_fd, on_timer or any other) then returns BCDA_ERR_FORKED, even
 *   if the child has freed the session. If that call was bcda_session_free(), it returns too, and
 *   the session is freed in the child as well.
 * - Call bcda_session_free(), once; inside a callback it takes effect when the outermost call
 *   returns. It frees the child's memory, closes the child's descriptors, and calls nothing but
 *   each `destroy`, for the child's copy of the userdata. What libcurl has allocated for the
 *   parent's transfers stays allocated until the child ends, and so does what a decode thread was
 *   working on at the moment of the fork: at most one download for each thread.
 * - Use the objects that it holds. Getters of jobs, files, batches, errors and requests return the
 *   values at the time of the fork; ref and unref count the child's own references, before and
 *   after bcda_session_free().
 * - Use configs, exports, handlers and decoders, which are not bound to a process, and make a new
 *   session.
 *
 * Every other function that takes the session, or a job of it that has not ended, changes nothing
 * and returns BCDA_ERR_FORKED. The token provider's request is the child's own copy: answering or
 * failing it frees the copy (bcda_token_request_answer() returns BCDA_ERR_FORKED), and the parent
 * must still answer.
 *
 * A child may do less in two cases. If another thread forked it while the session's thread was
 * inside a call, bcda_session_free() frees nothing in it. A child of vfork() may only call _exit()
 * or exec(). Log callbacks, `destroy` and the callbacks of bcda_session_set_loop() may fork too.
 * They may not call the library, so a child ends in them or returns from them.
 */

/*
 * Initialises libcurl, and libgcrypt if nothing has initialised it yet. Calls are counted: each
 * successful call needs one bcda_global_cleanup(). bcda_session_new() and bcda_decoder_new() call
 * bcda_global_init() themselves. With libcurl older than 7.84 it is not thread-safe: call it before
 * other threads start. `flags` is 0, or BCDA_INIT_NO_GCRYPT (the application has initialised
 * libgcrypt itself). Errors: BCDA_ERR_INVALID (other flags); BCDA_ERR_LIBRARY (a library is too
 * old, or libcurl lacks TLS or asynchronous name lookup). From callbacks: yes. Thread: any from
 * libcurl 7.84 on. Since 0.1.
 */
#define BCDA_INIT_NO_GCRYPT 1
BCDA_API int bcda_global_init(int flags);

/* Undoes one call of bcda_global_init(). From callbacks: no. Thread: as for bcda_global_init().
 * Since 0.1. */
BCDA_API void bcda_global_cleanup(void);

/* Frees memory that a function of the library returned to be freed by bcda_free(). NULL is allowed.
 * From callbacks: yes. Thread: any. Since 0.1. */
BCDA_API void bcda_free(void *memory);

/*
 * Creates a session from `config`, which is copied and remains the caller's. Errors:
 * BCDA_ERR_INVALID (an argument is NULL); BCDA_ERR_CONFIG (no FHIR URL, no credentials, a setting
 * that has no meaning for these credentials, verified delivery without a spool directory);
 * BCDA_ERR_INSECURE_URL (an http URL; the error text names the https form); BCDA_ERR_IO (a
 * certificate file cannot be read, or the file of the token cache or the request budget cannot be
 * used); BCDA_ERR_SYSTEM (no descriptors left); BCDA_ERR_LIBRARY; BCDA_ERR_NOMEM. On failure
 * bcda_config_error(config) says more. The function does not use the network. From callbacks: yes.
 * Thread: any; the calling thread becomes the owner. Since 0.1.
 */
BCDA_API int bcda_session_new(bcda_session **out, bcda_config *config);

/*
 * Ends every job that still runs: each gets its one on_done with BCDA_ERR_CANCELLED, from inside
 * this call. Then frees the session. Jobs, files, batches and errors that the application holds
 * stay valid, and so do their getters. Nothing is sent to the server: to cancel a job at the
 * server, call bcda_job_cancel() first. Inside a callback, freeing is deferred until the outermost
 * call returns; until then calls with this session return BCDA_ERR_STATE. In a child after fork()
 * it only frees memory and closes the child's descriptors (see above). NULL is allowed. From
 * callbacks: queued. Thread: owner. Since 0.1.
 */
BCDA_API void bcda_session_free(bcda_session *session);

/*
 * Runs until no work is left, blocking in poll(). `timeout_ms` -1 = no limit. Returns BCDA_OK: no
 * job and no request is left, or only paused ones. Returns 1: a batch is ready for bcda_job_next().
 * Errors: BCDA_ERR_TIMEOUT; BCDA_ERR_INTERRUPTED (a signal arrived while the function slept, or
 * bcda_session_wakeup() was called at any time: call the function again to continue);
 * BCDA_ERR_INVALID; BCDA_ERR_REENTRANT (called inside a callback); BCDA_ERR_FORKED (the process is
 * a child, even one that was forked in a callback of this call); BCDA_ERR_STATE; BCDA_ERR_SYSTEM.
 * The result of a job is reported by on_done and bcda_job_result(), never by this function. From
 * callbacks: no. Thread: owner. Since 0.1.
 */
BCDA_API int bcda_session_run(bcda_session *session, int timeout_ms);

/*
 * One descriptor for the application's event loop: poll it for reading, and call
 * bcda_session_step() when it is readable. The descriptor does not change during the life of the
 * session, and is readable exactly when a step would make progress. The application must not read,
 * write or close it. Errors: BCDA_ERR_UNSUPPORTED (this build uses poll(), which has no such
 * descriptor); BCDA_ERR_INVALID; BCDA_ERR_FORKED. From callbacks: yes. Thread: owner. Since 0.1.
 */
BCDA_API int bcda_session_fd(bcda_session *session);

/*
 * Does what can be done now, without waiting. One step handles at most a fixed number of
 * descriptors and a bounded number of bytes. Callbacks run inside it. Returns 1 if something was
 * done, and 0 if there was nothing to do. Errors: BCDA_ERR_INVALID, _REENTRANT, _FORKED, _STATE,
 * _SYSTEM, as for bcda_session_run(). From callbacks: no. Thread: owner. Since 0.1.
 */
BCDA_API int bcda_session_step(bcda_session *session);

/*
 * Lets the application's event loop watch each descriptor of the session, as with libcurl's
 * curl_multi_socket_action(). Use this if the loop cannot poll the single descriptor of
 * bcda_session_fd(), or if the build uses poll() and has no such descriptor. Call it once, before
 * the first job or request. Afterwards run, step and fd return BCDA_ERR_STATE on this session, and
 * the application calls bcda_session_on_fd() and bcda_session_on_timer() instead.
 *
 * watch_fd asks the application to watch `fd` for these BCDA_FD_* events, instead of those of an
 * earlier call; `events` 0 means to stop watching `fd`. Descriptors come and go (connections, the
 * resolver, the wake-up), and a number may be used again. Use level-triggered watching. watch_timer
 * asks the application to call bcda_session_on_timer() once, after `delay_ms` milliseconds, instead
 * of the delay of an earlier call. 0 means soon, but not from inside the callback; -1 means never.
 * Both callbacks return 0, or another value if they failed. If a descriptor cannot be watched, the
 * open transfers and their jobs fail with BCDA_ERR_SYSTEM. If a timer cannot be set, on_fd and
 * on_timer return BCDA_ERR_SYSTEM. A call to stop watching must not fail.
 *
 * Both callbacks are called from inside bcda_session_on_fd(), _on_timer() and _free(), and from
 * calls such as bcda_job_start(). They must not call the library (BCDA_ERR_REENTRANT).
 * bcda_session_free() first stops watching everything; in a child after fork() it calls only
 * `destroy`, because the loop is the parent's. A child that was forked in watch_fd should end
 * there: the caller may be libcurl, which can still send on that connection before it returns.
 * Errors: BCDA_ERR_INVALID (an argument is NULL); BCDA_ERR_STATE (called too late or a second
 * time); BCDA_ERR_REENTRANT; BCDA_ERR_FORKED; BCDA_ERR_NOMEM; BCDA_ERR_SYSTEM (watch_fd failed). On
 * failure the caller still owns the userdata. From callbacks: no. Thread: owner. Since 0.1.
 */
#define BCDA_FD_READ  1
#define BCDA_FD_WRITE 2
typedef int (*bcda_watch_fd_cb)(bcda_session *session, int fd, int events, void *userdata);
typedef int (*bcda_watch_timer_cb)(bcda_session *session, int64_t delay_ms, void *userdata);
BCDA_API int bcda_session_set_loop(bcda_session *session, bcda_watch_fd_cb watch_fd,
                                   bcda_watch_timer_cb watch_timer, void *userdata,
                                   bcda_destroy_cb destroy);

/*
 * Reports an event of the application's loop: `fd` is ready for these BCDA_FD_* (both on an error
 * or a hang-up), or the timer has expired. Each call does one step, with the limits and results of
 * bcda_session_step(); callbacks run inside it. An `fd` that is no longer watched is ignored.
 * Errors: BCDA_ERR_INVALID, _REENTRANT, _FORKED, _STATE (bcda_session_set_loop() was not called),
 * _SYSTEM. From callbacks: no. Thread: owner. Since 0.1.
 */
BCDA_API int bcda_session_on_fd(bcda_session *session, int fd, int events);
BCDA_API int bcda_session_on_timer(bcda_session *session);

/*
 * Makes bcda_session_run() return BCDA_ERR_INTERRUPTED: at once if bcda_session_run() sleeps,
 * otherwise after the current step. If it is not running, the descriptor of bcda_session_fd()
 * becomes readable. This is the only function that may be called from any thread and from a signal
 * handler, as long as the session is not freed. Errors: BCDA_ERR_FORKED (in a child after fork(),
 * which cannot wake the parent); BCDA_ERR_INVALID; BCDA_ERR_SYSTEM. From callbacks: yes. Thread:
 * any. Since 0.1.
 */
BCDA_API int bcda_session_wakeup(bcda_session *session);

/*
 * Why the last call on this session, or on a job of it, failed; NULL if it did not fail. Every
 * failure is described, even a refused argument. BCDA_ERR_AGAIN, BCDA_ERR_END, BCDA_ERR_TIMEOUT and
 * BCDA_ERR_INTERRUPTED report a state and have no error. Getters do not change the error. Neither
 * do bcda_session_stat(), bcda_job_save() and bcda_job_save_changes() if they succeed, nor
 * bcda_session_wakeup(), which may run in a signal handler. If the session of an ended job was
 * already freed, a call on the job only returns a code. Valid until the next call on the session.
 * From callbacks: yes. Thread: owner. Since 0.1.
 */
BCDA_API const bcda_error *bcda_session_error(const bcda_session *session);

/* Statistics of a session since its creation. */
#define BCDA_STAT_REQUESTS      1 /* HTTP requests sent, retries included */
#define BCDA_STAT_RETRIES       2 /* requests sent again */
#define BCDA_STAT_TOKENS        3 /* tokens fetched */
#define BCDA_STAT_BYTES_WIRE    4 /* body bytes received */
#define BCDA_STAT_BYTES_DECODED 5 /* bytes of NDJSON after decoding */
#define BCDA_STAT_RESOURCES     6 /* resources of data files that were delivered */
#define BCDA_STAT_TRANSFERS     7 /* transfers open at this moment */
#define BCDA_STAT_WAITS         8 /* requests that had to wait for BCDA_OPT_REQUESTS_PER_SECOND */
/* Elapsed time in each stage, in nanoseconds. On one thread, no two stages overlap. TRANSPORT to
 * PARSE are sums over all threads that decode; the others are measured on the session's thread. */
#define BCDA_STAT_TRANSPORT_NS 9  /* in libcurl: TCP, TLS, HTTP */
#define BCDA_STAT_HASH_NS      10 /* hashing received bytes, to check a restarted transfer */
#define BCDA_STAT_INFLATE_NS   11 /* decompressing gzip */
#define BCDA_STAT_DECRYPT_NS   12 /* AES-GCM, and decrypting the keys of files */
#define BCDA_STAT_PARSE_NS     13 /* lines, UTF-8, JSON, fields, the checksum of a file */
#define BCDA_STAT_DELIVER_NS \
    14 /* in the application's on_resource, on_batch, on_bad_line, on_server_issue, on_deleted */
#define BCDA_STAT_SPOOL_NS 15 /* BCDA_DELIVERY_VERIFIED: writing the spool and reading it again */
#define BCDA_STAT_SLEEP_NS 16 /* waiting in poll() inside bcda_session_run() */
/* Lines that yajl has read: all lines if BCDA_OPT_SCANNER is 0, else invalid lines and those of
 * which the scanner was not sure. A line costs about seven times as much there. Lines are not sure,
 * for example, if there are tabs between their values, or escapes in names. */
#define BCDA_STAT_YAJL_LINES 17

/* Sets *out to a statistic. Returns 0, BCDA_ERR_INVALID (no such statistic), or BCDA_ERR_FORKED.
 * From callbacks: yes. Thread: owner. Since 0.1. */
BCDA_API int bcda_session_stat(const bcda_session *session, int stat, int64_t *out);

/* The scopes that were asked for and that the server has not granted with the last token, separated
 * by spaces; "" if all were granted, and if no scope was asked for: see bcda_config_set_scope().
 * It is also known for a token from a token cache.
 * Resources of a type that is missing here do not come. Valid until the next call on the session.
 * From callbacks: yes. Thread: owner. Since 0.1. */
BCDA_API const char *bcda_session_missing_scope(const bcda_session *session);

#ifdef __cplusplus
}
#endif

#endif
