/* A scripted server in a process of its own, for tests that fork: the threads of a server in this
 * one could hold a lock of the allocator's at that moment, and its descriptors would be a child's
 * as well. */
#ifndef BCDA_TESTS_SERVER_PROCESS_H
#define BCDA_TESTS_SERVER_PROCESS_H

#include <sys/types.h>

#include "scripted_server.h"

struct server_process {
    pid_t pid;
    int fd;                                       /* a socket to it; it ends when that is closed */
    char origin[64], ca_file[256], key_file[256]; /* "" = none */
};

/* `script` adds the answers, in that process. */
void server_process_start(struct server_process *p, int tls,
                          void (*script)(struct scripted_server *s, const void *arg),
                          const void *arg);
/* How many requests had this text in their head. */
unsigned server_process_count(const struct server_process *p, const char *text);
void server_process_stop(struct server_process *p);

#endif
