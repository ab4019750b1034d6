/* child_note - NOTE: one line for people about what this process is doing.
 *
 * Sent only when it differs from what was sent last, and not more often than each 200 ms: of several within that time
 * the last one counts. While earlier words still wait in the socket it waits too, as a beat does.
 */
#include "workers/child_int.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/base/str.h"

#define NOTE_EVERY 0.2 /* seconds */

/* Ends with a whole character, holds nothing that could steer a terminal. */
static void make_plain(char *text)
{
    char *p = text;
    while (*p != '\0') {
        size_t left = strlen(p), n = str_utf8_length(p, left);
        if (n == 0 && left < 4 && (unsigned char)*p >= 0xc2) { /* cut in the middle */
            *p = '\0';
            return;
        }
        if (n == 0 || !str_is_plain(p, n))
            *p = '?';
        p += *p == '?' ? 1 : n;
    }
}

static void send_note(struct child *c)
{
    if (strcmp(c->note.text, c->note.sent) == 0)
        return;
    if (chan_pending(c->chan) == 0) {
        struct msg m = {.type = MSG_NOTE, .generation = c->generation};
        str_copy(m.u.note.text, c->note.text, sizeof m.u.note.text);
        if (chan_send(c->chan, &m, NULL, 0) == 0)
            str_copy(c->note.sent, c->note.text, sizeof c->note.sent);
    }
    ev_timer_start(c->loop, &c->note.timer);
}

static void on_time(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)revents;
    ev_timer_stop(loop, w);
    ev_timer_set(w, NOTE_EVERY, 0);
    send_note(w->data);
}

void child_note(struct child *c, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(c->note.text, sizeof c->note.text, fmt, ap);
    va_end(ap);
    make_plain(c->note.text);
    if (!c->note.used) {
        c->note.used = true;
        ev_timer_init(&c->note.timer, on_time, NOTE_EVERY, 0);
        c->note.timer.data = c;
    }
    if (!ev_is_active(&c->note.timer))
        send_note(c);
}
