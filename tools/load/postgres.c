/*
 * Loading into PostgreSQL. The tables are in one schema. An advisory lock, held by the connection
 * `control`, keeps a second loader out of it. The files have connections of their own, which do not
 * hold that lock. So each loader writes a mark, `owner`, into the tables, and each transaction that
 * stores a file checks it: after the control connection was lost, another loader may have begun.
 */
#include "postgres.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FORMAT       "1" /* of the tables */
#define LOCK_WAIT_MS 5000
#define RETRIES_MAX  5 /* of a transaction that the server has aborted for the sake of another */

/* ---- the tables ---- */

static const char *const postgres_tables[] = {
    "CREATE TABLE $S.bcda_setting(name text PRIMARY KEY, value text NOT NULL)",
    "CREATE TABLE $S.bcda_load(id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
    " request text NOT NULL, since text NOT NULL, transaction_time text NOT NULL DEFAULT '',"
    " started_at timestamptz NOT NULL DEFAULT now(), finished_at timestamptz,"
    " status text NOT NULL DEFAULT 'unfinished', files bigint NOT NULL DEFAULT 0,"
    " resources bigint NOT NULL DEFAULT 0, outdated bigint NOT NULL DEFAULT 0,"
    " deletions bigint NOT NULL DEFAULT 0, remarks bigint NOT NULL DEFAULT 0)",
    "CREATE TABLE $S.bcda_job(load bigint NOT NULL REFERENCES $S.bcda_load(id) ON DELETE CASCADE,"
    " seq bigint NOT NULL, text text NOT NULL, PRIMARY KEY (load, seq))",
    "CREATE TABLE $S.bcda_remark(load bigint NOT NULL REFERENCES $S.bcda_load(id),"
    " file text NOT NULL, line bigint NOT NULL, kind text NOT NULL, reason text NOT NULL,"
    " content bytea)",
    "INSERT INTO $S.bcda_setting VALUES ('format', '" FORMAT "'), ('owner', '')",
};

/* Returns the first value of the result, or "". */
static const char *first_value(const PGresult *r)
{
    return PQntuples(r) > 0 ? PQgetvalue(r, 0, 0) : "";
}

static int try_lock(struct store *s, int *is_locked)
{
    const char *values[] = {s->schema};
    PGresult *r = NULL;
    int rc = channel_run(s, &s->control, "locking the schema",
                         "SELECT pg_try_advisory_lock(hashtextextended('bcda-load ' || $1, 0))", 1,
                         values, &r);

    if (!rc)
        *is_locked = strcmp(first_value(r), "t") == 0;
    PQclear(r);
    return rc;
}

/* A loader that was killed keeps the lock until the server has noticed that its connection has
 * ended. So the lock is retried for some seconds. */
static int lock_schema(struct store *s)
{
    const struct timespec pause = {.tv_nsec = 50 * 1000000};
    int64_t end = now_ms() + LOCK_WAIT_MS;
    int is_locked = 0;
    int rc;

    while ((rc = try_lock(s, &is_locked)) == STORE_OK && !is_locked && now_ms() < end &&
           !process_signal())
        nanosleep(&pause, NULL);
    if (rc || is_locked)
        return rc;
    complain("another program loads into the schema %s", s->schema);
    return STORE_LOST; /* after a lost connection it is retried for --wait seconds */
}

static int postgres_create_resource(struct store *s)
{
    char *columns = field_columns(s->args, " text");
    char *sql = NULL;
    int rc = STORE_FAILED;

    if (columns && asprintf(&sql,
                            "CREATE TABLE $S.resource(type text COLLATE \"C\" NOT NULL,"
                            " id text COLLATE \"C\" NOT NULL, last_updated timestamptz,"
                            " last_updated_ns smallint NOT NULL, json jsonb NOT NULL%s,"
                            " PRIMARY KEY (type, id))",
                            columns) >= 0)
        rc = channel_run(s, &s->control, "creating the tables", sql, 0, NULL, NULL);
    else
        sql = NULL;
    free(sql);
    free(columns);
    return rc;
}

static int record_fields(struct store *s)
{
    char *paths = field_paths(s->args);
    const char *values[] = {paths};
    int rc = STORE_FAILED;

    if (paths)
        rc = channel_run(s, &s->control, "creating the tables",
                         "INSERT INTO $S.bcda_setting VALUES ('fields', $1)", 1, values, NULL);
    free(paths);
    return rc;
}

/* CREATE SCHEMA IF NOT EXISTS needs a right to create schemas even if the schema exists. */
static int postgres_create_schema(struct store *s)
{
    const char *values[] = {s->schema};
    PGresult *r = NULL;
    int rc = channel_run(s, &s->control, "creating the tables",
                         "SELECT to_regnamespace($1) IS NOT NULL", 1, values, &r);

    if (!rc && strcmp(first_value(r), "t") != 0)
        rc = channel_run(s, &s->control, "creating the schema", "CREATE SCHEMA $S", 0, NULL, NULL);
    PQclear(r);
    return rc;
}

static int postgres_create_tables(struct store *s)
{
    size_t i;
    int rc = channel_run(s, &s->control, "creating the tables", "BEGIN", 0, NULL, NULL);

    if (!rc)
        rc = postgres_create_schema(s);
    for (i = 0; !rc && i < sizeof postgres_tables / sizeof *postgres_tables; i++)
        rc = channel_run(s, &s->control, "creating the tables", postgres_tables[i], 0, NULL, NULL);
    if (!rc)
        rc = postgres_create_resource(s);
    if (!rc)
        rc = record_fields(s);
    return rc ? rc : channel_run(s, &s->control, "creating the tables", "COMMIT", 0, NULL, NULL);
}

static int check_tables(struct store *s, struct load_args *a)
{
    PGresult *r = NULL;
    int rc = channel_run(s, &s->control, "reading the settings",
                         "SELECT (SELECT value FROM $S.bcda_setting WHERE name = 'format'),"
                         " (SELECT value FROM $S.bcda_setting WHERE name = 'fields')",
                         0, NULL, &r);

    if (!rc && strcmp(first_value(r), FORMAT) != 0) {
        complain("the tables in the schema %s are of another version of this program", s->schema);
        rc = STORE_FAILED;
    }
    if (!rc && field_use_recorded(a, PQgetvalue(r, 0, 1)))
        rc = STORE_FAILED;
    PQclear(r);
    return rc;
}

static int postgres_prepare(struct store *s, struct load_args *a)
{
    char *table = NULL;
    const char *values[1];
    PGresult *r = NULL;
    int rc = STORE_FAILED;

    if (asprintf(&table, "%s.bcda_setting", s->schema) < 0) {
        complain("out of memory");
        return STORE_FAILED;
    }
    values[0] = table;
    rc = channel_run(s, &s->control, "reading the settings", "SELECT to_regclass($1) IS NOT NULL",
                     1, values, &r);
    if (!rc)
        rc = strcmp(first_value(r), "t") == 0 ? check_tables(s, a) : postgres_create_tables(s);
    PQclear(r);
    free(table);
    return rc;
}

static int take_ownership(struct store *s)
{
    PGresult *r = NULL;
    int rc = channel_run(s, &s->control, "locking the tables",
                         "UPDATE $S.bcda_setting SET value = md5(random()::text ||"
                         " clock_timestamp()::text || pg_backend_pid()::text)"
                         " WHERE name = 'owner' RETURNING value",
                         0, NULL, &r);

    if (!rc) {
        s->owner = strdup(first_value(r));
        if (!s->owner) {
            complain("out of memory");
            rc = STORE_FAILED;
        }
    }
    PQclear(r);
    return rc;
}

/* ---- opening ---- */

static int quote_schema(struct store *s)
{
    const char *name = s->args->schema ? s->args->schema : "bcda";
    char *quoted = PQescapeIdentifier(s->control.conn, name, strlen(name));

    if (quoted)
        s->schema = strdup(quoted);
    PQfreemem(quoted);
    if (s->schema)
        return STORE_OK;
    complain("--schema: not a name in UTF-8");
    return STORE_FAILED;
}

static void postgres_close(struct store *s)
{
    size_t i;

    if (!s)
        return;
    for (i = 0; i < FILES_MAX; i++)
        channel_close(&s->files[i]);
    channel_close(&s->control);
    free(s->schema);
    free(s->owner);
    free(s);
}

static int postgres_open(struct store **out, struct load_args *a)
{
    struct store *s = calloc(1, sizeof *s);
    int rc;

    if (!s) {
        complain("out of memory");
        return STORE_FAILED;
    }
    s->args = a;
    rc = channel_connect(s, &s->control);
    if (!rc)
        rc = quote_schema(s);
    if (!rc)
        rc = lock_schema(s);
    if (!rc)
        rc = postgres_prepare(s, a);
    if (!rc)
        rc = take_ownership(s);
    if (rc)
        postgres_close(s);
    else
        *out = s;
    return rc;
}

/* ---- loads ---- */

static int copy_load(const PGresult *r, struct load *l)
{
    int has_load = PQntuples(r) > 0 && !PQgetisnull(r, 0, 1);

    l->previous = strdup(first_value(r));
    l->since = strdup(has_load ? PQgetvalue(r, 0, 2) : "");
    l->transaction_time = strdup(has_load ? PQgetvalue(r, 0, 3) : "");
    l->saved = strdup(has_load ? PQgetvalue(r, 0, 4) : "");
    if (!l->previous || !l->since || !l->transaction_time || !l->saved) {
        complain("out of memory");
        return STORE_FAILED;
    }
    if (has_load) {
        l->id = strtoll(PQgetvalue(r, 0, 1), NULL, 10);
        l->counts = (struct counts){
            strtoll(PQgetvalue(r, 0, 5), NULL, 10), strtoll(PQgetvalue(r, 0, 6), NULL, 10),
            strtoll(PQgetvalue(r, 0, 7), NULL, 10), strtoll(PQgetvalue(r, 0, 8), NULL, 10),
            strtoll(PQgetvalue(r, 0, 9), NULL, 10)};
    }
    return STORE_OK;
}

static int postgres_find_load(struct store *s, const char *request, struct load *l)
{
    const char *values[] = {request};
    PGresult *r = NULL;
    int rc = channel_run(
        s, &s->control, "reading the loads",
        "SELECT coalesce((SELECT transaction_time FROM $S.bcda_load WHERE request = $1"
        " AND status = 'complete' ORDER BY id DESC LIMIT 1), ''),"
        " l.id, l.since, l.transaction_time, coalesce((SELECT string_agg(j.text, '' ORDER BY j.seq)"
        " FROM $S.bcda_job j WHERE j.load = l.id), ''), l.files, l.resources, l.outdated,"
        " l.deletions, l.remarks FROM (SELECT 1) one LEFT JOIN $S.bcda_load l"
        " ON l.request = $1 AND l.status = 'unfinished'",
        1, values, &r);

    if (!rc)
        rc = copy_load(r, l);
    PQclear(r);
    return rc;
}

static int postgres_begin_load(struct store *s, const char *request, struct load *l)
{
    const char *values[] = {request, l->since};
    PGresult *r = NULL;
    int rc = channel_run(s, &s->control, "recording the load",
                         "INSERT INTO $S.bcda_load(request, since) VALUES ($1, $2) RETURNING id", 2,
                         values, &r);

    if (!rc)
        l->id = strtoll(first_value(r), NULL, 10);
    PQclear(r);
    return rc;
}

/* The text of a number, for a parameter. */
struct number {
    char text[24];
};

static const char *number_text(struct number *n, int64_t value)
{
    snprintf(n->text, sizeof n->text, "%" PRId64, value);
    return n->text;
}

static int postgres_end_load(struct store *s, const struct load *l, const char *status)
{
    struct number id;
    const char *values[] = {number_text(&id, l->id), status};

    return channel_run(s, &s->control, "ending the load",
                       "WITH gone AS (DELETE FROM $S.bcda_job WHERE load = $1)"
                       " UPDATE $S.bcda_load SET status = $2, finished_at = now() WHERE id = $1",
                       2, values, NULL);
}

static int postgres_finish_load(struct store *s, const struct load *l)
{
    return postgres_end_load(s, l, "complete");
}

static int postgres_abandon_load(struct store *s, const struct load *l)
{
    struct number id;
    const char *values[] = {number_text(&id, l->id)};
    int rc = postgres_end_load(s, l, "abandoned");

    return rc ? rc
              : channel_run(s, &s->control, "ending the load",
                            "DELETE FROM $S.bcda_load WHERE id = $1 AND files = 0", 1, values,
                            NULL);
}

static int postgres_save_job(struct store *s, const struct load *l, const char *text)
{
    struct number id;
    const char *values[] = {number_text(&id, l->id), l->transaction_time, text};

    return channel_run(s, &s->control, "saving the job",
                       "WITH time AS (UPDATE $S.bcda_load SET transaction_time = $2 WHERE id = $1),"
                       " last AS (SELECT coalesce(max(seq), 0) AS seq FROM $S.bcda_job"
                       " WHERE load = $1), gone AS (DELETE FROM $S.bcda_job WHERE load = $1)"
                       " INSERT INTO $S.bcda_job SELECT $1, last.seq + 1, $3 FROM last",
                       3, values, NULL);
}

/* ---- the end of a file ---- */

/* Returns the number of rows that the statement has changed. */
static int64_t changed_rows(PGresult *r)
{
    return strtoll(PQcmdTuples(r), NULL, 10);
}

/* Begins the transaction, if this program still owns the tables. */
static int begin_owned(struct store *s, struct channel *c)
{
    const char *values[] = {s->owner};
    PGresult *r = NULL;
    int rc = channel_try(s, c, "BEGIN", 0, NULL, NULL);

    if (!rc)
        rc = channel_try(s, c,
                         "SELECT 1 FROM $S.bcda_setting WHERE name = 'owner' AND value = $1"
                         " FOR SHARE",
                         1, values, &r);
    if (!rc && PQntuples(r) != 1) {
        snprintf(s->message, sizeof s->message, "another program has begun to load");
        rc = STORE_FAILED;
    }
    PQclear(r);
    return rc;
}

/* Returns `, "a" = excluded."a"` for each column of --field. The caller frees the text. */
static char *field_updates(const struct load_args *a)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    size_t i;

    for (i = 0; out && i < a->field_count; i++)
        fprintf(out, ", \"%s\" = excluded.\"%s\"", a->fields[i].column, a->fields[i].column);
    if (!out || fclose(out)) {
        free(text);
        return NULL;
    }
    return text;
}

/* A row replaces the one of the same type and id, unless that one has a later last_updated. */
static char *merge_sql(const struct load_args *a)
{
    char *columns = field_columns(a, "");
    char *updates = field_updates(a);
    char *sql = NULL;

    if (!columns || !updates ||
        asprintf(&sql,
                 "INSERT INTO $S.resource AS r(type, id, last_updated, last_updated_ns, json%s)"
                 " SELECT type, id, last_updated, last_updated_ns, json%s FROM pg_temp.bcda_stage"
                 " ON CONFLICT (type, id) DO UPDATE SET last_updated = excluded.last_updated,"
                 " last_updated_ns = excluded.last_updated_ns, json = excluded.json%s"
                 " WHERE r.last_updated IS NULL OR excluded.last_updated IS NULL OR"
                 " (excluded.last_updated, excluded.last_updated_ns) >="
                 " (r.last_updated, r.last_updated_ns)",
                 columns, columns, updates) < 0)
        sql = NULL;
    free(columns);
    free(updates);
    return sql;
}

static int postgres_merge(struct store *s, struct channel *c, struct file_end *end)
{
    char *sql = merge_sql(s->args);
    PGresult *r = NULL;
    int rc = STORE_FAILED;

    if (sql)
        rc = channel_try(s, c, sql, 0, NULL, &r);
    else
        snprintf(s->message, sizeof s->message, "out of memory");
    if (!rc)
        end->counts.outdated = end->staged - changed_rows(r);
    PQclear(r);
    free(sql);
    return rc;
}

/* A resource that is newer than the export exists again. */
static int postgres_delete(struct store *s, struct channel *c, struct file_end *end)
{
    char time[INSTANT_SIZE];
    const char *values[] = {
        end->transaction_time.is_known ? instant_text(time, &end->transaction_time) : NULL};
    PGresult *r = NULL;
    int rc = channel_try(s, c,
                         "DELETE FROM $S.resource r USING pg_temp.bcda_stage d"
                         " WHERE r.type = d.type AND r.id = d.id AND ($1::timestamptz IS NULL OR"
                         " r.last_updated IS NULL OR r.last_updated <= $1::timestamptz)",
                         1, values, &r);

    if (!rc)
        end->counts.deletions = changed_rows(r);
    PQclear(r);
    return rc;
}

/* Returns a name from a URL as ASCII. The caller frees it. */
static char *ascii_name(const char *name)
{
    char *copy = strdup(name);
    char *p;

    for (p = copy; p && *p; p++)
        if ((unsigned char)*p >= 0x80)
            *p = '?';
    return copy;
}

static int postgres_store_remarks(struct store *s, struct channel *c, const char *id,
                                  const char *file)
{
    char *name = ascii_name(file);
    const char *values[] = {id, name};
    int rc = channel_try(s, c,
                         "INSERT INTO $S.bcda_remark SELECT $1, $2, line, kind, reason, content"
                         " FROM pg_temp.bcda_stage_remark ORDER BY line",
                         2, values, NULL);

    free(name);
    return rc;
}

static int postgres_store_state(struct store *s, struct channel *c, const char *id,
                                const struct file_end *end)
{
    const struct counts *n = &end->counts;
    struct number files, resources, outdated, deletions, remarks;
    const char *text[] = {id, end->saved};
    const char *counts[] = {id,
                            number_text(&files, n->files),
                            number_text(&resources, n->resources),
                            number_text(&outdated, n->outdated),
                            number_text(&deletions, n->deletions),
                            number_text(&remarks, n->remarks)};
    int rc = channel_try(s, c,
                         "INSERT INTO $S.bcda_job SELECT $1, coalesce(max(seq), 0) + 1, $2"
                         " FROM $S.bcda_job WHERE load = $1",
                         2, text, NULL);

    if (!rc)
        rc = channel_try(s, c,
                         "UPDATE $S.bcda_load SET files = files + $2, resources = resources + $3,"
                         " outdated = outdated + $4, deletions = deletions + $5,"
                         " remarks = remarks + $6 WHERE id = $1",
                         6, counts, NULL);
    return rc ? rc : channel_try(s, c, "COMMIT", 0, NULL, NULL);
}

/* Stores the file in one transaction. An error is not printed. */
static int store_once(struct store *s, struct channel *c, const struct load *l,
                      struct file_end *end)
{
    struct number id;
    int rc = begin_owned(s, c);

    number_text(&id, l->id);
    if (!rc)
        rc = end->has_deletions ? postgres_delete(s, c, end) : postgres_merge(s, c, end);
    if (!rc)
        rc = postgres_store_remarks(s, c, id.text, end->name);
    return rc ? rc : postgres_store_state(s, c, id.text, end);
}

static int roll_back(struct store *s, struct channel *c)
{
    char state[STATE_SIZE];
    char message[sizeof s->message];
    int rc;

    memcpy(state, s->state, sizeof state);
    memcpy(message, s->message, sizeof message);
    rc = channel_try(s, c, "ROLLBACK", 0, NULL, NULL);
    memcpy(s->state, state, sizeof state);
    memcpy(s->message, message, sizeof message);
    return rc;
}

/* One statement cannot change a row twice. So of the rows with the same type and id, those are
 * removed that would be replaced if each line were stored alone, one after the other: a row without
 * last_updated replaces all rows before it, and is replaced by each row after it. */
static int remove_duplicates(struct store *s, struct channel *c, struct file_end *end)
{
    PGresult *r = NULL;
    int rc = channel_run(
        s, c, "removing duplicates",
        "DELETE FROM pg_temp.bcda_stage s USING (SELECT row, row_number() OVER (PARTITION BY type,"
        " id ORDER BY line >= barrier DESC, last_updated DESC NULLS LAST, last_updated_ns DESC,"
        " line DESC) AS n FROM (SELECT ctid AS row, type, id, line, last_updated, last_updated_ns,"
        " coalesce(max(line) FILTER (WHERE last_updated IS NULL) OVER (PARTITION BY type, id), 0)"
        " AS barrier FROM pg_temp.bcda_stage) b) d WHERE s.ctid = d.row AND d.n > 1",
        0, NULL, &r);

    if (!rc)
        end->staged -= changed_rows(r);
    PQclear(r);
    return rc;
}

/* Stores the file, and retries if the server has aborted the transaction because of another one, or
 * because the file has duplicates. An error that ends the retries is printed. */
static int store_with_retries(struct store *s, struct channel *c, const struct load *l,
                              struct file_end *end)
{
    int retries = 0;
    int rc;

    while ((rc = store_once(s, c, l, end)) == STORE_FAILED) {
        int has_duplicates = channel_error_is(s, "21000");
        int may_retry_it = has_duplicates || channel_error_is(s, "40");

        rc = roll_back(s, c);
        if (!rc && (!may_retry_it || retries++ == RETRIES_MAX)) {
            channel_complain(s, "storing the file");
            return STORE_FAILED;
        }
        if (!rc && has_duplicates)
            rc = remove_duplicates(s, c, end);
        if (rc)
            return rc;
    }
    return rc;
}

static int postgres_finish_file(struct store *s, const struct load *l, int slot,
                                struct file_end *end)
{
    struct channel *c = &s->files[slot];
    int rc = stage_end(s, c);

    if (rc)
        return rc;
    end->counts.resources -= c->refused;
    end->counts.remarks += c->refused;
    end->staged = end->counts.resources;
    return store_with_retries(s, c, l, end);
}

/* ---- the operations ---- */

static int postgres_begin_file(struct store *s, int slot, const char *name)
{
    return stage_begin(s, &s->files[slot], name);
}

static int postgres_add_row(struct store *s, int slot, const struct row *r)
{
    return stage_add_row(s, &s->files[slot], r);
}

static int postgres_add_remark(struct store *s, int slot, const struct remark *r)
{
    return stage_add_remark(s, &s->files[slot], r);
}

static void postgres_drop_file(struct store *s, int slot)
{
    stage_drop(s, &s->files[slot]);
}

/* Returns 1 if a connection string has a password. */
static int has_password(const PQconninfoOption *options)
{
    for (; options->keyword; options++)
        if ((strcmp(options->keyword, "password") == 0 ||
             strcmp(options->keyword, "sslpassword") == 0) &&
            options->val && *options->val)
            return 1;
    return 0;
}

/* The text of libpq about an invalid connection string may quote a part of it, which may be a
 * password. So it is not printed. */
static int postgres_check_arguments(const struct load_args *a)
{
    int is_name = !strchr(a->database, '=') && !strstr(a->database, "://");
    PQconninfoOption *options = is_name ? NULL : PQconninfoParse(a->database, NULL);
    int rc = -1;

    if (!is_name && !options)
        complain("--database is not a connection string or URI of libpq");
    else if (!is_name && has_password(options))
        complain("--database has a password, and other users can see the command line: put it into "
                 "~/.pgpass or the file that PGPASSFILE names, or use a service (PGSERVICE)");
    else
        rc = 0;
    PQconninfoFree(options);
    return rc;
}

static const struct database postgres_database = {
    .program = "bcda-load-postgres",
    .help_database =
        "  --database CONNECTION      the name of a database, or a connection string or URI of\n"
        "                             libpq, without a password: 'host=db dbname=claims', or\n"
        "                             postgresql://loader@db/claims. The environment (PGHOST,\n"
        "                             PGSERVICE, PGPASSFILE and others) is used as by psql\n"
        "  --schema NAME              the schema of the tables; it is created if it does not\n"
        "                             exist (default: bcda)\n"
        "  --wait SECONDS             how long to try to connect again, if the connection is lost\n"
        "                             during a load (default: 300)\n",
    .help_notes = "\n"
                  "Tables\n"
                  "  resource(type, id, last_updated, last_updated_ns, json, and the columns of\n"
                  "  --field). The other tables, bcda_*, are the state of the loads. See\n"
                  "  doc/loading.md.\n",
    .has_schema = 1,
    .wait_seconds = 300,
    .check_arguments = postgres_check_arguments,
    .open = postgres_open,
    .close = postgres_close,
    .find_load = postgres_find_load,
    .begin_load = postgres_begin_load,
    .abandon_load = postgres_abandon_load,
    .save_job = postgres_save_job,
    .finish_load = postgres_finish_load,
    .begin_file = postgres_begin_file,
    .add_row = postgres_add_row,
    .add_remark = postgres_add_remark,
    .finish_file = postgres_finish_file,
    .drop_file = postgres_drop_file,
};

int main(int argc, char **argv)
{
    return load_main(&postgres_database, argc, argv);
}
