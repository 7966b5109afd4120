/* Exports one type through the library, touches every byte of every resource, and prints
 * "<resources> <bytes> <milliseconds> <peak KiB>"; the milliseconds are those of the downloads. The
 * settings come from the environment variables that bcda-sandbox --print-env writes. Usage: consume
 * LEVEL(resource|patient) TYPE [PARALLEL [DECODE_THREADS]]
 */
#include <bcda/bcda.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "peak.h"

struct sums {
    long long resources, bytes;
    unsigned touched;
};

static int on_resource(bcda_job *job, const bcda_resource *resource, void *userdata)
{
    struct sums *sums = userdata;
    size_t len, i;
    const char *json = bcda_resource_json(resource, &len);
    unsigned touched = 0;

    (void)job;
    for (i = 0; i < len; i++)
        touched += (unsigned char)json[i];
    sums->touched += touched;
    sums->resources++;
    sums->bytes += (long long)len;
    return BCDA_CONTINUE;
}

static long long now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* The measured time begins when the manifest has arrived. Until then the client only waits for the
 * server. */
static int on_state(bcda_job *job, int state, void *userdata)
{
    (void)job;
    if (state == BCDA_JOB_DOWNLOADING)
        *(long long *)userdata = now_ms();
    return BCDA_CONTINUE;
}

static void on_done(bcda_job *job, int result, void *userdata)
{
    (void)userdata;
    if (result)
        fprintf(stderr, "consume: %s\n", bcda_error_text(bcda_job_error(job)));
}

static const char *need(const char *name)
{
    const char *value = getenv(name);

    if (!value) {
        fprintf(stderr, "consume: %s is not set (see bcda-sandbox --print-env)\n", name);
        exit(2);
    }
    return value;
}

static int configure(bcda_config *c)
{
    char secret[256] = "";
    FILE *f = fopen(need("BCDA_CLIENT_SECRET_FILE"), "r");

    if (!f || !fgets(secret, sizeof secret, f))
        return -1;
    fclose(f);
    secret[strcspn(secret, "\n")] = '\0';
    return bcda_config_set_fhir_url(c, need("BCDA_FHIR_URL")) ||
           bcda_config_set_client_credentials(c, need("BCDA_CLIENT_ID"), secret) ||
           bcda_config_add_private_key_file(c, need("BCDA_PRIVATE_KEY"), NULL) ||
           bcda_config_set_ca_file(c, need("BCDA_CA_FILE")) ||
           bcda_config_set_int(c, BCDA_OPT_POLL_MAX_MS, 500); /* so that polling adds little time */
}

int main(int argc, char **argv)
{
    bcda_config *config = NULL;
    bcda_session *session = NULL;
    bcda_export *what = NULL;
    bcda_handlers *handlers = NULL;
    bcda_job *job = NULL;
    struct sums sums = {0};
    long long begun = 0;
    int status = 1;

    if (argc < 3)
        return 2;
    if (bcda_config_new(&config) || configure(config) ||
        (argc > 3 && bcda_config_set_int(config, BCDA_OPT_PARALLEL, atoi(argv[3]))) ||
        (argc > 4 && bcda_config_set_int(config, BCDA_OPT_DECODE_THREADS, atoi(argv[4]))) ||
        bcda_session_new(&session, config)) {
        fprintf(stderr, "consume: %s\n", bcda_error_text(bcda_config_error(config)));
        goto out;
    }
    if (bcda_export_new(&what,
                        strcmp(argv[1], "resource") ? BCDA_LEVEL_PATIENT : BCDA_LEVEL_RESOURCE) ||
        bcda_export_add_type(what, argv[2]) || bcda_handlers_new(&handlers) ||
        bcda_handlers_on_resource(handlers, on_resource, &sums, NULL) ||
        bcda_handlers_on_state(handlers, on_state, &begun, NULL) ||
        bcda_handlers_on_done(handlers, on_done, NULL, NULL) ||
        bcda_job_start(session, what, handlers, &job) || bcda_session_run(session, -1))
        goto out;
    if (bcda_job_result(job) == BCDA_OK && sums.touched) {
        printf("%lld %lld %lld %ld\n", sums.resources, sums.bytes, now_ms() - begun, peak_kib());
        status = 0;
    }
out:
    bcda_job_unref(job);
    bcda_handlers_free(handlers);
    bcda_export_free(what);
    bcda_session_free(session);
    bcda_config_free(config);
    return status;
}
