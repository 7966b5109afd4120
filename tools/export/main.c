/* bcda-export: the command-line client of libbcda. See bcda-export --help. */
#include "export.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static bcda_session *volatile signalled_session;
static volatile sig_atomic_t got_signal;

static void note_signal(int number)
{
    int saved_errno = errno;

    got_signal = number;
    if (signalled_session)
        bcda_session_wakeup(signalled_session);
    errno = saved_errno;
}

/* The first Ctrl-C ends the jobs in an orderly way; a second one ends the program. */
static void catch_signals(bcda_session *session)
{
    struct sigaction action = {.sa_handler = session ? note_signal : SIG_DFL};

    signalled_session = session;
    sigemptyset(&action.sa_mask);
    action.sa_flags = (int)SA_RESETHAND;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN); /* write() reports a closed standard output */
}

static int drive_export(bcda_session *session, struct run *run)
{
    int cancelled = 0;
    int rc;

    do {
        rc = bcda_session_run(session, -1);
        if (rc == BCDA_ERR_INTERRUPTED && got_signal && !cancelled) {
            cancelled = 1;
            run_cancel(run);
        }
    } while (rc == BCDA_ERR_INTERRUPTED);
    if (rc < 0)
        complain_error("", bcda_session_error(session));
    return rc;
}

static int run_export(bcda_session *session, const struct args *a, struct state *state,
                      struct output *output)
{
    struct run *run = run_new(a, output, state);
    int status = EXIT_FAILED;

    if (run && run_start(run, session, &status) == 0) {
        catch_signals(session);
        drive_export(session, run);
        catch_signals(NULL);
        status = run_finish(run, got_signal);
    }
    /* Free the session first: freeing it calls callbacks, which use `run`. */
    bcda_session_free(session);
    run_free(run);
    return status;
}

static int export_to(bcda_session *session, const struct args *a, struct state *state,
                     struct folder *folder)
{
    struct output *output = NULL;
    int status = EXIT_FAILED;

    if (prepare(a, state, folder, &status) == 0)
        output = output_new(folder, a->resume != NULL);
    if (output)
        status = run_export(session, a, state, output);
    else
        bcda_session_free(session);
    output_free(output);
    return status;
}

static int export_all(bcda_session *session, const struct args *a)
{
    struct state state;
    struct folder folder;
    int to_folder = strcmp(a->out, "-") != 0;
    int status = EXIT_FAILED;

    if (state_open(&state, a->resume) || (to_folder && folder_open(&folder, a->out))) {
        bcda_session_free(session);
        state_close(&state);
        return EXIT_FAILED;
    }
    status = export_to(session, a, &state, to_folder ? &folder : NULL);
    if (to_folder)
        folder_close(&folder, state_is_kept(&state) ? state.stage : "");
    state_close(&state);
    return status;
}

/* Opens /dev/null for each standard descriptor that is closed. Otherwise a file or a socket would
 * get that number, and messages would be written to it. /dev/null is opened for writing as standard
 * input, and for reading as standard output and error, so that using the descriptor still fails. */
static int open_standard_files(void)
{
    int fd;

    for (fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 &&
            open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
            return -1;
    return 0;
}

/* Checks the options of the export request, before anything is opened or sent. */
static int check_request(const struct args *a)
{
    bcda_export *e = request_new(a, a->level == LEVEL_TRY ? BCDA_LEVEL_RESOURCE : a->level, NULL);

    bcda_export_free(e);
    return e ? 0 : -1;
}

int main(int argc, char **argv)
{
    struct args a;
    bcda_config *config;
    bcda_session *session = NULL;
    int status;
    int rc;

    if (open_standard_files())
        return EXIT_FAILED;
    if (args_parse(&a, argc, argv, &status))
        return status;
    report_init(a.quiet);
    if (!a.metadata && check_request(&a))
        return EXIT_USAGE;
    config = settings_config(&a, &status);
    if (!config)
        return status;
    rc = bcda_session_new(&session, config);
    if (rc)
        status = settings_refused(&a, config, rc);
    bcda_config_free(config);
    if (rc)
        return status;
    if (!a.metadata)
        return export_all(session, &a);
    status = metadata_print(session);
    bcda_session_free(session);
    return status;
}
