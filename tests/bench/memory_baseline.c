/* A program that only initialises libcurl, libgcrypt and TLS. Prints its peak resident memory
 * (VmHWM) in KiB, with which tests/bench/memory compares the memory of bench-consume. */
#include <curl/curl.h>
#include <gcrypt.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peak.h"

int main(void)
{
    SSL_CTX *tls;

    if (curl_global_init(CURL_GLOBAL_ALL) || !gcry_check_version("1.8.0"))
        return 1;
    gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
    tls = SSL_CTX_new(TLS_client_method());
    if (!tls)
        return 1;
    SSL_CTX_free(tls);
    printf("%ld\n", peak_kib());
    curl_global_cleanup();
    return 0;
}
