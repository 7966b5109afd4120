/* A scripted server in a process of its own, for tests that fork. If the server ran in the process
 * of the test, its threads could hold a lock of the allocator during fork(), and the child would
 * inherit its descriptors. */
#ifndef BCDA_TESTS_SERVER_PROCESS_H
#define BCDA_TESTS_SERVER_PROCESS_H

#include <sys/types.h>

#include "scripted_server.h"

struct server_process {
    pid_t pid;
    int fd; /* a socket to the process, which ends when the socket is closed */
    char origin[64], ca_file[256], key_file[256]; /* "" = none */
};

/* Starts the server. `script` is called in the new process and adds the answers. */
void server_process_start(struct server_process *p, int tls,
                          void (*script)(struct scripted_server *s, const void *arg),
                          const void *arg);
/* Returns how many requests had this text in the head. */
unsigned server_process_count(const struct server_process *p, const char *text);
/* Opens a gate of the script (scripted_gate()). */
void server_process_open_gate(const struct server_process *p, unsigned char gate);
void server_process_stop(struct server_process *p);

#endif
