#include "client/entry.h"

#include "client/context.h"

enum { YES = 0, NO = BCDA_ERR_REENTRANT, GONE = BCDA_ERR_STATE, CHILD = BCDA_ERR_FORKED };

const struct bcda__entry_row bcda__entry_rows[BCDA__ENTRY_POINTS] = {
    /*                                               callback loop  child  freed */
    [BCDA__ENTRY_RUN] = {"bcda_session_run", /*     */ NO, NO, CHILD, GONE},
    [BCDA__ENTRY_STEP] = {"bcda_session_step", /*   */ NO, NO, CHILD, GONE},
    [BCDA__ENTRY_ON_FD] = {"bcda_session_on_fd", /* */ NO, NO, CHILD, GONE},
    [BCDA__ENTRY_ON_TIMER] = {"bcda_session_on_timer", NO, NO, CHILD, GONE},
    [BCDA__ENTRY_SET_LOOP] = {"bcda_session_set_loop", NO, NO, CHILD, GONE},
    [BCDA__ENTRY_FD] = {"bcda_session_fd", /*       */ YES, NO, CHILD, GONE},
    [BCDA__ENTRY_NEXT] = {"bcda_job_next", /*       */ NO, NO, CHILD, NO},
    [BCDA__ENTRY_START] = {"bcda_job_start", /*     */ YES, NO, CHILD, GONE},
    [BCDA__ENTRY_ATTACH] = {"bcda_job_attach", /*   */ YES, NO, CHILD, GONE},
    [BCDA__ENTRY_RESTORE] = {"bcda_job_restore", /* */ YES, NO, CHILD, GONE},
    [BCDA__ENTRY_RESTORE_FILE] = {"bcda_job_restore_from_file", YES, NO, CHILD, GONE},
    [BCDA__ENTRY_REQUEST] = {"bcda_request_start", /**/ YES, NO, CHILD, GONE},
    [BCDA__ENTRY_CANCEL] = {"bcda_job_cancel", /*   */ YES, NO, CHILD, YES},
    [BCDA__ENTRY_PAUSE] = {"bcda_job_pause", /*     */ YES, NO, CHILD, YES},
    [BCDA__ENTRY_RESUME] = {"bcda_job_resume", /*   */ YES, NO, CHILD, YES},
};

static const char *refusal_text(int code)
{
    switch (code) {
    case CHILD:
        return "this session belongs to the parent process: make a new one";
    case GONE:
        return "this session is being freed";
    default:
        return "this call is not allowed inside a callback of the same session";
    }
}

int bcda__entry_check(struct bcda__context *cx, enum bcda__entry_point point)
{
    const struct bcda__entry_row *row = &bcda__entry_rows[point];
    int code = 0;

    bcda__err_clear(&cx->err);
    if (bcda__context_is_forked(cx))
        code = row->in_child;
    else if (cx->closing && row->while_freed)
        code = row->while_freed;
    else if (cx->in_loop_callback)
        code = row->in_loop_callback;
    else if (cx->in_call || cx->in_callback)
        code = row->in_callback;
    return code ? bcda__err_set(&cx->err, code, "%s", refusal_text(code)) : 0;
}
