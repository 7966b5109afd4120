#include "setup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int on_batch(bcda_job *job, bcda_batch *batch, void *userdata)
{
    (void)job;
    ((struct work *)userdata)->resources += (int64_t)bcda_batch_count(batch);
    return BCDA_CONTINUE;
}

static void on_done(bcda_job *job, int result, void *userdata)
{
    struct work *w = userdata;

    w->result = result;
    if (result != BCDA_OK)
        fprintf(stderr, "%s\n", bcda_error_text(bcda_job_error(job)));
    w->ended(w->loop);
}

static void read_secret(char *out, int size)
{
    const char *path = getenv("BCDA_CLIENT_SECRET_FILE");
    FILE *in = path ? fopen(path, "r") : NULL;

    out[0] = '\0';
    if (in && fgets(out, size, in))
        out[strcspn(out, "\r\n")] = '\0';
    if (in)
        fclose(in);
}

int work_open(struct work *w)
{
    const char *key = getenv("BCDA_PRIVATE_KEY");
    bcda_config *config = NULL;
    char secret[1024];
    int rc;

    memset(w, 0, sizeof *w);
    w->result = BCDA_ERR_AGAIN;
    read_secret(secret, sizeof secret);
    rc = bcda_config_new(&config) || bcda_config_set_fhir_url(config, getenv("BCDA_FHIR_URL")) ||
         bcda_config_set_ca_file(config, getenv("BCDA_CA_FILE")) ||
         bcda_config_set_client_credentials(config, getenv("BCDA_CLIENT_ID"), secret) ||
         (key && bcda_config_add_private_key_file(config, key, NULL)) ||
         bcda_session_new(&w->session, config);
    if (rc)
        fprintf(stderr, "%s\n", bcda_error_text(bcda_config_error(config)));
    bcda_config_free(config);
    return rc ? -1 : 0;
}

int work_start(struct work *w)
{
    const char *types = getenv("BCDA_TYPES");
    char *list = strdup(types ? types : "");
    char *rest = list;
    char *type;
    bcda_export *what = NULL;
    bcda_handlers *who = NULL;
    int rc = !list || bcda_export_new(&what, BCDA_LEVEL_PATIENT) || bcda_handlers_new(&who) ||
             bcda_handlers_on_batch(who, on_batch, w, NULL) ||
             bcda_handlers_on_done(who, on_done, w, NULL);

    while (!rc && (type = strsep(&rest, " ")))
        if (*type)
            rc = bcda_export_add_type(what, type);
    if (rc)
        fputs("out of memory, or BCDA_TYPES is not a list of types\n", stderr);
    else if ((rc = bcda_job_start(w->session, what, who, &w->job)))
        fprintf(stderr, "%s\n", bcda_error_text(bcda_session_error(w->session)));
    free(list);
    bcda_handlers_free(who);
    bcda_export_free(what);
    return rc ? -1 : 0;
}

int work_close(struct work *w)
{
    bcda_job_unref(w->job);
    bcda_session_free(w->session);
    if (w->result == BCDA_OK)
        printf("complete: %" PRId64 " resources\n", w->resources);
    return w->result == BCDA_OK ? 0 : 1;
}
