/*
 * The shortest useful program: exports everything and counts the resources. A program that loads
 * the resources would store them instead, and commit or undo at the end of each file.
 *
 *   export BCDA_FHIR_URL=https://sandbox.bcda.cms.gov/api/v2
 *   export BCDA_CLIENT_ID=… BCDA_CLIENT_SECRET_FILE=secret.txt
 *   ./minimal            (BCDA_CA_FILE and BCDA_PRIVATE_KEY are used too, if they are set)
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bcda/bcda.h>

struct totals {
    int64_t resources;
    int64_t bytes;
};

/* The resource is provisional until on_file reports its file as complete. The totals are printed
 * only if the whole job succeeds, so they need not be undone. */
static int on_resource(bcda_job *job, const bcda_resource *resource, void *userdata)
{
    struct totals *totals = userdata;
    size_t len;

    (void)job;
    bcda_resource_json(resource, &len); /* len bytes of JSON, valid until this function returns */
    totals->resources++;
    totals->bytes += (int64_t)len;
    return BCDA_CONTINUE;
}

static int on_file(bcda_job *job, const bcda_file *file, int event, void *userdata)
{
    (void)job;
    (void)userdata;
    if (event == BCDA_FILE_BEGIN)
        return BCDA_CONTINUE;
    if (bcda_file_verdict(file) == BCDA_VERDICT_FAILED) /* undo the file's resources here */
        fprintf(stderr, "%s\n", bcda_error_text(bcda_file_error(file)));
    else if (bcda_file_is_error(file)) /* problems that the server reports; such files are common */
        printf("%" PRId64 " problems reported\n", bcda_file_resources(file));
    else /* commit the file's resources here */
        printf("%s: %" PRId64 " resources\n", bcda_file_type(file), bcda_file_resources(file));
    return BCDA_CONTINUE;
}

static void on_done(bcda_job *job, int result, void *userdata)
{
    const bcda_error *error = bcda_job_error(job);

    *(int *)userdata = result;
    if (result != BCDA_OK)
        fprintf(stderr, "%s: %s%s%s\n", bcda_error_name(result), bcda_error_text(error),
                *bcda_error_server_text(error) ? "; the server says: " : "",
                bcda_error_server_text(error));
}

static int read_line(const char *path, char *to, int size)
{
    FILE *in = path ? fopen(path, "r") : NULL;
    char *got = in ? fgets(to, size, in) : NULL;

    if (in)
        fclose(in);
    if (got)
        to[strcspn(to, "\r\n")] = '\0';
    return got ? 0 : -1;
}

static int configure(bcda_config *config)
{
    const char *url = getenv("BCDA_FHIR_URL");
    const char *id = getenv("BCDA_CLIENT_ID");
    const char *key = getenv("BCDA_PRIVATE_KEY");
    char secret[1024];

    if (!url || !id || read_line(getenv("BCDA_CLIENT_SECRET_FILE"), secret, sizeof secret)) {
        fputs("set BCDA_FHIR_URL, BCDA_CLIENT_ID and BCDA_CLIENT_SECRET_FILE\n", stderr);
        return -1;
    }
    if (bcda_config_set_fhir_url(config, url) || /* stops at the first error */
        bcda_config_set_ca_file(config, getenv("BCDA_CA_FILE")) ||
        bcda_config_set_client_credentials(config, id, secret) ||
        (key && bcda_config_add_private_key_file(config, key, NULL))) {
        fprintf(stderr, "%s\n", bcda_error_text(bcda_config_error(config)));
        return -1;
    }
    return 0;
}

int main(void)
{
    bcda_config *config = NULL;
    bcda_session *session = NULL;
    bcda_export *what = NULL;
    bcda_handlers *who = NULL;
    struct totals totals = {0};
    int result = BCDA_ERR_STATE;
    int rc = 0;

    if (bcda_config_new(&config) || configure(config))
        goto out;
    if (bcda_session_new(&session, config)) {
        fprintf(stderr, "%s\n", bcda_error_text(bcda_config_error(config)));
        goto out;
    }
    if (bcda_export_new(&what, BCDA_LEVEL_PATIENT) || bcda_handlers_new(&who) ||
        bcda_handlers_on_resource(who, on_resource, &totals, NULL) ||
        bcda_handlers_on_file(who, on_file, NULL, NULL) ||
        bcda_handlers_on_done(who, on_done, &result, NULL)) {
        fputs("out of memory\n", stderr);
        goto out;
    }
    if (bcda_job_start(session, what, who, NULL) == BCDA_OK)
        do
            rc = bcda_session_run(session, -1);
        while (rc == BCDA_ERR_INTERRUPTED); /* a signal: continue */
    if (bcda_session_error(session) && (rc || result == BCDA_ERR_STATE))
        fprintf(stderr, "%s\n", bcda_error_text(bcda_session_error(session)));
    if (result == BCDA_OK)
        printf("%" PRId64 " resources, %" PRId64 " bytes\n", totals.resources, totals.bytes);
out:
    bcda_handlers_free(who);
    bcda_export_free(what);
    bcda_session_free(session);
    bcda_config_free(config);
    return result == BCDA_OK ? 0 : 1;
}
