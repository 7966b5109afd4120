/*
 * Decrypts a file that is already on disk. BCDA served such files until 2020.
 *
 *   decrypt-file FILE WRAPPED_KEY_HEX PRIVATE_KEY [LABEL]
 *
 * WRAPPED_KEY_HEX is the file's `encryptedKey` (or its entry in `KeyMap`), PRIVATE_KEY a PEM file,
 * and LABEL the name of the file at the server, if its local name differs. The resources are
 * written to standard output. They may be used only if the program exits with 0: the check that
 * covers the whole file is made at the end of the file.
 */
#include <stdio.h>
#include <string.h>

#include <bcda/bcda.h>

static int on_resource(bcda_job *job, const bcda_resource *resource, void *userdata)
{
    size_t len;
    const char *json = bcda_resource_json(resource, &len);

    (void)job;
    (void)userdata;
    if (fwrite(json, 1, len, stdout) != len || putchar('\n') == EOF)
        return BCDA_STOP;
    return BCDA_CONTINUE;
}

static int decode(bcda_decoder *decoder, FILE *in)
{
    static char buffer[65536];
    size_t n;
    int rc = BCDA_OK;

    while (rc == BCDA_OK && (n = fread(buffer, 1, sizeof buffer, in)) > 0)
        rc = bcda_decoder_write(decoder, buffer, n);
    if (ferror(in))
        return BCDA_ERR_IO;
    return rc == BCDA_OK ? bcda_decoder_finish(decoder) : rc;
}

int main(int argc, char **argv)
{
    bcda_config *config = NULL;
    bcda_handlers *handlers = NULL;
    bcda_decoder *decoder = NULL;
    const char *label;
    FILE *in = NULL;
    int rc;

    if (argc < 4 || argc > 5) {
        fputs("usage: decrypt-file FILE WRAPPED_KEY_HEX PRIVATE_KEY [LABEL]\n", stderr);
        return 2;
    }
    label = strrchr(argv[1], '/') ? strrchr(argv[1], '/') + 1 : argv[1];
    label = argc == 5 ? argv[4] : label;
    in = fopen(argv[1], "rb");
    if (!in) {
        perror(argv[1]);
        return 1;
    }
    if ((rc = bcda_config_new(&config)) == BCDA_OK &&
        (rc = bcda_config_add_private_key_file(config, argv[3], NULL)) != BCDA_OK)
        fprintf(stderr, "%s\n", bcda_error_text(bcda_config_error(config)));
    if (rc == BCDA_OK && (rc = bcda_handlers_new(&handlers)) == BCDA_OK &&
        (rc = bcda_handlers_on_resource(handlers, on_resource, NULL, NULL)) == BCDA_OK)
        rc = bcda_decoder_new(&decoder, config, handlers);
    if (decoder) {
        rc = bcda_decoder_set_name(decoder, label);
        if (rc == BCDA_OK)
            rc = bcda_decoder_set_wrapped_key(decoder, argv[2], label);
        if (rc == BCDA_OK)
            rc = decode(decoder, in);
        if (rc != BCDA_OK)
            fprintf(stderr, "%s: %s\n", bcda_error_name(rc),
                    bcda_decoder_error(decoder) ? bcda_error_text(bcda_decoder_error(decoder))
                                                : bcda_error_string(rc));
    }
    if (fflush(stdout)) {
        perror("standard output");
        rc = BCDA_ERR_IO;
    }
    fclose(in);
    bcda_decoder_free(decoder);
    bcda_handlers_free(handlers);
    bcda_config_free(config);
    return rc == BCDA_OK ? 0 : 1;
}
