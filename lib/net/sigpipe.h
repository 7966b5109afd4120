/* With CURLOPT_NOSIGNAL, libcurl does not protect the process from SIGPIPE. So SIGPIPE is blocked
 * while libcurl works, and a SIGPIPE that was raised meanwhile is consumed. SIGPIPE is never
 * blocked during a callback of the application. */
#ifndef BCDA_NET_SIGPIPE_H
#define BCDA_NET_SIGPIPE_H

#include <signal.h>

struct bcda__sigpipe {
    sigset_t old;
    int was_pending;
};

void bcda__sigpipe_block(struct bcda__sigpipe *g);
void bcda__sigpipe_restore(struct bcda__sigpipe *g);

#endif
