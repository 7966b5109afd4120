/* A broken client, which the bench must detect: each log line shows the Authorization header that
 * the client sent last. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "net/http.h"

static char authorization[4096];

int __real_bcda__transfer_start(struct bcda__transfer **out, struct bcda__http *h,
                                const struct bcda__transfer_request *r,
                                const struct bcda__transfer_events *events, struct bcda_error *err);
int __wrap_bcda__transfer_start(struct bcda__transfer **out, struct bcda__http *h,
                                const struct bcda__transfer_request *r,
                                const struct bcda__transfer_events *events, struct bcda_error *err);
void __wrap_bcda__log(const struct bcda__log *log, int level, const char *component,
                      const char *format, ...) __attribute__((format(printf, 4, 5)));

int __wrap_bcda__transfer_start(struct bcda__transfer **out, struct bcda__http *h,
                                const struct bcda__transfer_request *r,
                                const struct bcda__transfer_events *events, struct bcda_error *err)
{
    if (r->authorization)
        snprintf(authorization, sizeof authorization, "%.*s", (int)r->authorization->len,
                 r->authorization->data);
    return __real_bcda__transfer_start(out, h, r, events, err);
}

void __wrap_bcda__log(const struct bcda__log *log, int level, const char *component,
                      const char *format, ...)
{
    char line[8192];
    size_t len;
    va_list args;

    if (!log || !log->cb || level > log->level)
        return;
    va_start(args, format);
    vsnprintf(line, 512, format, args);
    va_end(args);
    len = strlen(line);
    snprintf(line + len, sizeof line - len, " (%s)", authorization);
    log->cb(level, component, line, log->userdata);
}
