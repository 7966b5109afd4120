#include "input.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static void end_without(const char *what)
{
    fprintf(stderr, "bench: %s cannot be read\n", what);
    exit(1);
}

struct input input_map(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct input f = {0};
    struct stat s;
    void *at;

    if (fd < 0 || fstat(fd, &s) || !s.st_size)
        end_without(path);
    at = mmap(NULL, (size_t)s.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (at == MAP_FAILED)
        end_without(path);
    f.at = at;
    f.len = (size_t)s.st_size;
    return f;
}

size_t input_piece(const struct input *f, size_t at, int stored)
{
    size_t max = stored ? RUN : TEXT;
    size_t len = f->len - at < max ? f->len - at : max;

    while (!stored && len && f->at[at + len - 1] != '\n')
        len--;
    if (!len)
        end_without("the end of a line");
    return len;
}
