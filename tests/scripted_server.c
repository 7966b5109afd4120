#include "scripted_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#include "internal.h"
#include "tempdir.h"

enum { GATES = 16, HEAD_MAX = 64 * 1024, LOOK_MS = 5 };

struct act {
    enum { ACT_SEND, ACT_PAUSE, ACT_GATE } what;
    char *data;
    size_t len;
    unsigned number; /* ACT_PAUSE: milliseconds; ACT_GATE: number of the gate */
};

struct scripted_answer {
    char *match;
    unsigned times, used;
    struct act *acts;
    size_t count;
    enum scripted_end how;
    struct scripted_answer *next;
};

struct peer {
    struct scripted_server *s;
    int fd;
    unsigned number; /* the connection's number, counted from 0 */
    SSL *ssl;        /* NULL without TLS */
    pthread_t thread;
    struct peer *next;
};

struct scripted_server {
    int tls, ipv6, relay, fd;
    unsigned mute, drip;
    char *greeting;
    size_t greeting_len;
    char origin[64], ca_file[256], key_file[256];
    SSL_CTX *ctx;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t news; /* signalled when a gate is opened and when the server is stopped */
    int stopping;
    int open[GATES];
    struct scripted_answer *answers;
    struct peer *peers;
    char **requests;
    unsigned count, connections, resumed;
    struct buf relayed;
    struct scripted_server *next; /* the next running server of this process */
};

static void *get(void *p)
{
    if (!p)
        abort();
    return p;
}

/* ---- reading and writing ---- */

static ssize_t peer_read(struct peer *p, void *out, size_t len)
{
    return p->ssl ? SSL_read(p->ssl, out, (int)len) : recv(p->fd, out, len, 0);
}

static int peer_write(struct peer *p, const char *data, size_t len)
{
    while (len > 0) {
        size_t most = len < 16384 ? len : 16384;
        ssize_t n =
            p->ssl ? SSL_write(p->ssl, data, (int)most) : send(p->fd, data, most, MSG_NOSIGNAL);

        if (n <= 0)
            return -1;
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

static int has_left(const struct peer *p)
{
    struct pollfd f = {p->fd, POLLRDHUP, 0};

    return poll(&f, 1, 0) > 0 && (f.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

/* Returns how long a request is, head and body; 0 = the head is not complete. */
static size_t request_len(const struct buf *request)
{
    const char *end = memmem(request->p, request->len, "\r\n\r\n", 4);
    const char *length = end ? strcasestr(request->p, "\r\nContent-Length:") : NULL;

    if (!end)
        return 0;
    return (size_t)(end + 4 - request->p) +
           (length && length < end ? strtoul(length + 17, NULL, 10) : 0);
}

/* Returns the next request, head and body, which the caller frees, or NULL if the client sends
 * none. */
static char *read_request(struct peer *p)
{
    struct buf request = {0};
    char c[2048];
    size_t len;
    ssize_t n;

    while (request.len < HEAD_MAX && (n = peer_read(p, c, sizeof c)) > 0) {
        buf_add(&request, c, (size_t)n);
        len = request_len(&request);
        if (len && request.len >= len)
            return request.p;
    }
    buf_free(&request);
    return NULL;
}

/* ---- following the script ---- */

static struct scripted_answer *note(struct scripted_server *s, const char *head)
{
    size_t line = strcspn(head, "\r\n");
    struct scripted_answer *a;

    pthread_mutex_lock(&s->lock);
    s->requests = get(realloc(s->requests, (s->count + 1) * sizeof *s->requests));
    s->requests[s->count++] = xstrdup(head);
    for (a = s->answers; a; a = a->next)
        if ((!a->times || a->used < a->times) && memmem(head, line, a->match, strlen(a->match))) {
            a->used++;
            break;
        }
    pthread_mutex_unlock(&s->lock);
    return a;
}

static struct timespec in_ms(unsigned ms)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_nsec += (long)(ms % 1000) * 1000000;
    t.tv_sec += ms / 1000 + t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    return t;
}

/* Waits until the gate is open or, if gate < 0, for `ms` milliseconds. Returns -1 if the server is
 * being stopped, or if the client disconnected before the gate was opened. */
static int wait_for(struct peer *p, int gate, unsigned ms)
{
    struct scripted_server *s = p->s;
    struct timespec until = in_ms(ms);
    int rc = 0, over;

    pthread_mutex_lock(&s->lock);
    while (!s->stopping && (gate < 0 ? rc != ETIMEDOUT : !s->open[gate])) {
        struct timespec soon = in_ms(LOOK_MS);

        rc = pthread_cond_timedwait(&s->news, &s->lock, gate < 0 ? &until : &soon);
        if (gate >= 0 && has_left(p))
            break;
    }
    over = s->stopping || (gate >= 0 && !s->open[gate]);
    pthread_mutex_unlock(&s->lock);
    return over ? -1 : 0;
}

static int play(struct peer *p, const struct scripted_answer *a)
{
    size_t i;
    int rc = 0;

    for (i = 0; !rc && i < a->count; i++) {
        const struct act *t = &a->acts[i];

        if (t->what == ACT_SEND)
            rc = peer_write(p, t->data, t->len);
        else
            rc = wait_for(p, t->what == ACT_GATE ? (int)t->number : -1, t->number);
    }
    return rc;
}

/* Ends the connection as `how` says. Except for SCRIPTED_RESET, then reads until the client closes
 * the connection, since a close() with unread data would send a RST. */
static void end(struct peer *p, enum scripted_end how)
{
    struct linger now = {1, 0};
    char c[2048];

    if (how == SCRIPTED_RESET) {
        setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
        return;
    }
    if (how == SCRIPTED_CLOSE && p->ssl)
        SSL_shutdown(p->ssl);
    if (how != SCRIPTED_STAY)
        shutdown(p->fd, SHUT_WR);
    while (recv(p->fd, c, sizeof c, 0) > 0)
        ;
}

/* ---- a proxy ---- */

/* Connects to the target of "CONNECT 127.0.0.1:PORT" or "CONNECT [::1]:PORT". Returns the socket,
 * or -1 on failure and for any other request. */
static int connect_to(const char *head)
{
    struct sockaddr_in four = {.sin_family = AF_INET};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    const struct sockaddr *to = (const struct sockaddr *)&four;
    socklen_t len = sizeof four;
    unsigned port;
    int fd;

    four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (sscanf(head, "CONNECT [::1]:%u ", &port) == 1) {
        to = (const struct sockaddr *)&six;
        len = sizeof six;
    } else if (sscanf(head, "CONNECT 127.0.0.1:%u ", &port) != 1) {
        return -1;
    }
    four.sin_port = six.sin6_port = htons((uint16_t)port);
    fd = socket(to->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, to, len)) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/* Passes one piece of data from one socket to the other, and records the data if the client sent
 * it. Returns 0 once either side has closed its connection. */
static int pass_on(struct peer *p, int from, int to)
{
    char c[16384];
    ssize_t n = recv(from, c, sizeof c, 0), at = 0, sent;

    if (n > 0 && from == p->fd) {
        pthread_mutex_lock(&p->s->lock);
        buf_add(&p->s->relayed, c, (size_t)n);
        pthread_mutex_unlock(&p->s->lock);
    }
    while (at < n) {
        sent = send(to, c + at, (size_t)(n - at), MSG_NOSIGNAL);
        if (sent <= 0)
            return 0;
        at += sent;
    }
    return n > 0;
}

/* Relays until the client or the target closes, or until scripted_stop() shuts down the client's
 * connection. */
static void relay(struct peer *p, const char *head)
{
    static const char yes[] = "HTTP/1.1 200 Connected\r\n\r\n";
    static const char no[] = "HTTP/1.1 403 Not a target\r\nContent-Length: 0\r\n\r\n";
    int target = connect_to(head), going = target >= 0;

    (void)peer_write(p, going ? yes : no, going ? sizeof yes - 1 : sizeof no - 1);
    while (going) {
        struct pollfd f[2] = {{p->fd, POLLIN, 0}, {target, POLLIN, 0}};

        if (poll(f, 2, -1) < 0)
            break;
        if (f[0].revents)
            going = pass_on(p, p->fd, target);
        if (going && f[1].revents)
            going = pass_on(p, target, p->fd);
    }
    if (target >= 0)
        close(target);
}

static enum scripted_end answer(struct peer *p)
{
    static const char none[] = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
    enum scripted_end how = SCRIPTED_CLOSE;
    struct scripted_answer *a;
    char *head = read_request(p);

    if (!head)
        return how;
    a = note(p->s, head);
    if (a && play(p, a) == 0)
        how = a->how;
    else if (!a && p->s->relay && strncmp(head, "CONNECT ", 8) == 0)
        relay(p, head);
    else if (!a)
        (void)peer_write(p, none, sizeof none - 1);
    free(head);
    return how;
}

/* Keeps the client waiting until it disconnects. A `mute` connection receives nothing. A `drip`
 * connection receives the header of a TLS record and then zeros, one by one: they are no
 * ServerHello, but the client could see that only at the end of the record. */
static void never_shake_hands(struct peer *p)
{
    static const char record[] = {22, 3, 3, 0x40, 0};
    int drips = p->number >= p->s->mute;

    if (drips)
        (void)peer_write(p, record, sizeof record);
    while (!has_left(p) && wait_for(p, -1, LOOK_MS) == 0)
        if (drips && peer_write(p, "", 1))
            break;
}

static int shake_hands(struct peer *p)
{
    struct scripted_server *s = p->s;

    if (p->number < s->mute + s->drip) {
        never_shake_hands(p);
        return -1;
    }
    if (s->greeting) {
        char first[4096];

        if (recv(p->fd, first, sizeof first, 0) > 0)
            (void)peer_write(p, s->greeting, s->greeting_len);
        return -1;
    }
    if (!s->tls)
        return 0;
    p->ssl = get(SSL_new(s->ctx));
    if (SSL_set_fd(p->ssl, p->fd) != 1 || SSL_accept(p->ssl) != 1)
        return -1;
    pthread_mutex_lock(&s->lock);
    s->resumed += SSL_session_reused(p->ssl) == 1;
    pthread_mutex_unlock(&s->lock);
    return 0;
}

static void *serve(void *ctx)
{
    struct peer *p = ctx;
    enum scripted_end how = SCRIPTED_KEEP;

    if (shake_hands(p) == 0) {
        while (how == SCRIPTED_KEEP)
            how = answer(p);
        end(p, how);
    } else {
        end(p, SCRIPTED_CUT); /* a RST could overtake the TLS alert that was just sent */
    }
    SSL_free(p->ssl);
    pthread_mutex_lock(&p->s->lock);
    close(p->fd);
    p->fd = -1;
    pthread_mutex_unlock(&p->s->lock);
    return NULL;
}

/* Joins the threads that have finished, and frees their peers. The caller holds the lock. */
static void reap(struct scripted_server *s)
{
    struct peer **at = &s->peers, *p;

    while ((p = *at)) {
        if (p->fd >= 0) {
            at = &p->next;
            continue;
        }
        *at = p->next;
        pthread_join(p->thread, NULL); /* cannot deadlock: the thread takes the lock no more */
        free(p);
    }
}

static void accept_peer(struct scripted_server *s, int fd)
{
    struct peer *p = get(calloc(1, sizeof *p));
    int one = 1;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    p->s = s;
    p->fd = fd;
    pthread_mutex_lock(&s->lock);
    p->number = s->connections++;
    reap(s);
    if (s->stopping)
        shutdown(fd, SHUT_RDWR);
    p->next = s->peers;
    s->peers = p;
    if (pthread_create(&p->thread, NULL, serve, p))
        abort();
    pthread_mutex_unlock(&s->lock);
}

static void *accept_all(void *ctx)
{
    struct scripted_server *s = ctx;
    int fd;

    while ((fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC)) >= 0)
        accept_peer(s, fd);
    return NULL;
}

/* ---- start and stop ---- */

/* All servers of a process share one temporary CA, certificate and key. */
static pthread_mutex_t made_lock = PTHREAD_MUTEX_INITIALIZER;
static char *ca_pem, *cert_pem, *key_pem;
static struct scripted_server *running;

/* Registered with atexit(). A failed test ends by exit(), and even then no files may be left
 * behind. */
static void remove_files(void)
{
    const struct scripted_server *s;

    for (s = running; s; s = s->next) {
        if (s->ca_file[0])
            unlink(s->ca_file);
        if (s->key_file[0])
            unlink(s->key_file);
    }
}

static int make_file(char *path, size_t size)
{
    int fd;

    snprintf(path, size, "%s/scripted-XXXXXX", tempdir());
    fd = mkstemp(path);
    if (fd < 0)
        path[0] = '\0';
    else
        close(fd);
    return fd < 0 ? -1 : 0;
}

static int make_pki(struct scripted_server *s)
{
    int rc = 0;

    pthread_mutex_lock(&made_lock);
    if (!ca_pem)
        rc = pki_make_tls(&ca_pem, &cert_pem, &key_pem);
    if (!running)
        atexit(remove_files);
    s->next = running;
    running = s;
    pthread_mutex_unlock(&made_lock);
    return rc;
}

static int demand_certificate(SSL_CTX *ctx, const char *ca)
{
    BIO *bio = BIO_new_mem_buf(ca, -1);
    X509 *x = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    int ok = x && X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), x) == 1 &&
             SSL_CTX_add_client_CA(ctx, x) == 1;

    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    X509_free(x);
    BIO_free(bio);
    return ok;
}

static int set_up_tls(struct scripted_server *s, const struct scripted_options *o)
{
    BIO *cert = BIO_new_mem_buf(o->certificate ? o->certificate : cert_pem, -1);
    BIO *key = BIO_new_mem_buf(o->key ? o->key : key_pem, -1);
    X509 *x = PEM_read_bio_X509(cert, NULL, NULL, NULL);
    EVP_PKEY *k = PEM_read_bio_PrivateKey(key, NULL, NULL, NULL);
    int ok;

    s->ctx = get(SSL_CTX_new(TLS_server_method()));
    ok = SSL_CTX_use_certificate(s->ctx, x) == 1 && SSL_CTX_use_PrivateKey(s->ctx, k) == 1 &&
         SSL_CTX_set_session_id_context(s->ctx, (const unsigned char *)"s", 1) == 1 &&
         (!o->tls12 || SSL_CTX_set_max_proto_version(s->ctx, TLS1_2_VERSION) == 1) &&
         (!o->client_ca || demand_certificate(s->ctx, o->client_ca));
    X509_free(x);
    EVP_PKEY_free(k);
    BIO_free(cert);
    BIO_free(key);
    if (!ok || make_file(s->ca_file, sizeof s->ca_file))
        return -1;
    return file_write(s->ca_file, ca_pem, 0600);
}

static int write_key(struct scripted_server *s)
{
    EVP_PKEY *key = pki_client_key();
    int rc = -1;

    if (key && make_file(s->key_file, sizeof s->key_file) == 0)
        rc = pki_write_private(key, s->key_file);
    EVP_PKEY_free(key);
    return rc;
}

static int listen_on(struct scripted_server *s)
{
    struct sockaddr_in four = {.sin_family = AF_INET};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct sockaddr *a = s->ipv6 ? (struct sockaddr *)&six : (struct sockaddr *)&four;
    socklen_t len = s->ipv6 ? sizeof six : sizeof four;

    four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    s->fd = socket(a->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s->fd < 0 || bind(s->fd, a, len) || listen(s->fd, 64) || getsockname(s->fd, a, &len))
        return -1;
    snprintf(s->origin, sizeof s->origin, "http%s://%s:%u", s->tls ? "s" : "",
             s->ipv6 ? "[::1]" : "127.0.0.1",
             (unsigned)ntohs(s->ipv6 ? six.sin6_port : four.sin_port));
    return 0;
}

struct scripted_server *scripted_start(int tls)
{
    struct scripted_options o = {.tls = tls};

    return scripted_start_with(&o);
}

static struct scripted_server *make(const struct scripted_options *o)
{
    struct scripted_server *s = get(calloc(1, sizeof *s));

    s->tls = o->tls;
    s->ipv6 = o->ipv6;
    s->relay = o->relay;
    s->mute = o->mute;
    s->drip = o->drip;
    if (o->greeting) {
        s->greeting_len = o->greeting_len ? o->greeting_len : strlen(o->greeting);
        s->greeting = get(malloc(s->greeting_len + 1));
        memcpy(s->greeting, o->greeting, s->greeting_len);
    }
    s->fd = -1;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->news, NULL);
    return s;
}

struct scripted_server *scripted_start_with(const struct scripted_options *o)
{
    struct scripted_server *s = make(o);
    sigset_t quiet, old;

    if (make_pki(s) || (s->tls && set_up_tls(s, o)) || write_key(s) || listen_on(s)) {
        perror("scripted");
        scripted_stop(s);
        return NULL;
    }
    /* All threads of the server inherit the mask: SIGPIPE, which a write to a closed connection
     * causes, must not end the process. */
    sigemptyset(&quiet);
    sigaddset(&quiet, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &quiet, &old);
    if (pthread_create(&s->thread, NULL, accept_all, s))
        abort();
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return s;
}

static void end_threads(struct scripted_server *s)
{
    struct peer *p;

    pthread_mutex_lock(&s->lock);
    s->stopping = 1;
    for (p = s->peers; p; p = p->next)
        if (p->fd >= 0)
            shutdown(p->fd, SHUT_RDWR);
    pthread_cond_broadcast(&s->news);
    pthread_mutex_unlock(&s->lock);
    shutdown(s->fd, SHUT_RDWR);
    if (s->thread)
        pthread_join(s->thread, NULL);
    while ((p = s->peers)) {
        s->peers = p->next;
        pthread_join(p->thread, NULL);
        free(p);
    }
}

static void free_answers(struct scripted_server *s)
{
    struct scripted_answer *a;
    size_t i;

    while ((a = s->answers)) {
        s->answers = a->next;
        for (i = 0; i < a->count; i++)
            free(a->acts[i].data);
        free(a->acts);
        free(a->match);
        free(a);
    }
}

static void forget(struct scripted_server *s)
{
    struct scripted_server **at;

    pthread_mutex_lock(&made_lock);
    for (at = &running; *at != s; at = &(*at)->next)
        ;
    *at = s->next;
    pthread_mutex_unlock(&made_lock);
}

void scripted_stop(struct scripted_server *s)
{
    unsigned i;

    if (!s)
        return;
    end_threads(s);
    if (s->fd >= 0)
        close(s->fd);
    if (s->ca_file[0])
        unlink(s->ca_file);
    if (s->key_file[0])
        unlink(s->key_file);
    forget(s);
    free_answers(s);
    for (i = 0; i < s->count; i++)
        free(s->requests[i]);
    free(s->requests);
    free(s->greeting);
    buf_free(&s->relayed);
    SSL_CTX_free(s->ctx);
    pthread_cond_destroy(&s->news);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

const char *scripted_origin(const struct scripted_server *s)
{
    return s->origin;
}

const char *scripted_ca_file(const struct scripted_server *s)
{
    return s->tls ? s->ca_file : NULL;
}

const char *scripted_key_file(const struct scripted_server *s)
{
    return s->key_file;
}

/* ---- the script ---- */

struct scripted_answer *scripted_on(struct scripted_server *s, const char *match, unsigned times)
{
    struct scripted_answer *a = get(calloc(1, sizeof *a)), **tail = &s->answers;

    a->match = xstrdup(match);
    a->times = times;
    pthread_mutex_lock(&s->lock);
    while (*tail)
        tail = &(*tail)->next;
    *tail = a;
    pthread_mutex_unlock(&s->lock);
    return a;
}

static struct act *add(struct scripted_answer *a)
{
    a->acts = get(realloc(a->acts, (a->count + 1) * sizeof *a->acts));
    memset(&a->acts[a->count], 0, sizeof *a->acts);
    return &a->acts[a->count++];
}

void scripted_send(struct scripted_answer *a, const void *data, size_t len)
{
    struct act *t = add(a);

    t->what = ACT_SEND;
    t->data = get(malloc(len + 1));
    t->len = len;
    if (len)
        memcpy(t->data, data, len);
}

void scripted_text(struct scripted_answer *a, const char *text)
{
    scripted_send(a, text, strlen(text));
}

void scripted_pause(struct scripted_answer *a, unsigned ms)
{
    struct act *t = add(a);

    t->what = ACT_PAUSE;
    t->number = ms;
}

void scripted_gate(struct scripted_answer *a, unsigned gate)
{
    struct act *t = add(a);

    t->what = ACT_GATE;
    t->number = gate % GATES;
}

void scripted_open_gate(struct scripted_server *s, unsigned gate)
{
    pthread_mutex_lock(&s->lock);
    s->open[gate % GATES] = 1;
    pthread_cond_broadcast(&s->news);
    pthread_mutex_unlock(&s->lock);
}

void scripted_finish(struct scripted_answer *a, enum scripted_end how)
{
    a->how = how;
}

struct scripted_answer *scripted_reply(struct scripted_server *s, const char *match,
                                       const char *status, const char *headers, const void *body,
                                       size_t len)
{
    struct scripted_answer *a = scripted_on(s, match, 0);
    struct buf head = {0};

    buf_printf(&head, "HTTP/1.1 %s\r\n%sContent-Length: %zu\r\nConnection: close\r\n\r\n", status,
               headers, len);
    scripted_send(a, head.p, head.len);
    scripted_send(a, body, len);
    buf_free(&head);
    return a;
}

static void add_entries(struct scripted_server *s, struct buf *out, const struct scripted_entry *e,
                        size_t count, enum scripted_list list)
{
    size_t i, n = 0;

    for (i = 0; i < count; i++) {
        if (e[i].list != list)
            continue;
        buf_printf(out, "%s{\"type\":\"%s\",\"url\":\"%s%s\"", n++ ? "," : "", e[i].type, s->origin,
                   e[i].path);
        if (e[i].key_hex)
            buf_printf(out, ",\"encryptedKey\":\"%s\"", e[i].key_hex);
        buf_str(out, "}");
    }
}

void scripted_manifest(struct scripted_server *s, struct buf *out,
                       const struct scripted_entry *entries, size_t count)
{
    buf_printf(out,
               "{\"transactionTime\":\"2020-01-01T00:00:00Z\",\"request\":\"%s/api/v1/x\","
               "\"requiresAccessToken\":true,\"output\":[",
               s->origin);
    add_entries(s, out, entries, count, SCRIPTED_OUTPUT);
    buf_str(out, "],\"deleted\":[");
    add_entries(s, out, entries, count, SCRIPTED_DELETED);
    buf_str(out, "],\"error\":[");
    add_entries(s, out, entries, count, SCRIPTED_ERROR);
    buf_str(out, "]}");
}

void scripted_export(struct scripted_server *s, const struct scripted_entry *entries, size_t count)
{
    static const char token[] = "{\"access_token\":\"tok.en\",\"token_type\":\"bearer\","
                                "\"expires_in\":\"1200\"}";
    struct buf text = {0};

    scripted_reply(s, "/auth/token", "200 OK", "Content-Type: application/json\r\n", token,
                   sizeof token - 1);
    buf_printf(&text, "Content-Location: %s/api/v1/jobs/1\r\n", s->origin);
    scripted_reply(s, "$export", "202 Accepted", text.p, "", 0);
    buf_free(&text);
    memset(&text, 0, sizeof text);
    scripted_manifest(s, &text, entries, count);
    scripted_reply(s, "/jobs/1", "200 OK", "Content-Type: application/json\r\n", text.p, text.len);
    buf_free(&text);
}

/* ---- what the server received ---- */

unsigned scripted_count(struct scripted_server *s, const char *text)
{
    unsigned i, n = 0;

    pthread_mutex_lock(&s->lock);
    for (i = 0; i < s->count; i++)
        n += !text || strstr(s->requests[i], text) != NULL;
    pthread_mutex_unlock(&s->lock);
    return n;
}

char *scripted_request(struct scripted_server *s, unsigned i)
{
    char *copy;

    pthread_mutex_lock(&s->lock);
    copy = i < s->count ? xstrdup(s->requests[i]) : NULL;
    pthread_mutex_unlock(&s->lock);
    return copy;
}

unsigned scripted_connections(struct scripted_server *s)
{
    unsigned n;

    pthread_mutex_lock(&s->lock);
    n = s->connections;
    pthread_mutex_unlock(&s->lock);
    return n;
}

unsigned scripted_resumed(struct scripted_server *s)
{
    unsigned n;

    pthread_mutex_lock(&s->lock);
    n = s->resumed;
    pthread_mutex_unlock(&s->lock);
    return n;
}

char *scripted_relayed(struct scripted_server *s, size_t *len)
{
    char *copy;

    pthread_mutex_lock(&s->lock);
    *len = s->relayed.len;
    copy = get(malloc(*len + 1));
    if (*len)
        memcpy(copy, s->relayed.p, *len);
    pthread_mutex_unlock(&s->lock);
    return copy;
}

/* ---- compressed and encrypted files ---- */

void scripted_gzip(struct buf *out, const void *data, size_t len)
{
    z_stream z = {0};
    size_t most;
    char *p;

    if (deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        abort();
    most = deflateBound(&z, len) + 64;
    p = get(malloc(most));
    z.next_in = (Bytef *)(uintptr_t)data;
    z.avail_in = (uInt)len;
    z.next_out = (Bytef *)p;
    z.avail_out = (uInt)most;
    if (deflate(&z, Z_FINISH) != Z_STREAM_END)
        abort();
    buf_add(out, p, z.total_out);
    deflateEnd(&z);
    free(p);
}

char *scripted_encrypt(struct buf *out, const void *data, size_t len, const char *label)
{
    EVP_PKEY *key = pki_client_key();
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    uint8_t aes[32], nonce[12], tag[16], *text = get(malloc(len + 16));
    int n = 0, rest = 0;
    char *wrapped;

    crypt_random(aes, sizeof aes);
    crypt_random(nonce, sizeof nonce);
    if (!ctx || EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, aes, nonce) != 1 ||
        EVP_EncryptUpdate(ctx, text, &n, data, (int)len) != 1 ||
        EVP_EncryptFinal_ex(ctx, text + n, &rest) != 1 ||
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, 16, tag) != 1)
        abort();
    EVP_CIPHER_CTX_free(ctx);
    buf_add(out, nonce, sizeof nonce);
    buf_add(out, text, (size_t)(n + rest));
    buf_add(out, tag, sizeof tag);
    free(text);
    wrapped = get(crypt_wrap(key, aes, label));
    EVP_PKEY_free(key);
    return wrapped;
}

char *scripted_reply_file(struct scripted_server *s, const char *path, enum scripted_form form,
                          const struct buf *plain)
{
    const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    struct buf packed = {0};
    const struct buf *body = form == SCRIPTED_PLAIN ? plain : &packed;
    char *key = NULL;

    if (form == SCRIPTED_ENCRYPTED)
        key = scripted_encrypt(&packed, plain->p, plain->len, name);
    else if (form == SCRIPTED_GZIP)
        scripted_gzip(&packed, plain->p, plain->len);
    scripted_reply(s, path, "200 OK", form == SCRIPTED_GZIP ? "Content-Encoding: gzip\r\n" : "",
                   body->p, body->len);
    buf_free(&packed);
    return key;
}
