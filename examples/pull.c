/*
 * The pull API: there are no data callbacks. The program takes batches when it needs them, and the
 * library does not download data that the program does not take. This example prints the type, the
 * id and the time of the last update of each resource. Settings come from the environment, as in
 * minimal.c.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bcda/bcda.h>

static bcda_session *open_session(void)
{
    const char *key = getenv("BCDA_PRIVATE_KEY");
    const char *path = getenv("BCDA_CLIENT_SECRET_FILE");
    bcda_config *config = NULL;
    bcda_session *session = NULL;
    char secret[1024] = "";
    FILE *in = path ? fopen(path, "r") : NULL;

    if (in && fgets(secret, sizeof secret, in))
        secret[strcspn(secret, "\r\n")] = '\0';
    if (in)
        fclose(in);
    if (bcda_config_new(&config) || bcda_config_set_fhir_url(config, getenv("BCDA_FHIR_URL")) ||
        bcda_config_set_ca_file(config, getenv("BCDA_CA_FILE")) ||
        bcda_config_set_client_credentials(config, getenv("BCDA_CLIENT_ID"), secret) ||
        (key && bcda_config_add_private_key_file(config, key, NULL)) ||
        bcda_session_new(&session, config))
        fprintf(stderr, "%s\n", bcda_error_text(bcda_config_error(config)));
    bcda_config_free(config);
    return session;
}

static void print(bcda_batch *batch)
{
    const bcda_file *file = bcda_batch_file(batch);
    size_t i;

    if (bcda_file_is_error(file)) /* not printed: the server's error texts may name people */
        return;
    for (i = 0; i < bcda_batch_count(batch); i++) {
        const bcda_resource *r = bcda_batch_resource(batch, i);

        printf("%s\t%s\t%s\n", bcda_resource_type(r), bcda_resource_id(r),
               bcda_resource_last_updated(r));
    }
    for (i = 0; i < bcda_batch_bad_line_count(batch); i++)
        fprintf(stderr, "line %" PRId64 " is invalid\n",
                bcda_bad_line_number(bcda_batch_bad_line(batch, i)));
}

int main(void)
{
    bcda_session *session = open_session();
    bcda_export *what = NULL;
    bcda_job *job = NULL;
    bcda_batch *batch;
    int result = BCDA_ERR_STATE;
    int rc = BCDA_ERR_AGAIN;

    if (!session)
        return 1;
    if (bcda_export_new(&what, BCDA_LEVEL_PATIENT) == BCDA_OK)
        bcda_job_start(session, what, NULL, &job);
    bcda_export_free(what);
    while (job && rc == BCDA_ERR_AGAIN) {
        /* Blocks until there is a batch or the job has ended. A program with an event loop calls
         * poll() and bcda_session_step() instead. */
        rc = bcda_session_run(session, -1);
        if (rc < 0 && rc != BCDA_ERR_INTERRUPTED)
            break;
        while ((rc = bcda_job_next(job, &batch)) == BCDA_OK) {
            print(batch);
            bcda_batch_unref(batch);
        }
    }
    if (job && rc == BCDA_ERR_END)
        result = bcda_job_result(job);
    if (result != BCDA_OK)
        fprintf(stderr, "%s\n",
                bcda_error_text(rc == BCDA_ERR_END ? bcda_job_error(job)
                                                   : bcda_session_error(session)));
    bcda_job_unref(job);
    bcda_session_free(session);
    return result == BCDA_OK ? 0 : 1;
}
