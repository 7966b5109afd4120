#include "certs.h"

#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../tempdir.h"
#include "suite.h"

/* ---- temporary files ---- */

enum { FILES = 16 };
static char files[FILES][256];
static unsigned file_count;

static void remove_files(void)
{
    while (file_count)
        unlink(files[--file_count]);
}

const char *certs_file(const char *text)
{
    size_t len = strlen(text);
    char *path = files[file_count];
    int fd;

    ck_assert_uint_lt(file_count, FILES);
    snprintf(path, sizeof files[0], "%s/bcda-certs-XXXXXX", tempdir());
    fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    if (file_count++ == 0)
        atexit(remove_files);
    ck_assert_int_eq(write(fd, text, len), (ssize_t)len);
    close(fd);
    return path;
}

/* ---- certificates ---- */

static void extend(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509_EXTENSION *x;

    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    x = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    ck_assert_msg(x && X509_add_ext(cert, x, -1) == 1, "%s", value);
    X509_EXTENSION_free(x);
}

/* Returns an unsigned certificate that is valid from two days ago until `until` seconds from now.
 */
static X509 *new_cert(EVP_PKEY *key, const char *name, long until)
{
    X509 *x = X509_new();
    uint64_t serial = 0;

    ck_assert_int_eq(RAND_bytes((unsigned char *)&serial, sizeof serial), 1);
    ck_assert_int_eq(X509_set_version(x, 2), 1);
    ck_assert_int_eq(ASN1_INTEGER_set_uint64(X509_get_serialNumber(x), serial >> 1), 1);
    ck_assert_ptr_nonnull(X509_gmtime_adj(X509_getm_notBefore(x), -2 * 86400L));
    ck_assert_ptr_nonnull(X509_gmtime_adj(X509_getm_notAfter(x), until));
    ck_assert_int_eq(X509_set_pubkey(x, key), 1);
    ck_assert_int_eq(X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                                                (const unsigned char *)name, -1, -1, 0),
                     1);
    return x;
}

static char *text_of(BIO *bio)
{
    char *p, *copy;
    long n = BIO_get_mem_data(bio, &p);

    copy = malloc((size_t)n + 1); /* not strndup(), which may look for a NUL: the data has none */
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, p, (size_t)n);
    copy[n] = '\0';
    BIO_free(bio);
    return copy;
}

static char *cert_text(X509 *x)
{
    BIO *bio = BIO_new(BIO_s_mem());

    ck_assert_int_eq(PEM_write_bio_X509(bio, x), 1);
    return text_of(bio);
}

static char *key_text(EVP_PKEY *key, const char *passphrase)
{
    BIO *bio = BIO_new(BIO_s_mem());
    int len = passphrase ? (int)strlen(passphrase) : 0;

    ck_assert_int_eq(PEM_write_bio_PKCS8PrivateKey(bio, key, passphrase ? EVP_aes_256_cbc() : NULL,
                                                   passphrase, len, NULL, NULL),
                     1);
    return text_of(bio);
}

void authority_make(struct authority *a)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = new_cert(key, "a test's authority", 86400L);

    ck_assert_int_eq(X509_set_issuer_name(x, X509_get_subject_name(x)), 1);
    extend(x, x, NID_basic_constraints, "critical,CA:TRUE");
    extend(x, x, NID_key_usage, "critical,keyCertSign,cRLSign");
    extend(x, x, NID_subject_key_identifier, "hash");
    ck_assert_int_gt(X509_sign(x, key, EVP_sha256()), 0);
    a->key = key;
    a->cert = x;
    a->pem = cert_text(x);
}

void authority_free(struct authority *a)
{
    free(a->pem);
    X509_free(a->cert);
    EVP_PKEY_free(a->key);
    memset(a, 0, sizeof *a);
}

void certificate_make(struct certificate *c, const struct authority *by,
                      const struct certificate_options *o)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = new_cert(key, "a test's certificate", o->has_ended ? -86400L : 86400L);

    ck_assert_int_eq(X509_set_issuer_name(x, X509_get_subject_name(by->cert)), 1);
    extend(x, by->cert, NID_basic_constraints, "critical,CA:FALSE");
    extend(x, by->cert, NID_key_usage, "critical,digitalSignature");
    extend(x, by->cert, NID_ext_key_usage, o->names ? "serverAuth" : "clientAuth");
    extend(x, by->cert, NID_authority_key_identifier, "keyid");
    if (o->names)
        extend(x, by->cert, NID_subject_alt_name, o->names);
    ck_assert_int_gt(X509_sign(x, by->key, EVP_sha256()), 0);
    c->cert = cert_text(x);
    c->key = key_text(key, o->passphrase);
    X509_free(x);
    EVP_PKEY_free(key);
}

void certificate_free(struct certificate *c)
{
    free(c->cert);
    free(c->key);
    memset(c, 0, sizeof *c);
}
