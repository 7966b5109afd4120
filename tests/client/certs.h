/* Certificate authorities and certificates, created while a test runs. On an error, the test fails.
 */
#ifndef BCDA_TESTS_CERTS_H
#define BCDA_TESTS_CERTS_H

struct authority {
    char *pem;
    void *key, *cert; /* EVP_PKEY and X509 of OpenSSL */
};
void authority_make(struct authority *a);
void authority_free(struct authority *a);

struct certificate {
    char *cert, *key; /* PEM */
};
struct certificate_options {
    /* names of a server, such as "IP:::1,DNS:localhost"; NULL makes a client certificate */
    const char *names;
    int has_ended;          /* the certificate has expired */
    const char *passphrase; /* encrypts the key (PKCS#8, AES-256); NULL leaves it unencrypted */
};
void certificate_make(struct certificate *c, const struct authority *by,
                      const struct certificate_options *o);
void certificate_free(struct certificate *c);

/* Writes the text to a new file of mode 0600 and returns the path. The file is removed when the
 * process ends; the path is valid until then. */
const char *certs_file(const char *text);

#endif
