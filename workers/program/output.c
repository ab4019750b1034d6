/* output - see output.h. */
#include "workers/program/output.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

/* redis-server marks these as warnings, at every start and stop; they are none. */
static const char *const banal[] = {"oO0OoO0OoO0Oo",           "Redis version=",
                                    "Configuration loaded",    "Server initialized",
                                    "User requested",          "Redis is now ready to exit",
                                    "Received SIGTERM",        "WARNING Memory overcommit",
                                    "Removing the unix socket"};

static bool is_banal(const char *text, size_t len)
{
    for (size_t i = 0; i < sizeof banal / sizeof *banal; i++)
        if (len >= strlen(banal[i]) && memcmp(text, banal[i], strlen(banal[i])) == 0)
            return true;
    return false;
}

/* The index behind n more words and the space after each; 0 when there are not so many. */
static size_t skip_words(const char *line, size_t len, unsigned n)
{
    size_t i = 0;
    for (; n > 0; n--) {
        const char *space = memchr(line + i, ' ', len - i);
        if (space == NULL || space == line + i)
            return 0;
        i = (size_t)(space - line) + 1;
    }
    return i;
}

/* "1:signal-handler (1795233363) Received SIGTERM scheduling shutdown...": where its text begins, or 0. */
static size_t from_signal_handler(const char *line, size_t len)
{
    static const char mark[] = ":signal-handler (";
    const char *at = memmem(line, len, mark, sizeof mark - 1);
    const char *end = at != NULL ? memmem(at, len - (size_t)(at - line), ") ", 2) : NULL;
    return end != NULL ? (size_t)(end - line) + 2 : 0;
}

enum log_level output_level(const char *line, size_t len, size_t *text_at)
{
    *text_at = len > 0 && isdigit((unsigned char)line[0]) ? from_signal_handler(line, len) : 0;
    if (*text_at > 0)
        return LOGL_INFO;
    /* pid:role day month year time mark */
    size_t mark = len > 0 && isdigit((unsigned char)line[0]) ? skip_words(line, len, 5) : 0;
    if (mark == 0 || mark + 2 > len || line[mark + 1] != ' ')
        return LOGL_WARN;
    *text_at = mark + 2;
    switch (line[mark]) {
    case '.':
    case '-':
        return LOGL_DEBUG;
    case '*':
        return LOGL_INFO;
    case '#':
        return is_banal(line + *text_at, len - *text_at) ? LOGL_INFO : LOGL_WARN;
    default:
        *text_at = 0;
        return LOGL_WARN;
    }
}

void output_flush(struct output *o, output_fn fn, void *arg)
{
    if (o->len > 0 && o->line[o->len - 1] == '\r')
        o->len--;
    if (o->len > 0) {
        size_t at;
        enum log_level level = output_level(o->line, o->len, &at);
        fn(level, o->line + at, o->len - at, arg);
    }
    o->len = 0;
}

void output_feed(struct output *o, const char *data, size_t len, output_fn fn, void *arg)
{
    for (size_t i = 0; i < len; i++) {
        if (data[i] == '\n' || o->len == sizeof o->line)
            output_flush(o, fn, arg);
        if (data[i] != '\n')
            o->line[o->len++] = data[i];
    }
}
