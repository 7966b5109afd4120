#include "protocol/manifest.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "base/url.h"
#include "codec/document.h"

enum {
    DEPTH_MAX = 64,
    CHUNK_FIRST = 4 * 1024,
    CHUNK_MAX = 64 * 1024,
};

/* ---- the arena: memory for texts, in chunks that are freed together ---- */

struct bcda__manifest_arena {
    struct bcda__manifest_arena *next;
    size_t used;
    size_t size;
    char data[];
};

static struct bcda__manifest_arena *new_chunk(size_t size)
{
    struct bcda__manifest_arena *chunk = bcda__alloc(sizeof *chunk + size);

    if (!chunk)
        return NULL;
    chunk->next = NULL;
    chunk->used = 0;
    chunk->size = size;
    return chunk;
}

/* Adds a chunk with room for `need` bytes. A text that is larger than a chunk gets its own chunk,
 * which is put after the first chunk, so that the free room of the first chunk is still used. */
static struct bcda__manifest_arena *add_chunk(struct bcda__manifest_arena **arena, size_t need)
{
    size_t size = *arena ? (*arena)->size * 2 : CHUNK_FIRST;
    struct bcda__manifest_arena *chunk;

    if (size > CHUNK_MAX)
        size = CHUNK_MAX;
    chunk = new_chunk(need > size ? need : size);
    if (!chunk)
        return NULL;
    if (*arena && need > size) {
        chunk->next = (*arena)->next;
        (*arena)->next = chunk;
    } else {
        chunk->next = *arena;
        *arena = chunk;
    }
    return chunk;
}

/* Adds a copy of a text with a NUL. Returns NULL if there is no memory. */
static const char *arena_put(struct bcda__manifest_arena **arena, const char *text, size_t len)
{
    struct bcda__manifest_arena *chunk = *arena;
    char *to;

    if (!chunk || len + 1 > chunk->size - chunk->used)
        chunk = add_chunk(arena, len + 1);
    if (!chunk)
        return NULL;
    to = chunk->data + chunk->used;
    memcpy(to, text, len);
    to[len] = '\0';
    chunk->used += len + 1;
    return to;
}

static void arena_join(struct bcda__manifest_arena **to, struct bcda__manifest_arena *more)
{
    while (*to)
        to = &(*to)->next;
    *to = more;
}

static void manifest_arena_free(struct bcda__manifest_arena *chunk)
{
    while (chunk) {
        struct bcda__manifest_arena *next = chunk->next;

        bcda__free(chunk);
        chunk = next;
    }
}

/* Makes room for one more element; if the array is full, doubles it. Returns the array, or NULL if
 * there is no memory. */
static void *array_room(void *array, size_t count, size_t *cap, size_t size)
{
    size_t wanted = *cap ? *cap * 2 : 16;
    void *grown;

    if (count < *cap)
        return array;
    if (wanted > SIZE_MAX / size)
        return NULL;
    grown = bcda__realloc(array, wanted * size);
    if (grown)
        *cap = wanted;
    return grown;
}

/* ---- the parser ---- */

enum { SHA256_LEN = 32 };

enum kind { /* of a JSON value */
            KIND_STRING = 1,
            KIND_NUMBER = 2,
            KIND_BOOLEAN = 4,
            KIND_ARRAY = 8,
            KIND_OBJECT = 16,
            KIND_NULL = 32,
};

struct member {
    const char *name;
    unsigned kinds;
    const char *problem; /* the error text for a value of another kind */
};

/* The wanted values of the document. */
enum manifest_value {
    TRANSACTION_TIME, /* from here to JOB_ID: members of the top object */
    REQUEST,
    REQUIRES_ACCESS_TOKEN,
    OUTPUT,
    ERRORS,
    OUTCOME,
    DELETED,
    LINK_LIST,
    ORGANIZED_BY,
    KEYMAP,
    KEYS,
    JOB_ID,
    TOP_MEMBERS,
    ITEM_TYPE = TOP_MEMBERS, /* from here to ITEM_CONTINUES: members of an item */
    ITEM_URL,
    ITEM_KEY,
    ITEM_COUNT,
    ITEM_EXTENSION,
    ITEM_CONTINUES,
    MEMBERS,
    TOP = MEMBERS,
    ITEM, /* of output, error, outcome or deleted */
    EXTENSION,
    EXTENSION_URL,
    EXTENSION_VALUE, /* valueString, valueDecimal or another; an extension has one of them */
    KEYMAP_KEY,
    KEYS_KEY,
    LINK,
    LINK_RELATION,
};

static const struct bcda__document_path manifest_paths[] = {
    {"", TOP},
    {"transactionTime", TRANSACTION_TIME},
    {"request", REQUEST},
    {"requiresAccessToken", REQUIRES_ACCESS_TOKEN},
    {"output", OUTPUT},
    {"error", ERRORS},
    {"outcome", OUTCOME}, /* replaces `error` in Bulk Data STU 4 */
    {"deleted", DELETED},
    {"link", LINK_LIST},
    {"outputOrganizedBy", ORGANIZED_BY},
    {"KeyMap", KEYMAP},
    {"keys", KEYS},
    {"JobID", JOB_ID},
    {"output|error|outcome|deleted[]", ITEM},
    {"output|error|outcome|deleted[].type", ITEM_TYPE},
    {"output|error|outcome|deleted[].url", ITEM_URL},
    {"output|error|outcome|deleted[].encryptedKey", ITEM_KEY},
    {"output|error|outcome|deleted[].count", ITEM_COUNT},
    {"output|error|outcome|deleted[].continuesInFile", ITEM_CONTINUES},
    {"output|error|outcome|deleted[].extension", ITEM_EXTENSION},
    {"output|error|outcome|deleted[].extension[]", EXTENSION},
    {"output|error|outcome|deleted[].extension[].url", EXTENSION_URL},
    {"output|error|outcome|deleted[].extension[].value*", EXTENSION_VALUE},
    {"KeyMap.*", KEYMAP_KEY},
    {"keys[]", KEYS_KEY},
    {"link[]", LINK},
    {"link[].relation", LINK_RELATION},
};

static const struct member members[] = {
    [TRANSACTION_TIME] = {"transactionTime", KIND_STRING | KIND_NULL, "is not a string"},
    [REQUEST] = {"request", KIND_STRING | KIND_NULL, "is not a string"},
    [REQUIRES_ACCESS_TOKEN] = {"requiresAccessToken", KIND_BOOLEAN | KIND_NULL, "is not a boolean"},
    [OUTPUT] = {"output", KIND_ARRAY | KIND_NULL, "is not an array"},
    [ERRORS] = {"error", KIND_ARRAY | KIND_NULL, "is not an array"},
    [OUTCOME] = {"outcome", KIND_ARRAY | KIND_NULL, "is not an array"},
    [DELETED] = {"deleted", KIND_ARRAY | KIND_NULL, "is not an array"},
    [LINK_LIST] = {"link", KIND_ARRAY | KIND_NULL, "is not an array"},
    [ORGANIZED_BY] = {"outputOrganizedBy", KIND_STRING | KIND_NULL, "is not a string"},
    [KEYMAP] = {"KeyMap", KIND_OBJECT | KIND_NULL, "is not an object"},
    [KEYS] = {"keys", KIND_ARRAY | KIND_NULL, "is not an array"},
    [JOB_ID] = {"JobID", KIND_NUMBER | KIND_STRING | KIND_NULL, "is not a number"},
    [ITEM_TYPE] = {"type", KIND_STRING | KIND_NULL, "is not a string"},
    [ITEM_URL] = {"url", KIND_STRING, "is not a string"},
    [ITEM_KEY] = {"encryptedKey", KIND_STRING | KIND_NULL, "is not a string"},
    [ITEM_COUNT] = {"count", KIND_NUMBER | KIND_NULL, "is not a number"},
    /* AB2D and DPC send an array of FHIR Extensions. In Bulk Data 1 and 2 the member is an object,
     * which is ignored. */
    [ITEM_EXTENSION] = {"extension", KIND_ARRAY | KIND_OBJECT | KIND_NULL, "is not an array"},
    [ITEM_CONTINUES] = {"continuesInFile", KIND_STRING | KIND_NULL, "is not a string"},
};

/* The extensions of an item that the parser uses; it ignores others. */
enum extension { EXTENSION_OTHER, EXTENSION_CHECKSUM, EXTENSION_LENGTH };

static const struct extension_url {
    const char *url;
    enum extension what;
} extension_urls[] = {
    {"https://ab2d.cms.gov/checksum", EXTENSION_CHECKSUM},
    {"https://ab2d.cms.gov/file_length", EXTENSION_LENGTH},
    {"https://dpc.cms.gov/checksum", EXTENSION_CHECKSUM},
    {"https://dpc.cms.gov/file_length", EXTENSION_LENGTH},
};

/* An item of `output`, `error` or `outcome`, as it was read. bcda__manifest_parser_finish() removes
 * duplicates and assigns the keys. */
struct item {
    struct bcda__entry entry;
    size_t name_len;
    const char *continues; /* continuesInFile: the URL of another file; NULL = none */
    int list;              /* this and `index`: the place in the document, for error texts */
    size_t index;
    enum bcda__file_kind kind;
    int dropped;
};

/* An element of `KeyMap` or `keys`. The texts are in `key_texts`, which is freed with the parser if
 * no entry uses them. */
struct file_key {
    const char *name;
    const char *value;
    int from; /* KEYMAP or KEYS; if both have the same name, KEYMAP has precedence */
};

struct bcda__manifest_parser {
    struct bcda__json *json;
    struct bcda__document document;
    size_t max_entries;
    int code; /* the first error; later calls return it */
    struct bcda_error failure;
    int first_byte; /* the first byte of the body that is not white space; 0 = none so far */
    /* The current place in the document: */
    int list;          /* which list: OUTPUT, ERRORS, OUTCOME, DELETED, KEYMAP, KEYS or LINK_LIST */
    size_t index;      /* the index of the current element of that list */
    unsigned top_seen; /* which members of the top object were read: one bit for each */
    unsigned item_seen; /* which members of the current item were read */
    struct item item;
    enum extension extension;  /* the kind of the current extension */
    char extension_value[128]; /* "" = no value so far, or one that is too long to be valid */
    const char *key_name;      /* the name of the next KeyMap value */
    /* What was read: */
    const char *transaction_time;
    const char *request;
    const char *organized_by;
    int64_t job_id;
    int requires_access_token;
    struct bcda__manifest_arena *texts;
    struct item *items;
    size_t item_count, item_cap;
    size_t listed; /* the number of all items, also of those that are not kept */
    size_t deleted_count;
    int keep_deleted;
    struct bcda__manifest_arena *key_texts;
    struct file_key *keys;
    size_t key_count, key_cap;
    int keys_used; /* 1 = the `key` of some entry points into key_texts */
};

/* ---- errors: their texts name the member, but never show its value ---- */

static int refuse_top(struct bcda__manifest_parser *p, enum manifest_value m, const char *problem)
{
    return bcda__err_set(&p->failure, BCDA_ERR_MANIFEST, "the manifest cannot be used: %s %s",
                         members[m].name, problem);
}

static int refuse_item(struct bcda__manifest_parser *p, enum manifest_value m, const char *problem)
{
    return bcda__err_set(&p->failure, BCDA_ERR_MANIFEST,
                         "the manifest cannot be used: %s[%zu].%s %s", members[p->list].name,
                         p->index, members[m].name, problem);
}

static int refuse_element(struct bcda__manifest_parser *p, enum manifest_value m,
                          const char *problem)
{
    return bcda__err_set(&p->failure, BCDA_ERR_MANIFEST, "the manifest cannot be used: %s[%zu] %s",
                         members[m].name, p->index, problem);
}

static int refuse_size(struct bcda__manifest_parser *p, const char *what, size_t limit)
{
    return bcda__err_set(&p->failure, BCDA_ERR_BODY_TOO_LARGE,
                         "the manifest has more than %zu %s (option \"manifest_entries_max\")",
                         limit, what);
}

/* ---- values ---- */

static unsigned kind_of(enum bcda__json_event event)
{
    switch (event) {
    case BCDA__JSON_OBJECT:
        return KIND_OBJECT;
    case BCDA__JSON_ARRAY:
        return KIND_ARRAY;
    case BCDA__JSON_STRING:
        return KIND_STRING;
    case BCDA__JSON_NUMBER:
        return KIND_NUMBER;
    case BCDA__JSON_TRUE:
    case BCDA__JSON_FALSE:
        return KIND_BOOLEAN;
    case BCDA__JSON_NULL:
        return KIND_NULL;
    default:
        return 0;
    }
}

/* Removes white space at both ends: in 2018 the server padded file names with spaces to 127
 * characters (bcda-api 5.2). */
static void trim_spaces(const char **text, size_t *len)
{
    while (*len && strchr(" \t\r\n", **text) && **text) {
        ++*text;
        --*len;
    }
    while (*len && strchr(" \t\r\n", (*text)[*len - 1]) && (*text)[*len - 1])
        --*len;
}

static int has_nul(const char *text, size_t len)
{
    return memchr(text, '\0', len) != NULL;
}

static int ends_with(const char *text, size_t len, const char *end)
{
    size_t end_len = strlen(end);

    return len >= end_len && memcmp(text + len - end_len, end, end_len) == 0;
}

/* Returns -1, "unknown", if the text is not a number of at most 18 digits. A wrong number is no
 * reason to refuse the manifest. */
static int64_t number_or_none(const char *text, size_t len)
{
    int64_t value;

    return bcda__text_to_int64(text, len, &value) ? -1 : value;
}

/* ---- the top object ---- */

/* Refuses a second member with the same name, because another program that reads the same body
 * might use the other one. */
static int on_member_key(struct bcda__manifest_parser *p, enum manifest_value what)
{
    unsigned *seen = what < TOP_MEMBERS ? &p->top_seen : &p->item_seen;

    if (*seen & 1u << what)
        return what < TOP_MEMBERS ? refuse_top(p, what, "is there twice")
                                  : refuse_item(p, what, "is there twice");
    *seen |= 1u << what;
    return 0;
}

static int keep_top_text(struct bcda__manifest_parser *p, enum manifest_value what, const char **to,
                         const char *text, size_t len)
{
    if (has_nul(text, len))
        return refuse_top(p, what, "holds a NUL");
    *to = arena_put(&p->texts, text, len);
    return *to ? 0 : BCDA_ERR_NOMEM;
}

static int on_top_value(struct bcda__manifest_parser *p, enum manifest_value what,
                        enum bcda__json_event event, const char *text, size_t len)
{
    if (!(members[what].kinds & kind_of(event)))
        return refuse_top(p, what, members[what].problem);
    if (event == BCDA__JSON_NULL) /* null means the same as an absent member */
        return 0;
    switch (what) {
    case TRANSACTION_TIME:
        return keep_top_text(p, what, &p->transaction_time, text, len);
    case REQUEST:
        return keep_top_text(p, what, &p->request, text, len);
    case ORGANIZED_BY:
        return keep_top_text(p, what, &p->organized_by, text, len);
    case REQUIRES_ACCESS_TOKEN:
        p->requires_access_token = event == BCDA__JSON_TRUE;
        return 0;
    case JOB_ID:
        p->job_id = number_or_none(text, len);
        return 0;
    default: /* a member that is a list, such as `output` */
        p->list = (int)what;
        p->index = 0;
        return 0;
    }
}

/* ---- output and error ---- */

static int on_item(struct bcda__manifest_parser *p, enum bcda__json_event event)
{
    if (event != BCDA__JSON_OBJECT)
        return refuse_element(p, (enum manifest_value)p->list, "is not an object");
    if (p->listed++ == p->max_entries)
        return refuse_size(p, "entries", p->max_entries);
    p->item_seen = 0;
    memset(&p->item, 0, sizeof p->item);
    p->item.entry.type = "";
    p->item.entry.count = p->item.entry.length = -1;
    p->item.kind = p->list == OUTPUT    ? BCDA__FILE_DATA
                   : p->list == DELETED ? BCDA__FILE_DELETED
                                        : BCDA__FILE_ERRORS;
    p->item.list = p->list;
    p->item.index = p->index;
    return 0;
}

/* Stores the type of a file. Most files have the same type as the previous file; they share one
 * copy of the text. */
static int keep_type(struct bcda__manifest_parser *p, const char *text, size_t len)
{
    const char *last = p->item_count ? p->items[p->item_count - 1].entry.type : "";

    if (has_nul(text, len))
        return refuse_item(p, ITEM_TYPE, "holds a NUL");
    if (strlen(last) == len && memcmp(last, text, len) == 0)
        p->item.entry.type = last;
    else
        p->item.entry.type = arena_put(&p->texts, text, len);
    return p->item.entry.type ? 0 : BCDA_ERR_NOMEM;
}

/* Stores the file name. A name that is empty, "." or ".." is refused: the name is the label of the
 * wrapped key, and the application may use it for a local file (bcda-api 6.3, 7.1). */
static int keep_name(struct bcda__manifest_parser *p, const struct bcda__url *url)
{
    const char *name;
    size_t len;

    bcda__url_last_segment(url, &name, &len);
    if (len == 0)
        return refuse_item(p, ITEM_URL, "ends without a file name");
    if (len <= 2 && name[0] == '.' && name[len - 1] == '.')
        return refuse_item(p, ITEM_URL, "ends in dots where a file name belongs");
    p->item.name_len = len;
    if (name[len]) /* a query follows */
        name = arena_put(&p->texts, name, len);
    p->item.entry.name = name;
    return name ? 0 : BCDA_ERR_NOMEM;
}

static int keep_url(struct bcda__manifest_parser *p, const char *text, size_t len)
{
    struct bcda__url url;
    const char *copy;

    if (has_nul(text, len))
        return refuse_item(p, ITEM_URL, "holds a NUL");
    copy = arena_put(&p->texts, text, len);
    if (!copy)
        return BCDA_ERR_NOMEM;
    if (bcda__url_parse(copy, &url))
        return refuse_item(p, ITEM_URL, "is not an absolute http or https URL");
    p->item.entry.url = copy;
    return keep_name(p, &url);
}

static int keep_item_key(struct bcda__manifest_parser *p, const char *text, size_t len)
{
    trim_spaces(&text, &len);
    if (len == 0)
        return 0;
    if (has_nul(text, len))
        return refuse_item(p, ITEM_KEY, "holds a NUL");
    p->item.entry.key = arena_put(&p->texts, text, len);
    return p->item.entry.key ? 0 : BCDA_ERR_NOMEM;
}

static int keep_continuation(struct bcda__manifest_parser *p, const char *text, size_t len)
{
    if (has_nul(text, len))
        return refuse_item(p, ITEM_CONTINUES, "holds a NUL");
    p->item.continues = arena_put(&p->texts, text, len);
    return p->item.continues ? 0 : BCDA_ERR_NOMEM;
}

static int on_item_value(struct bcda__manifest_parser *p, enum manifest_value what,
                         enum bcda__json_event event, const char *text, size_t len)
{
    if (!(members[what].kinds & kind_of(event)))
        return refuse_item(p, what, members[what].problem);
    if (event == BCDA__JSON_NULL)
        return 0;
    switch (what) {
    case ITEM_TYPE:
        return keep_type(p, text, len);
    case ITEM_URL:
        return keep_url(p, text, len);
    case ITEM_KEY:
        return keep_item_key(p, text, len);
    case ITEM_COUNT:
        p->item.entry.count = number_or_none(text, len);
        return 0;
    case ITEM_CONTINUES:
        return keep_continuation(p, text, len);
    default:
        return 0;
    }
}

static int on_item_end(struct bcda__manifest_parser *p)
{
    struct item *grown;

    if (!p->item.entry.url)
        return refuse_item(p, ITEM_URL, "is missing");
    p->index++;
    if (p->list == DELETED) {
        p->deleted_count++;
        if (!p->keep_deleted)
            return 0;
    }
    grown = array_room(p->items, p->item_count, &p->item_cap, sizeof *grown);
    if (!grown)
        return BCDA_ERR_NOMEM;
    p->items = grown;
    p->items[p->item_count++] = p->item;
    return 0;
}

/* ---- an item's extensions (AB2D, DPC) ---- */

static void on_extension(struct bcda__manifest_parser *p)
{
    p->extension = EXTENSION_OTHER;
    p->extension_value[0] = '\0';
}

static void on_extension_url(struct bcda__manifest_parser *p, const char *text, size_t len)
{
    size_t i;

    for (i = 0; i < sizeof extension_urls / sizeof extension_urls[0]; i++)
        if (bcda__document_is(text, len, extension_urls[i].url))
            p->extension = extension_urls[i].what;
}

static void on_extension_value(struct bcda__manifest_parser *p, enum manifest_value what,
                               enum bcda__json_event event, const char *text, size_t len)
{
    if (!(kind_of(event) & (KIND_STRING | KIND_NUMBER)) || has_nul(text, len))
        return;
    if (what == EXTENSION_URL)
        on_extension_url(p, text, len);
    else if (len < sizeof p->extension_value)
        bcda__document_copy(p->extension_value, sizeof p->extension_value, text, len);
}

/* Stores a checksum, which is written as "sha256:" and 64 hexadecimal digits. Checksums of other
 * types are ignored. A malformed SHA-256 is refused, because otherwise the file would be accepted
 * without the check. */
static int keep_checksum(struct bcda__manifest_parser *p)
{
    static const char prefix[] = "sha256:";
    const char *hex = p->extension_value + strlen(prefix);
    uint8_t sum[SHA256_LEN];
    size_t len;

    if (!bcda__text_starts_nocase(p->extension_value, prefix))
        return 0;
    if (bcda__text_hex_decode(hex, strlen(hex), sum, sizeof sum, &len) || len != sizeof sum)
        return refuse_item(p, ITEM_EXTENSION, "holds a checksum that is no SHA-256");
    if (p->item.entry.checksum)
        return refuse_item(p, ITEM_EXTENSION, "holds two checksums");
    p->item.entry.checksum = (const uint8_t *)arena_put(&p->texts, (const char *)sum, sizeof sum);
    return p->item.entry.checksum ? 0 : BCDA_ERR_NOMEM;
}

static int on_extension_end(struct bcda__manifest_parser *p)
{
    if (p->extension == EXTENSION_CHECKSUM)
        return keep_checksum(p);
    if (p->extension == EXTENSION_LENGTH)
        p->item.entry.length = number_or_none(p->extension_value, strlen(p->extension_value));
    return 0;
}

/* ---- link ---- */

/* Refuses a manifest with several pages, because otherwise the files of the other pages would be
 * missing without an error. */
static int on_link_relation(struct bcda__manifest_parser *p, enum bcda__json_event event,
                            const char *text, size_t len)
{
    if (event != BCDA__JSON_STRING || !bcda__text_equal_nocase(text, len, "next"))
        return 0;
    return refuse_top(p, LINK_LIST,
                      "names a next page, and further pages are not followed: export without the "
                      "parameter allowPartialManifests");
}

/* ---- KeyMap and keys ---- */

static int add_file_key(struct bcda__manifest_parser *p, const char *name, const char *value,
                        size_t len)
{
    struct file_key *grown;

    trim_spaces(&value, &len);
    if (has_nul(value, len))
        return refuse_top(p, (enum manifest_value)p->list, "holds a NUL");
    /* Twice as many keys as entries are allowed, because KeyMap may also name files that are not
     * listed (bcda-api 5.2). */
    if (p->key_count / 2 >= p->max_entries)
        return refuse_size(p, "file keys", p->key_count);
    grown = array_room(p->keys, p->key_count, &p->key_cap, sizeof *grown);
    if (!grown)
        return BCDA_ERR_NOMEM;
    p->keys = grown;
    value = arena_put(&p->key_texts, value, len);
    if (!value)
        return BCDA_ERR_NOMEM;
    p->keys[p->key_count++] = (struct file_key){.name = name, .value = value, .from = p->list};
    return 0;
}

static int keep_key_name(struct bcda__manifest_parser *p, const char *text, size_t len)
{
    trim_spaces(&text, &len);
    if (has_nul(text, len))
        return refuse_top(p, (enum manifest_value)p->list, "holds a NUL");
    p->key_name = arena_put(&p->key_texts, text, len);
    return p->key_name ? 0 : BCDA_ERR_NOMEM;
}

static int on_key_map_value(struct bcda__manifest_parser *p, enum bcda__json_event event,
                            const char *text, size_t len)
{
    if (event == BCDA__JSON_NULL)
        return 0;
    if (event != BCDA__JSON_STRING)
        return refuse_top(p, KEYMAP, "holds a value that is not a string");
    return add_file_key(p, p->key_name, text, len);
}

/* Reads an element of `keys`, "<hex>|<file>". The server sent `keys` only in late 2018 (bcda-api
 * 5.2). */
static int on_key_array_value(struct bcda__manifest_parser *p, enum bcda__json_event event,
                              const char *text, size_t len)
{
    const char *bar = event == BCDA__JSON_STRING ? memchr(text, '|', len) : NULL;
    int rc;

    if (!bar)
        return refuse_element(p, KEYS, "is not a key and a file name with | between");
    rc = keep_key_name(p, bar + 1, (size_t)(text + len - bar) - 1);
    if (!rc)
        rc = add_file_key(p, p->key_name, text, (size_t)(bar - text));
    p->index++;
    return rc;
}

/* ---- events ---- */

static int on_key_of(struct bcda__manifest_parser *p, enum manifest_value what, const char *text,
                     size_t len)
{
    if (what < MEMBERS)
        return on_member_key(p, what);
    return what == KEYMAP_KEY ? keep_key_name(p, text, len) : 0;
}

static int on_end_of(struct bcda__manifest_parser *p, enum manifest_value what)
{
    if (what == ITEM)
        return on_item_end(p);
    return what == EXTENSION ? on_extension_end(p) : 0;
}

static int on_element(struct bcda__manifest_parser *p, enum manifest_value what,
                      enum bcda__json_event event, const char *text, size_t len)
{
    int is_object = event == BCDA__JSON_OBJECT;

    switch (what) {
    case TOP:
        return is_object ? 0
                         : bcda__err_set(&p->failure, BCDA_ERR_MANIFEST,
                                         "the answer is JSON, but no object and so no manifest");
    case ITEM:
        return on_item(p, event);
    case EXTENSION:
        on_extension(p);
        return 0;
    case KEYMAP_KEY:
        return on_key_map_value(p, event, text, len);
    case KEYS_KEY:
        return on_key_array_value(p, event, text, len);
    case LINK:
        return is_object ? 0 : refuse_top(p, LINK_LIST, "has an element that is not an object");
    case LINK_RELATION:
        return on_link_relation(p, event, text, len);
    default:
        on_extension_value(p, what, event, text, len);
        return 0;
    }
}

static int manifest_on_value(void *ctx, int value, enum bcda__json_event event, const char *text,
                             size_t len)
{
    struct bcda__manifest_parser *p = ctx;
    enum manifest_value what = (enum manifest_value)value;

    if (event == BCDA__JSON_KEY)
        return on_key_of(p, what, text, len);
    if (event == BCDA__JSON_OBJECT_END)
        return on_end_of(p, what);
    if (event == BCDA__JSON_ARRAY_END)
        return 0;
    if (what < TOP_MEMBERS)
        return on_top_value(p, what, event, text, len);
    if (what < MEMBERS)
        return on_item_value(p, what, event, text, len);
    return on_element(p, what, event, text, len);
}

/* ---- the body ---- */

int bcda__manifest_parser_new(struct bcda__manifest_parser **out, size_t max_entries,
                              int keep_deleted)
{
    struct bcda__manifest_parser *p = bcda__calloc(1, sizeof *p);
    int rc;

    if (!p)
        return BCDA_ERR_NOMEM;
    p->max_entries = max_entries;
    p->keep_deleted = keep_deleted;
    p->transaction_time = p->request = p->organized_by = "";
    p->job_id = -1;
    p->requires_access_token = 1;
    bcda__document_init(&p->document, manifest_paths,
                        sizeof manifest_paths / sizeof manifest_paths[0], manifest_on_value, p);
    rc = bcda__json_new(&p->json, DEPTH_MAX, bcda__document_event, &p->document);
    if (rc) {
        bcda__free(p);
        return rc;
    }
    *out = p;
    return 0;
}

void bcda__manifest_parser_free(struct bcda__manifest_parser *p)
{
    if (!p)
        return;
    bcda__json_free(p->json);
    manifest_arena_free(p->texts);
    manifest_arena_free(p->key_texts);
    bcda__free(p->items);
    bcda__free(p->keys);
    bcda__free(p);
}

static int not_json(const struct bcda__manifest_parser *p, struct bcda_error *err)
{
    if (p->first_byte == 0)
        return bcda__err_set(err, BCDA_ERR_NOT_JSON,
                             "the answer is empty where a manifest belongs");
    if (p->first_byte == '<')
        return bcda__err_set(err, BCDA_ERR_NOT_JSON,
                             "the answer is HTML where a manifest belongs: something between here "
                             "and the server may have sent it");
    if (bcda__json_has_ended(p->json))
        return bcda__err_set(err, BCDA_ERR_NOT_JSON,
                             "there is more text behind the end of the manifest: which files are "
                             "meant cannot be known");
    return bcda__err_set(err, BCDA_ERR_NOT_JSON,
                         "the manifest is not JSON, is nested too deep, or ends before its end");
}

/* Stores the code for later calls, fills `err`, and returns the code. */
static int fail_manifest(struct bcda__manifest_parser *p, int code, struct bcda_error *err)
{
    p->code = code;
    if (code == BCDA_ERR_NOMEM)
        return bcda__err_nomem(err);
    if (code == BCDA_ERR_NOT_JSON)
        return not_json(p, err);
    if (code != p->failure.code)
        return bcda__err_set(err, code, "the manifest cannot be used: %s", bcda_error_string(code));
    if (err)
        bcda__err_copy(err, &p->failure);
    return code;
}

static void note_first_byte(struct bcda__manifest_parser *p, const char *data, size_t len)
{
    size_t i;

    for (i = 0; i < len && !p->first_byte; i++)
        if (!strchr(" \t\r\n", data[i]) || !data[i])
            p->first_byte = data[i] ? (unsigned char)data[i] : -1;
}

int bcda__manifest_parser_write(struct bcda__manifest_parser *p, const void *data, size_t len,
                                struct bcda_error *err)
{
    int rc = p->code;

    if (!rc) {
        note_first_byte(p, data, len);
        rc = bcda__json_write(p->json, data, len);
    }
    return rc ? fail_manifest(p, rc, err) : 0;
}

/* ---- finishing the manifest: keys ---- */

static int compare_keys(const void *a, const void *b)
{
    const struct file_key *x = a;
    const struct file_key *y = b;
    int order = strcmp(x->name, y->name);

    return order ? order : x->from - y->from;
}

/* Sorts the keys by name and keeps one key for each name. `KeyMap` has precedence over `keys`. */
static int sort_keys(struct bcda__manifest_parser *p)
{
    size_t kept = 0;
    size_t i;

    if (p->key_count)
        qsort(p->keys, p->key_count, sizeof *p->keys, compare_keys);
    for (i = 0; i < p->key_count; i++) {
        const struct file_key *last = kept ? &p->keys[kept - 1] : NULL;

        if (!last || strcmp(last->name, p->keys[i].name) != 0)
            p->keys[kept++] = p->keys[i];
        else if (last->from == p->keys[i].from && strcmp(last->value, p->keys[i].value) != 0)
            return refuse_top(p, (enum manifest_value)last->from, "has two keys for one file");
    }
    p->key_count = kept;
    return 0;
}

static int compare_name(const void *name, const void *key)
{
    return strcmp(name, ((const struct file_key *)key)->name);
}

/* 1 if the value means that the file is not encrypted: it is empty, or the text NO_ENCRYPTION in
 * hexadecimal (bcda-api 7.5). */
static int is_no_key(const char *value)
{
    return !value[0] || bcda__text_equal_nocase(value, strlen(value), "4e4f5f454e4352595054494f4e");
}

static void find_key(struct bcda__manifest_parser *p, struct bcda__entry *e)
{
    const struct file_key *found;

    if (!e->key && p->key_count) {
        found = bsearch(e->name, p->keys, p->key_count, sizeof *p->keys, compare_name);
        if (found)
            e->key = found->value;
        if (found && !is_no_key(found->value))
            p->keys_used = 1;
    }
    if (e->key && is_no_key(e->key))
        e->key = NULL;
}

/* ---- finishing the manifest: duplicates and continuations ---- */

/* Orders items by URL. Items with the same URL are ordered as in the document, but those of the
 * later kind come first. */
static int compare_items(const void *a, const void *b)
{
    const struct item *x = *(const struct item *const *)a;
    const struct item *y = *(const struct item *const *)b;
    int order = strcmp(x->entry.url, y->entry.url);

    if (order)
        return order;
    if (x->kind != y->kind)
        return (int)y->kind - (int)x->kind;
    return x < y ? -1 : x > y;
}

/* Keeps one item of each URL, so that a URL that is listed twice is downloaded once. Of items of
 * different kinds, that of the last kind is kept (bcda-api 5.2). */
static void drop_duplicates(struct bcda__manifest_parser *p, struct item **sorted)
{
    struct item *first = NULL;
    size_t i;

    for (i = 0; i < p->item_count; i++) {
        if (!first || strcmp(first->entry.url, sorted[i]->entry.url) != 0) {
            first = sorted[i];
            continue;
        }
        sorted[i]->dropped = 1;
        if (!first->entry.key)
            first->entry.key = sorted[i]->entry.key;
    }
}

static int compare_url(const void *url, const void *item)
{
    return strcmp(url, (*(const struct item *const *)item)->entry.url);
}

/* Checks that every file in which another file continues is listed. Otherwise data would be
 * missing. */
static int check_continuations(struct bcda__manifest_parser *p, struct item **sorted)
{
    size_t i;

    for (i = 0; i < p->item_count; i++) {
        const struct item *item = &p->items[i];

        if (!item->continues ||
            bsearch(item->continues, sorted, p->item_count, sizeof *sorted, compare_url))
            continue;
        p->list = item->list;
        p->index = item->index;
        return refuse_item(p, ITEM_CONTINUES, "names a file that is not listed");
    }
    return 0;
}

/* Removes duplicates and checks continuations. Both need the items sorted by URL. */
static int sort_items(struct bcda__manifest_parser *p)
{
    struct item **sorted;
    size_t i;
    int rc;

    if (p->item_count == 0)
        return 0;
    sorted = bcda__calloc(p->item_count, sizeof *sorted);
    if (!sorted)
        return BCDA_ERR_NOMEM;
    for (i = 0; i < p->item_count; i++)
        sorted[i] = &p->items[i];
    qsort(sorted, p->item_count, sizeof *sorted, compare_items);
    drop_duplicates(p, sorted);
    rc = check_continuations(p, sorted);
    bcda__free(sorted);
    return rc;
}

/* ---- finishing the manifest: the result ---- */

static void take_items(struct bcda__manifest_parser *p, struct bcda__manifest *m,
                       enum bcda__file_kind kind)
{
    size_t i;

    for (i = 0; i < p->item_count; i++) {
        struct item *item = &p->items[i];
        struct bcda__entry *e = &m->entries[m->count];

        /* blank.ndjson is a file for the server's internal use (bcda-api 6.3). */
        if (item->dropped || item->kind != kind || strcmp(item->entry.name, "blank.ndjson") == 0)
            continue;
        *e = item->entry;
        e->kind = kind;
        if (kind == BCDA__FILE_DATA && ends_with(e->name, item->name_len, "-error.ndjson"))
            e->kind = BCDA__FILE_ERRORS;
        find_key(p, e);
        m->count++;
        m->kind_count[e->kind]++;
    }
}

static int build_manifest(struct bcda__manifest_parser *p, struct bcda__manifest **out)
{
    struct bcda__manifest *m = bcda__calloc(1, sizeof *m);

    if (!m)
        return BCDA_ERR_NOMEM;
    m->entries = bcda__calloc(p->item_count, sizeof *m->entries);
    if (!m->entries) {
        bcda__free(m);
        return BCDA_ERR_NOMEM;
    }
    atomic_init(&m->refs, 1);
    m->transaction_time = p->transaction_time;
    m->request = p->request;
    m->organized_by = p->organized_by;
    m->job_id = p->job_id;
    m->deleted_count = p->deleted_count;
    m->requires_access_token = p->requires_access_token;
    take_items(p, m, BCDA__FILE_DATA);
    take_items(p, m, BCDA__FILE_DELETED);
    take_items(p, m, BCDA__FILE_ERRORS);
    m->arena = p->texts;
    p->texts = NULL;
    if (p->keys_used) {
        arena_join(&m->arena, p->key_texts);
        p->key_texts = NULL;
    }
    *out = m;
    return 0;
}

/* Refuses JSON that is not a manifest, such as a Bundle, an OperationOutcome or the answer of
 * another service. */
static int check_members(struct bcda__manifest_parser *p)
{
    static const unsigned any = 1u << OUTPUT | 1u << ERRORS | 1u << TRANSACTION_TIME;

    if (p->top_seen & any)
        return 0;
    return bcda__err_set(&p->failure, BCDA_ERR_MANIFEST,
                         "the answer is JSON, but no manifest: it has neither output nor error nor "
                         "transactionTime");
}

int bcda__manifest_parser_finish(struct bcda__manifest_parser *p, struct bcda__manifest **out,
                                 struct bcda_error *err)
{
    int rc = p->code;

    if (!rc)
        rc = bcda__json_finish(p->json);
    if (!rc)
        rc = check_members(p);
    if (!rc)
        rc = sort_keys(p);
    if (!rc)
        rc = sort_items(p);
    if (!rc)
        rc = build_manifest(p, out);
    if (rc)
        return fail_manifest(p, rc, err);
    p->code = BCDA_ERR_STATE; /* later calls fail, because the manifest now owns the texts */
    return 0;
}

/* ---- references to the manifest ---- */

struct bcda__manifest *bcda__manifest_ref(struct bcda__manifest *m)
{
    if (m)
        atomic_fetch_add(&m->refs, 1);
    return m;
}

void bcda__manifest_unref(struct bcda__manifest *m)
{
    if (!m || atomic_fetch_sub(&m->refs, 1) != 1)
        return;
    manifest_arena_free(m->arena);
    bcda__free(m->entries);
    bcda__free(m);
}
