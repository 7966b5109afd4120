#include "codec/pem.h"

#include "bcda/error.h"

/* The text that is being read. */
struct pem_source {
    const char *name;
    const char *wanted;
    struct bcda_error *err;
};

static int fail_pem(const struct pem_source *r, const char *what)
{
    return bcda__err_set(r->err, BCDA_ERR_KEY_FORMAT, "%s: %s", r->name, what);
}

struct pem_lines {
    const char *at, *end;
};

/* Reads the next line, without its line end and surrounding blanks. Returns 0 at the end of the
 * text. */
static int next_pem_line(struct pem_lines *l, struct bcda__bytes *line)
{
    const char *from = l->at;
    const char *to;

    if (from == l->end)
        return 0;
    to = memchr(from, '\n', (size_t)(l->end - from));
    l->at = to ? to + 1 : l->end;
    if (!to)
        to = l->end;
    while (from < to && (*from == ' ' || *from == '\t'))
        from++;
    while (to > from && (to[-1] == ' ' || to[-1] == '\t' || to[-1] == '\r'))
        to--;
    line->at = (const uint8_t *)from;
    line->len = (size_t)(to - from);
    return 1;
}

/* 1 if `line` consists of `word` ("-----BEGIN " or "-----END "), a label, and "-----". */
static int is_boundary(struct bcda__bytes line, const char *word, struct bcda__bytes *label)
{
    if (!bcda__bytes_starts(line, word) || !bcda__bytes_ends(line, "-----") ||
        line.len < strlen(word) + 5)
        return 0;
    *label = bcda__bytes_skip(line, strlen(word));
    label->len -= 5;
    return 1;
}

/* Sets the error for a file without a private key, and describes what the file contains. */
static int explain_no_key(const struct pem_source *r, struct bcda__bytes pem, int public_key,
                          int certificate)
{
    if (public_key || certificate)
        return bcda__err_set(r->err, BCDA_ERR_KEY_FORMAT,
                             "%s holds a %s; a private key is needed: give the file with the line "
                             "%s",
                             r->name, public_key ? "public key" : "certificate", r->wanted);
    if (pem.len == 0)
        return fail_pem(r, "the private key is empty");
    if (pem.at[0] == 0x30)
        return fail_pem(r, "this is no PEM text, but perhaps DER or PKCS#12; convert it with "
                           "`openssl pkey -inform DER` or `openssl pkcs12 -nocerts`");
    if (bcda__bytes_starts(pem, "\xFF\xFE") || bcda__bytes_starts(pem, "\xFE\xFF"))
        return fail_pem(r, "this is UTF-16 text; save the PEM file as ASCII or UTF-8");
    return bcda__err_set(r->err, BCDA_ERR_KEY_FORMAT,
                         "%s: no PEM private key in it: a line %s is needed", r->name, r->wanted);
}

/* Moves to the line after the first line "-----BEGIN … PRIVATE KEY-----". */
static int find_begin(const struct pem_source *r, struct bcda__bytes pem, struct pem_lines *l,
                      struct bcda__bytes *label)
{
    struct bcda__bytes line;
    int public_key = 0;
    int certificate = 0;
    int first = 1;

    while (next_pem_line(l, &line)) {
        if (first && bcda__bytes_starts(line, "\xEF\xBB\xBF"))
            line = bcda__bytes_skip(line, 3); /* a byte order mark */
        first = 0;
        if (!is_boundary(line, "-----BEGIN ", label))
            continue;
        if (bcda__bytes_ends(*label, "PRIVATE KEY"))
            return 0;
        public_key |= bcda__bytes_ends(*label, "PUBLIC KEY");
        certificate |= bcda__bytes_ends(*label, "CERTIFICATE");
    }
    return explain_no_key(r, pem, public_key, certificate);
}

/* Stores the value of a "Name: value" header of the PEM block. Returns 0 if the line is no header,
 * that is, has no colon. base64 text has no colon. */
static int take_header(struct bcda__bytes line, struct bcda__pem *k)
{
    const uint8_t *colon = line.len ? memchr(line.at, ':', line.len) : NULL;
    struct bcda__bytes name, value;

    if (!colon)
        return 0;
    name.at = line.at;
    name.len = (size_t)(colon - line.at);
    value = bcda__bytes_skip(line, name.len + 1);
    while (value.len && (*value.at == ' ' || *value.at == '\t'))
        value = bcda__bytes_skip(value, 1);
    if (bcda__bytes_is(name, "Proc-Type"))
        k->proc_type = value;
    else if (bcda__bytes_is(name, "DEK-Info"))
        k->dek_info = value;
    return 1;
}

static int base64_value(int c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* The state of decoding base64 over several lines. */
struct base64 {
    uint32_t bits;
    unsigned count; /* characters of the current group of four, including padding */
    unsigned padding;
    uint8_t *out;
    size_t len;
};

static int base64_add(struct base64 *b, int c)
{
    int value = c == '=' ? 0 : base64_value(c);

    if (value < 0 || (b->padding && c != '=') || (c == '=' && (b->count < 2 || b->padding == 2)))
        return -1;
    b->padding += c == '=';
    b->bits = b->bits << 6 | (uint32_t)value;
    if (++b->count < 4)
        return 0;
    if (b->bits & ((1u << 8 * b->padding) - 1))
        return -1; /* an encoder sets unused bits to zero, so the text is damaged */
    b->out[b->len++] = (uint8_t)(b->bits >> 16);
    if (b->padding < 2)
        b->out[b->len++] = (uint8_t)(b->bits >> 8);
    if (b->padding < 1)
        b->out[b->len++] = (uint8_t)b->bits;
    b->count = b->padding ? 5 : 0; /* 5 = padding was read; no character may follow */
    b->bits = 0;
    return 0;
}

/* Decodes the lines up to "-----END label-----" into k->der, which bcda__pem_read() has made large
 * enough.
 */
static int read_pem_body(const struct pem_source *r, struct pem_lines *l, struct bcda__pem *k)
{
    struct base64 b = {.out = (uint8_t *)k->der.data};
    struct bcda__bytes line, label;
    int in_headers = 1;
    size_t i;

    while (next_pem_line(l, &line)) {
        if (in_headers && take_header(line, k))
            continue;
        if (is_boundary(line, "-----END ", &label)) {
            if (label.len != k->label.len || memcmp(label.at, k->label.at, label.len) != 0)
                return fail_pem(r, "the END line does not fit the BEGIN line");
            if ((b.count != 0 && b.count != 5) || b.len == 0)
                return fail_pem(r, "the base64 text is incomplete");
            k->der.len = b.len;
            return 0;
        }
        in_headers &= line.len == 0;
        for (i = 0; i < line.len; i++)
            if (b.count == 5 || base64_add(&b, line.at[i]))
                return fail_pem(r, "the base64 text has a character that does not belong there");
    }
    return fail_pem(r, "the END line is missing; the file seems to be cut");
}

int bcda__pem_read(struct bcda__pem *out, const char *name, struct bcda__bytes text,
                   const char *wanted, struct bcda_error *err)
{
    struct pem_source r = {.name = name, .wanted = wanted, .err = err};
    struct pem_lines l = {(const char *)text.at, (const char *)text.at + text.len};
    int rc = find_begin(&r, text, &l, &out->label);

    if (rc)
        return rc;
    if (l.end - l.at > BCDA__PEM_DER_MAX * 2) /* the file may contain more than this key */
        l.end = l.at + BCDA__PEM_DER_MAX * 2;
    rc = bcda__secret_set(&out->der, NULL, (size_t)(l.end - l.at) / 4 * 3 + 3);
    return rc ? bcda__err_nomem(err) : read_pem_body(&r, &l, out);
}
