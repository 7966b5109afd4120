#include "base/err.h"

#include <stdarg.h>
#include <string.h>

#include "base/mem.h"
#include "base/secret.h"
#include "base/text.h"

/* How many consecutive attempts without progress a request may make if it fails with a code. */
enum attempts {
    ONCE = 1,    /* no retry */
    BRIEFLY = 4, /* for errors that are seldom temporary */
    OFTEN = 0    /* as many as BCDA_OPT_ATTEMPTS */
};
/* LATER: if all attempts of the library failed, a later attempt of the application may still
 * succeed. */
enum later { FINAL, LATER };

struct code_row {
    int code;
    int attempts;
    int later;
    const char *name;
    const char *text;
};

/* One row for each code of bcda/error.h. The table determines which errors are retried, and what
 * bcda_error_is_retryable() returns. Tests compare it with doc/guide/errors.md. */
static const struct code_row codes[] = {
#define ROW(name, attempts, later, text)                  \
    {                                                     \
        BCDA_##name, attempts, later, "BCDA_" #name, text \
    }
    ROW(OK, ONCE, FINAL, "no error"),
    ROW(ERR_INVALID, ONCE, FINAL, "an argument is not allowed"),
    ROW(ERR_STATE, ONCE, FINAL, "the object is not in a state that allows this call"),
    ROW(ERR_REENTRANT, ONCE, FINAL, "this function may not be called from a callback"),
    ROW(ERR_FORKED, ONCE, FINAL, "the session was created before a fork and belongs to the parent"),
    ROW(ERR_OPTION_UNKNOWN, ONCE, FINAL, "there is no such option"),
    ROW(ERR_OPTION_TYPE, ONCE, FINAL, "the option has another type"),
    ROW(ERR_OPTION_RANGE, ONCE, FINAL, "the value is outside the option's limits"),
    ROW(ERR_UNSUPPORTED, ONCE, FINAL, "this build or platform cannot do that"),
    ROW(ERR_CONFIG, ONCE, FINAL, "the configuration is incomplete or contradicts itself"),
    ROW(ERR_URL, ONCE, FINAL, "not an absolute http or https URL"),
    ROW(ERR_INSECURE_URL, ONCE, FINAL, "an http URL is refused; use https"),
    ROW(ERR_AGAIN, ONCE, LATER, "nothing is ready yet"),
    ROW(ERR_END, ONCE, FINAL, "there is nothing more"),
    ROW(ERR_TIMEOUT, ONCE, LATER, "the timeout of the call has passed"),
    ROW(ERR_INTERRUPTED, ONCE, LATER, "a signal arrived"),
    ROW(ERR_NOMEM, ONCE, LATER, "out of memory"),
    ROW(ERR_IO, ONCE, FINAL, "a local file could not be read or written"),
    ROW(ERR_SYSTEM, OFTEN, LATER, "a system call was refused"),
    ROW(ERR_LIBRARY, ONCE, FINAL, "a library that libbcda uses failed or is too old"),
    ROW(ERR_KEY_FORMAT, ONCE, FINAL, "not a private key that can be read"),
    ROW(ERR_KEY_PASSPHRASE, ONCE, FINAL, "the passphrase of the private key is missing or wrong"),
    ROW(ERR_KEY_UNSUPPORTED, ONCE, FINAL, "the type or size of the private key is not supported"),
    ROW(ERR_KEY_FIPS, ONCE, FINAL, "the old encrypted PEM form needs MD5, which FIPS mode forbids"),
    ROW(ERR_SPOOL, ONCE, FINAL, "the spool for verified delivery cannot be used"),
    ROW(ERR_SPOOL_FULL, ONCE, FINAL, "the disk of the spool for verified delivery is full"),
    ROW(ERR_RESOLVE, BRIEFLY, LATER, "the host name could not be resolved"),
    ROW(ERR_CONNECT, OFTEN, LATER, "the connection could not be established"),
    ROW(ERR_CONNECT_TIMEOUT, OFTEN, LATER, "the connection was not established in time"),
    ROW(ERR_TLS, OFTEN, LATER, "TLS could not be negotiated"),
    ROW(ERR_TLS_VERIFY, ONCE, FINAL, "the server's certificate was not accepted"),
    ROW(ERR_TRANSFER, OFTEN, LATER, "the connection broke"),
    ROW(ERR_STALLED, OFTEN, LATER, "the transfer was too slow for too long"),
    ROW(ERR_TRUNCATED, OFTEN, LATER, "the body ended before its announced end"),
    ROW(ERR_HTTP, OFTEN, LATER, "the answer is not HTTP that can be understood"),
    ROW(ERR_HEADERS_TOO_LARGE, ONCE, FINAL, "the headers of an answer exceed their limit"),
    ROW(ERR_BODY_TOO_LARGE, ONCE, FINAL, "the body of an answer exceeds its limit"),
    ROW(ERR_PROXY, OFTEN, LATER, "the proxy could not be used"),
    ROW(ERR_STATUS, ONCE, FINAL, "an HTTP status that has no meaning here"),
    ROW(ERR_BAD_REQUEST, ONCE, FINAL, "the server refused the request as wrong"),
    ROW(ERR_AUTH, ONCE, FINAL, "the credentials or the token were refused or are missing"),
    ROW(ERR_FORBIDDEN, ONCE, FINAL, "the server denies access"),
    ROW(ERR_NOT_FOUND, BRIEFLY, FINAL, "the server does not have it"),
    ROW(ERR_GONE, ONCE, FINAL, "the job or file has expired"),
    ROW(ERR_TOO_MANY, OFTEN, LATER,
        "the server asks for fewer requests, or an identical export is already running"),
    ROW(ERR_SERVER, OFTEN, LATER, "the server reports a fault of its own"),
    ROW(ERR_JOB_FAILED, BRIEFLY, FINAL, "the export job failed at the server"),
    ROW(ERR_JOB_CANCELLED, ONCE, FINAL, "the export job was cancelled at the server"),
    ROW(ERR_JOB_TIMEOUT, ONCE, FINAL, "the job took longer than its limit"),
    ROW(ERR_TOKEN, ONCE, FINAL, "the token answer holds no usable token"),
    ROW(ERR_NO_LOCATION, ONCE, FINAL, "the job was accepted without an address to poll"),
    ROW(ERR_NOT_JSON, ONCE, FINAL, "the answer is not JSON"),
    ROW(ERR_MANIFEST, ONCE, FINAL, "the answer is JSON, but not a manifest that can be used"),
    ROW(ERR_REDIRECT, ONCE, FINAL, "a redirect that may not be followed"),
    ROW(ERR_ORIGIN, ONCE, FINAL, "a URL of another origin than is allowed"),
    ROW(ERR_DISCOVERY, ONCE, FINAL,
        "the server's SMART configuration cannot be used, or does not name a token URL"),
    ROW(ERR_KEY_MISSING, ONCE, FINAL, "the file is encrypted and no private key was given"),
    ROW(ERR_KEY_VALUE, ONCE, FINAL, "the file's wrapped key cannot be read"),
    ROW(ERR_KEY_UNWRAP, ONCE, FINAL, "no private key given opens the file's key"),
    ROW(ERR_KEY_LABEL, ONCE, FINAL, "the file's key was wrapped for another file name"),
    ROW(ERR_CIPHER_SHORT, ONCE, FINAL, "the file is too short to be encrypted"),
    ROW(ERR_TAG, ONCE, FINAL, "the authentication tag does not match: the file was altered or cut"),
    ROW(ERR_GZIP, ONCE, FINAL, "the gzip data is damaged"),
    ROW(ERR_GZIP_CUT, ONCE, FINAL, "the gzip data is incomplete"),
    ROW(ERR_LINE_JSON, ONCE, FINAL, "a line is not JSON"),
    ROW(ERR_LINE_UTF8, ONCE, FINAL, "a line is not UTF-8"),
    ROW(ERR_LINE_TOO_LONG, ONCE, FINAL, "a line exceeds its limit"),
    ROW(ERR_LINE_DEPTH, ONCE, FINAL, "a line is nested deeper than its limit"),
    ROW(ERR_LINE_CUT, ONCE, FINAL, "the file ends inside a line"),
    ROW(ERR_LINE_TYPE, ONCE, FINAL,
        "a line is not a FHIR resource, or not one that this file may have"),
    ROW(ERR_CHANGED, ONCE, FINAL, "the file changed while it was downloaded"),
    ROW(ERR_BAD_LINES, ONCE, FINAL, "more invalid lines than the limit"),
    ROW(ERR_LENGTH, ONCE, FINAL, "the length of the file is not that of the manifest"),
    ROW(ERR_CHECKSUM, ONCE, FINAL, "the checksum of the file is not that of the manifest"),
    ROW(ERR_COUNT, ONCE, FINAL, "the number of resources is not that of the manifest"),
    ROW(ERR_STOPPED, ONCE, FINAL, "a callback asked to stop"),
    ROW(ERR_CANCELLED, ONCE, FINAL, "the job was cancelled"),
    ROW(ERR_CALLBACK, ONCE, FINAL, "a callback returned a value that has no meaning"),
#undef ROW
};

static const struct code_row *find_code(int code)
{
    size_t i;

    for (i = 0; i < sizeof codes / sizeof codes[0]; i++)
        if (codes[i].code == code)
            return &codes[i];
    return NULL;
}

const char *bcda_error_name(int code)
{
    const struct code_row *row = find_code(code);

    return row ? row->name : "BCDA_ERR_UNKNOWN";
}

const char *bcda_error_string(int code)
{
    const struct code_row *row = find_code(code);

    return row ? row->text : "an unknown error";
}

int bcda__err_default_retryable(int code)
{
    const struct code_row *row = find_code(code);

    return row && row->later == LATER;
}

int bcda__err_attempts(int code, int most)
{
    const struct code_row *row = find_code(code);
    int attempts = row ? row->attempts : ONCE;

    return attempts != OFTEN && attempts < most ? attempts : most;
}

void bcda__err_clear(struct bcda_error *e)
{
    e->code = 0;
    e->retryable = 0;
    e->http_status = 0;
    e->retry_after = -1;
    e->line = 0;
    e->offset = -1;
    e->text[0] = e->file[0] = e->server[0] = '\0';
}

int bcda__err_set(struct bcda_error *e, int code, const char *format, ...)
{
    va_list args;

    if (!e)
        return code;
    bcda__err_clear(e);
    e->code = code;
    e->retryable = bcda__err_default_retryable(code);
    va_start(args, format);
    bcda__text_format(e->text, sizeof e->text, format, args);
    va_end(args);
    return code;
}

int bcda__err_nomem(struct bcda_error *e)
{
    return bcda__err_set(e, BCDA_ERR_NOMEM, "out of memory");
}

void bcda__err_context(struct bcda_error *e, const char *format, ...)
{
    char whole[2 * sizeof e->text + 2];
    va_list args;

    if (!e)
        return;
    va_start(args, format);
    bcda__text_format(whole, sizeof e->text, format, args);
    va_end(args);
    bcda__text_append(whole, sizeof whole, ": ");
    bcda__text_append(whole, sizeof whole, e->text);
    bcda__text_show(e->text, sizeof e->text, whole);
}

void bcda__err_add(struct bcda_error *e, const char *format, ...)
{
    char whole[2 * sizeof e->text + 2];
    char added[sizeof e->text];
    va_list args;

    if (!e)
        return;
    va_start(args, format);
    bcda__text_format(added, sizeof added, format, args);
    va_end(args);
    bcda__text_copy(whole, sizeof whole, e->text);
    bcda__text_append(whole, sizeof whole, "; ");
    bcda__text_append(whole, sizeof whole, added);
    bcda__text_show(e->text, sizeof e->text, whole);
}

void bcda__err_where(struct bcda_error *e, const char *file, int64_t line, int64_t offset)
{
    if (!e)
        return;
    if (file) {
        bcda__text_show(e->file, sizeof e->file, file);
    }
    e->line = line;
    e->offset = offset;
}

void bcda__err_server(struct bcda_error *e, const char *text, size_t len)
{
    if (!e)
        return;
    if (len >= sizeof e->server)
        len = sizeof e->server - 1;
    memcpy(e->server, text, len);
    e->server[len] = '\0';
    bcda__text_cut_utf8(e->server);
    bcda__text_one_line(e->server);
}

void bcda__err_forget(struct bcda_error *e)
{
    bcda__wipe(e->server, sizeof e->server);
}

void bcda__err_copy(struct bcda_error *to, const struct bcda_error *from)
{
    to->code = from->code;
    to->retryable = from->retryable;
    to->http_status = from->http_status;
    to->retry_after = from->retry_after;
    to->line = from->line;
    to->offset = from->offset;
    /* Copy only the texts, not the whole arrays: in an error on the stack, the bytes after a text
     * are uninitialized and may contain old patient data. */
    memmove(to->text, from->text, strlen(from->text) + 1);
    memmove(to->file, from->file, strlen(from->file) + 1);
    memmove(to->server, from->server, strlen(from->server) + 1);
}

struct bcda_error *bcda__err_new(void)
{
    struct bcda_error *e = bcda__alloc(sizeof *e);

    if (!e)
        return NULL;
    bcda__err_clear(e);
    atomic_init(&e->refs, 1);
    return e;
}

/* Returned by bcda_error_ref() if there is no memory for a copy. Never modified. */
static struct bcda_error no_memory = {
    .refs = 1,
    .code = BCDA_ERR_NOMEM,
    .retryable = 1,
    .retry_after = -1,
    .offset = -1,
    .text = "out of memory; the error itself could not be kept",
};

bcda_error *bcda_error_ref(const bcda_error *error)
{
    bcda_error *e = (bcda_error *)(uintptr_t)error; /* only `refs` is modified */
    bcda_error *copy;

    if (!e || e == &no_memory)
        return e;
    if (atomic_load(&e->refs) > 0) {
        atomic_fetch_add(&e->refs, 1);
        return e;
    }
    copy = bcda__err_new(); /* `e` is a member of another object, so it has no count */
    if (!copy)
        return &no_memory;
    bcda__err_copy(copy, e);
    return copy;
}

void bcda_error_unref(bcda_error *error)
{
    if (!error || error == &no_memory || atomic_fetch_sub(&error->refs, 1) != 1)
        return;
    bcda__err_forget(error);
    bcda__free(error);
}

int bcda_error_code(const bcda_error *error)
{
    return error ? error->code : BCDA_OK;
}

const char *bcda_error_text(const bcda_error *error)
{
    return error ? error->text : "";
}

int bcda_error_is_retryable(const bcda_error *error)
{
    return error ? error->retryable : 0;
}

int bcda_error_http_status(const bcda_error *error)
{
    return error ? error->http_status : 0;
}

int64_t bcda_error_retry_after_ms(const bcda_error *error)
{
    return error ? error->retry_after : -1;
}

const char *bcda_error_file(const bcda_error *error)
{
    return error ? error->file : "";
}

int64_t bcda_error_line(const bcda_error *error)
{
    return error ? error->line : 0;
}

int64_t bcda_error_offset(const bcda_error *error)
{
    return error ? error->offset : -1;
}

const char *bcda_error_server_text(const bcda_error *error)
{
    return error ? error->server : "";
}
