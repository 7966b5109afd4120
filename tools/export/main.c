/* bcda-export: the command-line client of libbcda. See bcda-export --help. */
#include "export.h"

#include <string.h>

static int drive_export(bcda_session *session, struct run *run)
{
    int cancelled = 0;
    int rc;

    do {
        rc = bcda_session_run(session, -1);
        if (rc == BCDA_ERR_INTERRUPTED && process_signal() && !cancelled) {
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
        process_catch_signals(session);
        drive_export(session, run);
        process_catch_signals(NULL);
        status = run_finish(run, process_signal());
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

/* Checks the options of the export request, before anything is opened or sent. */
static int check_request(const struct args *a)
{
    int level = a->request.level;
    bcda_export *e =
        request_new(&a->request, level == LEVEL_TRY ? BCDA_LEVEL_RESOURCE : level, NULL);

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

    report_program("bcda-export");
    if (process_open_standard_files())
        return EXIT_FAILED;
    if (args_parse(&a, argc, argv, &status))
        return status;
    report_init(a.request.quiet);
    if (!a.metadata && check_request(&a))
        return EXIT_USAGE;
    config = settings_config(&a.request, !a.metadata, strcmp(a.out, "-") ? a.out : NULL, &status);
    if (!config)
        return status;
    rc = bcda_session_new(&session, config);
    if (rc)
        status = settings_refused(&a.request, config, rc);
    bcda_config_free(config);
    if (rc)
        return status;
    if (!a.metadata)
        return export_all(session, &a);
    status = metadata_print(session);
    bcda_session_free(session);
    return status;
}
