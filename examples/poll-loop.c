/*
 * An export inside a program that has its own event loop: the loop polls one descriptor of the
 * library and the program's own descriptors, here a periodic timer and standard input, where "q"
 * ends the export. Settings come from the environment, as in minimal.c, and BCDA_TYPES may list
 * types, such as "Patient Coverage".
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <bcda/bcda.h>

static int on_batch(bcda_job *job, bcda_batch *batch, void *userdata)
{
    (void)job;
    *(int64_t *)userdata += (int64_t)bcda_batch_count(batch);
    return BCDA_CONTINUE;
}

static void on_done(bcda_job *job, int result, void *userdata)
{
    *(int *)userdata = result;
    if (result != BCDA_OK)
        fprintf(stderr, "%s\n", bcda_error_text(bcda_job_error(job)));
}

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

static bcda_job *start(bcda_session *session, int64_t *count, int *result)
{
    bcda_export *what = NULL;
    bcda_handlers *who = NULL;
    bcda_job *job = NULL;
    const char *types = getenv("BCDA_TYPES");
    char *list = strdup(types ? types : "");
    char *rest = list;
    char *type;
    int rc = !list || bcda_export_new(&what, BCDA_LEVEL_PATIENT) || bcda_handlers_new(&who) ||
             bcda_handlers_on_batch(who, on_batch, count, NULL) ||
             bcda_handlers_on_done(who, on_done, result, NULL);

    while (!rc && (type = strsep(&rest, " ")))
        if (*type)
            rc = bcda_export_add_type(what, type);
    if (rc)
        fputs("out of memory, or BCDA_TYPES is not a list of types\n", stderr);
    else if (bcda_job_start(session, what, who, &job))
        fprintf(stderr, "%s\n", bcda_error_text(bcda_session_error(session)));
    free(list);
    bcda_handlers_free(who);
    bcda_export_free(what);
    return job;
}

/* Runs until on_done sets *result to something other than BCDA_ERR_AGAIN: the job has then ended.
 * Returns 0, or -1 for an error of the loop itself. */
static int loop(bcda_session *session, bcda_job *job, int timer, const int64_t *count,
                const int *result)
{
    struct pollfd fds[] = {{.fd = bcda_session_fd(session), .events = POLLIN},
                           {.fd = timer, .events = POLLIN},
                           {.fd = STDIN_FILENO, .events = POLLIN}};

    if (fds[0].fd <
        0) { /* the library was built on poll(): such a build needs bcda_session_run() */
        fprintf(stderr, "%s\n", bcda_error_text(bcda_session_error(session)));
        return -1;
    }
    while (*result == BCDA_ERR_AGAIN) {
        uint64_t ticks;
        char c;

        if (poll(fds, 3, -1) < 0) {
            if (errno == EINTR)
                continue;
            perror("poll");
            return -1;
        }
        /* The library's descriptor is readable exactly when there is work for a step. */
        if (fds[0].revents && bcda_session_step(session) < 0) {
            fprintf(stderr, "%s\n", bcda_error_text(bcda_session_error(session)));
            return -1;
        }
        if (fds[1].revents && read(timer, &ticks, sizeof ticks) == (ssize_t)sizeof ticks)
            printf("%" PRId64 " resources; %zu of %zu files; the server: %s\n", *count,
                   bcda_job_files_ended(job), bcda_job_file_count(job),
                   bcda_job_progress_text(job));
        if (fds[2].revents) {
            if (read(STDIN_FILENO, &c, 1) < 1)
                fds[2].fd = -1; /* end of input: poll() ignores it now */
            else if (c == 'q')
                bcda_job_cancel(job); /* the next step calls on_done */
        }
    }
    return 0;
}

int main(void)
{
    const struct itimerspec second = {{1, 0}, {1, 0}};
    bcda_session *session = open_session();
    bcda_job *job = NULL;
    int64_t count = 0;
    int result = BCDA_ERR_AGAIN;
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

    if (timer >= 0 && session && timerfd_settime(timer, 0, &second, NULL) == 0)
        job = start(session, &count, &result);
    if (job && loop(session, job, timer, &count, &result) == 0 && result == BCDA_OK)
        printf("complete: %" PRId64 " resources\n", count);
    bcda_job_unref(job);
    bcda_session_free(session);
    if (timer >= 0)
        close(timer);
    return result == BCDA_OK ? 0 : 1;
}
