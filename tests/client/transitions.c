/* bcda__note_transition() for test builds. It appends each transition that the library's state
 * machines take to the file that the environment variable BCDA_TRANSITIONS names: each transition
 * once, as far as possible. */
#include "base/transition.h"

#ifdef BCDA_NOTE_TRANSITIONS
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

enum { MOST = 128, LINE = 96 };

static atomic_flag busy = ATOMIC_FLAG_INIT;
static char noted[MOST][LINE];

static int is_new(const char *line)
{
    int i;

    for (i = 0; i < MOST && noted[i][0]; i++)
        if (strcmp(noted[i], line) == 0)
            return 0;
    if (i < MOST)
        strcpy(noted[i], line);
    return 1;
}

/* Uses writev(), because tests replace write(), and one call, so that the lines of several
 * processes do not mix. Takes no lock, which a child of fork() must not do. */
static void append(const char *path, char *line)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    struct iovec v = {line, strlen(line)};

    if (fd < 0 || writev(fd, &v, 1) != (ssize_t)v.iov_len)
        perror(path);
    if (fd >= 0)
        close(fd);
}

void bcda__note_transition(const char *machine, const char *from, const char *to)
{
    const char *path = getenv("BCDA_TRANSITIONS");
    char line[LINE];

    if (!path)
        return;
    snprintf(line, sizeof line, "%s %s %s\n", machine, from, to);
    /* The flag may be held by another thread, even by one that existed only in the parent process:
     * do not wait for it. The line may then be in the file twice. */
    if (atomic_flag_test_and_set(&busy)) {
        append(path, line);
        return;
    }
    if (is_new(line))
        append(path, line);
    atomic_flag_clear(&busy);
}
#else
typedef int transitions_are_not_noted;
#endif
