/* send_report - what dray send has done: counts, the progress bar, the summary. */
#ifndef DRAY_MASTER_CLI_SEND_REPORT_H
#define DRAY_MASTER_CLI_SEND_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/http/client.h"

#define SEND_REPORT_ANSWERS 32

struct send_report {
    uint64_t started_us;
    uint64_t events, accepted, refused, retried, requests;
    uint64_t input_size, input_read; /* bytes; size 0: not known */
    uint64_t bad_lines, first_bad_line;
    const char *why; /* of the first bad line */
    struct {
        char name[24]; /* a status, or a kind of network error */
        uint64_t n;
    } answers[SEND_REPORT_ANSWERS];
    char first_trouble[256];
};

void send_report_answer(struct send_report *r, const struct http_answer *a);
/* The bar on stderr, and its end. */
void send_report_draw(const struct send_report *r);
void send_report_wipe(void);
/* The summary on stdout; what went wrong on stderr. */
void send_report_print(const struct send_report *r, bool json);

#endif
