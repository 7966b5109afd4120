/* With CURLOPT_NOSIGNAL libcurl does not protect the process from SIGPIPE. The signal is blocked
 * while libcurl works, and one that was raised meanwhile is consumed. Never around a callback of
 * the application. */
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
