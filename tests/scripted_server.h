/*
 * A server that follows a script. It does what a real HTTP server cannot be made to do: it sends
 * exact bytes, pauses, and ends a connection in every possible way. It listens on 127.0.0.1 or ::1,
 * with or without TLS, and records the requests that it receives. The TLS certificate is issued by
 * a temporary CA. Without TLS, the server can also act as a proxy, which either only records the
 * requests or, with the option `relay`, really relays.
 *
 * A test adds the answers before it starts the client. All other functions may be called at any
 * time, from any thread.
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
    int tls12; /* allow no version newer than TLS 1.2 */
    int ipv6;  /* listen on ::1 rather than on 127.0.0.1 */
    /* PEM texts to use in place of the certificate and the key that the temporary CA issued */
    const char *certificate, *key;
    const char *client_ca; /* PEM; clients must show a certificate issued by this CA */
    /* Relay each CONNECT to this machine that no answer matches; refuse other targets with 403. */
    int relay;
    /* Bytes to send on every connection after the client's first bytes, whatever those are. The
     * connection is then closed. */
    const char *greeting;
    size_t greeting_len; /* 0: `greeting` ends with NUL */
    unsigned mute;       /* the first `mute` connections are accepted and never receive a byte */
    unsigned drip; /* the next `drip` connections receive an endless TLS record, byte by byte */
};

/* Both return NULL on failure. The options are not kept. */
struct scripted_server *scripted_start(int tls);
struct scripted_server *scripted_start_with(const struct scripted_options *o);
/* Shuts down every connection and frees the server. `s` may be NULL. */
void scripted_stop(struct scripted_server *s);

/* The strings that these functions return are valid until scripted_stop(). */

/* Returns the origin of the server, https://127.0.0.1:PORT. Without TLS it has http, and with the
 * option `ipv6` it has [::1]. */
const char *scripted_origin(const struct scripted_server *s);
/* Returns the path of the temporary CA's certificate, or NULL without TLS. */
const char *scripted_ca_file(const struct scripted_server *s);
/* Returns the path of the private key that opens what scripted_encrypt() encrypts. */
const char *scripted_key_file(const struct scripted_server *s);

/* ---- the script ---- */

/* Adds an empty answer to requests whose first line contains `match`. Answers are tried in the
 * order in which they were added, and this one is used at most `times` times (0 = no limit). A
 * request that no answer matches gets a 404. */
struct scripted_answer *scripted_on(struct scripted_server *s, const char *match, unsigned times);
void scripted_send(struct scripted_answer *a, const void *data, size_t len);
void scripted_text(struct scripted_answer *a, const char *text);
void scripted_pause(struct scripted_answer *a, unsigned ms);
/* Makes the answer wait here until the test calls scripted_open_gate() for this gate. If the client
 * disconnects before that, the answer ends. */
void scripted_gate(struct scripted_answer *a, unsigned gate);
void scripted_open_gate(struct scripted_server *s, unsigned gate);

/* What happens to the connection after the answer. */
enum scripted_end {
    SCRIPTED_CLOSE, /* an orderly end: close_notify, then FIN (the default) */
    SCRIPTED_CUT,   /* FIN without close_notify */
    SCRIPTED_RESET, /* RST */
    SCRIPTED_KEEP,  /* the connection is kept for the next request */
    SCRIPTED_STAY   /* the connection stays open and silent until the client closes it */
};
void scripted_finish(struct scripted_answer *a, enum scripted_end how);

/* Adds a complete answer. `status` is, for example, "200 OK"; each line of `headers` ends with CR
 * LF. Content-Length is added. */
struct scripted_answer *scripted_reply(struct scripted_server *s, const char *match,
                                       const char *status, const char *headers, const void *body,
                                       size_t len);

/* The list of the manifest that names a file. */
enum scripted_list { SCRIPTED_OUTPUT, SCRIPTED_ERROR, SCRIPTED_DELETED };

struct scripted_entry {
    const char *type, *path;
    const char *key_hex; /* NULL = not encrypted */
    enum scripted_list list;
};
/* Appends the job manifest of these files, as JSON, to `out`. */
void scripted_manifest(struct scripted_server *s, struct buf *out,
                       const struct scripted_entry *entries, size_t count);
/* Adds the answers that lead to the files of an export: the token, the kick-off, and the status of
 * a job that is complete at once. */
void scripted_export(struct scripted_server *s, const struct scripted_entry *entries, size_t count);

/* ---- what the server received ---- */

/* Returns how many requests had this text in the head or the body; NULL counts all requests. */
unsigned scripted_count(struct scripted_server *s, const char *text);
/* Returns the head and the body of the i-th request as it was received, or NULL if there were not
 * so many. The caller frees it. */
char *scripted_request(struct scripted_server *s, unsigned i);
unsigned scripted_connections(struct scripted_server *s);
/* Returns how many connections resumed a TLS session. */
unsigned scripted_resumed(struct scripted_server *s);
/* Returns the bytes that clients sent through the relay, in order. The caller frees them. */
char *scripted_relayed(struct scripted_server *s, size_t *len);

/* ---- compressed and encrypted files ---- */

void scripted_gzip(struct buf *out, const void *data, size_t len);
enum scripted_form { SCRIPTED_PLAIN, SCRIPTED_ENCRYPTED, SCRIPTED_GZIP };
/* Adds an answer with a file in this form. Returns the wrapped key, which the caller frees, or NULL
 * if the file is not encrypted. The last segment of `path` is the label with which the key is
 * wrapped. */
char *scripted_reply_file(struct scripted_server *s, const char *path, enum scripted_form form,
                          const struct buf *plain);
/* Appends the data to `out`, encrypted as BCDA does it (bcda-api 7.1) for the key of
 * scripted_key_file(). Returns the wrapped key, which the caller frees. */
char *scripted_encrypt(struct buf *out, const void *data, size_t len, const char *label);

#ifdef __cplusplus
}
#endif
#endif
