/*
 * Runs one export for test_results.py and prints how it ended: the names of the values of
 * bcda_job_result() and bcda_job_verdict().
 *
 *   results-of LEVEL [--group G] [--type T]... [--parameter N=V]... [--set N=V]... [--spool DIR]
 *              [--do ACTION]
 *
 * The server and the credentials come from the environment variables that bcda-sandbox --print-env
 * prints. ACTION is one of:
 *   stop: the file callback returns BCDA_STOP.
 *   nonsense: the file callback returns a value that is not defined.
 *   deletions: there is an on_deleted.
 *   cancel-STATE: bcda_job_cancel() is called in this state (1 starting, 2 running, 3 downloading).
 */
#include <bcda/bcda.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *action = "";

static void check(int rc, const char *what)
{
    if (!rc)
        return;
    fprintf(stderr, "%s: %s\n", what, bcda_error_name(rc));
    exit(2);
}

static int on_state(bcda_job *job, int state, void *userdata)
{
    (void)userdata;
    if (strncmp(action, "cancel-", 7) == 0 && atoi(action + 7) == state)
        bcda_job_cancel(job);
    return BCDA_CONTINUE;
}

static int on_file(bcda_job *job, const bcda_file *file, int event, void *userdata)
{
    (void)job;
    (void)file;
    (void)event;
    (void)userdata;
    return strcmp(action, "stop") == 0 ? BCDA_STOP : strcmp(action, "nonsense") == 0 ? 77 : 1;
}

static int on_resource(bcda_job *job, const bcda_resource *resource, void *userdata)
{
    (void)job;
    (void)resource;
    (void)userdata;
    return BCDA_CONTINUE;
}

static int on_deleted(bcda_job *job, const bcda_deletion *deletion, void *userdata)
{
    (void)job;
    (void)deletion;
    (void)userdata;
    return BCDA_CONTINUE;
}

static const char *verdict_name(int verdict)
{
    static const char *const names[] = {"NONE",   "COMPLETE", "COMPLETE_BAD_LINES",
                                        "FAILED", "SKIPPED",  "COMPLETE_ERRORS"};

    return verdict >= 0 && verdict <= 5 ? names[verdict] : "?";
}

static int level_of(const char *name)
{
    static const char *const names[] = {"", "resource", "patient", "group", "system"};
    int i;

    for (i = 1; i <= 4; i++)
        if (strcmp(names[i], name) == 0)
            return i;
    return 0;
}

static void set_option(bcda_config *c, char *setting)
{
    char *value = strchr(setting, '=');

    if (!value)
        check(BCDA_ERR_INVALID, setting);
    *value++ = '\0';
    check(bcda_config_set_int(c, bcda_option_by_name(setting), atoll(value)), setting);
}

static void set_parameter(bcda_export *x, char *parameter)
{
    char *value = strchr(parameter, '=');

    if (!value)
        check(BCDA_ERR_INVALID, parameter);
    *value++ = '\0';
    check(bcda_export_set_parameter(x, parameter, value), parameter);
}

static void take_option(bcda_config *c, bcda_export *x, const char *name, char *value)
{
    if (strcmp(name, "--group") == 0)
        check(bcda_export_set_group(x, value), value);
    else if (strcmp(name, "--type") == 0)
        check(bcda_export_add_type(x, value), value);
    else if (strcmp(name, "--parameter") == 0)
        set_parameter(x, value);
    else if (strcmp(name, "--set") == 0)
        set_option(c, value);
    else if (strcmp(name, "--spool") == 0)
        check(bcda_config_set_spool_directory(c, value), value);
    else if (strcmp(name, "--do") == 0)
        action = value;
    else
        check(BCDA_ERR_INVALID, name);
}

static void set_server(bcda_config *c)
{
    char secret[200] = "";
    FILE *f = fopen(getenv("BCDA_CLIENT_SECRET_FILE"), "r");

    if (f && !fgets(secret, sizeof secret, f))
        secret[0] = '\0';
    if (f)
        fclose(f);
    secret[strcspn(secret, "\n")] = '\0';
    check(bcda_config_set_int(c, BCDA_OPT_ALLOW_HTTP_LOOPBACK, 1), "loopback");
    check(bcda_config_set_fhir_url(c, getenv("BCDA_FHIR_URL")), "URL");
    check(bcda_config_set_client_credentials(c, getenv("BCDA_CLIENT_ID"), secret), "credentials");
    if (getenv("BCDA_PRIVATE_KEY"))
        check(bcda_config_add_private_key_file(c, getenv("BCDA_PRIVATE_KEY"), NULL), "key");
}

int main(int argc, char **argv)
{
    bcda_config *c;
    bcda_handlers *h;
    bcda_export *x;
    bcda_session *s;
    bcda_job *job;
    int i;

    if (argc < 2)
        return 2;
    check(bcda_config_new(&c), "config");
    check(bcda_export_new(&x, level_of(argv[1])), argv[1]);
    check(bcda_handlers_new(&h), "handlers");
    set_server(c);
    for (i = 2; i + 1 < argc; i += 2)
        take_option(c, x, argv[i], argv[i + 1]);
    check(bcda_handlers_on_state(h, on_state, NULL, NULL), "on_state");
    check(bcda_handlers_on_file(h, on_file, NULL, NULL), "on_file");
    check(bcda_handlers_on_resource(h, on_resource, NULL, NULL), "on_resource");
    if (strcmp(action, "deletions") == 0)
        check(bcda_handlers_on_deleted(h, on_deleted, NULL, NULL), "on_deleted");
    check(bcda_session_new(&s, c), "session");
    check(bcda_job_start(s, x, h, &job), "start");
    check(bcda_session_run(s, -1), "run");
    printf("%s %s\n", bcda_error_name(bcda_job_result(job)), verdict_name(bcda_job_verdict(job)));
    bcda_job_unref(job);
    bcda_session_free(s);
    bcda_handlers_free(h);
    bcda_export_free(x);
    bcda_config_free(c);
    return 0;
}
