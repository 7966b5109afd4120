/*
 * Prints what one export delivers, for real_data.py: a line for each resource, with the type, id,
 * line number, offset and length, and a line for each issue.
 *
 *   list-resources FHIR_URL CA SECRET_FILE CLIENT_ID KEY LEVEL [TYPE]...
 */
#include <bcda/bcda.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int on_resource(bcda_job *job, const bcda_resource *r, void *userdata)
{
    size_t len;

    (void)job;
    (void)userdata;
    (void)bcda_resource_json(r, &len);
    printf("%s\t%s\t%" PRId64 "\t%" PRId64 "\t%zu\n", bcda_resource_type(r), bcda_resource_id(r),
           bcda_resource_line_number(r), bcda_resource_offset(r), len);
    return BCDA_CONTINUE;
}

static int on_issue(bcda_job *job, const bcda_issue *issue, void *userdata)
{
    (void)job;
    (void)userdata;
    printf("issue\t%d\t%s\n", bcda_issue_severity(issue), bcda_issue_code(issue));
    return BCDA_CONTINUE;
}

static int check(int rc, const char *what)
{
    if (rc)
        fprintf(stderr, "%s: %s\n", what, bcda_error_name(rc));
    return rc;
}

static int run(bcda_config *c, const bcda_handlers *h, char **argv)
{
    int level = strcmp(argv[6], "resource") == 0 ? BCDA_LEVEL_RESOURCE : BCDA_LEVEL_PATIENT;
    bcda_session *s = NULL;
    bcda_export *x = NULL;
    bcda_job *job = NULL;
    int rc = check(bcda_session_new(&s, c), "session");

    if (!rc)
        rc = check(bcda_export_new(&x, level), "export");
    for (argv += 7; !rc && *argv; argv++)
        rc = check(bcda_export_add_type(x, *argv), *argv);
    if (!rc)
        rc = check(bcda_job_start(s, x, h, &job), "start");
    if (!rc)
        rc = check(bcda_session_run(s, -1), "run");
    if (!rc && bcda_job_result(job)) {
        fprintf(stderr, "%s\n", bcda_error_text(bcda_job_error(job)));
        rc = 1;
    }
    bcda_job_unref(job);
    bcda_export_free(x);
    bcda_session_free(s);
    return rc;
}

int main(int argc, char **argv)
{
    bcda_handlers *h;
    bcda_config *c;
    char secret[200];
    FILE *f = argc >= 7 ? fopen(argv[3], "r") : NULL;
    int rc;

    if (!f || !fgets(secret, sizeof secret, f))
        return 2;
    fclose(f);
    secret[strcspn(secret, "\n")] = '\0';
    if (bcda_config_new(&c) || bcda_handlers_new(&h))
        return 2;
    rc = check(bcda_config_set_fhir_url(c, argv[1]), argv[1]);
    rc |= check(bcda_config_set_ca_file(c, argv[2]), argv[2]);
    rc |= check(bcda_config_set_client_credentials(c, argv[4], secret), "credentials");
    rc |= check(bcda_config_add_private_key_file(c, argv[5], NULL), argv[5]);
    rc |= check(bcda_handlers_on_resource(h, on_resource, NULL, NULL), "on_resource");
    rc |= check(bcda_handlers_on_server_issue(h, on_issue, NULL, NULL), "on_server_issue");
    if (!rc)
        rc = run(c, h, argv);
    bcda_handlers_free(h);
    bcda_config_free(c);
    return rc ? 1 : 0;
}
