/* The declarations that the source files of bcda-load-postgres share: postgres.c has the tables and
 * the loads, postgres_channel.c the connections, and postgres_stage.c the rows of open files. */
#ifndef BCDA_LOAD_POSTGRES_H
#define BCDA_LOAD_POSTGRES_H

#include "load.h"

#include <libpq-fe.h>

#define CHUNK_SIZE (1 << 20) /* rows are sent when so many bytes have come together */
#define STATE_SIZE 6         /* an SQLSTATE and a NUL */

/* Rows in the binary form of COPY. They are kept until the server has stored them, because a row
 * that it refuses must be found. */
struct chunk {
    char *data;
    size_t len;
    size_t size;
    struct tuple *tuples;
    size_t count;
    size_t capacity;
};

struct tuple {
    size_t at;
    int64_t line;
    size_t json_at;
    size_t json_len;
};

/* What a connection is doing with the chunk `sent`. */
enum copy_phase {
    COPY_NONE,
    COPY_ASKED, /* COPY was sent; the server has not answered yet */
    COPY_SENT   /* the rows were sent; the server has not stored them yet */
};

/* A connection. Each open file has one, so that the server stores the rows of several files at
 * once, while the next rows are downloaded. */
struct channel {
    PGconn *conn;
    enum copy_phase phase;
    PGresult *answer; /* an answer to COPY that is an error */
    int is_open;      /* a file is open */
    int is_dirty;     /* the stage is not empty */
    int64_t refused;
    char *file; /* the name of the open file */
    struct chunk building;
    struct chunk sent;
};

struct store {
    struct load_args *args;
    char *schema; /* quoted */
    char *owner;  /* the mark of this program in the tables; see postgres.c */
    struct channel control;
    struct channel files[FILES_MAX];
    char state[STATE_SIZE]; /* the SQLSTATE of the last error; "" = none */
    char message[512];      /* its text */
    size_t unpumped;        /* bytes that were added since the connections were last served */
};

/* ---- postgres_channel.c ---- */

/* Connects. Prints errors. */
int channel_connect(struct store *s, struct channel *c);
void channel_close(struct channel *c);
/* Sends and receives, on all connections, what is possible without waiting. */
int channels_pump(struct store *s);
/* Waits until the server has answered COPY, and the rows were sent, or the answer is an error. */
int channel_await_copy(struct store *s, struct channel *c);
/* Waits for the next result, and serves all connections meanwhile. *out is NULL if there is no more
 * result. Returns STORE_OK or STORE_LOST, which is printed. */
int channel_result(struct store *s, struct channel *c, PGresult **out);
/* Runs one statement, in which $S is replaced by the schema. Sets *out, which may be NULL. After an
 * error of the statement, which is not printed, returns STORE_FAILED, with its SQLSTATE in
 * s->state. STORE_LOST is printed. */
int channel_try(struct store *s, struct channel *c, const char *sql, int count,
                const char *const *values, PGresult **out);
/* The same; prints all errors. */
int channel_run(struct store *s, struct channel *c, const char *what, const char *sql, int count,
                const char *const *values, PGresult **out);
/* Notes the SQLSTATE of a result that is an error. Returns STORE_LOST if the connection has ended,
 * otherwise STORE_FAILED. */
int channel_note_error(struct store *s, const struct channel *c, const PGresult *r);
/* Prints the last error. */
void channel_complain(const struct store *s, const char *what);
/* Returns 1 if the last error has this SQLSTATE, or begins with it. */
int channel_error_is(const struct store *s, const char *state);

/* ---- postgres_stage.c ---- */

int stage_begin(struct store *s, struct channel *c, const char *name);
int stage_add_row(struct store *s, struct channel *c, const struct row *r);
int stage_add_remark(struct store *s, struct channel *c, const struct remark *r);
/* Waits until all rows are in the stage. */
int stage_end(struct store *s, struct channel *c);
void stage_drop(struct store *s, struct channel *c);
void chunk_free(struct chunk *k);
/* Returns the columns of --field, each after ", ". The caller frees the text. NULL = no memory;
 * this is printed. */
char *field_columns(const struct load_args *a, const char *after);

#endif
