/* send_report - see send_report.h. */
#include "master/cli/send_report.h"

#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/str.h"

#define BAR_WIDTH 30

typedef unsigned long long ull;

static double seconds(const struct send_report *r)
{
    return (double)(clock_mono_us() - r->started_us) / 1e6;
}

static double rate(const struct send_report *r, double took)
{
    return took > 0 ? (double)r->accepted / took : 0;
}

static void note_trouble(struct send_report *r, const struct http_answer *a)
{
    char *to = r->first_trouble;
    size_t max = sizeof r->first_trouble - 1;
    if (a->error != HTTP_ERROR_NONE) {
        snprintf(to, max, "%s: %s", http_error_name(a->error), a->text);
        return;
    }
    size_t at = (size_t)snprintf(to, max, "%d: ", a->status);
    for (size_t i = 0; i < a->body_len && at < max; i++)
        to[at++] = a->body[i] >= 0x20 && a->body[i] < 0x7f ? a->body[i] : ' ';
    while (at > 0 && to[at - 1] == ' ')
        at--;
    to[at] = '\0';
}

void send_report_answer(struct send_report *r, const struct http_answer *a)
{
    char name[24];
    if (a->error != HTTP_ERROR_NONE)
        str_copy(name, http_error_name(a->error), sizeof name);
    else
        snprintf(name, sizeof name, "%d", a->status);
    if (r->first_trouble[0] == '\0' && (a->error != HTTP_ERROR_NONE || a->status < 200 || a->status > 299))
        note_trouble(r, a);
    for (int i = 0; i < SEND_REPORT_ANSWERS; i++) {
        if (r->answers[i].name[0] == '\0')
            str_copy(r->answers[i].name, name, sizeof r->answers[i].name);
        if (strcmp(r->answers[i].name, name) == 0) {
            r->answers[i].n++;
            return;
        }
    }
}

void send_report_draw(const struct send_report *r)
{
    char bar[BAR_WIDTH + 1];
    double share = r->input_size > 0 ? (double)r->input_read / (double)r->input_size : 0;
    int full = (int)(share * BAR_WIDTH);
    for (int i = 0; i < BAR_WIDTH; i++)
        bar[i] = i < full ? '#' : '.';
    bar[BAR_WIDTH] = '\0';
    if (r->input_size > 0)
        fprintf(stderr, "\r[%s] %3.0f %%", bar, share * 100);
    else
        fputc('\r', stderr);
    fprintf(stderr, "  %llu accepted  %.0f/s  %llu refused  %llu retried \033[K", (ull)r->accepted,
            rate(r, seconds(r)), (ull)r->refused, (ull)r->retried);
}

void send_report_wipe(void)
{
    fputs("\r\033[K", stderr);
}

static void print_answers(const struct send_report *r, const char *form, const char *between)
{
    for (int i = 0; i < SEND_REPORT_ANSWERS && r->answers[i].name[0] != '\0'; i++) {
        if (i > 0)
            fputs(between, stdout);
        printf(form, r->answers[i].name, (ull)r->answers[i].n);
    }
}

static void print_json(const struct send_report *r, double took)
{
    printf("{\"events\":%llu,\"accepted\":%llu,\"refused\":%llu,\"retried\":%llu,\"bad_lines\":%llu,"
           "\"requests\":%llu,\"seconds\":%.3f,\"rate\":%.1f,\"answers\":{",
           (ull)r->events, (ull)r->accepted, (ull)r->refused, (ull)r->retried, (ull)r->bad_lines,
           (ull)r->requests, took, rate(r, took));
    print_answers(r, "\"%s\":%llu", ",");
    puts("}}");
}

void send_report_print(const struct send_report *r, bool json)
{
    double took = seconds(r);
    if (r->bad_lines > 0)
        fprintf(stderr, "dray send: %llu lines are not JSON, the first is line %llu: %s\n", (ull)r->bad_lines,
                (ull)r->first_bad_line, r->why != NULL ? r->why : "?");
    if (r->refused > 0 && r->first_trouble[0] != '\0')
        fprintf(stderr, "dray send: not everything was accepted; the first trouble was %s\n",
                r->first_trouble);
    if (json) {
        print_json(r, took);
        return;
    }
    printf("events    %llu\naccepted  %llu\nrefused   %llu\nretried   %llu\nrequests  %llu (", (ull)r->events,
           (ull)r->accepted, (ull)r->refused, (ull)r->retried, (ull)r->requests);
    print_answers(r, "%s: %llu", ", ");
    printf(")\nseconds   %.2f\nrate      %.0f events/s\n", took, rate(r, took));
}
