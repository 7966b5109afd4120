#include "server_process.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "suite.h"

/* A request has TEXT bytes: the text to count, or OPEN_GATE and the number of a gate. */
enum { TEXT = 64, OPEN_GATE = 1 };

static void exchange(int fd, void *data, size_t len, int send_it)
{
    char *at = data;
    ssize_t n;

    for (; len; len -= (size_t)n, at += n) {
        n = send_it ? send(fd, at, len, MSG_NOSIGNAL) : recv(fd, at, len, 0);
        if (n <= 0)
            break;
    }
    if (len)
        memset(at, 0, len);
}

/* Answers the calls of server_process_count(), and opens gates, until the test closes its end of
 * the socket. */
static void answer_requests(struct scripted_server *s, int fd)
{
    char text[TEXT];
    unsigned n;

    for (;;) {
        exchange(fd, text, sizeof text, 0);
        if (!text[0])
            return;
        n = 0;
        if (text[0] == OPEN_GATE)
            scripted_open_gate(s, (unsigned char)text[1]);
        else
            n = scripted_count(s, text);
        exchange(fd, &n, sizeof n, 1);
    }
}

static void serve(struct server_process *p, int fd, int tls,
                  void (*script)(struct scripted_server *s, const void *arg), const void *arg)
{
    struct scripted_server *s = scripted_start(tls);

    if (!s)
        _exit(1);
    script(s, arg);
    snprintf(p->origin, sizeof p->origin, "%s", scripted_origin(s));
    snprintf(p->ca_file, sizeof p->ca_file, "%s", scripted_ca_file(s) ? scripted_ca_file(s) : "");
    snprintf(p->key_file, sizeof p->key_file, "%s", scripted_key_file(s));
    exchange(fd, p, sizeof *p, 1);
    answer_requests(s, fd);
    scripted_stop(s);
    _exit(0);
}

void server_process_start(struct server_process *p, int tls,
                          void (*script)(struct scripted_server *s, const void *arg),
                          const void *arg)
{
    int ends[2];
    pid_t pid;

    memset(p, 0, sizeof *p);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    fflush(NULL);
    pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        close(ends[0]);
        serve(p, ends[1], tls, script, arg);
    }
    close(ends[1]);
    exchange(ends[0], p, sizeof *p, 0);
    ck_assert_msg(p->origin[0] != '\0', "the server did not start");
    p->pid = pid;
    p->fd = ends[0];
}

static unsigned ask_server(const struct server_process *p, char request[TEXT])
{
    unsigned n;

    exchange(p->fd, request, TEXT, 1);
    exchange(p->fd, &n, sizeof n, 0);
    return n;
}

unsigned server_process_count(const struct server_process *p, const char *text)
{
    char request[TEXT] = "";

    snprintf(request, sizeof request, "%s", text);
    return ask_server(p, request);
}

void server_process_open_gate(const struct server_process *p, unsigned char gate)
{
    char request[TEXT] = {OPEN_GATE, (char)gate};

    (void)ask_server(p, request);
}

void server_process_stop(struct server_process *p)
{
    int status = 0;

    close(p->fd);
    ck_assert_int_eq(waitpid(p->pid, &status, 0), p->pid);
    ck_assert_int_eq(status, 0);
}
