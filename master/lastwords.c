/* lastwords - see lastwords.h. */
#include "master/lastwords.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/str.h"

void lastwords_begin(struct lastwords *w)
{
    *w = (struct lastwords){.held_in_all = -1};
}

static void make_plain(char *text)
{
    for (char *p = text; *p != '\0';) {
        size_t left = strlen(p), n = str_utf8_length(p, left);
        if (n == 0 || !str_is_plain(p, n)) {
            *p++ = '?';
            continue;
        }
        p += n;
    }
}

/* Behind what there is; what does not fit any more is dropped at the front. */
static void say(struct lastwords *w, const char *line)
{
    static const char mark[] = " | ";
    size_t add = strlen(line), have = strlen(w->said), gap = have > 0 ? sizeof mark - 1 : 0;
    while (have > 0 && have + gap + add >= sizeof w->said) {
        const char *next = strstr(w->said, mark);
        if (next == NULL) {
            w->said[0] = '\0';
            have = gap = 0;
            break;
        }
        next += sizeof mark - 1;
        memmove(w->said, next, strlen(next) + 1);
        have = strlen(w->said);
    }
    if (gap > 0)
        have += str_copy(w->said + have, mark, sizeof w->said - have);
    (void)str_copy(w->said + have, line, sizeof w->said - have);
}

/* Whole items only. */
static void hold(struct lastwords *w, const char *items)
{
    while (*items != '\0') {
        size_t n = strcspn(items, ","), have = strlen(w->held);
        if (have + 2 + n >= sizeof w->held)
            return;
        snprintf(w->held + have, sizeof w->held - have, "%s%.*s", have > 0 ? ", " : "", (int)n, items);
        items += n;
        items += strspn(items, ", ");
    }
}

/* false: it is no line of a crash report. */
static bool hear_report(struct lastwords *w, const char *line)
{
    static const char begin[] = "crash: signal ",
                      all[] = "crash: in hand in all: ", some[] = "crash: in hand: ";
    if (str_starts(line, begin)) {
        const char *from = strstr(line, " from pid "), *at = strstr(line, " address ");
        w->crashed = w->in_trace = true;
        w->sender = from != NULL ? strtol(from + strlen(" from pid "), NULL, 10) : 0;
        str_copy(w->address, at != NULL ? at + strlen(" address ") : "", sizeof w->address);
    } else if (str_starts(line, all)) {
        w->in_trace = false;
        w->held_in_all = strtol(line + sizeof all - 1, NULL, 10);
    } else if (str_starts(line, some)) {
        w->in_trace = false;
        hold(w, line + sizeof some - 1);
    } else if (str_starts(line, "crash: end")) {
        w->in_trace = false;
    } else {
        return w->in_trace;
    }
    return true;
}

void lastwords_hear(struct lastwords *w, const char *line, size_t len)
{
    char text[4096 + 1];
    if (len >= sizeof text)
        len = sizeof text - 1;
    memcpy(text, line, len);
    text[len] = '\0';
    make_plain(text);
    if (text[0] == '\0' || hear_report(w, text))
        return;
    if (strlen(text) > LASTWORDS_LINE) {
        size_t cut = LASTWORDS_LINE;
        while (cut > 0 && ((unsigned char)text[cut] & 0xc0) == 0x80)
            cut--;
        strcpy(text + cut, "...");
    }
    say(w, text);
}
