/* top_page - what dray top shows, as lines of text of a given width. Knows no terminal: the same lines are drawn on a
 * screen and printed by --once. */
#ifndef DRAY_MASTER_CLI_TOP_PAGE_H
#define DRAY_MASTER_CLI_TOP_PAGE_H

#include "master/cli/top_model.h"

enum top_tab { TOP_PROCESSES, TOP_QUEUES, TOP_ERRORS, TOP_HELP };

enum top_style {
    TOP_PLAIN,
    TOP_TITLE,
    TOP_HEAD,
    TOP_GOOD,
    TOP_WARN,
    TOP_BAD,
    TOP_DIM,
    TOP_SELECTED,
    TOP_STYLES
};

struct top_view {
    enum top_tab tab;
    enum top_column sort;
    bool reverse, editing, details;
    char filter[64];
    char selected[TOP_WHO_SIZE]; /* "" = none */
    size_t scroll;               /* lines of the list that are above the screen */
    double interval_s;
    const char *trouble; /* why there is nothing new, or NULL */
    double trouble_s;
};

struct top_line {
    char *text;
    enum top_style style;
};

struct top_page {
    int width, height; /* height 0: as many lines as it takes, all of it */
    struct top_line *lines;
    size_t n;
};

/* Draws anew. The view is corrected where it points beyond what there is. */
void top_page_make(struct top_page *p, const struct top_model *m, struct top_view *v, int width, int height);
void top_page_fini(struct top_page *p);
/* The parts. */
void top_page_add(struct top_page *p, enum top_style style, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void top_page_processes(struct top_page *p, const struct top_model *m, struct top_view *v, size_t room);
void top_page_queues(struct top_page *p, const struct top_model *m, struct top_view *v, size_t room);
void top_page_errors(struct top_page *p, const struct top_model *m, struct top_view *v, size_t room);
void top_page_details(struct top_page *p, const struct top_model *m, struct top_view *v, size_t room);
/* A number with a unit in at most 6 characters ("1234", "12.3k"); "-" when it is below 0. */
const char *top_page_number(double n, char dst[16]);

#endif
