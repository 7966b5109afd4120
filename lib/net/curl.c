#include "net/http.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "base/transition.h"
#include "net/head.h"
#include "net/ring.h"
#include "net/sigpipe.h"

/* What libcurl does with a transfer (doc/design.md). How much of the response's head has arrived is
 * in `head`. */
enum transfer_state {
    RUNNING,
    PAUSED,   /* the ring is full; libcurl holds back a piece of the body */
    RESUMING, /* the ring has room again; the transfer is in http->resuming */
    FINISHED, /* `result` is set; bytes may be left in the ring */
};

struct bcda__transfer {
    enum transfer_state state;
    struct bcda__http *http;
    struct bcda__transfer_events events;
    CURL *easy;
    struct curl_slist *headers;
    char error[CURL_ERROR_SIZE];

    struct bcda__head head;
    int proxied;

    struct bcda__ring ring;
    int no_memory; /* there was no memory for the ring */
    int64_t received;

    CURLcode result;
    int by_curl; /* libcurl itself ended the transfer with `result`; otherwise this file did */
    /* The error code of a descriptor that could not be watched, if that ended the transfer; else
     * 0. */
    int refused;
    /* EMFILE or ENFILE if no descriptors were left when the connection failed; else 0. */
    int starved;

    /* events that the engine has still to deliver to the transfer's owner */
    int head_due, data_due;
    int in_multi;
    int waiting; /* this transfer is in http->waiting */
    struct bcda__transfer *prev, *next;
    struct bcda__transfer *resume_next;
    struct bcda__transfer *all_prev, *all_next; /* neighbours in http->all */
};

/* A cache of TLS sessions that several transports share. BCDA closes every connection, so resuming
 * a TLS session is the only way to save part of the next TLS handshake. */
struct bcda__http_share {
    CURLSH *curl;
    pthread_mutex_t lock;
};

/* An open connection. libcurl may close it without a callback, and the system may then reuse its
 * number. The inode shows whether the descriptor is still the same socket. */
struct connection {
    int fd;
    ino_t inode;
};

struct bcda__http {
    CURLM *multi;
    struct bcda__http_share *share;
    struct bcda__http_options o;
    struct bcda__http_hooks hooks;
    const struct bcda__log *log;
    struct bcda__transfer waiting;   /* list head: transfers with pending events, oldest first */
    struct bcda__transfer *resuming; /* in state RESUMING, oldest first */
    struct bcda__transfer *all;      /* every transfer that was added to libcurl */
    struct bcda__ring_pool pool;
    struct connection *sockets; /* open connections, which a child of fork() must close */
    size_t socket_count, socket_cap;
    char tls_library[64]; /* the TLS library of libcurl, with its version */
    /* the error code of a descriptor that could not be watched; 0 = none failed */
    int unwatched;
    int forked;
    int64_t spent_ns; /* time in libcurl */
};

/* ---- initialisation of the process ---- */

int bcda__http_global_init(struct bcda_error *err)
{
    const curl_version_info_data *v;

    /* All flags, because other users of libcurl in this process may rely on any of them. */
    if (curl_global_init(CURL_GLOBAL_ALL))
        return bcda__err_set(err, BCDA_ERR_LIBRARY, "libcurl could not be initialised");
    v = curl_version_info(CURLVERSION_NOW);
    if (v->version_num < 0x074c00)
        bcda__err_set(err, BCDA_ERR_LIBRARY, "libcurl %s is too old: 7.76 or later is needed",
                      v->version);
    else if (!(v->features & CURL_VERSION_SSL))
        bcda__err_set(err, BCDA_ERR_LIBRARY, "this libcurl was built without TLS");
    else if (!(v->features & CURL_VERSION_ASYNCHDNS))
        bcda__err_set(
            err, BCDA_ERR_LIBRARY,
            "this libcurl looks names up synchronously and would block the application's thread");
    else
        return 0;
    curl_global_cleanup();
    return BCDA_ERR_LIBRARY;
}

void bcda__http_global_cleanup(void)
{
    curl_global_cleanup();
}

/* ---- what transports share ---- */

static void lock_share(CURL *easy, curl_lock_data what, curl_lock_access access, void *ctx)
{
    (void)easy;
    (void)what;
    (void)access;
    pthread_mutex_lock(&((struct bcda__http_share *)ctx)->lock);
}

static void unlock_share(CURL *easy, curl_lock_data what, void *ctx)
{
    (void)easy;
    (void)what;
    pthread_mutex_unlock(&((struct bcda__http_share *)ctx)->lock);
}

int bcda__http_share_new(struct bcda__http_share **out)
{
    struct bcda__http_share *s = bcda__calloc(1, sizeof *s);

    if (!s)
        return BCDA_ERR_NOMEM;
    if (pthread_mutex_init(&s->lock, NULL)) {
        bcda__free(s);
        return BCDA_ERR_LIBRARY;
    }
    s->curl = curl_share_init();
    if (!s->curl || curl_share_setopt(s->curl, CURLSHOPT_LOCKFUNC, lock_share) ||
        curl_share_setopt(s->curl, CURLSHOPT_UNLOCKFUNC, unlock_share) ||
        curl_share_setopt(s->curl, CURLSHOPT_USERDATA, s) ||
        curl_share_setopt(s->curl, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION)) {
        bcda__http_share_free(s, 0);
        return BCDA_ERR_LIBRARY;
    }
    *out = s;
    return 0;
}

void bcda__http_share_free(struct bcda__http_share *s, int forked)
{
    if (!s)
        return;
    if (!forked) {
        curl_share_cleanup(s->curl);
        pthread_mutex_destroy(&s->lock);
    }
    bcda__free(s);
}

/* ---- callbacks of libcurl ---- */

static void queue_notification(struct bcda__transfer *t)
{
    struct bcda__http *h = t->http;

    if (t->waiting)
        return;
    t->waiting = 1;
    t->next = &h->waiting;
    t->prev = h->waiting.prev;
    t->prev->next = t;
    h->waiting.prev = t;
    h->hooks.notify(h->hooks.ctx);
}

static void unqueue_notification(struct bcda__transfer *t)
{
    if (!t->waiting)
        return;
    t->waiting = 0;
    t->prev->next = t->next;
    t->next->prev = t->prev;
}

static void leave_resuming(struct bcda__transfer *t)
{
    struct bcda__transfer **at = &t->http->resuming;

    while (*at != t)
        at = &(*at)->resume_next;
    *at = t->resume_next;
}

static void join_resuming(struct bcda__transfer *t)
{
    struct bcda__transfer **last = &t->http->resuming;

    while (*last)
        last = &(*last)->resume_next;
    *last = t;
    t->resume_next = NULL;
}

/* The only function that changes `t->state`. It also keeps http->resuming, the list of the
 * transfers whose state is RESUMING. */
static void change_transfer_state(struct bcda__transfer *t, enum transfer_state to)
{
    static const char *const names[] = {"RUNNING", "PAUSED", "RESUMING", "FINISHED"};

    if (t->state == to)
        return;
    BCDA__TRANSITION("transfer", names[t->state], names[to]);
    if (t->state == RESUMING)
        leave_resuming(t);
    t->state = to;
    if (to == RESUMING)
        join_resuming(t);
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *per_socket)
{
    struct bcda__http *h = ctx;
    int events = 0, rc;

    (void)easy;
    (void)per_socket;
    if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
        events |= BCDA__LOOP_READ;
    if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
        events |= BCDA__LOOP_WRITE;
    rc = h->hooks.watch(h->hooks.ctx, (int)fd, events);
    if (rc)
        h->unwatched = rc;
    /* If this callback returned -1, libcurl 7.88 would keep a pointer to the transfer beyond the
     * transfer's end. So it returns -1 only in a child of fork(), when the application forked in
     * its watch_fd: the child frees no transfer, and libcurl must return without using more
     * connections. */
    return h->forked ? -1 : 0;
}

/* Returns 0 if `fd` is not a socket, or is not open. */
static ino_t inode_of_socket(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode) ? st.st_ino : 0;
}

static void note_socket(struct bcda__http *h, int fd)
{
    size_t cap = h->socket_cap * 2 + 4;
    struct connection *grown;

    if (h->socket_count == h->socket_cap) {
        grown = bcda__realloc(h->sockets, cap * sizeof *grown);
        /* A socket that is not in the list stays open in a child of fork() until the child
         * exits. */
        if (!grown)
            return;
        h->sockets = grown;
        h->socket_cap = cap;
    }
    h->sockets[h->socket_count].fd = fd;
    h->sockets[h->socket_count++].inode = inode_of_socket(fd);
}

/* In a child of fork(): closes the child's descriptors of the connections. The parent's own
 * descriptors stay open. */
static void close_connections(struct bcda__http *h)
{
    for (; h->socket_count > 0; h->socket_count--) {
        const struct connection *c = &h->sockets[h->socket_count - 1];

        if (c->inode && inode_of_socket(c->fd) == c->inode)
            close(c->fd);
    }
}

/* Opens a socket as libcurl does, but sets close-on-exec, which no version of libcurl up to 8.11
 * does. */
static curl_socket_t open_connection(void *ctx, curlsocktype purpose, struct curl_sockaddr *a)
{
#ifdef SOCK_CLOEXEC
    int fd = socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
#else
    int fd = socket(a->family, a->socktype, a->protocol);

    if (fd >= 0)
        (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
#endif
    (void)purpose;
    if (fd < 0)
        return CURL_SOCKET_BAD;
    note_socket(ctx, fd);
    return fd;
}

static int close_connection(void *ctx, curl_socket_t fd)
{
    struct bcda__http *h = ctx;
    size_t i;

    for (i = 0; i < h->socket_count && h->sockets[i].fd != (int)fd; i++)
        ;
    if (i < h->socket_count)
        h->sockets[i] = h->sockets[--h->socket_count];
    return close((int)fd);
}

static int on_timer(CURLM *multi, long timeout_ms, void *ctx)
{
    struct bcda__http *h = ctx;

    (void)multi;
    h->hooks.curl_timer(h->hooks.ctx, timeout_ms);
    return 0;
}

/* If this returns anything but the number of bytes, libcurl ends the transfer with
 * CURLE_WRITE_ERROR. */
static size_t on_header(char *data, size_t size, size_t count, void *ctx)
{
    struct bcda__transfer *t = ctx;
    int rc = bcda__head_line(&t->head, data, size * count);

    if (rc < 0)
        return 0;
    if (rc == 1) {
        t->head_due = 1;
        queue_notification(t);
    }
    return size * count;
}

static size_t on_body(char *data, size_t size, size_t count, void *ctx)
{
    struct bcda__transfer *t = ctx;
    size_t len = size * count;

    if (len > bcda__ring_room(&t->ring)) {
        change_transfer_state(t, PAUSED);
        queue_notification(t);
        return CURL_WRITEFUNC_PAUSE;
    }
    if (len && bcda__ring_put(&t->ring, &t->http->pool, data, len)) {
        t->no_memory = 1;
        return 0; /* libcurl then ends the transfer */
    }
    t->received += (int64_t)len;
    t->data_due = 1;
    queue_notification(t);
    return len;
}

/* ---- a session's transport ---- */

/* Called once for each transport, which keeps the copy: curl_version_info() writes `ssl_version` to
 * one static buffer for all threads. */
static void note_tls_library(struct bcda__http *h)
{
    const char *name = curl_version_info(CURLVERSION_NOW)->ssl_version;

    bcda__text_copy(h->tls_library, sizeof h->tls_library, name ? name : "");
}

static int is_openssl(const struct bcda__http *h)
{
    return bcda__text_contains_nocase(h->tls_library, "OpenSSL") ||
           bcda__text_contains_nocase(h->tls_library, "LibreSSL") ||
           bcda__text_contains_nocase(h->tls_library, "BoringSSL") ||
           bcda__text_contains_nocase(h->tls_library, "AWS-LC") ||
           bcda__text_contains_nocase(h->tls_library, "quictls");
}

static void free_curl(struct bcda__http *h)
{
    struct bcda__sigpipe guard;

    bcda__sigpipe_block(&guard);
    curl_multi_cleanup(h->multi);
    bcda__sigpipe_restore(&guard);
}

int bcda__http_new(struct bcda__http **out, const struct bcda__http_options *o,
                   struct bcda__http_share *share, const struct bcda__http_hooks *hooks,
                   const struct bcda__log *log, struct bcda_error *err)
{
    struct bcda__http *h = bcda__calloc(1, sizeof *h);

    if (!h)
        return bcda__err_nomem(err);
    h->o = *o;
    h->hooks = *hooks;
    h->log = log;
    h->waiting.prev = h->waiting.next = &h->waiting;
    h->share = share;
    note_tls_library(h);
    h->multi = curl_multi_init();
    if (!h->multi) {
        bcda__http_free(h);
        return bcda__err_nomem(err);
    }
    if (curl_multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, on_socket) ||
        curl_multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h) ||
        curl_multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, on_timer) ||
        curl_multi_setopt(h->multi, CURLMOPT_TIMERDATA, h)) {
        bcda__http_free(h);
        return bcda__err_set(err, BCDA_ERR_LIBRARY, "libcurl took no callbacks");
    }
    *out = h;
    return 0;
}

void bcda__http_set_forked(struct bcda__http *h)
{
    h->forked = 1;
}

void bcda__http_free(struct bcda__http *h)
{
    if (!h)
        return;
    if (h->forked)
        close_connections(h);
    else
        free_curl(h);
    bcda__free(h->sockets);
    bcda__ring_pool_trim(&h->pool);
    bcda__free(h);
}

/* Returns EMFILE or ENFILE if no descriptors are left, else 0. The failed connection may already
 * have closed up to three descriptors: its socket, and two of a thread that resolves a name. So
 * this function tries to open four (two pairs). */
static int find_starvation(void)
{
    enum { PAIRS = 2 };
    int pairs[PAIRS][2], n = 0, code = 0;

    while (n < PAIRS && !socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pairs[n]))
        n++;
    if (n < PAIRS && (errno == EMFILE || errno == ENFILE))
        code = errno;
    while (n-- > 0) {
        close(pairs[n][0]);
        close(pairs[n][1]);
    }
    return code;
}

static void give_up(struct bcda__transfer *t, CURLcode why)
{
    if (t->state == FINISHED && t->result != CURLE_OK)
        return;
    t->result = why;
    change_transfer_state(t, FINISHED);
    queue_notification(t);
}

/* Notes the transfers that libcurl has finished. `rc` is the result of the call of libcurl. If `rc`
 * is an error, or a descriptor could not be watched, nothing would drive the other transfers any
 * more: so all of them end here. */
static void collect_finished(struct bcda__http *h, CURLMcode rc)
{
    struct bcda__transfer *t;
    CURLMsg *m;
    int left, refused;

    while ((m = curl_multi_info_read(h->multi, &left))) {
        if (m->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&t);
        if (t->state == FINISHED)
            continue;
        t->by_curl = 1;
        give_up(t, m->data.result);
        if (t->result != CURLE_OK && !bcda__transfer_is_connected(t))
            t->starved = find_starvation();
    }
    if (!rc && !h->unwatched)
        return;
    refused = h->unwatched;
    h->unwatched = 0;
    for (t = h->all; t; t = t->all_next) {
        if (t->state == FINISHED)
            continue;
        t->refused = refused;
        give_up(t, CURLE_OUT_OF_MEMORY);
    }
}

static void drive_socket(struct bcda__http *h, curl_socket_t fd, int mask)
{
    int64_t began = bcda__clock_ns();
    struct bcda__sigpipe guard;
    CURLMcode rc;
    int running;

    if (h->forked)
        return;
    bcda__sigpipe_block(&guard);
    rc = curl_multi_socket_action(h->multi, fd, mask, &running);
    bcda__sigpipe_restore(&guard);
    h->spent_ns += bcda__clock_ns() - began;
    if (!h->forked) /* the application may have forked in watch_fd */
        collect_finished(h, rc);
}

void bcda__http_unwatched(struct bcda__http *h, int code)
{
    h->unwatched = code;
    if (!h->forked)
        collect_finished(h, CURLM_OK);
}

int64_t bcda__http_take_spent(struct bcda__http *h)
{
    int64_t spent = h->spent_ns;

    h->spent_ns = 0;
    return spent;
}

void bcda__http_drive(struct bcda__http *h, int fd, int events)
{
    int mask = 0;

    if (events & BCDA__LOOP_READ)
        mask |= CURL_CSELECT_IN;
    if (events & BCDA__LOOP_WRITE)
        mask |= CURL_CSELECT_OUT;
    drive_socket(h, fd, mask);
}

void bcda__http_drive_timer(struct bcda__http *h)
{
    drive_socket(h, CURL_SOCKET_TIMEOUT, 0);
}

/* ---- one transfer ---- */

static int code_of(CURLcode c)
{
    switch (c) {
    case CURLE_OK:
        return 0;
    case CURLE_OUT_OF_MEMORY:
        return BCDA_ERR_NOMEM;
    case CURLE_COULDNT_RESOLVE_HOST:
        return BCDA_ERR_RESOLVE;
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_PROXY:
        return BCDA_ERR_PROXY;
    case CURLE_COULDNT_CONNECT:
    case CURLE_INTERFACE_FAILED:
        return BCDA_ERR_CONNECT;
    case CURLE_OPERATION_TIMEDOUT:
        return BCDA_ERR_CONNECT_TIMEOUT;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
        return BCDA_ERR_TLS_VERIFY;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_ENGINE_NOTFOUND:
    case CURLE_SSL_ENGINE_SETFAILED:
    case CURLE_USE_SSL_FAILED:
#if LIBCURL_VERSION_NUM >= 0x074d00
    case CURLE_SSL_CLIENTCERT:
#endif
        return BCDA_ERR_TLS;
    case CURLE_PARTIAL_FILE:
        return BCDA_ERR_TRUNCATED;
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_BAD_CONTENT_ENCODING:
    case CURLE_TOO_MANY_REDIRECTS:
        return BCDA_ERR_HTTP;
    case CURLE_URL_MALFORMAT:
        return BCDA_ERR_URL;
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
        return BCDA_ERR_TRANSFER;
    default:
        return BCDA_ERR_LIBRARY;
    }
}

/* Responses with status 204 and 304 have no body, whatever their Content-Length says. */
static int has_body(int status)
{
    return status != 204 && status != 304;
}

static int has_head(const struct bcda__transfer *t)
{
    return t->head.state == BCDA__HEAD_COMPLETE;
}

static int is_short(const struct bcda__transfer *t)
{
    int64_t announced = bcda__transfer_content_length(t);

    return has_head(t) && has_body(t->head.status) && announced >= 0 && t->received < announced;
}

/* Returns libcurl's message, which may name hosts or certificate problems, but contains no
 * secret. */
static const char *words_of(struct bcda__transfer *t)
{
    size_t len = strlen(t->error);

    while (len && (t->error[len - 1] == '.' || t->error[len - 1] == '\n'))
        t->error[--len] = '\0';
    return len ? t->error : curl_easy_strerror(t->result);
}

static int describe_short(const struct bcda__transfer *t, struct bcda_error *err)
{
    long long announced = (long long)bcda__transfer_content_length(t);

    if (announced >= 0)
        return bcda__err_set(err, BCDA_ERR_TRUNCATED,
                             "%lld of %lld bytes came before the connection ended",
                             (long long)t->received, announced);
    return bcda__err_set(
        err, BCDA_ERR_TRUNCATED,
        "the connection ended after %lld bytes, before the end of the chunked body",
        (long long)t->received);
}

/* Whether the headers exceed our limit or one of libcurl's. libcurl limits each line, which it
 * reports as CURLE_OUT_OF_MEMORY, and all headers together. */
static int is_head_too_large(const struct bcda__transfer *t)
{
    curl_off_t answered = 0;

    curl_easy_getinfo(t->easy, CURLINFO_STARTTRANSFER_TIME_T, &answered);
    return t->head.code == BCDA_ERR_HEADERS_TOO_LARGE ||
           (t->result == CURLE_OUT_OF_MEMORY && t->by_curl && answered > 0 && !has_head(t)) ||
           bcda__text_starts_nocase(t->error, "Too large response headers");
}

/* Fills `err` if the transfer ended because the head of the response was refused, and returns the
 * error code. Returns 0 if the transfer ended for another reason. */
static int describe_head(const struct bcda__transfer *t, struct bcda_error *err)
{
    if (is_head_too_large(t))
        return bcda__err_set(err, BCDA_ERR_HEADERS_TOO_LARGE,
                             "the headers of the answer are longer than %zu bytes (option "
                             "\"headers_max\"), or a line "
                             "of them is longer than libcurl accepts",
                             t->head.lines.max);
    if (t->head.code == BCDA_ERR_NOMEM || t->no_memory)
        return bcda__err_nomem(err);
    if (t->head.code)
        return bcda__err_set(err, t->head.code,
                             "the answer has %s: where its body ends cannot be known",
                             t->head.cause);
    if (t->result == CURLE_OK && !has_head(t))
        return bcda__err_set(err, BCDA_ERR_TRANSFER,
                             "the connection ended before the end of the answer's headers");
    return 0;
}

/* Whether libcurl refused the proxy's URL with a message that quotes it, perhaps with a password.
 * The message may be cut, so only the beginning of the URL is compared. */
static int quotes_proxy_url(const struct bcda__transfer *t)
{
    char start[17] = "";

    if (!t->proxied)
        return 0;
    memcpy(start, t->http->o.proxy, strnlen(t->http->o.proxy, sizeof start - 1));
    return strstr(t->error, start) != NULL;
}

/* Fills `err` if the proxy caused the transfer to fail, and returns the error code. Returns 0 if
 * the transfer ended for another reason. The proxy is the cause if the connection to the server was
 * not yet open. */
static int describe_proxy(struct bcda__transfer *t, int code, struct bcda_error *err)
{
    long status = 0;

    if (!t->proxied || bcda__transfer_is_connected(t) ||
        (code != BCDA_ERR_PROXY && code != BCDA_ERR_CONNECT && code != BCDA_ERR_TRANSFER &&
         code != BCDA_ERR_HTTP))
        return 0;
    curl_easy_getinfo(t->easy, CURLINFO_HTTP_CONNECTCODE, &status);
    if (status >= 200 && status <= 299)
        return 0;
    if (quotes_proxy_url(t)) {
        bcda__err_set(
            err, BCDA_ERR_PROXY,
            "the proxy's URL cannot be used: it cannot be parsed, or its scheme is unknown");
        err->retryable = 0;
        return BCDA_ERR_PROXY;
    }
    if (status == 407)
        bcda__err_set(err, BCDA_ERR_PROXY,
                      "the proxy wants another user or password, or another way to sign in (407)");
    else if (status >= 300)
        bcda__err_set(err, BCDA_ERR_PROXY, "the proxy does not connect to this server (%ld)%s",
                      status, status < 500 ? ": is it allowed there?" : "");
    else
        bcda__err_set(err, BCDA_ERR_PROXY, "the proxy: %s", words_of(t));
    err->retryable = status < 300 || status >= 500;
    return BCDA_ERR_PROXY;
}

/* Why a TLS connection failed. libcurl has few codes for that; the details are in the message of
 * its TLS library, which is in English and differs between libraries. */
enum tls_cause {
    TLS_UNKNOWN,
    TLS_PLAIN,    /* the server's bytes are not TLS */
    TLS_OWN_FILE, /* the client certificate or its key cannot be used */
    TLS_SETTING,  /* a setting that this libcurl does not support */
    TLS_VERSION,  /* both sides have no TLS version in common */
    TLS_REFUSED,  /* the server refused, and would refuse again */
    TLS_ALERT     /* the server refused, for a reason that may pass or that it does not name */
};

/* The first row whose words occur in the message gives the cause. */
static const struct {
    const char *words;
    enum tls_cause cause;
} tls_words[] = {
    {"wrong version number", TLS_PLAIN},                    /* OpenSSL, about the first record */
    {"unexpected TLS packet", TLS_PLAIN},                   /* GnuTLS */
    {"illegal or unsupported version", TLS_PLAIN},          /* GnuTLS */
    {"exceeded the maximum permissible length", TLS_PLAIN}, /* NSS */
    {"error reading X.509", TLS_OWN_FILE},                  /* GnuTLS */
    {"protocol version", TLS_VERSION},                      /* OpenSSL and GnuTLS, an alert */
    {"unsupported protocol", TLS_VERSION},                  /* OpenSSL */
    /* The rest are alerts, in the words of OpenSSL and GnuTLS. */
    {"certificate", TLS_REFUSED},
    {"unknown ca", TLS_REFUSED},
    {"CA is unknown", TLS_REFUSED},
    {"access denied", TLS_REFUSED},
    {"access was denied", TLS_REFUSED},
    {"handshake failure", TLS_REFUSED},
    {"handshake failed", TLS_REFUSED},
    {" alert", TLS_ALERT},
};

/* With TLS 1.3, a fatal alert of the server may arrive after the handshake; libcurl then reports a
 * read error. */
static int is_alert(const char *words)
{
    return bcda__text_contains_nocase(words, " alert");
}

static enum tls_cause find_tls_cause(const struct bcda__transfer *t, const char *words)
{
    size_t i;

    switch (t->result) {
    case CURLE_SSL_CERTPROBLEM:
        return TLS_OWN_FILE;
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_ENGINE_NOTFOUND:
    case CURLE_SSL_ENGINE_SETFAILED:
        return TLS_SETTING;
#if LIBCURL_VERSION_NUM >= 0x074d00
    case CURLE_SSL_CLIENTCERT:
        return TLS_REFUSED;
#endif
    default:
        for (i = 0; i < sizeof tls_words / sizeof *tls_words; i++)
            if (bcda__text_contains_nocase(words, tls_words[i].words))
                return tls_words[i].cause;
        return TLS_UNKNOWN;
    }
}

static const char *tls_hint(enum tls_cause cause, int has_certificate)
{
    switch (cause) {
    case TLS_PLAIN:
        return "; this port does not speak TLS, but perhaps plain http: check the URL";
    case TLS_OWN_FILE:
        return "; is the client certificate a PEM file, and is its passphrase right?";
    case TLS_VERSION:
        return "; there is no version of TLS that both sides accept";
    case TLS_REFUSED:
    case TLS_ALERT:
        return has_certificate ? "; is the client certificate the right one?"
                               : "; does the server want a client certificate?";
    default:
        return "";
    }
}

/* The error text names what the user can change: certificates, URL, TLS versions. */
static int describe_tls(struct bcda__transfer *t, struct bcda_error *err)
{
    const char *words = words_of(t);
    enum tls_cause cause = find_tls_cause(t, words);

    if (cause == TLS_UNKNOWN && !is_openssl(t->http))
        bcda__err_set(err, BCDA_ERR_TLS, "%s; %s does not say why, nor whether this will pass",
                      words, t->http->tls_library);
    else
        bcda__err_set(err, BCDA_ERR_TLS, "%s%s", words,
                      tls_hint(cause, t->http->o.cert_file != NULL));
    err->retryable = cause == TLS_UNKNOWN || cause == TLS_ALERT;
    return BCDA_ERR_TLS;
}

static int describe_distrust(struct bcda__transfer *t, struct bcda_error *err)
{
    const char *hint = t->result == CURLE_SSL_CACERT_BADFILE
                           ? "is the CA file one of certificates, in PEM?"
                           : "if the server is right, name the CA file that has its authority";

    return bcda__err_set(err, BCDA_ERR_TLS_VERIFY, "%s; %s", words_of(t), hint);
}

/* Whether the handshake failed because of the server's certificate although libcurl's error code
 * does not say so. With OpenSSL, libcurl's verify result is 1 until a certificate has been
 * checked. */
static int is_distrusted(const struct bcda__transfer *t)
{
    long verified = 0;

    if (t->result != CURLE_SSL_CONNECT_ERROR)
        return 0;
    curl_easy_getinfo(t->easy, CURLINFO_SSL_VERIFYRESULT, &verified);
    return verified != 0 && verified != 1;
}

/* Fills `err` for a transfer that failed because no descriptors were left. libcurl reports this as
 * a host that cannot be reached, a name without an address, or a bad CA file or certificate. */
static int describe_starved(struct bcda__transfer *t, struct bcda_error *err)
{
    const char *who = t->starved == ENFILE ? "the system" : "this process";

    return bcda__err_set(err, BCDA_ERR_SYSTEM,
                         "%s has no descriptors left (too many open files): %s", who, words_of(t));
}

/* Describes how the transfer ended. Returns 0 or an error code. */
static int describe_end(struct bcda__transfer *t, struct bcda_error *err)
{
    const char *words = words_of(t);
    int code = code_of(t->result), rc;

    bcda__err_clear(err);
    if (t->refused == BCDA_ERR_SYSTEM) {
        bcda__err_set(err, t->refused,
                      "a descriptor could not be watched: the system, or the application's "
                      "event loop, refused it");
        err->retryable = 0;
        return t->refused;
    }
    if (t->starved)
        return describe_starved(t, err);
    rc = describe_head(t, err);
    if (!rc)
        rc = describe_proxy(t, code, err);
    if (rc)
        return rc;
    /* That the body is shorter than announced says more than libcurl's code does. */
    if (code == BCDA_ERR_TRUNCATED || ((!code || code == BCDA_ERR_TRANSFER) && is_short(t)))
        return describe_short(t, err);
    if (code == BCDA_ERR_TLS_VERIFY || is_distrusted(t))
        return describe_distrust(t, err);
    if (code == BCDA_ERR_TLS || (code == BCDA_ERR_TRANSFER && !has_head(t) && is_alert(words)))
        return describe_tls(t, err);
    return code ? bcda__err_set(err, code, "%s", words) : 0;
}

static void forget_headers(struct bcda__transfer *t)
{
    struct curl_slist *s;

    for (s = t->headers; s; s = s->next)
        if (s->data)
            /* one of these request headers is Authorization, a secret */
            bcda__wipe(s->data, strlen(s->data));
    curl_slist_free_all(t->headers);
    t->headers = NULL;
}

static int append_header(struct bcda__transfer *t, const char *line)
{
    struct curl_slist *s = curl_slist_append(t->headers, line);

    if (!s)
        return BCDA_ERR_NOMEM;
    t->headers = s;
    return 0;
}

static int set_transfer_headers(struct bcda__transfer *t, const struct bcda__transfer_request *r)
{
    struct bcda__buf line;
    size_t i;
    int rc = 0;

    for (i = 0; !rc && i < r->header_count; i++)
        rc = append_header(t, r->headers[i]);
    if (!rc && r->body)
        /* Without this, libcurl waits for a 100 (Continue) before it sends a long body. */
        rc = append_header(t, "Expect:");
    if (rc || !r->authorization)
        return rc;
    bcda__buf_init(&line, 128 * 1024);
    rc = bcda__buf_adds(&line, "Authorization: ");
    if (!rc)
        rc = bcda__buf_add(&line, r->authorization->data, r->authorization->len);
    if (!rc)
        rc = append_header(t, line.data);
    bcda__buf_free_secret(&line);
    return rc;
}

/* If libcurl refuses an option, the transfer fails: it never runs with a weaker setting. */
#define SET(option, value)                                    \
    do {                                                      \
        CURLcode set_rc = curl_easy_setopt(e, option, value); \
        if (set_rc)                                           \
            return set_rc;                                    \
    } while (0)

static CURLcode set_protocols(CURL *e, int allow_http)
{
#if LIBCURL_VERSION_NUM >= 0x075500
    SET(CURLOPT_PROTOCOLS_STR, allow_http ? "http,https" : "https");
    SET(CURLOPT_REDIR_PROTOCOLS_STR, "https");
#else
    SET(CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTPS | (allow_http ? CURLPROTO_HTTP : 0)));
    SET(CURLOPT_REDIR_PROTOCOLS, (long)CURLPROTO_HTTPS);
#endif
    return CURLE_OK;
}

static CURLcode set_tls(CURL *e, const struct bcda__http *h)
{
    SET(CURLOPT_SHARE, h->share->curl);
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    /* Only a CA file is used, no directory: with a directory each connection costs 37 ms of CPU
     * instead of 2.6, and BCDA closes every connection. */
    SET(CURLOPT_CAPATH, NULL);
    if (h->o.ca_file)
        SET(CURLOPT_CAINFO, h->o.ca_file);
    return CURLE_OK;
}

/* libcurl reuses a connection or a TLS session only for a transfer with the same certificate. */
static CURLcode set_certificate(CURL *e, const struct bcda__http *h)
{
    SET(CURLOPT_SSLCERT, h->o.cert_file);
    SET(CURLOPT_SSLKEY, h->o.key_file);
    /* If no passphrase is set, OpenSSL prompts at the terminal and blocks. GnuTLS accepts an
     * unencrypted key only if no passphrase is set. */
    if (h->o.key_passphrase && h->o.key_passphrase->data)
        SET(CURLOPT_KEYPASSWD, h->o.key_passphrase->data);
    else if (is_openssl(h))
        SET(CURLOPT_KEYPASSWD, "");
    return CURLE_OK;
}

/* http URLs without TLS are allowed for loopback addresses only, for tests. Such a request must not
 * go through the proxy, which would receive it in clear text. */
static CURLcode set_proxy(CURL *e, struct bcda__transfer *t, const char *url)
{
    const struct bcda__http *h = t->http;

    t->proxied = h->o.proxy && bcda__text_starts_nocase(url, "https:");
    /* "" = no proxy, not even one that the environment names. */
    SET(CURLOPT_PROXY, t->proxied ? h->o.proxy : "");
    SET(CURLOPT_NOPROXY, "");
    /* on_header() gets only the head of the server's response, not that of the proxy's response to
     * CONNECT. */
    SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    if (h->o.proxy_user)
        SET(CURLOPT_PROXYUSERNAME, h->o.proxy_user);
    if (h->o.proxy_password && h->o.proxy_password->data)
        SET(CURLOPT_PROXYPASSWORD, h->o.proxy_password->data);
    return CURLE_OK;
}

static CURLcode set_behaviour(CURL *e, const struct bcda__http *h)
{
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    SET(CURLOPT_HTTP09_ALLOWED, 0L);
    /* HTTP/1.1, because with HTTP/2 libcurl 7.88 opens a window of 32 MiB for each stream. Two
     * functions rely on HTTP/1.x too: find_unclear_length() in head.c and has_end() in
     * client/call.c. */
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
#if LIBCURL_VERSION_NUM >= 0x075700
    SET(CURLOPT_QUICK_EXIT, 1L); /* at the end, do not wait for a pending name lookup */
#endif
    SET(CURLOPT_USERAGENT, h->o.user_agent);
    /* client/call.c limits the time for connecting and ends slow transfers. libcurl's own limit is
     * made too long to matter (0 would mean its default of 300 s). */
    SET(CURLOPT_CONNECTTIMEOUT_MS, 24L * 3600 * 1000);
    return CURLE_OK;
}

static CURLcode set_callbacks(CURL *e, struct bcda__transfer *t)
{
    SET(CURLOPT_PRIVATE, t);
    SET(CURLOPT_ERRORBUFFER, t->error);
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, t);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, t);
    SET(CURLOPT_HTTPHEADER, t->headers);
    SET(CURLOPT_OPENSOCKETFUNCTION, open_connection);
    SET(CURLOPT_OPENSOCKETDATA, t->http);
    SET(CURLOPT_CLOSESOCKETFUNCTION, close_connection);
    SET(CURLOPT_CLOSESOCKETDATA, t->http);
    return CURLE_OK;
}

static CURLcode set_method(CURL *e, const struct bcda__transfer_request *r)
{
    SET(CURLOPT_URL, r->url);
    /* On a connection that is used again, libcurl repeats by itself a request that the server has
     * not answered. An assertion must not be sent twice. */
    SET(CURLOPT_FRESH_CONNECT, r->body ? 1L : 0L);
    if (strcmp(r->method, "POST") == 0) {
        SET(CURLOPT_POST, 1L);
        /* Without a body, this sends "Content-Length: 0" (bcda-api 3.1). libcurl does not copy the
         * body. */
        SET(CURLOPT_POSTFIELDS, r->body ? r->body->data : "");
        SET(CURLOPT_POSTFIELDSIZE, r->body ? (long)r->body->len : 0L);
    } else if (strcmp(r->method, "GET") != 0) {
        SET(CURLOPT_CUSTOMREQUEST, r->method);
    }
    return CURLE_OK;
}

#undef SET

static CURLcode set_up(struct bcda__transfer *t, const struct bcda__transfer_request *r)
{
    CURLcode rc = set_protocols(t->easy, t->http->o.allow_http);

    if (!rc)
        rc = set_tls(t->easy, t->http);
    if (!rc && r->offers_certificate && t->http->o.cert_file)
        rc = set_certificate(t->easy, t->http);
    if (!rc)
        rc = set_proxy(t->easy, t, r->url);
    if (!rc)
        rc = set_behaviour(t->easy, t->http);
    if (!rc)
        rc = set_callbacks(t->easy, t);
    return rc ? rc : set_method(t->easy, r);
}

int bcda__transfer_start(struct bcda__transfer **out, struct bcda__http *h,
                         const struct bcda__transfer_request *r,
                         const struct bcda__transfer_events *events, struct bcda_error *err)
{
    struct bcda__transfer *t;
    CURLcode set;
    CURLMcode added;

    if (h->forked)
        return bcda__err_set(err, BCDA_ERR_FORKED, "%s", bcda_error_string(BCDA_ERR_FORKED));
    t = bcda__calloc(1, sizeof *t);
    if (!t)
        return bcda__err_nomem(err);
    t->http = h;
    t->events = *events;
    t->ring.cap = r->ring;
    bcda__head_init(&t->head, h->o.headers_max);
    t->easy = curl_easy_init();
    if (!t->easy || set_transfer_headers(t, r)) {
        bcda__transfer_free(t);
        return bcda__err_nomem(err);
    }
    set = set_up(t, r);
    if (set) {
        bcda__transfer_free(t);
        return bcda__err_set(err, set == CURLE_OUT_OF_MEMORY ? BCDA_ERR_NOMEM : BCDA_ERR_LIBRARY,
                             "libcurl refused a setting: %s", curl_easy_strerror(set));
    }
    added = curl_multi_add_handle(h->multi, t->easy);
    if (added) {
        bcda__transfer_free(t);
        return bcda__err_set(err, added == CURLM_OUT_OF_MEMORY ? BCDA_ERR_NOMEM : BCDA_ERR_LIBRARY,
                             "libcurl took no further transfer: %s", curl_multi_strerror(added));
    }
    t->in_multi = 1;
    t->all_next = h->all;
    if (t->all_next)
        t->all_next->all_prev = t;
    h->all = t;
    bcda__log(h->log, BCDA_LOG_DEBUG, "net", "%s begun", r->method);
    *out = t;
    return 0;
}

static void leave_all(struct bcda__transfer *t)
{
    if (!t->in_multi)
        return;
    if (t->all_prev)
        t->all_prev->all_next = t->all_next;
    else
        t->http->all = t->all_next;
    if (t->all_next)
        t->all_next->all_prev = t->all_prev;
}

static void free_easy(struct bcda__transfer *t)
{
    struct bcda__sigpipe guard;

    bcda__sigpipe_block(&guard);
    if (t->in_multi)
        curl_multi_remove_handle(t->http->multi, t->easy);
    if (!t->http->forked) /* the application may have forked in watch_fd just now */
        curl_easy_cleanup(t->easy);
    bcda__sigpipe_restore(&guard);
}

void bcda__transfer_free(struct bcda__transfer *t)
{
    if (!t)
        return;
    unqueue_notification(t);
    if (t->state == RESUMING)
        leave_resuming(t);
    leave_all(t);
    if (!t->http->forked)
        free_easy(t);
    forget_headers(t); /* also in a child of fork(): this frees plain memory only */
    bcda__head_free(&t->head);
    bcda__ring_drop(&t->ring, &t->http->pool);
    if (!t->http->all)
        bcda__ring_pool_trim(&t->http->pool); /* an idle session keeps no memory for rings */
    bcda__free(t);
}

/* ---- resuming after a pause ---- */

/* A paused transfer is resumed when its ring is nearly empty. Then much is read at once, and a
 * sender that waits for this client is woken seldom (doc/performance-notes.md). */
static void resume_later(struct bcda__transfer *t)
{
    if (t->state != PAUSED || t->ring.len > t->ring.cap / 8)
        return;
    change_transfer_state(t, RESUMING);
    t->http->hooks.notify(t->http->hooks.ctx);
}

size_t bcda__http_resumable(const struct bcda__http *h)
{
    const struct bcda__transfer *t;
    size_t n = 0;

    for (t = h->resuming; t; t = t->resume_next)
        n++;
    return n;
}

/* Resumes one transfer and reads from it at once. If libcurl's timer did this, libcurl would read
 * from all resumed transfers before any of them is processed, and the first bytes would have left
 * the processor's cache by then. */
void bcda__http_resume(struct bcda__http *h)
{
    struct bcda__transfer *t = h->resuming;
    struct bcda__sigpipe guard;
    CURLcode rc;

    if (!t || h->forked)
        return;
    change_transfer_state(t, RUNNING);
    bcda__sigpipe_block(&guard);
    rc = curl_easy_pause(t->easy, CURLPAUSE_CONT); /* this may call on_body at once */
    bcda__sigpipe_restore(&guard);
    if (rc)
        give_up(t, rc); /* libcurl may have lost the piece of the body that it held back */
    drive_socket(h, CURL_SOCKET_TIMEOUT, 0);
}

/* ---- events, delivered outside of libcurl ---- */

static void tell_end(struct bcda__transfer *t)
{
    struct bcda_error err;
    int code = describe_end(t, &err);

    t->events.end(t->events.ctx, code, &err); /* the callback may have freed `t` */
}

int bcda__http_dispatch(struct bcda__http *h)
{
    struct bcda__transfer *t = h->waiting.next;

    if (t == &h->waiting || h->forked)
        return 0;
    unqueue_notification(t);
    if (t->head_due) {
        t->head_due = 0;
        if (t->data_due || t->state != RUNNING)
            queue_notification(t);
        t->events.head(t->events.ctx);
    } else if (t->data_due) {
        t->data_due = 0;
        if (t->ring.len == 0 && t->state == FINISHED)
            queue_notification(t);
        t->events.data(t->events.ctx);
    } else if (t->state == FINISHED && t->ring.len == 0) {
        tell_end(t);
    }
    return 1;
}

int bcda__http_has_events(const struct bcda__http *h)
{
    return h->waiting.next != &h->waiting;
}

int bcda__transfer_status(const struct bcda__transfer *t)
{
    return t->head.status;
}

int bcda__transfer_http_major(const struct bcda__transfer *t)
{
    return t->head.version;
}

const char *bcda__transfer_header(const struct bcda__transfer *t, const char *name)
{
    return bcda__head_value(&t->head, name);
}

int64_t bcda__transfer_content_length(const struct bcda__transfer *t)
{
    return bcda__head_content_length(&t->head);
}

int bcda__transfer_is_chunked(const struct bcda__transfer *t)
{
    return bcda__head_is_chunked(&t->head);
}

int bcda__transfer_is_connected(const struct bcda__transfer *t)
{
    curl_off_t at = 0;

    curl_easy_getinfo(t->easy, CURLINFO_PRETRANSFER_TIME_T, &at);
    return at > 0;
}

int bcda__transfer_is_over(const struct bcda__transfer *t)
{
    return t->state == FINISHED && t->ring.len == 0;
}

int64_t bcda__transfer_received(const struct bcda__transfer *t)
{
    return t->received;
}

int bcda__transfer_is_paused(const struct bcda__transfer *t)
{
    return t->state == PAUSED || t->state == RESUMING;
}

size_t bcda__transfer_peek(const struct bcda__transfer *t, const uint8_t **data)
{
    *data = bcda__ring_data(&t->ring);
    return t->ring.len;
}

void bcda__transfer_take(struct bcda__transfer *t, size_t len)
{
    bcda__ring_take(&t->ring, &t->http->pool, len);
    if (len && t->ring.len) {
        t->data_due = 1;
        queue_notification(t);
    }
    resume_later(t);
    if (t->state == FINISHED && t->ring.len == 0)
        queue_notification(t);
}

void bcda__transfer_wake(struct bcda__transfer *t)
{
    if (t->ring.len == 0 && t->state != FINISHED)
        return;
    t->data_due = t->ring.len > 0;
    queue_notification(t);
}
