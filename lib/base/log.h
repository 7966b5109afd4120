/* Log lines for the host's callback. Silent unless one was set; never secrets, tokens, patient
 * data. */
#ifndef BCDA_BASE_LOG_H
#define BCDA_BASE_LOG_H

#include "bcda/config.h"

struct bcda__log {
    bcda_log_cb cb;
    void *userdata;
    int level; /* the most detailed that is wanted */
};

void bcda__log(const struct bcda__log *log, int level, const char *component, const char *format,
               ...) __attribute__((format(printf, 4, 5)));

#endif
