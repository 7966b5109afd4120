/* Standard descriptors and signals. */
#include "common.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

static bcda_session *volatile signalled_session;
static volatile sig_atomic_t got_signal;

static void note_signal(int number)
{
    int saved_errno = errno;

    got_signal = number;
    if (signalled_session)
        bcda_session_wakeup(signalled_session);
    errno = saved_errno;
}

/* The first Ctrl-C ends the jobs in an orderly way; a second one ends the program. */
void process_catch_signals(bcda_session *session)
{
    struct sigaction action = {.sa_handler = session ? note_signal : SIG_DFL};

    signalled_session = session;
    sigemptyset(&action.sa_mask);
    action.sa_flags = (int)SA_RESETHAND;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN); /* write() reports a closed standard output */
}

int process_signal(void)
{
    return got_signal;
}

/* A closed standard descriptor would be given to a file or a socket, and messages would be written
 * to it. /dev/null is opened for writing as standard input, and for reading as standard output and
 * error, so that using the descriptor still fails. */
int process_open_standard_files(void)
{
    int fd;

    for (fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 &&
            open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
            return -1;
    return 0;
}
