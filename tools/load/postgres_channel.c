/* The connections to PostgreSQL. They are used without blocking: while one of them is waited for,
 * the others are served, so that the server has work to do. */
#include "postgres.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- errors ---- */

/* Returns 1 if the last error means that the connection, or the server, is going away. */
static int is_loss(const struct store *s, const struct channel *c)
{
    return PQstatus(c->conn) != CONNECTION_OK || channel_error_is(s, "08") ||
           channel_error_is(s, "57P") || channel_error_is(s, "25P03");
}

int channel_error_is(const struct store *s, const char *state)
{
    return *s->state && strncmp(s->state, state, strlen(state)) == 0;
}

int channel_note_error(struct store *s, const struct channel *c, const PGresult *r)
{
    const char *state = r ? PQresultErrorField(r, PG_DIAG_SQLSTATE) : NULL;
    const char *text = r ? PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY) : NULL;

    snprintf(s->state, sizeof s->state, "%s", state ? state : "");
    snprintf(s->message, sizeof s->message, "%s", text ? text : PQerrorMessage(c->conn));
    return is_loss(s, c) ? STORE_LOST : STORE_FAILED;
}

/* Returns 1 if the text of the last error may quote a value of a row: errors about data, and about
 * constraints. */
static int may_quote_data(const struct store *s)
{
    return channel_error_is(s, "21") || channel_error_is(s, "22") || channel_error_is(s, "23");
}

void channel_complain(const struct store *s, const char *what)
{
    char line[sizeof s->message];
    char text[sizeof s->message];
    char *p;

    snprintf(line, sizeof line, "%s", may_quote_data(s) ? "the data was refused" : s->message);
    for (p = line; *p; p++)
        if (*p == '\n')
            *p = p[1] ? ' ' : '\0';
    complain("%s: %s%s%s%s", what, clean(text, sizeof text, line), *s->state ? " (SQLSTATE " : "",
             s->state, *s->state ? ")" : "");
}

static int channel_lost(struct store *s, const struct channel *c)
{
    channel_note_error(s, c, NULL);
    channel_complain(s, "the connection to the database is lost");
    return STORE_LOST;
}

/* ---- connecting ---- */

/* The server's notices are not errors. */
static void ignore_notice(void *userdata, const PGresult *r)
{
    (void)userdata;
    (void)r;
}

static int check_server(const struct channel *c)
{
    const char *encoding = PQparameterStatus(c->conn, "server_encoding");

    if (PQserverVersion(c->conn) < 120000)
        complain("the server is older than PostgreSQL 12");
    else if (!encoding || strcmp(encoding, "UTF8") != 0)
        complain("the encoding of the database is %s; it must be UTF8",
                 encoding ? encoding : "unknown");
    else
        return STORE_OK;
    return STORE_FAILED;
}

/* `fallback_application_name` and not `application_name`, so that the user can set it. */
int channel_connect(struct store *s, struct channel *c)
{
    const char *const names[] = {"dbname", "fallback_application_name", "client_encoding", NULL};
    const char *const values[] = {s->args->database, report_program_name(), "UTF8", NULL};

    c->conn = PQconnectdbParams(names, values, 1);
    if (!c->conn) {
        complain("out of memory");
        return STORE_FAILED;
    }
    if (PQstatus(c->conn) != CONNECTION_OK) {
        channel_note_error(s, c, NULL);
        channel_complain(s, "the database cannot be opened");
        return STORE_LOST;
    }
    /* Details and contexts of errors quote rows. */
    PQsetErrorVerbosity(c->conn, PQERRORS_TERSE);
    PQsetErrorContextVisibility(c->conn, PQSHOW_CONTEXT_NEVER);
    PQsetNoticeReceiver(c->conn, ignore_notice, NULL);
    if (PQsetnonblocking(c->conn, 1))
        return channel_lost(s, c);
    return check_server(c);
}

void channel_close(struct channel *c)
{
    PQclear(c->answer);
    PQfinish(c->conn);
    chunk_free(&c->building);
    chunk_free(&c->sent);
    free(c->file);
    *c = (struct channel){0};
}

/* ---- sending and receiving ---- */

/* Sends the chunk. libpq copies it, and sends what the socket takes now. */
static int send_chunk(struct store *s, struct channel *c)
{
    const struct chunk *k = &c->sent;

    if (PQputCopyData(c->conn, k->data, (int)k->len) != 1 || PQputCopyEnd(c->conn, NULL) != 1)
        return channel_lost(s, c);
    c->phase = COPY_SENT;
    return STORE_OK;
}

/* Sends the rows, once the server has answered COPY. An answer that is an error is left for
 * channel_result(). */
static int advance_copy(struct store *s, struct channel *c)
{
    PGresult *r;

    if (c->phase != COPY_ASKED || c->answer || PQisBusy(c->conn))
        return STORE_OK;
    r = PQgetResult(c->conn);
    if (!r)
        return channel_lost(s, c);
    if (PQresultStatus(r) != PGRES_COPY_IN) {
        c->answer = r;
        return STORE_OK;
    }
    PQclear(r);
    return send_chunk(s, c);
}

static int channel_pump(struct store *s, struct channel *c)
{
    int rc;

    if (!c->conn)
        return STORE_OK;
    if (PQflush(c->conn) < 0 || !PQconsumeInput(c->conn))
        return channel_lost(s, c);
    rc = advance_copy(s, c);
    if (!rc && PQflush(c->conn) < 0)
        rc = channel_lost(s, c);
    return rc;
}

int channels_pump(struct store *s)
{
    size_t i;
    int rc = STORE_OK;

    s->unpumped = 0;
    for (i = 0; !rc && i < FILES_MAX; i++)
        if (s->files[i].phase != COPY_NONE)
            rc = channel_pump(s, &s->files[i]);
    return rc;
}

static void watch_channel(struct pollfd *fds, nfds_t *count, struct channel *c)
{
    fds[*count].fd = PQsocket(c->conn);
    fds[*count].events = POLLIN;
    if (PQflush(c->conn) == 1)
        fds[*count].events |= POLLOUT;
    ++*count;
}

/* Waits until one of the connections can be served. */
static int wait_for_any(struct store *s, struct channel *c)
{
    struct pollfd fds[FILES_MAX + 1];
    nfds_t count = 0;
    size_t i;

    watch_channel(fds, &count, c);
    for (i = 0; i < FILES_MAX; i++)
        if (&s->files[i] != c && s->files[i].phase != COPY_NONE)
            watch_channel(fds, &count, &s->files[i]);
    if (poll(fds, count, -1) >= 0 || errno == EINTR)
        return STORE_OK;
    complain("waiting for the database failed: %s", strerror(errno));
    return STORE_FAILED;
}

int channel_await_copy(struct store *s, struct channel *c)
{
    int rc = channels_pump(s);

    while (!rc && c->phase == COPY_ASKED && !c->answer) {
        rc = wait_for_any(s, c);
        if (!rc)
            rc = channels_pump(s);
    }
    return rc;
}

int channel_result(struct store *s, struct channel *c, PGresult **out)
{
    int rc;

    *out = c->answer;
    if (c->answer) {
        c->answer = NULL;
        return STORE_OK;
    }
    while (PQisBusy(c->conn)) {
        rc = wait_for_any(s, c);
        if (!rc)
            rc = channel_pump(s, c);
        if (!rc)
            rc = channels_pump(s);
        if (rc)
            return rc;
    }
    *out = PQgetResult(c->conn);
    return STORE_OK;
}

/* ---- statements ---- */

/* Replaces $S by the schema. The caller frees the text. */
static char *expand_sql(const struct store *s, const char *sql)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    const char *at;

    while (out && (at = strstr(sql, "$S"))) {
        fprintf(out, "%.*s%s", (int)(at - sql), sql, s->schema);
        sql = at + 2;
    }
    if (out)
        fputs(sql, out);
    if (!out || fclose(out)) {
        free(text);
        return NULL;
    }
    return text;
}

/* Reads all results of a statement. Keeps the first one. */
static int read_results(struct store *s, struct channel *c, PGresult **out)
{
    PGresult *first = NULL;
    PGresult *r;
    int rc;

    for (;;) {
        rc = channel_result(s, c, &r);
        if (rc || !r)
            break;
        if (first)
            PQclear(r);
        else
            first = r;
    }
    if (rc || !first) {
        PQclear(first);
        return rc ? rc : channel_lost(s, c);
    }
    *out = first;
    return STORE_OK;
}

int channel_try(struct store *s, struct channel *c, const char *sql, int count,
                const char *const *values, PGresult **out)
{
    char *text = expand_sql(s, sql);
    PGresult *r = NULL;
    int rc;

    *s->state = '\0';
    if (!text) {
        snprintf(s->message, sizeof s->message, "out of memory");
        return STORE_FAILED;
    }
    rc = PQsendQueryParams(c->conn, text, count, NULL, values, NULL, NULL, 0) == 1
             ? read_results(s, c, &r)
             : channel_lost(s, c);
    free(text);
    if (rc)
        return rc;
    if (PQresultStatus(r) != PGRES_COMMAND_OK && PQresultStatus(r) != PGRES_TUPLES_OK)
        rc = channel_note_error(s, c, r);
    if (rc == STORE_LOST)
        channel_complain(s, "the connection to the database is lost");
    if (rc || !out)
        PQclear(r);
    else
        *out = r;
    return rc;
}

int channel_run(struct store *s, struct channel *c, const char *what, const char *sql, int count,
                const char *const *values, PGresult **out)
{
    int rc = channel_try(s, c, sql, count, values, out);

    if (rc == STORE_FAILED)
        channel_complain(s, what);
    return rc;
}
