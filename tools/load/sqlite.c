/*
 * Loading into SQLite. The rows of open files are staged in a second database, DATABASE-stage,
 * which is in the same directory and is removed at the end: a file's rows get into DATABASE in one
 * transaction, when the file is complete, together with the state of the job. A crash leaves the
 * stage behind; the next run removes it.
 *
 * DATABASE-lock is locked while a loader runs. A lock on DATABASE itself would be lost, because
 * SQLite locks it too, and closing any descriptor of a file ends all locks of the process on it.
 */
#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define FORMAT      "1" /* of the tables */
#define INSTANT_LEN 30  /* the length of instant_text() */

struct sqlite_slot {
    int is_open;
    int has_tables;
    sqlite3_stmt *insert;
    sqlite3_stmt *remark;
};

struct store {
    sqlite3 *db;
    const struct load_args *args;
    char *path;  /* absolute */
    char *stage; /* the path of the stage */
    char *lock_path;
    int lock;
    int is_staging; /* a transaction on the stage is open */
    int is_broken;  /* the stage cannot be used */
    struct sqlite_slot slots[FILES_MAX];
};

/* ---- errors and statements ---- */

/* Prints what failed. The text of SQLite names no value of a row. */
static int sqlite_failed(struct store *s, const char *what)
{
    int code = s->db ? sqlite3_errcode(s->db) : SQLITE_NOMEM;

    if (code == SQLITE_BUSY || code == SQLITE_LOCKED)
        complain("%s: %s: another program has locked the database for more than %d s",
                 s->args->database, what, s->args->wait_seconds);
    else if (code == SQLITE_FULL)
        complain("%s: %s: the disk is full", s->args->database, what);
    else
        complain("%s: %s: %s", s->args->database, what,
                 s->db ? sqlite3_errmsg(s->db) : "out of memory");
    return STORE_FAILED;
}

static int sqlite_exec(struct store *s, const char *what, const char *sql)
{
    return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK ? STORE_OK
                                                                   : sqlite_failed(s, what);
}

/* The format is that of sqlite3_mprintf(): %Q writes a text as a literal of SQL. */
static int sqlite_exec_format(struct store *s, const char *what, const char *format, ...)
{
    va_list list;
    char *sql;
    int rc;

    va_start(list, format);
    sql = sqlite3_vmprintf(format, list);
    va_end(list);
    rc = sql ? sqlite_exec(s, what, sql) : STORE_FAILED;
    if (!sql)
        complain("out of memory");
    sqlite3_free(sql);
    return rc;
}

static sqlite3_stmt *sqlite_prepare(struct store *s, const char *what, const char *sql)
{
    sqlite3_stmt *stmt = NULL;

    if (sqlite3_prepare_v2(s->db, sql, -1, &stmt, NULL) != SQLITE_OK)
        sqlite_failed(s, what);
    return stmt;
}

/* Runs a statement that returns no row, and finalizes it. */
static int sqlite_run(struct store *s, const char *what, sqlite3_stmt *stmt)
{
    int rc;

    if (!stmt)
        return STORE_FAILED;
    rc = sqlite3_step(stmt) == SQLITE_DONE ? STORE_OK : sqlite_failed(s, what);
    sqlite3_finalize(stmt);
    return rc;
}

static void sqlite_bind(sqlite3_stmt *stmt, int i, const char *text)
{
    sqlite3_bind_text(stmt, i, text, -1, SQLITE_STATIC);
}

/* Copies a column; NULL becomes "". */
static char *sqlite_copy(sqlite3_stmt *stmt, int i)
{
    const unsigned char *text = sqlite3_column_text(stmt, i);

    return strdup(text ? (const char *)text : "");
}

/* ---- the lock ---- */

static int is_same_file(int fd, const char *path)
{
    struct stat a;
    struct stat b;

    return fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_dev == b.st_dev &&
           a.st_ino == b.st_ino;
}

/* Takes the lock. The file may be removed by its owner just before it is locked here; then another
 * one is created. */
static int take_store_lock(struct store *s)
{
    for (;;) {
        s->lock = open(s->lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (s->lock < 0) {
            complain("%s: %s", s->lock_path, strerror(errno));
            return STORE_FAILED;
        }
        if (flock(s->lock, LOCK_EX | LOCK_NB)) {
            complain("%s: another program loads into this database", s->args->database);
            close(s->lock);
            s->lock = -1;
            return STORE_FAILED;
        }
        if (is_same_file(s->lock, s->lock_path))
            return STORE_OK;
        close(s->lock);
    }
}

static void release_store_lock(struct store *s)
{
    if (s->lock < 0)
        return;
    unlink(s->lock_path);
    close(s->lock);
}

/* ---- the tables ---- */

static const char sqlite_tables[] =
    "CREATE TABLE bcda_setting(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE bcda_load(id INTEGER PRIMARY KEY, request TEXT NOT NULL, since TEXT NOT NULL,"
    " transaction_time TEXT NOT NULL DEFAULT '',"
    " started_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now')),"
    " finished_at TEXT, status TEXT NOT NULL DEFAULT 'unfinished',"
    " files INTEGER NOT NULL DEFAULT 0, resources INTEGER NOT NULL DEFAULT 0,"
    " outdated INTEGER NOT NULL DEFAULT 0, deletions INTEGER NOT NULL DEFAULT 0,"
    " remarks INTEGER NOT NULL DEFAULT 0);"
    "CREATE INDEX bcda_load_request ON bcda_load(request);"
    "CREATE TABLE bcda_job(load INTEGER NOT NULL REFERENCES bcda_load(id), seq INTEGER NOT NULL,"
    " text TEXT NOT NULL, PRIMARY KEY (load, seq)) WITHOUT ROWID;"
    "CREATE TABLE bcda_remark(load INTEGER NOT NULL REFERENCES bcda_load(id), file TEXT NOT NULL,"
    " line INTEGER NOT NULL, kind TEXT NOT NULL, reason TEXT NOT NULL, content BLOB);";

/* Returns the columns of --field as text, each with `before` and `after`, such as `, "a" TEXT`. */
static char *column_list(const struct load_args *a, const char *before, const char *after)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    size_t i;

    for (i = 0; out && i < a->field_count; i++)
        fprintf(out, "%s\"%s\"%s", before, a->fields[i].column, after);
    if (!out || fclose(out)) {
        complain("out of memory");
        free(text);
        return NULL;
    }
    return text;
}

static int record_settings(struct store *s)
{
    char *paths = field_paths(s->args);
    sqlite3_stmt *stmt =
        sqlite_prepare(s, "creating the tables",
                       "INSERT INTO bcda_setting VALUES('format', " FORMAT "), ('fields', ?1)");

    if (stmt && paths)
        sqlite_bind(stmt, 1, paths);
    if (!paths)
        sqlite3_finalize(stmt);
    else if (sqlite_run(s, "creating the tables", stmt) == 0) {
        free(paths);
        return STORE_OK;
    }
    free(paths);
    return STORE_FAILED;
}

static int create_tables(struct store *s)
{
    char *columns = column_list(s->args, ", ", " TEXT");
    int rc = columns ? sqlite_exec(s, "creating the tables", sqlite_tables) : STORE_FAILED;

    if (!rc)
        rc = sqlite_exec_format(s, "creating the tables",
                                "CREATE TABLE resource(type TEXT NOT NULL, id TEXT NOT NULL,"
                                " last_updated TEXT, json TEXT NOT NULL%s, PRIMARY KEY (type, id))",
                                columns);
    free(columns);
    return rc ? rc : record_settings(s);
}

/* Reads a setting. *value is NULL if the setting or its table is not there. */
static int read_setting(struct store *s, const char *name, char **value)
{
    sqlite3_stmt *stmt = NULL;
    int rc = STORE_OK;

    *value = NULL;
    if (sqlite3_table_column_metadata(s->db, "main", "bcda_setting", NULL, NULL, NULL, NULL, NULL,
                                      NULL) != SQLITE_OK)
        return sqlite3_errcode(s->db) == SQLITE_ERROR ? STORE_OK
                                                      : sqlite_failed(s, "reading the settings");
    stmt =
        sqlite_prepare(s, "reading the settings", "SELECT value FROM bcda_setting WHERE name = ?1");
    if (!stmt)
        return STORE_FAILED;
    sqlite_bind(stmt, 1, name);
    switch (sqlite3_step(stmt)) {
    case SQLITE_ROW:
        *value = sqlite_copy(stmt, 0);
        break;
    case SQLITE_DONE:
        break;
    default:
        rc = sqlite_failed(s, "reading the settings");
    }
    sqlite3_finalize(stmt);
    return rc;
}

/* Creates the tables, or checks that this program can use them. */
static int prepare_tables(struct store *s, struct load_args *a)
{
    char *format = NULL;
    char *fields = NULL;
    int rc = sqlite_exec(s, "beginning a transaction", "BEGIN IMMEDIATE");

    if (!rc)
        rc = read_setting(s, "format", &format);
    if (!rc && !format)
        rc = create_tables(s);
    if (!rc && format && strcmp(format, FORMAT) != 0) {
        complain("%s: its tables are of another version of this program", a->database);
        rc = STORE_FAILED;
    }
    if (!rc && format)
        rc = read_setting(s, "fields", &fields);
    if (!rc)
        rc = sqlite_exec(s, "creating the tables", "COMMIT");
    if (!rc && format)
        rc = field_use_recorded(a, fields ? fields : "") ? STORE_FAILED : STORE_OK;
    free(format);
    free(fields);
    return rc;
}

/* ---- opening ---- */

static void remove_stage(const struct store *s)
{
    unlink(s->stage);
}

/* The stage is not needed after a crash, so it has no journal and is not synced. */
static int attach_stage(struct store *s)
{
    int fd;

    remove_stage(s);
    fd = open(s->stage, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        complain("%s: %s", s->stage, strerror(errno));
        return STORE_FAILED;
    }
    close(fd);
    if (sqlite_exec_format(s, "opening the stage", "ATTACH %Q AS stage", s->stage))
        return STORE_FAILED;
    return sqlite_exec(s, "opening the stage",
                       "PRAGMA stage.journal_mode = OFF; PRAGMA stage.synchronous = OFF");
}

/* A new database gets a write-ahead log, so that readers and the loader do not wait for each other.
 * An existing one keeps its journal mode. */
static int open_sqlite_file(struct store *s)
{
    struct stat st;
    int is_new = stat(s->path, &st) != 0 || st.st_size == 0;
    int fd = open(s->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0) {
        complain("%s: %s", s->args->database, strerror(errno));
        return STORE_FAILED;
    }
    close(fd);
    if (sqlite3_open_v2(s->path, &s->db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK)
        return sqlite_failed(s, "opening the database");
    sqlite3_extended_result_codes(s->db, 0);
    sqlite3_busy_timeout(s->db, s->args->wait_seconds * 1000);
    if (is_new && sqlite_exec(s, "opening the database", "PRAGMA journal_mode = WAL"))
        return STORE_FAILED;
    return sqlite_exec(s, "opening the database",
                       "PRAGMA synchronous = FULL; PRAGMA foreign_keys = OFF;"
                       "PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF");
}

/* Resolves symbolic links, so that two names of one database have the same lock. */
static int resolve_paths(struct store *s)
{
    const char *name = s->args->database;
    const char *slash = strrchr(name, '/');
    char *folder = slash ? strndup(name, slash == name ? 1 : (size_t)(slash - name)) : strdup(".");
    char *dir = NULL;
    int n = -1;

    s->path = realpath(name, NULL);
    if (!s->path && errno == ENOENT && folder && (dir = realpath(folder, NULL))) {
        n = asprintf(&s->path, "%s/%s", strcmp(dir, "/") == 0 ? "" : dir, slash ? slash + 1 : name);
        if (n < 0)
            s->path = NULL;
    }
    if (!s->path)
        complain("%s: %s", name, strerror(errno));
    free(folder);
    free(dir);
    if (!s->path)
        return STORE_FAILED;
    if (asprintf(&s->stage, "%s-stage", s->path) < 0)
        s->stage = NULL;
    if (asprintf(&s->lock_path, "%s-lock", s->path) < 0)
        s->lock_path = NULL;
    if (s->stage && s->lock_path)
        return STORE_OK;
    complain("out of memory");
    return STORE_FAILED;
}

static void sqlite_close(struct store *s)
{
    int i;

    if (!s)
        return;
    for (i = 0; i < FILES_MAX; i++) {
        sqlite3_finalize(s->slots[i].insert);
        sqlite3_finalize(s->slots[i].remark);
    }
    sqlite3_close(s->db);
    if (s->lock >= 0)
        remove_stage(s);
    release_store_lock(s);
    free(s->path);
    free(s->stage);
    free(s->lock_path);
    free(s);
}

static int sqlite_open(struct store **out, struct load_args *a)
{
    struct store *s = calloc(1, sizeof *s);

    if (!s) {
        complain("out of memory");
        return STORE_FAILED;
    }
    s->args = a;
    s->lock = -1;
    if (resolve_paths(s) || take_store_lock(s) || open_sqlite_file(s) || prepare_tables(s, a) ||
        attach_stage(s)) {
        sqlite_close(s);
        return STORE_FAILED;
    }
    *out = s;
    return STORE_OK;
}

/* ---- loads ---- */

static int read_unfinished(struct store *s, const char *request, struct load *l)
{
    sqlite3_stmt *stmt =
        sqlite_prepare(s, "reading the loads",
                       "SELECT id, since, transaction_time, files, resources, outdated, deletions,"
                       " remarks, (SELECT group_concat(text, '') FROM (SELECT text FROM bcda_job"
                       " WHERE load = bcda_load.id ORDER BY seq))"
                       " FROM bcda_load WHERE request = ?1 AND status = 'unfinished'");
    int rc = SQLITE_ERROR;

    if (!stmt)
        return STORE_FAILED;
    sqlite_bind(stmt, 1, request);
    rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW) {
        l->id = sqlite3_column_int64(stmt, 0);
        l->since = sqlite_copy(stmt, 1);
        l->transaction_time = sqlite_copy(stmt, 2);
        l->counts = (struct counts){sqlite3_column_int64(stmt, 3), sqlite3_column_int64(stmt, 4),
                                    sqlite3_column_int64(stmt, 5), sqlite3_column_int64(stmt, 6),
                                    sqlite3_column_int64(stmt, 7)};
        l->saved = sqlite_copy(stmt, 8);
    } else if (rc == SQLITE_DONE) {
        l->since = strdup("");
        l->transaction_time = strdup("");
        l->saved = strdup("");
    }
    sqlite3_finalize(stmt);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? STORE_OK : sqlite_failed(s, "reading the loads");
}

static int read_previous(struct store *s, const char *request, struct load *l)
{
    sqlite3_stmt *stmt =
        sqlite_prepare(s, "reading the loads",
                       "SELECT transaction_time FROM bcda_load WHERE request = ?1 AND"
                       " status = 'complete' ORDER BY id DESC LIMIT 1");
    int rc;

    if (!stmt)
        return STORE_FAILED;
    sqlite_bind(stmt, 1, request);
    rc = sqlite3_step(stmt);
    l->previous = rc == SQLITE_ROW ? sqlite_copy(stmt, 0) : strdup("");
    sqlite3_finalize(stmt);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? STORE_OK : sqlite_failed(s, "reading the loads");
}

static int sqlite_find_load(struct store *s, const char *request, struct load *l)
{
    if (read_unfinished(s, request, l) || read_previous(s, request, l))
        return STORE_FAILED;
    if (l->since && l->transaction_time && l->saved && l->previous)
        return STORE_OK;
    complain("out of memory");
    return STORE_FAILED;
}

static int sqlite_begin_load(struct store *s, const char *request, struct load *l)
{
    sqlite3_stmt *stmt = sqlite_prepare(s, "recording the load",
                                        "INSERT INTO bcda_load(request, since) VALUES(?1, ?2)");

    if (stmt) {
        sqlite_bind(stmt, 1, request);
        sqlite_bind(stmt, 2, l->since);
    }
    if (sqlite_run(s, "recording the load", stmt))
        return STORE_FAILED;
    l->id = sqlite3_last_insert_rowid(s->db);
    return STORE_OK;
}

/* Ends the transaction on the stage, so that the next one can be on the database. */
static int leave_staging(struct store *s)
{
    if (!s->is_staging)
        return STORE_OK;
    s->is_staging = 0;
    return sqlite_exec(s, "writing the stage", "COMMIT");
}

static int enter_staging(struct store *s)
{
    if (s->is_staging)
        return STORE_OK;
    s->is_staging = 1;
    return sqlite_exec(s, "writing the stage", "BEGIN");
}

static int begin_store_change(struct store *s)
{
    int rc = leave_staging(s);

    return rc ? rc : sqlite_exec(s, "beginning a transaction", "BEGIN IMMEDIATE");
}

/* Commits, if `rc` is 0, or rolls back. */
static int end_store_change(struct store *s, int rc)
{
    if (!rc)
        rc = sqlite_exec(s, "committing", "COMMIT");
    if (rc)
        sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    return rc;
}

static int store_status(struct store *s, const struct load *l, const char *status)
{
    sqlite3_stmt *stmt = sqlite_prepare(s, "ending the load",
                                        "UPDATE bcda_load SET status = ?2, finished_at ="
                                        " strftime('%Y-%m-%dT%H:%M:%SZ', 'now') WHERE id = ?1");
    int rc;

    if (!stmt)
        return STORE_FAILED;
    sqlite3_bind_int64(stmt, 1, l->id);
    sqlite_bind(stmt, 2, status);
    rc = sqlite_run(s, "ending the load", stmt);
    return rc ? rc
              : sqlite_exec_format(s, "ending the load",
                                   "DELETE FROM bcda_job WHERE load = %" PRId64, l->id);
}

static int end_load(struct store *s, const struct load *l, const char *status)
{
    int rc = begin_store_change(s);

    return rc ? rc : end_store_change(s, store_status(s, l, status));
}

static int sqlite_finish_load(struct store *s, const struct load *l)
{
    return end_load(s, l, "complete");
}

static int sqlite_abandon_load(struct store *s, const struct load *l)
{
    int rc = end_load(s, l, "abandoned");

    return rc ? rc
              : sqlite_exec_format(s, "ending the load",
                                   "DELETE FROM bcda_load WHERE id = %lld AND files = 0",
                                   (long long)l->id);
}

/* ---- the state of the job ---- */

static int add_job_text(struct store *s, const struct load *l, const char *text)
{
    sqlite3_stmt *stmt;

    if (!*text)
        return STORE_OK;
    stmt = sqlite_prepare(s, "saving the job",
                          "INSERT INTO bcda_job SELECT ?1, coalesce(max(seq), 0) + 1, ?2"
                          " FROM bcda_job WHERE load = ?1");
    if (!stmt)
        return STORE_FAILED;
    sqlite3_bind_int64(stmt, 1, l->id);
    sqlite_bind(stmt, 2, text);
    return sqlite_run(s, "saving the job", stmt);
}

static int store_transaction_time(struct store *s, const struct load *l)
{
    sqlite3_stmt *stmt = sqlite_prepare(s, "saving the job",
                                        "UPDATE bcda_load SET transaction_time = ?2 WHERE id = ?1");

    if (!stmt)
        return STORE_FAILED;
    sqlite3_bind_int64(stmt, 1, l->id);
    sqlite_bind(stmt, 2, l->transaction_time);
    return sqlite_run(s, "saving the job", stmt);
}

static int store_job(struct store *s, const struct load *l, const char *text)
{
    int rc = store_transaction_time(s, l);

    if (!rc)
        rc = sqlite_exec_format(s, "saving the job", "DELETE FROM bcda_job WHERE load = %lld",
                                (long long)l->id);
    return rc ? rc : add_job_text(s, l, text);
}

static int sqlite_save_job(struct store *s, const struct load *l, const char *text)
{
    int rc = begin_store_change(s);

    return rc ? rc : end_store_change(s, store_job(s, l, text));
}

/* ---- staging ---- */

static int create_stage_tables(struct store *s, int slot)
{
    char *columns = column_list(s->args, ", ", "");
    int rc = STORE_FAILED;

    if (columns)
        rc = sqlite_exec_format(s, "creating the stage",
                                "CREATE TABLE stage.row_%d(type, id, last_updated, json%s);"
                                "CREATE TABLE stage.remark_%d(line, kind, reason, content)",
                                slot, columns, slot);
    free(columns);
    s->slots[slot].has_tables = !rc;
    return rc;
}

static sqlite3_stmt *prepare_insert(struct store *s, int slot)
{
    char sql[1024];
    size_t i;
    size_t n;

    n = (size_t)snprintf(sql, sizeof sql, "INSERT INTO stage.row_%d VALUES(?, ?, ?, ?", slot);
    for (i = 0; i < s->args->field_count; i++)
        n += (size_t)snprintf(sql + n, sizeof sql - n, ", ?");
    snprintf(sql + n, sizeof sql - n, ")");
    return sqlite_prepare(s, "preparing the stage", sql);
}

static sqlite3_stmt *prepare_remark(struct store *s, int slot)
{
    char sql[128];

    snprintf(sql, sizeof sql, "INSERT INTO stage.remark_%d VALUES(?, ?, ?, ?)", slot);
    return sqlite_prepare(s, "preparing the stage", sql);
}

static int sqlite_begin_file(struct store *s, int slot, const char *name)
{
    struct sqlite_slot *f = &s->slots[slot];
    int rc = s->is_broken ? STORE_FAILED : enter_staging(s);

    (void)name;
    if (!rc && !f->has_tables)
        rc = create_stage_tables(s, slot);
    if (rc)
        return rc;
    if (!f->insert)
        f->insert = prepare_insert(s, slot);
    if (!f->remark)
        f->remark = prepare_remark(s, slot);
    f->is_open = f->insert && f->remark;
    return f->is_open ? STORE_OK : STORE_FAILED;
}

/* Binds a text, or NULL. The limit of SQLite is below 2 GiB. */
static int bind_bytes(sqlite3_stmt *stmt, int i, const char *text, size_t len)
{
    if (!text)
        return sqlite3_bind_null(stmt, i);
    if (len > INT_MAX)
        return SQLITE_TOOBIG;
    return sqlite3_bind_text(stmt, i, text, (int)len, SQLITE_STATIC);
}

static int sqlite_add_row(struct store *s, int slot, const struct row *r)
{
    sqlite3_stmt *stmt = s->slots[slot].insert;
    char updated[INSTANT_SIZE];
    size_t i;
    int rc = enter_staging(s);

    if (rc)
        return rc;
    rc |= bind_bytes(stmt, 1, r->type, r->type_len);
    rc |= bind_bytes(stmt, 2, r->id, r->id_len);
    rc |= bind_bytes(stmt, 3, r->updated.is_known ? instant_text(updated, &r->updated) : NULL,
                     INSTANT_LEN);
    rc |= bind_bytes(stmt, 4, r->json, r->json_len);
    for (i = 0; i < s->args->field_count; i++)
        rc |= bind_bytes(stmt, (int)i + 5, r->values[i], r->value_lens[i]);
    if (rc || sqlite3_step(stmt) != SQLITE_DONE)
        rc = sqlite_failed(s, "writing the stage");
    sqlite3_reset(stmt);
    return rc;
}

static int sqlite_add_remark(struct store *s, int slot, const struct remark *r)
{
    sqlite3_stmt *stmt = s->slots[slot].remark;
    int rc = enter_staging(s);

    if (rc)
        return rc;
    sqlite3_bind_int64(stmt, 1, r->line);
    sqlite_bind(stmt, 2, r->kind);
    sqlite_bind(stmt, 3, r->reason);
    rc = sqlite3_bind_blob64(stmt, 4, r->bytes, r->len, SQLITE_STATIC);
    if (rc || sqlite3_step(stmt) != SQLITE_DONE)
        rc = sqlite_failed(s, "writing the stage");
    sqlite3_reset(stmt);
    return rc;
}

/* ---- the end of a file ---- */

/* Stores the staged rows in the order of their lines. A row replaces the one of the same type and
 * id, unless that one has a later last_updated. */
static int merge_rows(struct store *s, int slot)
{
    char *columns = column_list(s->args, ", ", "");
    char *updates = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&updates, &size);
    size_t i;
    int rc = STORE_FAILED;

    for (i = 0; out && i < s->args->field_count; i++)
        fprintf(out, ", \"%s\" = excluded.\"%s\"", s->args->fields[i].column,
                s->args->fields[i].column);
    if (!out || fclose(out) || !columns)
        complain("out of memory");
    else
        rc = sqlite_exec_format(
            s, "storing the rows",
            "INSERT INTO main.resource(type, id, last_updated, json%s)"
            " SELECT type, id, last_updated, json%s FROM stage.row_%d WHERE true ORDER BY rowid"
            " ON CONFLICT(type, id) DO UPDATE SET last_updated = excluded.last_updated,"
            " json = excluded.json%s WHERE resource.last_updated IS NULL OR"
            " excluded.last_updated IS NULL OR excluded.last_updated >= resource.last_updated",
            columns, columns, slot, updates);
    free(columns);
    free(updates);
    return rc;
}

/* A resource that is newer than the export exists again. */
static int delete_rows(struct store *s, int slot, const struct instant *transaction_time)
{
    char until[INSTANT_SIZE] = "";

    if (transaction_time->is_known)
        instant_text(until, transaction_time);
    return sqlite_exec_format(
        s, "deleting rows",
        "DELETE FROM main.resource WHERE (type, id) IN (SELECT type, id FROM stage.row_%d)"
        " AND (%Q = '' OR last_updated IS NULL OR last_updated <= %Q)",
        slot, until, until);
}

static int store_remarks(struct store *s, const struct load *l, int slot, const char *file)
{
    return sqlite_exec_format(
        s, "storing the remarks",
        "INSERT INTO main.bcda_remark SELECT %" PRId64
        ", %Q, line, kind, reason, content FROM stage.remark_%d ORDER BY rowid",
        l->id, file, slot);
}

static int store_counts(struct store *s, const struct load *l, const struct counts *c)
{
    return sqlite_exec_format(
        s, "recording the load",
        "UPDATE bcda_load SET files = files + %" PRId64 ", resources = resources + %" PRId64
        ", outdated = outdated + %" PRId64 ", deletions = deletions + %" PRId64
        ", remarks = remarks + %" PRId64 " WHERE id = %" PRId64,
        c->files, c->resources, c->outdated, c->deletions, c->remarks, l->id);
}

static int store_file(struct store *s, const struct load *l, int slot, struct file_end *end)
{
    int rc;

    if (end->has_deletions) {
        rc = delete_rows(s, slot, &end->transaction_time);
        end->counts.deletions = sqlite3_changes(s->db);
    } else {
        rc = merge_rows(s, slot);
        end->counts.outdated = end->counts.resources - sqlite3_changes(s->db);
    }
    if (!rc)
        rc = store_remarks(s, l, slot, end->name);
    if (!rc)
        rc = store_counts(s, l, &end->counts);
    return rc ? rc : add_job_text(s, l, end->saved);
}

static int sqlite_finish_file(struct store *s, const struct load *l, int slot, struct file_end *end)
{
    int rc = begin_store_change(s);

    return rc ? rc : end_store_change(s, store_file(s, l, slot, end));
}

/* Empties the stage of a slot. If that fails, the next file must not use it. */
static void sqlite_drop_file(struct store *s, int slot)
{
    struct sqlite_slot *f = &s->slots[slot];

    if (!f->is_open)
        return;
    f->is_open = 0;
    sqlite3_clear_bindings(f->insert);
    sqlite3_clear_bindings(f->remark);
    if (!s->is_broken &&
        (enter_staging(s) ||
         sqlite_exec_format(s, "emptying the stage",
                            "DELETE FROM stage.row_%d; DELETE FROM stage.remark_%d", slot, slot)))
        s->is_broken = 1;
}

static int sqlite_check_arguments(const struct load_args *a)
{
    if (strcmp(a->database, ":memory:") != 0 && strncmp(a->database, "file:", 5) != 0)
        return 0;
    complain("--database %s: not the path of a file", a->database);
    return -1;
}

static const struct database sqlite_database = {
    .program = "bcda-load-sqlite",
    .help_database =
        "  --database FILE            the database; it is created if it does not exist\n"
        "  --wait SECONDS             how long to wait for a database that another program has\n"
        "                             locked (default: 60)\n",
    .help_notes =
        "\n"
        "Tables\n"
        "  resource(type, id, last_updated, json, and the columns of --field). The other\n"
        "  tables, bcda_*, are the state of the loads. See doc/loading.md.\n",
    .wait_seconds = 60,
    .check_arguments = sqlite_check_arguments,
    .open = sqlite_open,
    .close = sqlite_close,
    .find_load = sqlite_find_load,
    .begin_load = sqlite_begin_load,
    .abandon_load = sqlite_abandon_load,
    .save_job = sqlite_save_job,
    .finish_load = sqlite_finish_load,
    .begin_file = sqlite_begin_file,
    .add_row = sqlite_add_row,
    .add_remark = sqlite_add_remark,
    .finish_file = sqlite_finish_file,
    .drop_file = sqlite_drop_file,
};

int main(int argc, char **argv)
{
    return load_main(&sqlite_database, argc, argv);
}
