/* Authorities and certificates, made when a test needs them. A failure fails the test. */
#ifndef BCDA_TESTS_CERTS_H
#define BCDA_TESTS_CERTS_H

struct authority {
    char *pem;
    void *key, *cert; /* OpenSSL's */
};
void authority_make(struct authority *a);
void authority_free(struct authority *a);

struct certificate {
    char *cert, *key; /* PEM */
};
struct certificate_options {
    const char *names; /* as "IP:::1,DNS:localhost"; NULL: one for a client */
    int has_ended;
    const char *passphrase; /* of the key (PKCS#8, AES-256); NULL = plain */
};
void certificate_make(struct certificate *c, const struct authority *by,
                      const struct certificate_options *o);
void certificate_free(struct certificate *c);

/* A file of mode 0600 with this text, removed when the process ends. Its path lives as long. */
const char *certs_file(const char *text);

#endif
