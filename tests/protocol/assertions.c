/* assertions COUNT: prints public keys, and assertions that were signed with the private keys, for
 * test_assertions.py. The keys are made each time. Lines:
 *
 *     key ALGORITHM KID PUBLIC_KEY    base64 of the SubjectPublicKeyInfo
 *     form BODY                       the body of a token request
 *
 * Assertion number N from 0 was made at the time 1790000000 + N. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/crypto.h"
#include "protocol/assertion.h"
#include "signature.h"

static void die(const char *what)
{
    fprintf(stderr, "%s failed\n", what);
    exit(1);
}

static void print_key(EVP_PKEY *pkey, const struct bcda__signing_key *k)
{
    unsigned char *der = NULL;
    int len = i2d_PUBKEY(pkey, &der);
    char *text;

    if (len <= 0)
        die("i2d_PUBKEY()");
    text = malloc(bcda__text_base64_size((size_t)len));
    bcda__text_base64(der, (size_t)len, text);
    printf("key %s %s %s\n", bcda__signing_key_algorithm(k), bcda__signing_key_id(k), text);
    free(text);
    OPENSSL_free(der);
}

static void print_forms(const struct bcda__signing_key *k, int64_t count)
{
    struct bcda__secret jws = {0}, body = {0};
    struct bcda__assertion a = {.key = k,
                                .client_id = "client \"\303\251\\ id",
                                .audience = "https://server.example/auth/token"};
    int64_t i;

    for (i = 0; i < count; i++) {
        a.now_s = 1790000000 + i;
        if (bcda__crypto_random(a.random, sizeof a.random) || bcda__assertion_make(&jws, &a) ||
            bcda__assertion_form(&body, &jws, "system/*.read system/Patient.rs?a=b&c"))
            die("an assertion");
        printf("form %s\n", body.data);
    }
    bcda__secret_free(&jws);
    bcda__secret_free(&body);
}

static void run_key(EVP_PKEY *pkey, const char *first, int64_t count)
{
    struct bcda__signing_key *k;
    char *jwk = jwk_of(pkey, first, 1);

    if (bcda__signing_key_new(&k, "key", jwk, strlen(jwk), NULL, NULL, NULL))
        die("reading the key");
    free(jwk);
    print_key(pkey, k);
    print_forms(k, count);
    bcda__signing_key_free(k);
    EVP_PKEY_free(pkey);
}

int main(int argc, char **argv)
{
    int64_t count = 0;

    if (argc != 2 || bcda__text_to_int64(argv[1], strlen(argv[1]), &count) ||
        bcda__crypto_init(0, NULL))
        die("the start");
    run_key(EVP_RSA_gen(2048), "\"kid\":\"rsa-1\"", count);
    run_key(EVP_EC_gen("P-384"), "\"kid\":\"ec-1\"", count);
    return 0;
}
