#include "client/state.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "base/url.h"
#include "bcda/error.h"
#include "codec/crypto.h"
#include "codec/document.h"

/* How each line ends: CHECK_BEGIN, the digits of the check, CHECK_END. */
#define CHECK_BEGIN ",\"check\":\""
#define CHECK_END   "\"}"

enum {
    VERSION_DONE = 1, /* one line, with a list of the files that are complete, and no check */
    VERSION_NOW = 2,
    DIGITS = BCDA__STATE_CHECK - 1,
    PATH_DIGITS = 32, /* of the hash that follows a path */
    CHECK_LEN = sizeof CHECK_BEGIN - 1 + DIGITS + sizeof CHECK_END - 1,
};

static const char *const verdict_names[] = {NULL, "complete", "failed"};
static const char *const kind_names[] = {"data", "deleted", "error"};

/* ---- the check of a line ---- */

static void put_hex(const uint8_t *bytes, size_t len, char *out)
{
    static const char digits[] = "0123456789abcdef";
    size_t i;

    for (i = 0; i < len; i++) {
        *out++ = digits[bytes[i] >> 4];
        *out++ = digits[bytes[i] & 15];
    }
    *out = '\0';
}

/* Writes the first `digits` digits of the SHA-256 of two texts, one after the other. `out` may be
 * one of the texts. */
static int hash_texts(const char *first, const char *second, size_t len, size_t digits, char *out)
{
    struct bcda__sha256 *sum;
    uint8_t hash[32];
    int rc = bcda__sha256_new(&sum);

    if (rc)
        return rc;
    bcda__sha256_add(sum, first, strlen(first));
    bcda__sha256_add(sum, second, len);
    rc = bcda__sha256_read(sum, hash);
    bcda__sha256_free(sum);
    if (!rc)
        put_hex(hash, digits / 2, out);
    return rc;
}

int bcda__state_add_hash(struct bcda__buf *path, const char *text, size_t len)
{
    char digits[PATH_DIGITS + 1];
    int rc = hash_texts("", text, len, PATH_DIGITS, digits);

    return rc ? rc : bcda__buf_addf(path, "?%s", digits);
}

/* Replaces `check`, that of the line before, by that of this line. */
static int next_check(char check[BCDA__STATE_CHECK], const char *line, size_t len)
{
    return hash_texts(check, line, len, DIGITS, check);
}

/* ---- writing ---- */

static int write_member(struct bcda__buf *out, const char *name, const char *text)
{
    int rc;

    if (!text)
        return 0;
    rc = bcda__buf_addf(out, "%s\"%s\":", out->data[out->len - 1] == '{' ? "" : ",", name);
    return rc ? rc : bcda__json_add_string(out, text);
}

static int write_types(struct bcda__buf *out, const struct bcda__texts *types)
{
    size_t i;
    int rc = bcda__buf_adds(out, ",\"types\":[");

    for (i = 0; !rc && i < types->count; i++) {
        rc = i ? bcda__buf_adds(out, ",") : 0;
        if (!rc)
            rc = bcda__json_add_string(out, types->at[i]);
    }
    return rc ? rc : bcda__buf_adds(out, "]");
}

/* Writes the members of a file; `out` ends with the brace before them. */
static int write_file_members(struct bcda__buf *out, const struct bcda__saved_file *f)
{
    char hash[2 * sizeof f->confirmed.sha256 + 1];
    int rc = write_member(out, "path", f->path);

    if (!rc)
        rc = write_member(out, "type", f->type);
    if (!rc && f->kind != BCDA__FILE_DATA)
        rc = write_member(out, "kind", kind_names[f->kind]);
    if (!rc)
        rc = write_member(out, "verdict", verdict_names[f->verdict]);
    if (rc || !f->confirmed.line)
        return rc;
    put_hex(f->confirmed.sha256, sizeof f->confirmed.sha256, hash);
    return bcda__buf_addf(out, ",\"line\":%" PRId64 ",\"bytes\":%" PRId64 ",\"sha256\":\"%s\"",
                          f->confirmed.line, f->confirmed.bytes, hash);
}

static int write_files(struct bcda__buf *out, const struct bcda__state_head *head)
{
    size_t i;
    int rc = bcda__buf_adds(out, ",\"files\":[");

    for (i = 0; !rc && i < head->file_count; i++) {
        struct bcda__saved_file f = {0};

        rc = head->file_at(head->ctx, i, &f);
        if (!rc)
            rc = bcda__buf_adds(out, i ? ",{" : "{");
        if (!rc)
            rc = write_file_members(out, &f);
        if (!rc)
            rc = bcda__buf_adds(out, "}");
    }
    return rc ? rc : bcda__buf_adds(out, "]");
}

/* Ends the line that begins at `from`. */
static int write_check(struct bcda__buf *out, size_t from, char check[BCDA__STATE_CHECK])
{
    char next[BCDA__STATE_CHECK];
    int rc;

    memcpy(next, check, sizeof next);
    rc = next_check(next, out->data + from, out->len - from);
    if (!rc)
        rc = bcda__buf_addf(out, CHECK_BEGIN "%s" CHECK_END, next);
    if (!rc)
        memcpy(check, next, sizeof next);
    return rc;
}

int bcda__state_write(struct bcda__buf *out, char check[BCDA__STATE_CHECK],
                      const struct bcda__state_head *head)
{
    size_t from = out->len;
    int rc = bcda__buf_addf(out, "{\"bcda\":%d", VERSION_NOW);

    if (!rc)
        rc = write_member(out, "url", head->url);
    if (!rc && head->types)
        rc = write_types(out, head->types);
    if (!rc)
        rc = write_member(out, "transaction_time", head->transaction_time);
    if (!rc)
        rc = write_files(out, head);
    return rc ? rc : write_check(out, from, check);
}

int bcda__state_write_change(struct bcda__buf *out, char check[BCDA__STATE_CHECK],
                             const struct bcda__saved_file *file)
{
    size_t from = out->len;
    int rc = bcda__buf_adds(out, "{");

    if (!rc)
        rc = write_file_members(out, file);
    return rc ? rc : write_check(out, from, check);
}

/* ---- reading a line ---- */

enum state_value {
    VERSION,
    URL,
    TYPES,
    TYPE,
    DONE,
    TIME,
    FILES,
    FILE_OBJECT,
    PATH,
    FILE_TYPE,
    KIND,
    VERDICT,
    LINE,
    BYTES,
    SHA256
};

static const struct bcda__document_path state_paths[] = {
    {"bcda", VERSION},    {"url", URL},
    {"types", TYPES},     {"types[]", TYPE},
    {"done[]", DONE},     {"transaction_time", TIME},
    {"files", FILES},     {"files[]", FILE_OBJECT},
    {"path", PATH},       {"files[].path", PATH},
    {"type", FILE_TYPE},  {"files[].type", FILE_TYPE},
    {"kind", KIND},       {"files[].kind", KIND},
    {"verdict", VERDICT}, {"files[].verdict", VERDICT},
    {"line", LINE},       {"files[].line", LINE},
    {"bytes", BYTES},     {"files[].bytes", BYTES},
    {"sha256", SHA256},   {"files[].sha256", SHA256},
};

/* A line that is being read. `job` is used if it has the member "bcda", else `file`. */
struct state_line {
    struct bcda__state job;
    struct bcda__saved_file file; /* the change, or the element of "files" that is being read */
    int has_hash, has_done, has_files;
};

static void free_saved_file(struct bcda__saved_file *f)
{
    bcda__free(f->path);
    bcda__free(f->type);
    memset(f, 0, sizeof *f);
}

/* Moves `file` to the list. */
static int add_saved_file(struct bcda__state *state, struct bcda__saved_file *file)
{
    if (!file->path)
        return BCDA_ERR_INVALID;
    if (state->file_count == state->file_cap) {
        size_t cap = state->file_cap ? 2 * state->file_cap : 16;
        struct bcda__saved_file *grown = bcda__realloc(state->files, cap * sizeof *grown);

        if (!grown)
            return BCDA_ERR_NOMEM;
        state->files = grown;
        state->file_cap = cap;
    }
    state->files[state->file_count++] = *file;
    memset(file, 0, sizeof *file);
    return 0;
}

static int keep_once(char **to, const char *text, size_t len)
{
    if (*to)
        return BCDA_ERR_INVALID;
    *to = bcda__strndup(text, len);
    return *to ? 0 : BCDA_ERR_NOMEM;
}

/* Finds a text in a list of names. */
static int find_word(const char *const *names, int count, const char *text, size_t len, int *found)
{
    int i;

    for (i = 0; i < count; i++) {
        if (names[i] && bcda__document_is(text, len, names[i])) {
            *found = i;
            return 0;
        }
    }
    return BCDA_ERR_INVALID;
}

/* Takes a path of version 1, which has the query of the URL. A hash replaces the query. */
static int take_done(struct state_line *l, const char *text, size_t len)
{
    struct bcda__saved_file done = {.verdict = BCDA__SAVED_COMPLETE};
    const char *query = memchr(text, '?', len);
    size_t path_len = query ? (size_t)(query - text) : len;
    struct bcda__buf path;
    int rc;

    bcda__buf_init(&path, len + PATH_DIGITS + 2);
    rc = bcda__buf_add(&path, text, path_len);
    if (!rc && query)
        rc = bcda__state_add_hash(&path, query, len - path_len);
    if (!rc) {
        done.path = bcda__buf_steal(&path);
        rc = add_saved_file(&l->job, &done);
    }
    bcda__buf_free(&path);
    free_saved_file(&done);
    return rc;
}

static int take_file_text(struct state_line *l, enum state_value what, const char *text, size_t len)
{
    struct bcda__saved_file *f = &l->file;
    size_t size = 0;
    int found = 0, rc;

    switch (what) {
    case PATH:
        return keep_once(&f->path, text, len);
    case FILE_TYPE:
        return keep_once(&f->type, text, len);
    case KIND:
        rc = find_word(kind_names, BCDA__FILE_KINDS, text, len, &found);
        f->kind = (enum bcda__file_kind)found;
        return rc;
    case VERDICT:
        rc = find_word(verdict_names, BCDA__SAVED_FAILED + 1, text, len, &found);
        f->verdict = (enum bcda__saved_verdict)found;
        return rc;
    default:
        rc = bcda__text_hex_decode(text, len, f->confirmed.sha256, sizeof f->confirmed.sha256,
                                   &size);
        l->has_hash = 1;
        return rc || size != sizeof f->confirmed.sha256 ? BCDA_ERR_INVALID : 0;
    }
}

static int take_state_text(struct state_line *l, enum state_value what, const char *text,
                           size_t len)
{
    if (memchr(text, '\0', len))
        return BCDA_ERR_INVALID;
    switch (what) {
    case VERSION:
    case TYPES:
    case FILES:
    case FILE_OBJECT:
    case LINE:
    case BYTES:
        return BCDA_ERR_INVALID;
    case URL:
        return keep_once(&l->job.url, text, len);
    case TYPE:
        return bcda__texts_add(&l->job.types, text, len);
    case DONE:
        l->has_done = 1;
        return take_done(l, text, len);
    case TIME:
        return keep_once(&l->job.transaction_time, text, len);
    default:
        return take_file_text(l, what, text, len);
    }
}

static int take_state_number(struct state_line *l, enum state_value what, const char *text,
                             size_t len)
{
    int64_t n;

    if (bcda__text_to_int64(text, len, &n) || (what != VERSION && n < 1))
        return BCDA_ERR_INVALID;
    switch (what) {
    case VERSION:
        l->job.version = n < 1000 ? (int)n : 1000;
        return 0;
    case LINE:
        l->file.confirmed.line = n;
        return 0;
    case BYTES:
        l->file.confirmed.bytes = n;
        return 0;
    default:
        return BCDA_ERR_INVALID;
    }
}

/* A confirmed line has a position and a hash, and only a file that is not complete has one. */
static int check_saved_file(struct state_line *l)
{
    const struct bcda__mark *m = &l->file.confirmed;
    int rc = !m->line == !m->bytes && !m->line == !l->has_hash ? 0 : BCDA_ERR_INVALID;

    l->has_hash = 0;
    return rc || (m->line && l->file.verdict == BCDA__SAVED_COMPLETE) ? BCDA_ERR_INVALID : 0;
}

static int end_file_object(struct state_line *l)
{
    int rc = check_saved_file(l);

    return rc ? rc : add_saved_file(&l->job, &l->file);
}

static int state_on_value(void *ctx, int what, enum bcda__json_event event, const char *text,
                          size_t len)
{
    struct state_line *l = ctx;

    switch (event) {
    case BCDA__JSON_STRING:
        return take_state_text(l, (enum state_value)what, text, len);
    case BCDA__JSON_NUMBER:
        return take_state_number(l, (enum state_value)what, text, len);
    case BCDA__JSON_ARRAY:
        l->job.types_known |= what == TYPES;
        l->has_files |= what == FILES;
        return 0;
    case BCDA__JSON_OBJECT_END:
        return what == FILE_OBJECT ? end_file_object(l) : 0;
    default:
        return 0;
    }
}

/* ---- reading a text ---- */

static int compare_saved_paths(const void *a, const void *b)
{
    const struct bcda__saved_file *const *x = a;
    const struct bcda__saved_file *const *y = b;

    return strcmp((*x)->path, (*y)->path);
}

static int sort_saved_files(struct bcda__state *state)
{
    size_t i;

    bcda__free(state->sorted);
    state->sorted = bcda__alloc((state->file_count + 1) * sizeof *state->sorted);
    if (!state->sorted)
        return BCDA_ERR_NOMEM;
    for (i = 0; i < state->file_count; i++)
        state->sorted[i] = &state->files[i];
    qsort(state->sorted, state->file_count, sizeof *state->sorted, compare_saved_paths);
    return 0;
}

struct bcda__saved_file *bcda__state_find(const struct bcda__state *state, const char *path)
{
    size_t low = 0, high = state->file_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(state->sorted[middle]->path, path);

        if (!order)
            return state->sorted[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* Replaces the state by a line that holds the whole job. Only a line of this version has "files",
 * and only an older one has "done". */
static int take_whole(struct bcda__state *state, struct state_line *l)
{
    int rc;

    if (!l->job.url || l->file.path || l->has_files != (l->job.version == VERSION_NOW) ||
        (l->has_done && l->job.version == VERSION_NOW))
        return BCDA_ERR_INVALID;
    rc = sort_saved_files(&l->job);
    if (rc)
        return rc;
    bcda__state_free(state);
    *state = l->job;
    memset(&l->job, 0, sizeof l->job);
    return 0;
}

static int take_change(const struct bcda__state *state, struct state_line *l)
{
    struct bcda__saved_file *f;

    if (state->version != VERSION_NOW || !l->file.path || check_saved_file(l))
        return BCDA_ERR_INVALID;
    f = bcda__state_find(state, l->file.path);
    if (!f)
        return BCDA_ERR_INVALID;
    f->verdict = l->file.verdict;
    f->confirmed = l->file.confirmed;
    return 0;
}

static int has_check(const char *line, size_t len)
{
    return len > CHECK_LEN &&
           memcmp(line + len - CHECK_LEN, CHECK_BEGIN, sizeof CHECK_BEGIN - 1) == 0 &&
           memcmp(line + len - 2, CHECK_END, 2) == 0;
}

/* Compares the check at the end of a line with the line. */
static int verify_check(char check[BCDA__STATE_CHECK], const char *line, size_t len)
{
    int rc;

    if (!has_check(line, len))
        return BCDA_ERR_INVALID;
    rc = next_check(check, line, len - CHECK_LEN);
    if (rc)
        return rc;
    return memcmp(check, line + len - 2 - DIGITS, DIGITS) == 0 ? 0 : BCDA_ERR_INVALID;
}

static int read_state_line(struct bcda__state *state, char check[BCDA__STATE_CHECK],
                           const char *line, size_t len)
{
    struct state_line l = {.job = {.version = 0}};
    int rc = bcda__document_parse(line, len, state_paths, sizeof state_paths / sizeof *state_paths,
                                  state_on_value, &l);

    if (!rc && l.job.version > VERSION_NOW)
        rc = BCDA_ERR_UNSUPPORTED;
    if (!rc && l.job.version) /* a line that holds the whole job begins a new chain of checks */
        check[0] = '\0';
    if (!rc && (l.job.version != VERSION_DONE || has_check(line, len)))
        rc = verify_check(check, line, len);
    if (!rc)
        rc = l.job.version ? take_whole(state, &l) : take_change(state, &l);
    bcda__state_free(&l.job);
    free_saved_file(&l.file);
    return rc;
}

int bcda__state_read(const char *text, size_t len, struct bcda__state *out)
{
    char check[BCDA__STATE_CHECK] = "";
    const char *end = text + len;
    int rc = BCDA_ERR_INVALID;

    while (text < end) {
        const char *lf = memchr(text, '\n', (size_t)(end - text));
        const char *stop = lf ? lf : end;

        if (stop > text)
            rc = read_state_line(out, check, text, (size_t)(stop - text));
        if (rc && stop > text)
            break;
        text = lf ? lf + 1 : end;
    }
    if (!rc)
        return 0;
    bcda__state_free(out);
    return rc == BCDA_ERR_NOMEM || rc == BCDA_ERR_UNSUPPORTED ? rc : BCDA_ERR_INVALID;
}

size_t bcda__state_usable(const char *text, size_t len)
{
    size_t at = len;

    if (!len || text[len - 1] == '\n' || text[len - 1] == '}')
        return len;
    while (at > 0 && text[at - 1] != '\n')
        at--;
    return at;
}

/* ---- the files as a manifest ---- */

static const char *const list_names[] = {"output", "deleted", "error"};

static int write_manifest_items(struct bcda__buf *out, const struct bcda__state *state,
                                const struct bcda__url *origin, enum bcda__file_kind kind)
{
    const char *between = "";
    size_t i;
    int rc = bcda__buf_addf(out, ",\"%s\":[", list_names[kind]);

    for (i = 0; !rc && i < state->file_count; i++) {
        const struct bcda__saved_file *f = &state->files[i];

        if (f->kind != kind)
            continue;
        rc = bcda__buf_addf(out, "%s{\"url\":\"", between);
        if (!rc)
            rc = bcda__url_add_origin(out, origin);
        if (!rc)
            rc = bcda__url_add_escaped(out, f->path, "/%:?=&+,;@!$'()*[]");
        if (!rc)
            rc = bcda__buf_adds(out, "\"");
        if (!rc)
            rc = write_member(out, "type", f->type);
        if (!rc)
            rc = bcda__buf_adds(out, "}");
        between = ",";
    }
    return rc ? rc : bcda__buf_adds(out, "]");
}

static int write_manifest(struct bcda__buf *out, const struct bcda__state *state)
{
    struct bcda__url origin;
    int kind, rc = bcda__url_parse(state->url, &origin);

    if (!rc)
        rc = bcda__buf_adds(out, "{\"transactionTime\":");
    if (!rc)
        rc = bcda__json_add_string(out, state->transaction_time);
    for (kind = 0; !rc && kind < BCDA__FILE_KINDS; kind++)
        rc = write_manifest_items(out, state, &origin, (enum bcda__file_kind)kind);
    return rc ? rc : bcda__buf_adds(out, "}");
}

int bcda__state_manifest(const struct bcda__state *state, struct bcda__manifest **out)
{
    struct bcda__manifest_parser *parser = NULL;
    struct bcda_error err;
    struct bcda__buf text;
    int rc;

    if (!state->transaction_time)
        return BCDA_ERR_END;
    bcda__err_clear(&err);
    bcda__buf_init(&text, (size_t)1 << 30);
    rc = write_manifest(&text, state);
    if (!rc)
        rc = bcda__manifest_parser_new(&parser, state->file_count + 1, 1);
    if (!rc)
        rc = bcda__manifest_parser_write(parser, text.data, text.len, &err);
    if (!rc)
        rc = bcda__manifest_parser_finish(parser, out, &err);
    bcda__manifest_parser_free(parser);
    bcda__buf_free(&text);
    bcda__err_forget(&err);
    return rc;
}

void bcda__state_free(struct bcda__state *state)
{
    size_t i;

    bcda__free(state->url);
    bcda__free(state->transaction_time);
    bcda__texts_free(&state->types);
    for (i = 0; i < state->file_count; i++)
        free_saved_file(&state->files[i]);
    bcda__free(state->files);
    bcda__free(state->sorted);
    memset(state, 0, sizeof *state);
}
