/* Searches all text that the client reported or logged for secrets and patient data. */
#include "bench.h"

#include <ctype.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

/* Identifiers with fewer characters are not searched for: they occur in logs by chance. */
enum { SHORTEST = 8 };

/* ---- collecting what the client reported ---- */

void shown_add(struct shown *s, const char *what, const char *text)
{
    size_t more = strlen(what) + strlen(text) + 4;

    s->text = realloc(s->text, s->len + more);
    ck_assert_ptr_nonnull(s->text);
    s->len += (size_t)snprintf(s->text + s->len, more, "%s: %s\n", what, text);
}

void shown_log(int level, const char *component, const char *message, void *userdata)
{
    ck_assert_int_ge(level, BCDA_LOG_ERROR);
    ck_assert_int_le(level, BCDA_LOG_DEBUG);
    shown_add(userdata, component, message);
}

static void add_error(struct shown *s, const bcda_error *e)
{
    if (!e)
        return;
    shown_add(s, "error", bcda_error_text(e));
    shown_add(s, "server", bcda_error_server_text(e));
    shown_add(s, "file", bcda_error_file(e));
}

void shown_errors(struct shown *s, const struct run *r)
{
    size_t i;

    add_error(s, bcda_job_error(r->job));
    for (i = 0; i < bcda_job_file_count(r->job); i++)
        add_error(s, bcda_file_error(bcda_job_file(r->job, i)));
    add_error(s, bcda_session_error(r->fixture->session));
}

void shown_free(struct shown *s)
{
    free(s->text);
    memset(s, 0, sizeof *s);
}

/* ---- search ---- */

struct search {
    const struct shown *shown;
    FILE *list;
    const char *found;
};

static void look(struct search *s, const char *what, const void *bytes, size_t len)
{
    if (len && s->shown->len && memmem(s->shown->text, s->shown->len, bytes, len))
        s->found = what;
}

static void look_text(struct search *s, const char *what, const char *text, size_t len)
{
    if (s->list)
        fprintf(s->list, "%.*s\n", (int)len, text);
    look(s, what, text, len);
}

static void look_base64(struct search *s, const char *what, const void *bytes, size_t len)
{
    char *text = malloc(len / 3 * 4 + 8);
    int n;

    ck_assert_ptr_nonnull(text);
    n = EVP_EncodeBlock((unsigned char *)text, bytes, (int)len);
    look_text(s, what, text, (size_t)n);
    free(text);
}

static void look_hex(struct search *s, const char *what, const uint8_t *bytes, size_t len)
{
    char text[129];
    int upper;
    size_t i;

    ck_assert_uint_le(len, 64);
    for (upper = 0; upper < 2; upper++) {
        for (i = 0; i < len; i++)
            snprintf(text + 2 * i, 3, upper ? "%02X" : "%02x", bytes[i]);
        look_text(s, what, text, 2 * len);
    }
}

static void look_credentials(struct search *s, struct sandbox *sb)
{
    const char *id = sandbox_client_id(sb), *secret = sandbox_client_secret(sb), *token;
    char both[256];
    unsigned i;

    snprintf(both, sizeof both, "%s:%s", id, secret);
    look_text(s, "the client secret", secret, strlen(secret));
    look_base64(s, "the Basic authorization", both, strlen(both));
    for (i = 0; (token = sandbox_token(sb, i)); i++)
        look_text(s, "a token", token, strlen(token));
}

static void look_file_key(struct search *s, struct sandbox *sb, const char *type, unsigned index)
{
    uint8_t key[32];

    if (sandbox_file_key(sb, type, index, key))
        return;
    look(s, "a file's key", key, sizeof key);
    look_hex(s, "a file's key", key, sizeof key);
    look_base64(s, "a file's key", key, sizeof key);
}

/* Searches for every base64 line of a private key. `path` may be NULL. */
static void look_private_key(struct search *s, const char *path)
{
    size_t len, n;
    char *pem, *line;

    if (!path)
        return;
    pem = fixture_read(path, &len);
    for (line = pem; *line; line += n + (line[n] == '\n')) {
        n = strcspn(line, "\n");
        if (line[0] != '-' && n >= SHORTEST)
            look_text(s, "the private key", line, n);
    }
    free(pem);
}

/* Returns whether the text begins with a Medicare Beneficiary Identifier, such as 1S00E00AA00. */
static int is_mbi(const char *p)
{
    static const char shape[] = "9A*9A*9AA99";
    int i;

    for (i = 0; shape[i]; i++) {
        int fits = shape[i] == '9'   ? isdigit((unsigned char)p[i])
                   : shape[i] == 'A' ? isupper((unsigned char)p[i])
                                     : isupper((unsigned char)p[i]) || isdigit((unsigned char)p[i]);
        if (!fits)
            return 0;
    }
    return 1;
}

/* Short words, and words without a digit, are no identifiers. */
static int is_identifier(const char *text, size_t len)
{
    size_t i;

    for (i = 0; i < len && !isdigit((unsigned char)text[i]); i++)
        ;
    return len >= SHORTEST && i < len;
}

static size_t length_of(const char *text, const char *end)
{
    size_t n = 0;

    while (text + n < end && !memchr("\"\\|,", text[n], 4))
        n++;
    return n;
}

/* Searches for each identifier that follows `mark` in the text. Uses memmem(), because with a
 * sanitizer each strstr() computes the length of the whole text. */
static void look_after(struct search *s, const char *text, size_t len, const char *mark)
{
    const char *end = text + len, *last = "";
    size_t last_len = 0, n;

    while ((text = memmem(text, (size_t)(end - text), mark, strlen(mark)))) {
        text += strlen(mark);
        n = length_of(text, end);
        if (is_identifier(text, n) && (n != last_len || memcmp(text, last, n) != 0))
            look_text(s, "a person or a claim", text, n);
        last = text;
        last_len = n;
    }
}

/* Searches for the people, claims and identifiers of a file. */
static void look_people(struct search *s, const char *path)
{
    static const char *const marks[] = {"\"Patient/", "\"id\":\"", "\"value\":\"", "beneficiary "};
    size_t len, i;
    char *text;

    if (!path)
        return;
    text = fixture_read(path, &len);
    for (i = 0; i < sizeof marks / sizeof *marks; i++)
        look_after(s, text, len, marks[i]);
    for (i = 0; i + 11 <= len; i++)
        if (is_mbi(text + i))
            look_text(s, "a Medicare number", text + i, 11);
    free(text);
}

const char *secrets_find(struct sandbox *sb, const struct shown *shown, FILE *list)
{
    static const char *const types[] = {"Patient", "Coverage", "ExplanationOfBenefit",
                                        "OperationOutcome"};
    struct search s = {shown, list, NULL};
    unsigned i, k;

    look_credentials(&s, sb);
    look(&s, "a token or an assertion", "eyJhbGciOi", 10); /* {"alg": in base64url */
    look_private_key(&s, sandbox_private_key_file(sb));
    look_private_key(&s, sandbox_signing_key_file(sb, "ES384"));
    for (i = 0; i < sizeof types / sizeof *types; i++)
        for (k = 0; sandbox_file_name(sb, types[i], k); k++) {
            look_file_key(&s, sb, types[i], k);
            look_people(&s, sandbox_plain_file(sb, types[i], k));
        }
    return s.found;
}
