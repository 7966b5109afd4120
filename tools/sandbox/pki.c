/* The client's RSA key pair, and a throw-away CA with a server certificate. */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int file_write(const char *path, const char *text, unsigned mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, (mode_t)mode);
    size_t n = strlen(text);
    int ok;

    if (fd < 0)
        return -1;
    ok = fchmod(fd, (mode_t)mode) == 0 && write(fd, text, n) == (ssize_t)n;
    return close(fd) == 0 && ok ? 0 : -1;
}

int file_read(const char *path, struct buf *out)
{
    FILE *f = fopen(path, "r");
    char block[4096];
    size_t n;
    int result;

    if (!f)
        return -1;
    buf_str(out, "");
    while ((n = fread(block, 1, sizeof block, f)) > 0)
        buf_add(out, block, n);
    result = ferror(f) ? -1 : 0;
    fclose(f);
    return result;
}

/* Making an RSA key is by far the slowest part of sandbox_start(), so all sandboxes of a process
 * share three key pairs. */
static pthread_mutex_t pair_lock = PTHREAD_MUTEX_INITIALIZER;
static EVP_PKEY *pairs[3];

static EVP_PKEY *shared_pair(int which)
{
    EVP_PKEY *key;

    pthread_mutex_lock(&pair_lock);
    if (!pairs[which])
        pairs[which] = EVP_RSA_gen(2048);
    key = pairs[which];
    if (key)
        EVP_PKEY_up_ref(key);
    pthread_mutex_unlock(&pair_lock);
    return key;
}

EVP_PKEY *pki_client_key(void)
{
    return shared_pair(0);
}

EVP_PKEY *pki_other_key(void)
{
    return shared_pair(1);
}

EVP_PKEY *pki_signing_key(void)
{
    return shared_pair(2);
}

EVP_PKEY *pki_load_public(const char *file)
{
    FILE *f = fopen(file, "r");
    EVP_PKEY *key = NULL;

    if (!f)
        return NULL;
    key = PEM_read_PUBKEY(f, NULL, NULL, NULL);
    fclose(f);
    if (key && EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    return key;
}

EVP_PKEY *pki_read_private(const char *text)
{
    BIO *bio = BIO_new_mem_buf(text, -1);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;

    BIO_free(bio);
    return key;
}

X509 *pki_read_certificate(const char *text)
{
    BIO *bio = text ? BIO_new_mem_buf(text, -1) : NULL;
    X509 *cert = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;

    BIO_free(bio);
    return cert;
}

static char *bio_text(BIO *bio)
{
    char *p;
    long n = BIO_get_mem_data(bio, &p);

    return xstrndup(p, (size_t)n);
}

int pki_write_private(EVP_PKEY *key, const char *file)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;
    int result = -1;

    if (bio && PEM_write_bio_PrivateKey_traditional(bio, key, NULL, NULL, 0, NULL, NULL) == 1) {
        text = bio_text(bio);
        result = file_write(file, text, 0600);
    }
    free(text);
    BIO_free(bio);
    return result;
}

static int add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509_EXTENSION *ext;
    int ok;

    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    ok = ext && X509_add_ext(cert, ext, -1) == 1;
    X509_EXTENSION_free(ext);
    return ok ? 0 : -1;
}

static int set_name(X509_NAME *name, const char *common)
{
    return X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)common, -1,
                                      -1, 0) == 1
               ? 0
               : -1;
}

static X509 *new_cert(EVP_PKEY *key, const char *common)
{
    X509 *cert = X509_new();
    uint64_t serial;

    crypt_random(&serial, sizeof serial);
    if (cert && X509_set_version(cert, 2) == 1 &&
        ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert), serial >> 1) == 1 &&
        X509_gmtime_adj(X509_getm_notBefore(cert), -86400) &&
        X509_gmtime_adj(X509_getm_notAfter(cert), 86400L * 365) &&
        X509_set_pubkey(cert, key) == 1 && set_name(X509_get_subject_name(cert), common) == 0)
        return cert;
    X509_free(cert);
    return NULL;
}

static X509 *make_ca(EVP_PKEY *key)
{
    X509 *ca = new_cert(key, "BCDA sandbox throw-away CA");

    if (ca && X509_set_issuer_name(ca, X509_get_subject_name(ca)) == 1 &&
        add_extension(ca, ca, NID_basic_constraints, "critical,CA:TRUE") == 0 &&
        add_extension(ca, ca, NID_key_usage, "critical,keyCertSign,cRLSign") == 0 &&
        add_extension(ca, ca, NID_subject_key_identifier, "hash") == 0 &&
        X509_sign(ca, key, EVP_sha256()) > 0)
        return ca;
    X509_free(ca);
    return NULL;
}

static X509 *make_server(EVP_PKEY *key, X509 *ca, EVP_PKEY *ca_key)
{
    X509 *cert = new_cert(key, "localhost");

    if (cert && X509_set_issuer_name(cert, X509_get_subject_name(ca)) == 1 &&
        add_extension(cert, ca, NID_basic_constraints, "critical,CA:FALSE") == 0 &&
        add_extension(cert, ca, NID_key_usage, "critical,digitalSignature") == 0 &&
        add_extension(cert, ca, NID_ext_key_usage, "serverAuth") == 0 &&
        add_extension(cert, ca, NID_authority_key_identifier, "keyid") == 0 &&
        add_extension(cert, ca, NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1,IP:::1") == 0 &&
        X509_sign(cert, ca_key, EVP_sha256()) > 0)
        return cert;
    X509_free(cert);
    return NULL;
}

static char *pem_cert(X509 *cert)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;

    if (bio && PEM_write_bio_X509(bio, cert) == 1)
        text = bio_text(bio);
    BIO_free(bio);
    return text;
}

char *pki_private_pem(EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;

    if (bio && PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1)
        text = bio_text(bio);
    BIO_free(bio);
    return text;
}

int pki_make_tls(char **ca_pem, char **cert_pem, char **key_pem)
{
    EVP_PKEY *ca_key = EVP_EC_gen("P-256");
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *ca = ca_key ? make_ca(ca_key) : NULL;
    X509 *cert = ca && key ? make_server(key, ca, ca_key) : NULL;

    if (cert) {
        *ca_pem = pem_cert(ca);
        *cert_pem = pem_cert(cert);
        *key_pem = pki_private_pem(key);
    }
    X509_free(cert);
    X509_free(ca);
    EVP_PKEY_free(key);
    EVP_PKEY_free(ca_key);
    return cert && *ca_pem && *cert_pem && *key_pem ? 0 : -1;
}
