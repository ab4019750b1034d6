/* send_input - from lines of text to the bodies of requests, for dray send. Pure. */
#ifndef DRAY_MASTER_CLI_SEND_INPUT_H
#define DRAY_MASTER_CLI_SEND_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/list.h"

#define SEND_INPUT_LINE_MAX (64u << 20)
#define SEND_INPUT_BODY_MAX (3u << 20) /* of gathered events: below the server's limits.request */

struct send_body {
    struct list link;
    struct buf text; /* {"batch":[...]} */
    struct buf ids;  /* the messageIds, a newline behind each */
    uint32_t events;
};

struct send_input {
    unsigned batch;         /* events a body */
    struct buf line;        /* the unfinished line */
    struct send_body *open; /* events that are gathered */
    struct list ready;      /* struct send_body, whole */
    size_t n_ready;
    uint64_t lines, bad_lines, first_bad_line;
    const char *why; /* of the first bad line */
};

void send_input_init(struct send_input *in, unsigned batch);
void send_input_fini(struct send_input *in);
/* Bytes as they come. A line is one event, which gets a messageId when it has none (so that it stays the same event
 * when it is sent again), or a whole {"batch":[...]} body. -1: a line over SEND_INPUT_LINE_MAX. */
int send_input_feed(struct send_input *in, const char *data, size_t len);
/* The last line has ended, too. */
void send_input_end(struct send_input *in);
/* What has been gathered becomes a body, however few. */
void send_input_flush(struct send_input *in);
/* The next whole body, or NULL; the caller frees it. */
struct send_body *send_input_take(struct send_input *in);
void send_body_free(struct send_body *b);

#endif
