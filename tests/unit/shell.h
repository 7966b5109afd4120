/* A directory with files that commands of the shell make and read. */
#ifndef BCDA_TESTS_SHELL_H
#define BCDA_TESTS_SHELL_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "../tempdir.h"
#include "suite.h"

static char dir[256];

/* A command of the shell, in the directory. A tool that is missing fails the test. */
__attribute__((format(printf, 1, 2))) static void run(const char *format, ...)
{
    char command[6000];
    va_list args;
    int n = snprintf(command, sizeof command, "cd %s && ", dir);

    va_start(args, format);
    n += vsnprintf(command + n, sizeof command - (size_t)n, format, args);
    va_end(args);
    ck_assert_int_lt(n, (int)sizeof command);
    ck_assert_msg(system(command) == 0, "failed: %s", command);
}

/* These two run in the process of main(), so that a test that fails leaves no files. */
static void make_dir(void)
{
    snprintf(dir, sizeof dir, "%s/bcda-test-XXXXXX", tempdir());
    ck_assert(mkdtemp(dir) != NULL);
}

static void remove_dir(void)
{
    run("rm -rf %s", dir);
}

/* The bytes of a file, with a NUL behind them. */
static void *slurp(const char *name, size_t *len)
{
    char path[300], *data;
    FILE *f;
    long size;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    f = fopen(path, "rb");
    ck_assert_msg(f != NULL, "no %s", path);
    fseek(f, 0, SEEK_END);
    size = ftell(f);
    rewind(f);
    data = malloc((size_t)size + 1);
    *len = fread(data, 1, (size_t)size, f);
    ck_assert_uint_eq(*len, (size_t)size);
    data[*len] = '\0';
    fclose(f);
    return data;
}

#endif
