/* fault - the lines about faults: place, key, what is wrong, and the text of the line with a mark under it.
 *
 * A line of the file that holds a secret is never shown. */
#include "common/conf/internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define FAULTS_MAX  40 /* told in full; the rest is counted */
#define EXCERPT_MAX 100

static const char *find_line(const struct conf_origin *from, unsigned number, size_t *len)
{
    const char *p = from->text, *end = p + from->len;
    for (unsigned n = 1; n < number; n++) {
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        if (newline == NULL)
            return NULL;
        p = newline + 1;
    }
    const char *newline = memchr(p, '\n', (size_t)(end - p));
    *len = newline != NULL ? (size_t)(newline - p) : (size_t)(end - p);
    return p;
}

static bool holds(const char *line, size_t len, const char *word)
{
    return memmem(line, len, word, strlen(word)) != NULL;
}

static bool shows_secret(const char *line, size_t len)
{
    static const char *const words[] = {"password", "token", "write_key", "writeKey", "@", "secret"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (holds(line, len, words[i]))
            return true;
    return false;
}

static void put_excerpt(struct buf *out, const struct conf_place *at)
{
    size_t len;
    const char *line = at->from->text != NULL && at->line > 0 ? find_line(at->from, at->line, &len) : NULL;
    if (line == NULL || len > EXCERPT_MAX || shows_secret(line, len))
        return;
    (void)buf_printf(out, "%5u | ", at->line);
    for (size_t i = 0; i < len; i++)
        (void)buf_appendc(out, (unsigned char)line[i] < 0x20 ? ' ' : line[i]);
    (void)buf_appendc(out, '\n');
    if (at->column > 0)
        (void)buf_printf(out, "      | %*s^\n", (int)at->column - 1, "");
}

static void put(struct buf *out, const struct conf_place *at, const char *fmt, va_list ap)
{
    (void)buf_puts(out, at->from->name);
    if (at->line > 0)
        (void)buf_printf(out, ":%u", at->line);
    if (at->line > 0 && at->column > 0)
        (void)buf_printf(out, ":%u", at->column);
    (void)buf_puts(out, ": ");
    if (at->path[0] != '\0')
        (void)buf_printf(out, "%s: ", at->path);
    (void)buf_vprintf(out, fmt, ap);
    (void)buf_appendc(out, '\n');
    if (!at->secret)
        put_excerpt(out, at);
}

void conf_fault(struct conf_reader *r, const struct conf_place *at, const char *fmt, ...)
{
    if (++r->faults > FAULTS_MAX)
        return;
    va_list ap;
    va_start(ap, fmt);
    put(r->errors, at, fmt, ap);
    va_end(ap);
    if (r->faults == FAULTS_MAX)
        (void)buf_puts(r->errors, "more faults are not shown\n");
}

void conf_warning(struct conf_reader *r, const struct conf_place *at, const char *fmt, ...)
{
    struct conf_place plain = *at;
    plain.secret = true; /* a warning is one line */
    va_list ap;
    va_start(ap, fmt);
    put(r->warnings, &plain, fmt, ap);
    va_end(ap);
}
