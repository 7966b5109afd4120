/*
 * An export in a GLib main loop. The only source is the session's descriptor: it is readable
 * exactly when a step has something to do, also when a timer has expired.
 */
#include <stdio.h>

#include <glib-unix.h>
#include <glib.h>

#include "setup.h"

static gboolean on_ready(gint fd, GIOCondition condition, gpointer userdata)
{
    struct work *w = userdata;

    (void)fd;
    (void)condition;
    if (bcda_session_step(w->session) < 0) {
        fprintf(stderr, "%s\n", bcda_error_text(bcda_session_error(w->session)));
        g_main_loop_quit(w->loop);
    }
    return G_SOURCE_CONTINUE;
}

static void leave(void *loop)
{
    g_main_loop_quit(loop);
}

int main(void)
{
    struct work w;
    guint source;

    if (work_open(&w))
        return 1;
    if (bcda_session_fd(w.session) < 0) { /* a build on poll(): see libuv.c */
        fprintf(stderr, "%s\n", bcda_error_text(bcda_session_error(w.session)));
        return work_close(&w);
    }
    w.ended = leave;
    w.loop = g_main_loop_new(NULL, FALSE);
    source = g_unix_fd_add(bcda_session_fd(w.session), G_IO_IN, on_ready, &w);
    if (work_start(&w) == 0)
        g_main_loop_run(w.loop);
    g_source_remove(source);
    g_main_loop_unref(w.loop);
    return work_close(&w);
}
