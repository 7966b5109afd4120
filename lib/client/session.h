/* A session: the context that its objects share, its jobs and requests, and the application's event
 * loop. */
#ifndef BCDA_CLIENT_SESSION_H
#define BCDA_CLIENT_SESSION_H

#include "client/auth.h"
#include "client/context.h"
#include "client/jobs.h"
#include "client/request.h"

struct bcda_session {
    struct bcda__context cx;
    struct bcda__auth auth;
    struct bcda__jobs jobs;
    bcda_request *requests; /* requests that have not ended */
    /* The application's event loop; NULL = none. */
    struct bcda__registration *loop; /* has the loop's userdata and `destroy`; its `cb` is unused */
    bcda_watch_fd_cb watch_fd;
    bcda_watch_timer_cb watch_timer;
};

int bcda__session_create(bcda_session **out, bcda_config *config);
void bcda__session_destroy(bcda_session *s); /* first ends all jobs and requests */
/* Returns 0, BCDA_ERR_NOMEM, BCDA_ERR_SYSTEM or BCDA_ERR_FORKED. */
int bcda__session_set_loop(bcda_session *s, bcda_watch_fd_cb watch_fd,
                           bcda_watch_timer_cb watch_timer, void *userdata,
                           bcda_destroy_cb destroy);

/* For tests that control the clock. The first returns 1 while a worker has something to do or to
 * report, the second while a token command runs. The third returns the time until the next timer,
 * or -1 if none is set. */
int bcda__session_is_decoding(bcda_session *s);
int bcda__session_runs_command(const bcda_session *s);
int64_t bcda__session_next_timer_ms(const bcda_session *s);

#endif
