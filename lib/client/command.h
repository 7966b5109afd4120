/* A command of the application that prints a token. It runs in a process of its own, and the
 * session's engine watches its output. */
#ifndef BCDA_CLIENT_COMMAND_H
#define BCDA_CLIENT_COMMAND_H

#include "net/engine.h"

struct bcda__command;

/* The longest output. */
enum { BCDA__COMMAND_OUTPUT_MAX = 64 * 1024 };

struct bcda__command_spec {
    const char *text;    /* given to /bin/sh -c */
    int64_t time_max_ms; /* on the engine's clock */
    /* Called once, from a step. `err` is NULL if the command succeeded, and `output`, which is not
     * terminated, is then valid until the command is freed. The owner frees the command. */
    void (*done)(void *ctx, const char *output, size_t len, const struct bcda_error *err);
    void *ctx;
};

/* Returns 0, BCDA_ERR_SYSTEM or BCDA_ERR_NOMEM, with `err` filled. */
int bcda__command_start(struct bcda__command **out, struct bcda__engine *engine,
                        const struct bcda__command_spec *spec, struct bcda_error *err);
/* Kills the shell if it still runs. In a child of fork() (`forked`) nothing is killed: the command
 * is a process of the parent. NULL is allowed. */
void bcda__command_free(struct bcda__command *c, int forked);

#endif
