/* Downloads the files of a finished job through the library, as an application does, and counts
 * their resources by type. Prints one line; its times are those from the beginning of the first
 * file to the end of the last file:
 *
 *     "<resources> <bytes> <wall seconds> <CPU seconds> <peak KiB>"
 *
 * Usage: bench-pipeline STATUS_URL [fields=N] [save=PATH] [OPTION=NUMBER]... with the names of
 * bcda_option_by_name(). fields=N: N fields of a claim are requested (at most 10), and the first
 * value of each is read. save=PATH: the job is saved in this file. Exit 3: this build has no such
 * option. */
#include <bcda/bcda.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "peak.h"

static const char *const fields[] = {
    "patient.reference",
    "billablePeriod.start",
    "billablePeriod.end",
    "provider.identifier.value",
    "payment.amount.value",
    "diagnosis.diagnosisCodeableConcept.coding.code",
    "insurance.coverage.reference",
    "type.coding.code",
    "item.revenue.coding.code",
    "item.adjudication.amount.value",
};

enum { FIELDS = sizeof fields / sizeof *fields };

struct figures {
    int64_t claims, others, bytes, values;
    int field_count;
    const char *save;
    double wall, cpu, wall_end, cpu_end;
    int begun;
};

static void read_fields(const bcda_resource *resource, struct figures *f)
{
    const char *text;
    size_t len;
    int i;

    for (i = 0; i < f->field_count; i++)
        if (bcda_resource_field_count(resource, i) &&
            bcda_resource_field(resource, i, 0, &text, &len) == BCDA_OK)
            f->values += len > 0;
}

static int on_resource(bcda_job *job, const bcda_resource *resource, void *userdata)
{
    struct figures *f = userdata;
    size_t len;

    (void)job;
    (void)bcda_resource_json(resource, &len);
    f->bytes += (int64_t)len;
    if (strcmp(bcda_resource_type(resource), "ExplanationOfBenefit") == 0)
        f->claims++;
    else
        f->others++;
    read_fields(resource, f);
    return BCDA_CONTINUE;
}

static int on_file(bcda_job *job, const bcda_file *file, int event, void *userdata)
{
    struct figures *f = userdata;

    (void)job;
    (void)file;
    bench_mark();
    if (!f->begun) {
        f->begun = 1;
        f->wall = bench_wall();
        f->cpu = bench_cpu();
    }
    if (event == BCDA_FILE_END) {
        f->wall_end = bench_wall();
        f->cpu_end = bench_cpu();
    }
    return BCDA_CONTINUE;
}

/* The last file is saved after its end. */
static void on_done(bcda_job *job, int result, void *userdata)
{
    struct figures *f = userdata;

    if (f->save) {
        f->wall_end = bench_wall();
        f->cpu_end = bench_cpu();
    }
    if (result)
        fprintf(stderr, "bench-pipeline: %s\n", bcda_error_text(bcda_job_error(job)));
}

static int set_option(bcda_config *c, struct figures *f, char *text)
{
    char *equals = strchr(text, '=');
    int option;

    if (!equals)
        return BCDA_ERR_INVALID;
    *equals = '\0';
    if (strcmp(text, "fields") == 0) {
        f->field_count = atoi(equals + 1);
        return f->field_count < 0 || f->field_count > FIELDS ? BCDA_ERR_INVALID : 0;
    }
    if (strcmp(text, "save") == 0) {
        f->save = equals + 1;
        return 0;
    }
    option = bcda_option_by_name(text);
    if (option < 0)
        exit(3);
    return bcda_config_set_int(c, option, strtoll(equals + 1, NULL, 10));
}

static int configure(bcda_config *c, struct figures *f, int count, char **options)
{
    int i, rc = 0;

    /* The options are set first: a build that does not know an option must exit with 3, even if the
     * environment variables for the other settings are missing. */
    for (i = 0; i < count && !rc; i++)
        rc = set_option(c, f, options[i]);
    return rc || bcda_config_set_fhir_url(c, bench_need("BCDA_FHIR_URL")) ||
           bcda_config_set_client_credentials(c, bench_need("BCDA_CLIENT_ID"),
                                              bench_line_of("BCDA_CLIENT_SECRET_FILE")) ||
           bcda_config_add_private_key_file(c, bench_need("BCDA_PRIVATE_KEY"), NULL) ||
           bcda_config_set_ca_file(c, bench_need("BCDA_CA_FILE"));
}

static int add_fields(bcda_export **out, const struct figures *f)
{
    int i, index, rc = bcda_export_new(out, BCDA_LEVEL_PATIENT);

    for (i = 0; i < f->field_count && !rc; i++)
        rc = bcda_export_add_field(*out, fields[i], &index);
    return rc;
}

static void print(const struct figures *f)
{
    printf("%lld %lld %.6f %.6f %ld\n", (long long)(f->claims + f->others), (long long)f->bytes,
           f->wall_end - f->wall, f->cpu_end - f->cpu, peak_kib());
}

int main(int argc, char **argv)
{
    bcda_config *config = NULL;
    bcda_session *session = NULL;
    bcda_handlers *handlers = NULL;
    bcda_export *export = NULL;
    bcda_job *job = NULL;
    struct figures f = {0};
    int status = 1;

    if (argc < 2)
        return 2;
    if (bcda_config_new(&config) || configure(config, &f, argc - 2, argv + 2) ||
        bcda_session_new(&session, config)) {
        fprintf(stderr, "bench-pipeline: %s\n", bcda_error_text(bcda_config_error(config)));
        goto out;
    }
    if (bcda_handlers_new(&handlers) ||
        bcda_handlers_on_resource(handlers, on_resource, &f, NULL) ||
        bcda_handlers_on_file(handlers, on_file, &f, NULL) ||
        bcda_handlers_on_done(handlers, on_done, &f, NULL) || add_fields(&export, &f) ||
        bcda_job_attach(session, argv[1], export, handlers, &job) ||
        (f.save && bcda_job_save_to_file(job, f.save)) || bcda_session_run(session, -1))
        goto out;
    if (f.field_count && !f.values)
        fprintf(stderr, "bench-pipeline: the claims have none of the fields\n");
    else if (bcda_job_result(job) == BCDA_OK) {
        print(&f);
        status = 0;
    }
out:
    bcda_job_unref(job);
    bcda_export_free(export);
    bcda_handlers_free(handlers);
    bcda_session_free(session);
    bcda_config_free(config);
    return status;
}
