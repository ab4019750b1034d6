/* obituary - one line that says everything about the end of a child: who, how, by whom, what it had in hand, what it used.
 *
 * While a child lives, what cannot be asked afterwards is noted: its control group and how often the kernel's OOM killer had
 * struck there, whether it could dump a core, its last words. reap.c calls obituary_write() when it is dead.
 */
#ifndef DRAY_MASTER_OBITUARY_H
#define DRAY_MASTER_OBITUARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/cgroup.h"
#include "master/lastwords.h"

struct master;
struct slot;

/* How an incarnation ended, for metrics and status. */
struct slot_death {
    uint64_t at_ms;     /* monotonic; 0: none yet */
    int status;         /* as from wait(2) */
    const char *reason; /* crash, kill, oom, hang, boot, drain, silent, exit; "": as asked */
};

#define DEATHS_KEPT 16
struct death_history { /* of a slot, also over replacements; those that nobody asked for */
    struct slot_death ring[DEATHS_KEPT];
    unsigned n; /* ever */
};

/* How often the OOM killer had struck, where the child is. */
struct oom_mark {
    bool known;
    char file[32]; /* "memory.events", "memory.oom_control", "/proc/vmstat" */
    uint64_t now,
        before; /* at the last look and at the one before it: the killer counts a bit before one dies */
};

/* What is known of a living child. */
struct obituary {
    struct lastwords words;
    struct cgroup group;
    bool has_group;
    uint32_t group_hash; /* of /proc/PID/cgroup */
    struct oom_mark oom;
    bool core_known, dumpable;
    uint64_t core_limit;
};

void obituary_begin(struct slot *s); /* a new incarnation */
void obituary_tick(struct master *m);
/* A process was waited for: what it used, by the difference. To be called for each one, strangers too. */
struct obituary_used {
    uint64_t cpu_ms, max_rss_bytes; /* 0: not known */
};
struct obituary_used obituary_used(void);
/* s->death is filled in, but for the reason: writes the line, counts it and keeps it. */
void obituary_write(struct slot *s, const struct obituary_used *used);
/* The history goes on with the successor. */
void obituary_inherit(struct slot *heir, const struct slot *dead);
/* "SIGKILL", "78 CONFIG". Returns dst. */
char *obituary_exit_text(int status, char *dst, size_t size);

/* The pieces, pure. Times the OOM killer struck, from the text of such a file. */
bool obituary_parse_oom(const char *text, uint64_t *out);
/* Why there is no core; NULL: this signal makes none. pattern: kernel.core_pattern; limit UINT64_MAX: none. */
const char *obituary_no_core(int signo, bool core_on, bool known, uint64_t limit, bool dumpable,
                             const char *pattern);

#endif
