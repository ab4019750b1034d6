/* sandbox - what a child may still do once it works: system calls (seccomp, sandbox.def) and files (Landlock).
 *
 * child.c enters it when the configuration is read and the kind has started, before the first event is looked at: what
 * comes from outside is only ever read inside. A call that is not in the table is answered EPERM and told once by its
 * number; the process goes on. The master is never filtered: it must fork, and what it executes would inherit.
 * A filter cannot see paths, so openat is read-only for kinds that write nothing; Landlock sees them, where there is one.
 */
#ifndef DRAY_WORKERS_SANDBOX_H
#define DRAY_WORKERS_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>

#include "common/conf/conf.h"

/* Columns of sandbox.def. A new kind: a bit here, its name in the rows that it needs. */
enum sandbox_kind {
    SANDBOX_NONE = 0, /* the keeper of programs: it executes them, and they would inherit */
    SANDBOX_INGEST = 1,
    SANDBOX_DELIVERY = 2,
    SANDBOX_CONSOLE = 4,
    SANDBOX_SPOOL = 8,
    SANDBOX_TEST = 128,
};

/* Before the kind starts, so that its threads are inside too. 0, or the exit code (told). */
enum exitcode sandbox_enter_files(enum sandbox_kind kind, const struct conf *c);
/* After it has started. 0, or the exit code (told). A kernel without seccomp is told and accepted. */
enum exitcode sandbox_enter_calls(enum sandbox_kind kind, const struct conf *c);

/* sandbox_files.c: Landlock. What the folders of which are read and written; a NULL ends each list; what does not exist
 * is left out. The ABI in force, 0: the kernel has none, -1 with errno. */
int sandbox_files_restrict(const char *const *read, const char *const *write);

/* sandbox_calls.c: the filter itself; default_log: what is not allowed is only told to the kernel's log. 0, or -1 with
 * errno (ENOSYS, EINVAL: the kernel has no seccomp). */
int sandbox_calls_restrict(enum sandbox_kind kind, bool default_log);
/* Tells a denied call (async-signal-safe) from the handler of SIGSYS on; installed by sandbox_calls_restrict. */
unsigned sandbox_calls_denied(void); /* so many different ones so far */

#endif
