/*
 * A server that plays a script, for what a real HTTP server cannot be made to do: exact bytes,
 * pauses, and every way for a connection to end. It listens on 127.0.0.1 or ::1, over TLS with a
 * throw-away CA or in clear, and keeps what it was sent. In clear it also serves as a proxy that
 * only takes notes, or one that really relays.
 *
 * Answers are added before the client is let loose; all other functions may be called at any time,
 * from any thread.
 */
#ifndef BCDA_TESTS_SCRIPTED_H
#define BCDA_TESTS_SCRIPTED_H

#include <stddef.h>

#include "buf.h"

#ifdef __cplusplus
extern "C" {
#endif

struct scripted_server;
struct scripted_answer;

struct scripted_options {
    int tls;
    int tls12;                     /* nothing newer than TLS 1.2 */
    int ipv6;                      /* on ::1 */
    const char *certificate, *key; /* PEM, in place of those by the throw-away CA */
    const char *client_ca;         /* PEM: only clients with a certificate of this authority */
    int relay; /* a CONNECT to this machine that no answer takes is relayed; others get 403 */
    const char *greeting; /* each connection gets this, whatever it sends, and its end */
    size_t greeting_len;  /* 0: it is a text */
    unsigned mute;        /* so many connections, the first ones, never get a byte */
    unsigned drip;        /* as many after those get a TLS record that never ends, byte by byte */
};

/* NULL on failure. The options are not kept. */
struct scripted_server *scripted_start(int tls);
struct scripted_server *scripted_start_with(const struct scripted_options *o);
/* Breaks off every connection. NULL is allowed. */
void scripted_stop(struct scripted_server *s);

/* These live until scripted_stop(). */
const char *scripted_origin(const struct scripted_server *s); /* https://127.0.0.1:PORT, or [::1] */
const char *scripted_ca_file(const struct scripted_server *s); /* NULL in clear */
const char *scripted_key_file(
    const struct scripted_server *s); /* the private key for scripted_encrypt */

/* ---- the script ---- */

/* An answer, still empty, to the requests whose first line contains `match`: the first `times` of
 * them that no answer added before takes; 0 = any number. What nothing takes gets a 404. */
struct scripted_answer *scripted_on(struct scripted_server *s, const char *match, unsigned times);
void scripted_send(struct scripted_answer *a, const void *data, size_t len);
void scripted_text(struct scripted_answer *a, const char *text);
void scripted_pause(struct scripted_answer *a, unsigned ms);
/* Nothing more before scripted_open_gate(); a client that leaves ends it too. */
void scripted_gate(struct scripted_answer *a, unsigned gate);
void scripted_open_gate(struct scripted_server *s, unsigned gate);

enum scripted_end {
    SCRIPTED_CLOSE, /* as one should: close_notify, then FIN */
    SCRIPTED_CUT,   /* FIN without close_notify */
    SCRIPTED_RESET, /* RST */
    SCRIPTED_KEEP,  /* the next request may come on this connection */
    SCRIPTED_STAY   /* open and silent, until the client leaves */
};
void scripted_finish(struct scripted_answer *a, enum scripted_end how); /* default: CLOSE */

/* A whole answer: "200 OK", header lines that each end with CR LF, Content-Length, the body. */
struct scripted_answer *scripted_reply(struct scripted_server *s, const char *match,
                                       const char *status, const char *headers, const void *body,
                                       size_t len);

struct scripted_entry {
    const char *type, *path;
    const char *key_hex; /* NULL = not encrypted */
    int is_error;
};
/* The manifest of these files, as JSON. */
void scripted_manifest(struct scripted_server *s, struct buf *out,
                       const struct scripted_entry *entries, size_t count);
/* What leads to the files of an export: token, kick-off, and a job that is done at once. */
void scripted_export(struct scripted_server *s, const struct scripted_entry *entries, size_t count);

/* ---- what was played ---- */

/* How many requests had this text in their head; NULL = all. */
unsigned scripted_count(struct scripted_server *s, const char *text);
/* The head of the i-th request, as it came, to be freed; NULL past the last. */
char *scripted_request(struct scripted_server *s, unsigned i);
unsigned scripted_connections(struct scripted_server *s);
unsigned scripted_resumed(
    struct scripted_server *s); /* of them, those that resumed a TLS session */
/* What clients sent through the relay, in order, to be freed. */
char *scripted_relayed(struct scripted_server *s, size_t *len);

/* ---- content ---- */

void scripted_gzip(struct buf *out, const void *data, size_t len);
enum scripted_form { SCRIPTED_PLAIN, SCRIPTED_ENCRYPTED, SCRIPTED_GZIP };
/* Answers with a file in this form. The wrapped key, to be freed; NULL where it is not encrypted.
 * The label is the last part of `path`. */
char *scripted_reply_file(struct scripted_server *s, const char *path, enum scripted_form form,
                          const struct buf *plain);
/* As BCDA encrypts (bcda-api 7.1), for the key of scripted_key_file(). The wrapped key, to be
 * freed. */
char *scripted_encrypt(struct buf *out, const void *data, size_t len, const char *label);

#ifdef __cplusplus
}
#endif
#endif
