#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/text.h"

void bcda__log(const struct bcda__log *log, int level, const char *component, const char *format,
               ...)
{
    char line[512];
    va_list args;

    if (!log || !log->cb || level > log->level)
        return;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    bcda__text_cut_utf8(line);
    bcda__text_one_line(line);
    log->cb(level, component, line, log->userdata);
}
