/* turn - see turn.h. */
#include "master/turn.h"

#include <signal.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"

static volatile sig_atomic_t continued; /* so often was this process stopped, and went on */

static void on_continued(int sig)
{
    (void)sig;
    continued = (sig_atomic_t)((unsigned)continued + 1);
}

static void begin(struct turn *t)
{
    t->continued = continued;
    t->began_us = t->mark_us = clock_mono_us();
    t->cpu_us = clock_cpu_us();
    t->part = "other";
    t->part_us = 0;
}

void turn_part(struct turn *t, const char *name)
{
    if (t->began_us == 0)
        return;
    uint64_t now = clock_mono_us(), took = now - t->mark_us;
    t->mark_us = now;
    if (took <= t->part_us)
        return;
    t->part = name;
    t->part_us = took;
}

/* Buckets that have passed meanwhile are empty. */
static void advance(struct turn *t, uint64_t now_us)
{
    uint64_t no = now_us / (TURN_BUCKET_S * 1000000ull);
    if (no - t->bucket_no >= TURN_BUCKETS)
        memset(t->bucket_us, 0, sizeof t->bucket_us);
    else
        while (t->bucket_no < no)
            t->bucket_us[++t->bucket_no % TURN_BUCKETS] = 0;
    t->bucket_no = no;
}

uint64_t turn_minute_us(const struct turn *t)
{
    uint64_t worst = 0, oldest = clock_mono_us() / (TURN_BUCKET_S * 1000000ull) - (TURN_BUCKETS - 1);
    for (uint64_t no = t->bucket_no; no >= oldest && no + TURN_BUCKETS > t->bucket_no; no--)
        if (t->bucket_us[no % TURN_BUCKETS] > worst)
            worst = t->bucket_us[no % TURN_BUCKETS];
    return worst;
}

static void tell(struct turn *t, uint64_t took_us, uint64_t cpu_us, uint64_t now_ms)
{
    if (took_us <= TURN_PROMISE_MS * 1000ull || (t->told_ms != 0 && now_ms - t->told_ms < TURN_TELL_EVERY_MS))
        return;
    t->told_ms = now_ms;
    log_info("slow_turn", "ms=%llu cpu_ms=%llu part=%s part_ms=%llu", (unsigned long long)(took_us / 1000),
             (unsigned long long)(cpu_us / 1000), t->part, (unsigned long long)(t->part_us / 1000));
}

static void on_wake(struct ev_loop *loop, ev_check *w, int revents)
{
    (void)loop, (void)revents;
    begin(w->data);
}

static void on_sleep(struct ev_loop *loop, ev_prepare *w, int revents)
{
    (void)loop, (void)revents;
    struct turn *t = w->data;
    if (t->began_us == 0)
        return;
    turn_part(t, "other");
    uint64_t now = t->mark_us, took = now - t->began_us, cpu = clock_cpu_us() - t->cpu_us;
    t->began_us = 0;
    if (t->continued != continued) {
        t->stopped++;
        return;
    }
    advance(t, now);
    if (took > t->bucket_us[t->bucket_no % TURN_BUCKETS])
        t->bucket_us[t->bucket_no % TURN_BUCKETS] = took;
    if (took > t->worst_us) {
        t->worst_us = took;
        t->worst_part = t->part;
        t->worst_cpu_us = cpu;
    }
    tell(t, took, cpu, now / 1000);
}

void turn_start(struct turn *t, struct ev_loop *loop)
{
    memset(t, 0, sizeof *t);
    t->worst_part = "";
    t->bucket_no = clock_mono_us() / (TURN_BUCKET_S * 1000000ull);
    sigaction(SIGCONT, &(struct sigaction){.sa_handler = on_continued, .sa_flags = SA_RESTART}, NULL);
    /* First of all that a wake brings, last of all that comes before a sleep. */
    ev_check_init(&t->wakes, on_wake);
    ev_set_priority(&t->wakes, EV_MAXPRI);
    t->wakes.data = t;
    ev_check_start(loop, &t->wakes);
    ev_prepare_init(&t->sleeps, on_sleep);
    ev_set_priority(&t->sleeps, EV_MINPRI);
    t->sleeps.data = t;
    ev_prepare_start(loop, &t->sleeps);
    begin(t);
}

void turn_stop(struct turn *t, struct ev_loop *loop)
{
    ev_check_stop(loop, &t->wakes);
    ev_prepare_stop(loop, &t->sleeps);
}
