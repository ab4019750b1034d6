/* demo_host - the instance that a demo runs: a folder under /tmp, a sink and a `dray run` in it, and what they say. */
#ifndef DRAY_MASTER_CLI_DEMO_HOST_H
#define DRAY_MASTER_CLI_DEMO_HOST_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define DEMO_HOST_PATH 256
#define DEMO_HOST_URL  128

struct demo_host {
    char dir[DEMO_HOST_PATH], log[DEMO_HOST_PATH], socket[DEMO_HOST_PATH], record[DEMO_HOST_PATH];
    char sink_url[DEMO_HOST_URL], ingest_url[DEMO_HOST_URL], console_url[DEMO_HOST_URL];
    pid_t sink, run;
};

/* Everything up to a sink that listens and a `dray run` that was started. 0, or an exit status (said on stderr). */
int demo_host_start(struct demo_host *h);
/* Is it ready to take events? Fills in the URLs. CLI_GO_ON while it is not, 0, or an exit status when it has ended. */
int demo_host_ready(struct demo_host *h);
/* One process of the kind, slot 0, in state up: its pid and how long it took to get ready. 0 when there is none. */
pid_t demo_host_worker(const struct demo_host *h, const char *kind, uint64_t *boot_ms);
/* What the sink has counted; NULL when it does not answer. */
json_t *demo_host_counts(const struct demo_host *h);
/* Ends both (in order: dray drains into the sink) and removes the folder. */
void demo_host_stop(struct demo_host *h);

#endif
