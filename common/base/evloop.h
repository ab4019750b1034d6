/* evloop - how a process fares when libev's own calls fail: epoll, its wake-up pipe, memory.
 *
 * libev would abort, or go deaf without a word. Here a loop that cannot wait tries again and then ends the process with a
 * line and an exit code; a lost wake-up pipe is made again; and each ev_io callback is told by EV_ERROR that its descriptor
 * is not watched any more (every one of ours handles that).
 */
#ifndef DRAY_COMMON_BASE_EVLOOP_H
#define DRAY_COMMON_BASE_EVLOOP_H

#include <ev.h>

/* Once, before the first loop. */
void evloop_install(void);

struct evloop_guard {
    ev_timer look;
    ev_async echo;
};

/* Wakes the loop once a second: an EV_ERROR found before a sleep is told after it. And signals come through a pipe of libev's
 * own: each time a word is sent through it, and when the word before has not come back, the pipe is made anew. The guard
 * does not keep the loop alive. */
void evloop_guard_start(struct evloop_guard *g, struct ev_loop *loop);
void evloop_guard_stop(struct evloop_guard *g, struct ev_loop *loop);

#endif
