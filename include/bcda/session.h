/*
 * bcda/session.h - one identity at one server, and the engine that moves everything. Include
 * <bcda/bcda.h>.
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
 * a callback. Connections, timers and decode threads are the parent's, which goes on undisturbed.
 * A child may, inside the callback and after it:
 *
 * - End, by _exit(), exit() or exec(), at any place.
 * - Return from the callback. Its result is ignored, and no other callback runs. The call that it
 *   returns to (run, step, on_fd, on_timer, or any other that had called back) unwinds and returns
 *   BCDA_ERR_FORKED, also where the child has freed the session. bcda_session_free() unwinds too;
 *   then the session is freed in the child as well.
 * - Call bcda_session_free(), once; inside a callback it takes effect when the outermost call
 *   returns. It frees the child's memory, closes the child's descriptors, and calls nothing but
 *   each `destroy`, for the child's copy of the userdata. What libcurl has allocated for the
 *   parent's transfers stays allocated until the child ends, and so does what a decode thread was
 *   working on at the moment of the fork: at most one download for each thread.
 * - Use what it holds. Getters of jobs, files, batches, errors and requests answer as of the fork;
 *   ref and unref count the child's own references, before and after bcda_session_free().
 * - Use configs, exports, handlers and decoders, which are not bound to a process, and make a new
 *   session.
 *
 * Every other function that takes the session, or a job of it that has not ended, changes nothing
 * and returns BCDA_ERR_FORKED. The token provider's request is the child's own copy: answering or
 * failing it uses the copy up (bcda_token_request_answer() returns BCDA_ERR_FORKED), and the parent
 * still has to answer.
 *
 * Two cases give a child less. Forked by another thread while the session's thread is inside a
 * call, it may do all of this, but bcda_session_free() frees nothing. And a child of vfork() may
 * only call _exit() or exec(), as always. Log callbacks, `destroy` and the callbacks of
 * bcda_session_set_loop() may fork too; as they may not call the library, a child ends there or
 * returns.
 */

/*
 * Prepares the libraries below (libcurl; libgcrypt, where nobody has). Counted: each success needs
 * one bcda_global_cleanup(). bcda_session_new() and bcda_decoder_new() call it themselves. With
 * libcurl older than 7.84 it is not thread-safe: call it first, before other threads start. flags:
 * 0, or BCDA_INIT_NO_GCRYPT (the application has set libgcrypt up itself).
 * BCDA_ERR_INVALID (other flags); BCDA_ERR_LIBRARY (one is too old, or lacks TLS or asynchronous
 * name lookup). From callbacks: yes. Thread: any from libcurl 7.84 on. Since 0.1.
 */
#define BCDA_INIT_NO_GCRYPT 1
BCDA_API int bcda_global_init(int flags);

/* Takes one bcda_global_init() back. From callbacks: no. Thread: as above. Since 0.1. */
BCDA_API void bcda_global_cleanup(void);

/* Frees memory that a function handed over with the words "free with bcda_free()". NULL is fine.
 * From callbacks: yes. Thread: any. Since 0.1. */
BCDA_API void bcda_free(void *memory);

/*
 * A session for what `config` says; the config is copied and stays the caller's.
 * BCDA_ERR_INVALID (NULL); BCDA_ERR_CONFIG (no FHIR URL, no credentials, verified delivery without
 * a spool directory); BCDA_ERR_INSECURE_URL (http, and the text names the https form); BCDA_ERR_IO
 * (a certificate file cannot be read); BCDA_ERR_SYSTEM (no descriptors left); BCDA_ERR_LIBRARY;
 * BCDA_ERR_NOMEM. On failure bcda_config_error(config) says more. No network is touched. From
 * callbacks: yes. Thread: any; the calling one becomes the owner. Since 0.1.
 */
BCDA_API int bcda_session_new(bcda_session **out, bcda_config *config);

/*
 * Ends every job that still runs: each gets its one on_done with BCDA_ERR_CANCELLED, from inside
 * this call. Then frees the session. Jobs, files, batches and errors that the application holds
 * stay valid and answer their getters. Nothing is sent to the server: to cancel there,
 * bcda_job_cancel() first. Inside a callback the end is put off until the outermost call returns;
 * until then calls with this session give BCDA_ERR_STATE. In a child after fork() it only frees
 * memory and closes the child's descriptors (see above). NULL is fine. From callbacks: queued.
 * Thread: owner. Since 0.1.
 */
BCDA_API void bcda_session_free(bcda_session *session);

/*
 * Works until there is nothing left to do, blocking in poll(). `timeout_ms` -1 = no limit.
 * BCDA_OK: no job and no request is left (or all that are left are paused).
 * 1: a pulled job has a batch ready for bcda_job_next().
 * BCDA_ERR_TIMEOUT; BCDA_ERR_INTERRUPTED: a signal arrived while it slept (EINTR), or
 * bcda_session_wakeup() was called, at any time: go on by calling again;
 * BCDA_ERR_INVALID; BCDA_ERR_REENTRANT: inside a callback; BCDA_ERR_FORKED: this is a child, also
 * where a callback of just now has forked it; BCDA_ERR_STATE; BCDA_ERR_SYSTEM. How a job ended is
 * in its on_done and bcda_job_result(), never here. From callbacks: no. Thread: owner. Since 0.1.
 */
BCDA_API int bcda_session_run(bcda_session *session, int timeout_ms);

/*
 * One descriptor for an event loop of the application's: poll it for reading, and call
 * bcda_session_step() when it is readable. It never changes while the session lives, is readable
 * exactly when a step would make progress, and must not be read, written or closed.
 * BCDA_ERR_UNSUPPORTED in a build on poll(); BCDA_ERR_INVALID; BCDA_ERR_FORKED. From callbacks:
 * yes. Thread: owner. Since 0.1.
 */
BCDA_API int bcda_session_fd(bcda_session *session);

/*
 * Does what can be done now, without waiting, and returns soon: at most a fixed number of
 * descriptors and a bounded number of bytes. Callbacks run in here. 1: something was done. 0: there
 * was nothing to do. BCDA_ERR_INVALID, _REENTRANT, _FORKED, _STATE, _SYSTEM as in run. From
 * callbacks: no. Thread: owner. Since 0.1.
 */
BCDA_API int bcda_session_step(bcda_session *session);

/*
 * Integration with the application's event loop, descriptor by descriptor (as libcurl's
 * curl_multi_socket_action()): the application's loop watches each descriptor. For loops that nest
 * badly, and for builds on poll(), where there is no single descriptor. Chosen once, before the
 * first job or request; then run, step and fd give BCDA_ERR_STATE on this session, and the
 * application calls bcda_session_on_fd() and bcda_session_on_timer() instead.
 *
 * watch_fd: watch `fd` for these BCDA_FD_* from now on, in place of what was asked before; 0:
 * forget it. Descriptors come and go (connections, the resolver, the wake-up); a number may come
 * again. Level-triggered watching is right. watch_timer: call bcda_session_on_timer() once, in so
 * many milliseconds, in place of what was asked before; 0: soon, but not from in here; -1: not at
 * all. Both return 0; anything else: it could not be done. Without a descriptor the open transfers
 * end, and with them their jobs (BCDA_ERR_SYSTEM); without a timer on_fd and on_timer give
 * BCDA_ERR_SYSTEM. Forgetting always works.
 *
 * They are called from inside run-like calls, and from calls such as bcda_job_start(); they must
 * not call the library (BCDA_ERR_REENTRANT). When the session is freed everything is forgotten
 * first, but in a child after fork() nothing is called but `destroy`: its loop is the parent's. A
 * child that was forked in watch_fd had better end there: libcurl, which may have called, can still
 * send on the connection in question before it returns.
 * BCDA_ERR_INVALID (NULL); BCDA_ERR_STATE (too late, or a second time); BCDA_ERR_REENTRANT;
 * BCDA_ERR_FORKED; BCDA_ERR_NOMEM; BCDA_ERR_SYSTEM (watch_fd refused). On failure the userdata is
 * still the caller's. From callbacks: no. Thread: owner. Since 0.1.
 */
#define BCDA_FD_READ  1
#define BCDA_FD_WRITE 2
typedef int (*bcda_watch_fd_cb)(bcda_session *session, int fd, int events, void *userdata);
typedef int (*bcda_watch_timer_cb)(bcda_session *session, int64_t delay_ms, void *userdata);
BCDA_API int bcda_session_set_loop(bcda_session *session, bcda_watch_fd_cb watch_fd,
                                   bcda_watch_timer_cb watch_timer, void *userdata,
                                   bcda_destroy_cb destroy);

/*
 * What the application's loop saw: `fd` is ready for these BCDA_FD_* (both on an error or a
 * hang-up), or the timer is over. Each is one step, bounded as bcda_session_step(), with the same
 * results: callbacks run in here. An fd that is forgotten already is fine. BCDA_ERR_INVALID,
 * _REENTRANT, _FORKED, _STATE (no bcda_session_set_loop()), _SYSTEM. From callbacks: no. Thread:
 * owner. Since 0.1.
 */
BCDA_API int bcda_session_on_fd(bcda_session *session, int fd, int events);
BCDA_API int bcda_session_on_timer(bcda_session *session);

/*
 * Makes bcda_session_run() return with BCDA_ERR_INTERRUPTED, at once where it sleeps and else after
 * the step at hand, or the descriptor readable.
 * The only function that may be called from any thread and from a signal handler, as long as the
 * session lives. In a child after fork() it leaves the parent asleep: BCDA_ERR_FORKED.
 * BCDA_ERR_INVALID; BCDA_ERR_SYSTEM. From callbacks: yes. Thread: any. Since 0.1.
 */
BCDA_API int bcda_session_wakeup(bcda_session *session);

/*
 * Why the last call on this session, or on a job of it, failed, with every code, that of a refused
 * argument too; NULL where it did not fail. BCDA_ERR_AGAIN, BCDA_ERR_END, BCDA_ERR_TIMEOUT and
 * BCDA_ERR_INTERRUPTED report a state and have no error. Getters leave it as it was, and so do
 * bcda_session_stat() and bcda_job_save() where they succeed, and bcda_session_wakeup(), which may
 * run in a signal handler, always. A call on a job that has ended, and has no session any more, has
 * its code alone. Valid until the next call on the session. From callbacks: yes. Thread: owner.
 * Since 0.1.
 */
BCDA_API const bcda_error *bcda_session_error(const bcda_session *session);

/* What a session has done since it was made. */
#define BCDA_STAT_REQUESTS      1 /* HTTP requests sent, retries included */
#define BCDA_STAT_RETRIES       2 /* requests sent again */
#define BCDA_STAT_TOKENS        3 /* tokens fetched */
#define BCDA_STAT_BYTES_WIRE    4 /* body bytes received */
#define BCDA_STAT_BYTES_DECODED 5 /* bytes of NDJSON that came out of them */
#define BCDA_STAT_RESOURCES     6 /* resources delivered, of data files */
#define BCDA_STAT_TRANSFERS     7 /* open at this moment */
#define BCDA_STAT_WAITS         8 /* times a request had to wait for BCDA_OPT_REQUESTS_PER_SECOND */
/* Real time in each stage, in nanoseconds; no two overlap on one thread. TRANSPORT to PARSE are
 * sums over all threads that decode, the others are of the session's thread. */
#define BCDA_STAT_TRANSPORT_NS 9  /* in libcurl: TCP, TLS, HTTP */
#define BCDA_STAT_HASH_NS      10 /* of what is received, to compare should it break off */
#define BCDA_STAT_INFLATE_NS   11 /* gzip */
#define BCDA_STAT_DECRYPT_NS   12 /* AES-GCM, and opening the files' keys */
#define BCDA_STAT_PARSE_NS     13 /* cutting lines, UTF-8, JSON, fields, a manifest's checksum */
#define BCDA_STAT_DELIVER_NS \
    14 /* in the application's on_resource, on_batch, on_bad_line, on_server_issue */
#define BCDA_STAT_SPOOL_NS 15 /* BCDA_DELIVERY_VERIFIED: writing the spool and reading it again */
#define BCDA_STAT_SLEEP_NS 16 /* bcda_session_run() in poll(), with nothing to do */

/* 0; BCDA_ERR_INVALID (no such number); BCDA_ERR_FORKED. From callbacks: yes. Thread: owner. Since
 * 0.1. */
BCDA_API int bcda_session_stat(const bcda_session *session, int stat, int64_t *out);

#ifdef __cplusplus
}
#endif

#endif
