/* log - see log.h. One static struct is the process' only logging state. */
#include "common/base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/fd.h"
#include "common/base/str.h"

#define QUOTE_SLOTS 8
#define QUOTE_MAX   910

enum log_target { TARGET_STDERR, TARGET_MASTER, TARGET_WRITER };

static struct {
    enum log_target target;
    enum log_level level;
    log_writer_fn writer;
    void *writer_arg;
    void (*end)(void *arg);
    void *end_arg;
    uint64_t dropped;
    uint64_t told; /* drops already reported */
    char quoted[QUOTE_SLOTS][QUOTE_MAX];
    unsigned next_quote;
} state = {.level = LOGL_INFO};

static const char *const level_names[] = {"crit", "error", "warn", "info", "debug"};

void log_to_master(void)
{
    (void)fd_set_nonblock(STDERR_FILENO);
    state.target = TARGET_MASTER;
}

void log_to_stderr(void)
{
    state.target = TARGET_STDERR;
}

void log_to_writer(log_writer_fn fn, void *arg)
{
    state.target = TARGET_WRITER;
    state.writer = fn;
    state.writer_arg = arg;
}

void log_on_end(void (*fn)(void *arg), void *arg)
{
    state.end = fn;
    state.end_arg = arg;
}

void log_end(void)
{
    if (state.end != NULL)
        state.end(state.end_arg);
}

void log_set_level(enum log_level level)
{
    state.level = level;
}

enum log_level log_get_level(void)
{
    return state.level;
}

const char *log_level_name(enum log_level level)
{
    return level <= LOGL_DEBUG ? level_names[level] : "?";
}

int log_level_parse(const char *name, enum log_level *out)
{
    for (size_t i = 0; i < sizeof level_names / sizeof *level_names; i++)
        if (strcmp(name, level_names[i]) == 0) {
            *out = (enum log_level)i;
            return 0;
        }
    errno = EINVAL;
    return -1;
}

uint64_t log_dropped(void)
{
    return state.dropped;
}

/* Appends one formatted piece; what does not fit is cut. Returns the new length. */
static size_t line_add(char *line, size_t len, size_t size, const char *fmt, va_list ap)
{
    int n = vsnprintf(line + len, size - len, fmt, ap);
    if (n < 0)
        return len;
    return (size_t)n < size - len ? len + (size_t)n : size - 1;
}

/* A line is one line: what a caller forgot to quote must not start another. */
static void line_clean(char *line, size_t from, size_t len)
{
    for (size_t i = from; i < len; i++)
        if (line[i] == '\n' || line[i] == '\r' || line[i] == '\001')
            line[i] = ' ';
}

static void write_tagged(char *line, size_t len)
{
    if (state.dropped > state.told) {
        char note[80];
        int n = snprintf(note, sizeof note, "%c%devent=log_dropped n=%llu\n", LOG_TAG, LOGL_WARN,
                         (unsigned long long)(state.dropped - state.told));
        uint64_t seen = state.dropped;
        if (write(STDERR_FILENO, note, (size_t)n) == n)
            state.told = seen;
    }
    line[len++] = '\n';
    ssize_t w;
    do {
        w = write(STDERR_FILENO, line, len);
    } while (w < 0 && errno == EINTR);
    if (w < 0)
        state.dropped++;
}

void log_event(enum log_level level, const char *event, const char *fmt, ...)
{
    if (level > state.level)
        return;
    int saved = errno;
    char line[LOG_LINE_MAX];
    size_t size = sizeof line - 1; /* room for the newline */
    int head = state.target == TARGET_MASTER
                   ? snprintf(line, size, "%c%devent=%s", LOG_TAG, level, event)
                   : snprintf(line, size, state.target == TARGET_STDERR ? "dray: %s" : "event=%s", event);
    size_t len = head < 0 ? 0 : (size_t)head < size ? (size_t)head : size - 1;
    if (fmt[0] != '\0' && len + 1 < size) {
        line[len++] = ' ';
        va_list ap;
        va_start(ap, fmt);
        len = line_add(line, len, size, fmt, ap);
        va_end(ap);
    }
    line_clean(line, state.target == TARGET_MASTER ? 2 : 0, len);
    switch (state.target) {
    case TARGET_MASTER:
        write_tagged(line, len);
        break;
    case TARGET_WRITER:
        line[len] = '\0';
        state.writer(level, line, state.writer_arg);
        break;
    case TARGET_STDERR:
        line[len++] = '\n';
        if (write(STDERR_FILENO, line, len) < 0)
            state.dropped++;
        break;
    }
    errno = saved;
}

/* The escape of what stands at text, at most 4 bytes; *used bytes of it are meant. */
static size_t escape(const char *text, size_t left, char out[4], size_t *used)
{
    static const char hex[] = "0123456789abcdef";
    unsigned char c = (unsigned char)text[0];
    size_t n = str_utf8_length(text, left);
    bool steers = c == 0xc2 && n == 2 && (unsigned char)text[1] < 0xa0; /* C1 */
    *used = n > 1 && !steers ? n : 1;
    if (c == '"' || c == '\\' || c == '\n') {
        memcpy(out, (const char[]){'\\', c == '\n' ? 'n' : (char)c}, 2);
        return 2;
    }
    if (c < 0x20 || c == 0x7f || n == 0 || steers) {
        memcpy(out, (const char[]){'\\', 'x', hex[c >> 4], hex[c & 15]}, 4);
        return 4;
    }
    memcpy(out, text, *used);
    return *used;
}

size_t log_quote(char *dst, size_t size, const char *text, size_t len, size_t *used)
{
    char piece[4];
    size_t n = 0, at = 0, step;
    dst[n++] = '"';
    while (at < len) {
        size_t k = escape(text + at, len - at, piece, &step);
        if (n + k + 2 > size)
            break;
        memcpy(dst + n, piece, k);
        n += k;
        at += step;
    }
    dst[n++] = '"';
    dst[n] = '\0';
    if (used != NULL)
        *used = at;
    return n;
}

const char *log_qn(const char *text, unsigned long len)
{
    char *out = state.quoted[state.next_quote++ % QUOTE_SLOTS];
    (void)log_quote(out, sizeof state.quoted[0], text, text == NULL ? 0 : len, NULL);
    return out;
}

const char *log_q(const char *text)
{
    return log_qn(text, text == NULL ? 0 : strlen(text));
}
