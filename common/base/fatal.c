/* fatal - see fatal.h. */
#include "common/base/fatal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/log.h"

void fatal(enum exitcode code, const char *fmt, ...)
{
    char text[2048];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    log_crit("fatal", "code=%d name=%s msg=%s", (int)code, exitcode_name(code), log_q(text));
    log_end();
    exit(code);
}

void panic(const char *fmt, ...)
{
    char text[2048];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    log_crit("panic", "msg=%s", log_q(text));
    log_end();
    abort();
}
