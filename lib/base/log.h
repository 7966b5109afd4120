/* Passes log lines to the application's callback. Without a callback nothing is logged. A log line
 * never contains secrets, tokens or patient data. */
#ifndef BCDA_BASE_LOG_H
#define BCDA_BASE_LOG_H

#include "bcda/config.h"

struct bcda__log {
    bcda_log_cb cb;
    void *userdata;
    int level; /* a BCDA_LOG_*: the most detailed level that is logged */
};

void bcda__log(const struct bcda__log *log, int level, const char *component, const char *format,
               ...) __attribute__((format(printf, 4, 5)));

#endif
