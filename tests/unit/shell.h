/* A temporary directory, and functions that run shell commands and read files in it. */
#ifndef BCDA_TESTS_SHELL_H
#define BCDA_TESTS_SHELL_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "../tempdir.h"
#include "suite.h"

static char dir[256];

/* Runs a shell command in the temporary directory. The test fails if the command fails, for example
 * because a tool is not installed. */
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

/* make_dir() and remove_dir() run in the process of main(). Each test runs in a child process, so
 * main() can remove the directory even if a test fails. */
static void make_dir(void)
{
    snprintf(dir, sizeof dir, "%s/bcda-test-XXXXXX", tempdir());
    ck_assert(mkdtemp(dir) != NULL);
}

static void remove_dir(void)
{
    run("rm -rf %s", dir);
}

/* Reads a file of the temporary directory. Returns its bytes, followed by a NUL, in memory that the
 * caller frees. */
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
