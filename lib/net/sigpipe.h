/* With NOSIGNAL libcurl does not shield the process from SIGPIPE: it is blocked while
 * libcurl works, and one that came meanwhile is eaten. Never around a host's callback. */
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
