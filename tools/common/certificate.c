/* The certificate that the program shows to servers: the options for mutual TLS. */
#include "common.h"

const char *certificate_contradiction(const struct options *o)
{
    if (!o->client_certificate &&
        (o->client_key || o->client_key_passphrase_file || o->certificate_origin_count))
        return "--client-key, --client-key-passphrase-file and --certificate-origin need "
               "--client-certificate";
    return NULL;
}

/* Without --client-key, the key is in the file of the certificate. */
static int certificate_set_files(bcda_config *config, const struct options *o, int *status)
{
    const char *key = o->client_key ? o->client_key : o->client_certificate;
    char *secret;
    int rc;

    if (settings_read_secret(o->client_key_passphrase_file, &secret))
        return -1;
    rc = settings_check(
        config, "--client-certificate",
        bcda_config_set_client_certificate(config, o->client_certificate, key, secret), status);
    settings_free_secret(secret);
    return rc;
}

int certificate_set(bcda_config *config, const struct options *o, int *status)
{
    size_t i;

    if (!o->client_certificate)
        return 0;
    *status = EXIT_FAILED;
    if (certificate_set_files(config, o, status))
        return -1;
    for (i = 0; i < o->certificate_origin_count; i++)
        if (settings_check(config, "--certificate-origin",
                           bcda_config_add_certificate_origin(config, o->certificate_origins[i]),
                           status))
            return -1;
    return 0;
}
