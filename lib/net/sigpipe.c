#include "net/sigpipe.h"

#include <pthread.h>
#include <time.h>

static int is_pending(void)
{
    sigset_t pending;

    sigpending(&pending);
    return sigismember(&pending, SIGPIPE) == 1;
}

void bcda__sigpipe_block(struct bcda__sigpipe *g)
{
    sigset_t pipe;

    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, &g->old);
    /* A SIGPIPE that is not blocked cannot be pending. Most applications do not block it, so the
     * call of is_pending() is seldom needed. */
    g->was_pending = sigismember(&g->old, SIGPIPE) == 1 && is_pending();
}

void bcda__sigpipe_restore(struct bcda__sigpipe *g)
{
    struct timespec none = {0, 0};
    sigset_t pipe;

    if (!g->was_pending && is_pending()) {
        sigemptyset(&pipe);
        sigaddset(&pipe, SIGPIPE);
        (void)sigtimedwait(&pipe, NULL, &none);
    }
    pthread_sigmask(SIG_SETMASK, &g->old, NULL);
}
