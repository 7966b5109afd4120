/*
 * The rows of open files. Each file has a connection with two temporary tables: the rows, and the
 * remarks. Rows are collected to chunks and sent by COPY in its binary form, which the server need
 * not unescape. The server works on one chunk while the next one is collected. When the file is
 * complete, postgres.c moves the rows into the table `resource` in one transaction.
 *
 * If the server refuses a chunk because of its data, the rows of the chunk are sent one by one, and
 * those that are refused become remarks. Texts with U+0000 are found here, before they are sent,
 * because the server would write a part of them to its log.
 */
#include "postgres.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char copy_header[] = "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0"; /* 19 bytes */
#define COPY_HEADER_LEN 19
#define JSONB_MAX       0x0fffffff /* the largest size of a value in a jsonb */

/* ---- chunks ---- */

void chunk_free(struct chunk *k)
{
    free(k->data);
    free(k->tuples);
    *k = (struct chunk){0};
}

static int chunk_reserve(struct chunk *k, size_t more)
{
    size_t size = k->size ? k->size : CHUNK_SIZE + 65536;
    char *p;

    while (size - k->len < more)
        size += size / 2;
    if (size == k->size)
        return 0;
    p = realloc(k->data, size);
    if (!p)
        return -1;
    k->data = p;
    k->size = size;
    return 0;
}

/* Empties the chunk. After a very long row, its memory is given back. */
static void chunk_clear(struct chunk *k)
{
    if (k->size > 4 * (size_t)CHUNK_SIZE)
        chunk_free(k);
    k->len = k->count = 0;
}

static void put_bytes(struct chunk *k, const void *bytes, size_t len)
{
    memcpy(k->data + k->len, bytes, len);
    k->len += len;
}

static void put_number(struct chunk *k, uint64_t n, int bytes)
{
    while (bytes--)
        k->data[k->len++] = (char)(n >> (8 * bytes));
}

/* Writes a value with its length; NULL if `text` is NULL. */
static void put_value(struct chunk *k, const char *text, size_t len)
{
    put_number(k, text ? len : UINT32_MAX, 4);
    if (text)
        put_bytes(k, text, len);
}

/* timestamptz: microseconds since 2000-01-01. The nanoseconds below are a column of their own. */
static void put_instant(struct chunk *k, const struct instant *t)
{
    int64_t us = (t->seconds - INT64_C(946684800)) * 1000000 + t->nanoseconds / 1000;

    put_number(k, t->is_known ? 8 : UINT32_MAX, 4);
    if (t->is_known)
        put_number(k, (uint64_t)us, 8);
    put_number(k, 2, 4);
    put_number(k, t->is_known ? (uint64_t)(t->nanoseconds % 1000) : 0, 2);
}

static int add_tuple(struct chunk *k, const struct row *r)
{
    size_t capacity = k->capacity ? 2 * k->capacity : 256;
    struct tuple *p = k->tuples;

    if (k->count == k->capacity) {
        p = realloc(p, capacity * sizeof *p);
        if (!p)
            return -1;
        k->tuples = p;
        k->capacity = capacity;
    }
    p[k->count++] = (struct tuple){.at = k->len, .line = r->line, .json_len = r->json_len};
    return 0;
}

/* Writes the row in the binary form of COPY. */
static int put_row(struct chunk *k, const struct row *r, size_t field_count)
{
    size_t need = 128 + r->type_len + r->id_len + r->json_len + 4 * field_count;
    size_t i;

    for (i = 0; i < field_count; i++)
        need += r->value_lens[i];
    if (chunk_reserve(k, need))
        return -1;
    if (!k->len)
        put_bytes(k, copy_header, COPY_HEADER_LEN);
    if (add_tuple(k, r))
        return -1;
    put_number(k, 6 + field_count, 2);
    put_number(k, 8, 4);
    put_number(k, (uint64_t)r->line, 8);
    put_value(k, r->type, r->type_len);
    put_value(k, r->id, r->id_len);
    put_instant(k, &r->updated);
    put_number(k, r->json ? r->json_len + 1 : UINT32_MAX, 4);
    if (r->json) {
        put_number(k, 1, 1); /* the version of jsonb's binary form */
        k->tuples[k->count - 1].json_at = k->len;
        put_bytes(k, r->json, r->json_len);
    }
    for (i = 0; i < field_count; i++)
        put_value(k, r->values[i], r->value_lens[i]);
    return 0;
}

static int stage_no_memory(void)
{
    complain("out of memory");
    return STORE_FAILED;
}

/* ---- what jsonb cannot store ---- */

/* Returns 1 if a text has the character U+0000, which the library accepts and PostgreSQL refuses.
 * (The library refuses half a surrogate pair, as PostgreSQL does.) */
static int json_has_nul(const char *json, size_t len)
{
    const char *end = json + len;
    const char *p = json;

    while ((p = memchr(p, '\\', (size_t)(end - p)))) {
        if (end - p >= 6 && memcmp(p + 1, "u0000", 5) == 0)
            return 1;
        p += end - p < 2 ? 1 : 2;
    }
    return 0;
}

/* ---- remarks ---- */

/* Writes bytes in the text form of bytea. The caller frees the text. */
static char *bytea_text(const char *bytes, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    char *text = malloc(2 * len + 3);
    size_t i;

    if (!text)
        return NULL;
    memcpy(text, "\\x", 2);
    for (i = 0; i < len; i++) {
        text[2 * i + 2] = digits[(unsigned char)bytes[i] >> 4];
        text[2 * i + 3] = digits[(unsigned char)bytes[i] & 15];
    }
    text[2 * len + 2] = '\0';
    return text;
}

/* The connection must have no COPY. Bytes that are too long for bytea are not kept. */
static int insert_remark(struct store *s, struct channel *c, const struct remark *r)
{
    int is_kept = r->bytes && r->len <= JSONB_MAX;
    char *content = is_kept ? bytea_text(r->bytes, r->len) : NULL;
    char line[24];
    const char *values[] = {line, r->kind, r->reason, content};
    int rc;

    if (is_kept && !content)
        return stage_no_memory();
    snprintf(line, sizeof line, "%" PRId64, r->line);
    c->is_dirty = 1;
    rc = channel_run(s, c, "writing the stage",
                     "INSERT INTO pg_temp.bcda_stage_remark(line, kind, reason, content)"
                     " VALUES ($1, $2, $3, $4)",
                     4, values, NULL);
    free(content);
    return rc;
}

/* A row that cannot be stored does not lose its file: it becomes a remark. */
static int refuse_tuple(struct store *s, struct channel *c, int64_t line, const char *reason,
                        const char *json, size_t len)
{
    struct remark r = {
        .kind = "not stored", .line = line, .reason = reason, .bytes = json, .len = len};
    char name[128];

    if (c->refused++ < 10)
        complain("%s, line %" PRId64 ": the resource is not stored: %s",
                 clean(name, sizeof name, c->file), line, reason);
    return insert_remark(s, c, &r);
}

/* ---- COPY ---- */

static int ask_copy(struct store *s, struct channel *c)
{
    if (PQsendQuery(c->conn, "COPY pg_temp.bcda_stage FROM STDIN (FORMAT binary)") == 1) {
        c->phase = COPY_ASKED;
        c->is_dirty = 1;
        return channels_pump(s);
    }
    channel_note_error(s, c, NULL);
    channel_complain(s, "writing the stage");
    return PQstatus(c->conn) == CONNECTION_OK ? STORE_FAILED : STORE_LOST;
}

/* Returns 1 if the last error is about the data of a row. */
static int is_data_error(const struct store *s)
{
    return channel_error_is(s, "22") || channel_error_is(s, "54");
}

/* Waits until the server has stored the chunk that was sent, or has refused it: then returns
 * STORE_FAILED, and the error is not printed. */
static int await_copy(struct store *s, struct channel *c)
{
    PGresult *r;
    int verdict = STORE_OK;
    int rc;

    *s->state = '\0';
    rc = channel_await_copy(s, c);
    if (rc)
        return rc;
    while ((rc = channel_result(s, c, &r)) == STORE_OK && r) {
        if (PQresultStatus(r) != PGRES_COMMAND_OK && !verdict)
            verdict = channel_note_error(s, c, r);
        PQclear(r);
    }
    c->phase = COPY_NONE;
    if (!rc && verdict == STORE_LOST)
        channel_complain(s, "the connection to the database is lost");
    return rc ? rc : verdict;
}

/* Sends one row of the chunk `from` alone. */
static int send_tuple(struct store *s, struct channel *c, const struct chunk *from, size_t i)
{
    const struct tuple *t = &from->tuples[i];
    size_t end = i + 1 < from->count ? from->tuples[i + 1].at : from->len - 2;
    int rc;

    chunk_clear(&c->sent);
    if (chunk_reserve(&c->sent, COPY_HEADER_LEN + end - t->at + 2))
        return stage_no_memory();
    put_bytes(&c->sent, copy_header, COPY_HEADER_LEN);
    put_bytes(&c->sent, from->data + t->at, end - t->at);
    put_number(&c->sent, 0xffff, 2);
    rc = ask_copy(s, c);
    if (!rc)
        rc = await_copy(s, c);
    if (rc != STORE_FAILED || !is_data_error(s))
        return rc;
    return refuse_tuple(s, c, t->line, "PostgreSQL refuses its data", from->data + t->json_at,
                        t->json_len);
}

/* Sends the rows of a refused chunk one by one. */
static int salvage_chunk(struct store *s, struct channel *c)
{
    struct chunk from = c->sent;
    size_t i;
    int rc = STORE_OK;

    c->sent = (struct chunk){0};
    for (i = 0; !rc && i < from.count; i++)
        rc = send_tuple(s, c, &from, i);
    if (rc == STORE_FAILED && *s->state)
        channel_complain(s, "writing the stage");
    chunk_free(&from);
    return rc;
}

/* Waits until the server has no chunk. */
static int settle_copy(struct store *s, struct channel *c)
{
    int rc;

    if (c->phase == COPY_NONE)
        return STORE_OK;
    rc = await_copy(s, c);
    if (rc != STORE_FAILED)
        return rc;
    if (is_data_error(s))
        return salvage_chunk(s, c);
    channel_complain(s, "writing the stage");
    return STORE_FAILED;
}

/* Sends the rows that have come together, after the server has stored those before. */
static int send_building(struct store *s, struct channel *c)
{
    struct chunk free_chunk;
    int rc;

    if (!c->building.count)
        return STORE_OK;
    rc = settle_copy(s, c);
    if (rc)
        return rc;
    if (chunk_reserve(&c->building, 2))
        return stage_no_memory();
    put_number(&c->building, 0xffff, 2);
    free_chunk = c->sent;
    chunk_clear(&free_chunk);
    c->sent = c->building;
    c->building = free_chunk;
    return ask_copy(s, c);
}

/* ---- files ---- */

char *field_columns(const struct load_args *a, const char *after)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    size_t i;

    for (i = 0; out && i < a->field_count; i++)
        fprintf(out, ", \"%s\"%s", a->fields[i].column, after);
    if (!out || fclose(out)) {
        complain("out of memory");
        free(text);
        return NULL;
    }
    return text;
}

static int make_stage(struct store *s, struct channel *c)
{
    char *columns = field_columns(s->args, " text");
    char *sql = NULL;
    int rc;

    if (columns && asprintf(&sql,
                            "CREATE TEMPORARY TABLE bcda_stage(line bigint,"
                            " type text COLLATE \"C\", id text COLLATE \"C\","
                            " last_updated timestamptz, last_updated_ns smallint, json jsonb%s)",
                            columns) < 0)
        sql = NULL;
    rc = sql ? channel_run(s, c, "creating the stage", sql, 0, NULL, NULL) : stage_no_memory();
    if (!rc)
        rc = channel_run(s, c, "creating the stage",
                         "CREATE TEMPORARY TABLE bcda_stage_remark(line bigint,"
                         " kind text, reason text, content bytea)",
                         0, NULL, NULL);
    free(sql);
    free(columns);
    return rc;
}

int stage_begin(struct store *s, struct channel *c, const char *name)
{
    int is_new = !c->conn;
    int rc = is_new ? channel_connect(s, c) : STORE_OK;

    if (!rc && is_new)
        rc = make_stage(s, c);
    if (!rc && c->is_dirty)
        rc = channel_run(s, c, "emptying the stage",
                         "TRUNCATE pg_temp.bcda_stage, pg_temp.bcda_stage_remark", 0, NULL, NULL);
    if (rc)
        return rc;
    free(c->file);
    c->file = strdup(name);
    if (!c->file)
        return stage_no_memory();
    c->is_dirty = 0;
    c->refused = 0;
    c->is_open = 1;
    return STORE_OK;
}

/* Returns why PostgreSQL cannot store the row, as far as that is known without asking the server.
 */
static const char *find_objection_to_row(const struct row *r)
{
    if (!r->json)
        return NULL;
    if (r->json_len > JSONB_MAX)
        return "it is longer than what PostgreSQL can store as jsonb";
    return json_has_nul(r->json, r->json_len)
               ? "it has the character U+0000, which PostgreSQL cannot store"
               : NULL;
}

int stage_add_row(struct store *s, struct channel *c, const struct row *r)
{
    const char *reason = find_objection_to_row(r);
    size_t before = c->building.len;
    int rc;

    if (reason) {
        rc = settle_copy(s, c);
        return rc ? rc : refuse_tuple(s, c, r->line, reason, r->json, r->json_len);
    }
    if (put_row(&c->building, r, s->args->field_count))
        return stage_no_memory();
    s->unpumped += c->building.len - before;
    if (c->building.len >= CHUNK_SIZE)
        return send_building(s, c);
    return s->unpumped >= 65536 ? channels_pump(s) : STORE_OK;
}

int stage_add_remark(struct store *s, struct channel *c, const struct remark *r)
{
    int rc = settle_copy(s, c);

    return rc ? rc : insert_remark(s, c, r);
}

int stage_end(struct store *s, struct channel *c)
{
    int rc = send_building(s, c);

    return rc ? rc : settle_copy(s, c);
}

/* A connection with a COPY that has not ended is closed. */
void stage_drop(struct store *s, struct channel *c)
{
    (void)s;
    c->is_open = 0;
    chunk_clear(&c->building);
    if (c->phase != COPY_NONE || (c->conn && PQstatus(c->conn) != CONNECTION_OK))
        channel_close(c);
}
