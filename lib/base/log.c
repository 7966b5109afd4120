#include "base/log.h"

#include <stdarg.h>

#include "base/text.h"

void bcda__log(const struct bcda__log *log, int level, const char *component, const char *format,
               ...)
{
    char line[1024]; /* long enough for an error text with its context */
    va_list args;

    if (!log || !log->cb || level > log->level)
        return;
    va_start(args, format);
    bcda__text_format(line, sizeof line, format, args);
    va_end(args);
    log->cb(level, component, line, log->userdata);
}
