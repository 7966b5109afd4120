/* bcda-export: the command-line client of libbcda. See bcda-export --help. */
#include "export.h"

#include <errno.h>
#include <signal.h>

static bcda_session *volatile signalled_session;
static volatile sig_atomic_t got_signal;

static void on_signal(int number)
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
    struct sigaction action = {.sa_handler = session ? on_signal : SIG_DFL};

    signalled_session = session;
    sigemptyset(&action.sa_mask);
    action.sa_flags = (int)SA_RESETHAND;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN); /* a closed standard output is told by write() */
}

static int drive(bcda_session *session, struct run *run)
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

static int export_all(bcda_session *session, const struct args *a)
{
    struct state state;
    struct output *output = NULL;
    struct run *run = NULL;
    int status = EXIT_FAILED;

    if (state_open(&state, a->resume)) {
        bcda_session_free(session);
        return EXIT_FAILED;
    }
    output = output_open(a->out);
    run = output ? run_new(a, output, &state) : NULL;
    if (run && run_start(run, session, &status) == 0) {
        catch_signals(session);
        drive(session, run);
        catch_signals(NULL);
        status = run_finish(run, got_signal != 0);
    }
    /* The callbacks of jobs that still run use `run`: the session goes first. */
    bcda_session_free(session);
    run_free(run);
    state_close(&state);
    output_close(output);
    return status;
}

int main(int argc, char **argv)
{
    struct args a;
    bcda_config *config;
    bcda_session *session = NULL;
    int status;
    int rc;

    if (args_parse(&a, argc, argv, &status))
        return status;
    report_init(a.quiet);
    config = args_config(&a, &status);
    if (!config)
        return status;
    rc = bcda_session_new(&session, config);
    if (rc) {
        if (bcda_config_error(config))
            complain_error("", bcda_config_error(config));
        else
            complain("%s", bcda_error_string(rc));
        bcda_config_free(config);
        return rc > BCDA_ERR_NOMEM ? EXIT_USAGE : EXIT_FAILED;
    }
    bcda_config_free(config);
    if (a.metadata) {
        status = metadata_print(session);
        bcda_session_free(session);
        return status;
    }
    return export_all(session, &a);
}
