/* filter - a condition on the fields of an event, compiled once: `properties.amount gte 100 and not (userId exists)`.
 *
 * Operators: eq neq gt gte lt lte in nin startsWith endsWith exists; and, or, not, parentheses. Values are written as in
 * JSON (a text also in single quotes); a path is names with dots between them, a name that is no plain word in double
 * quotes. Matching reads only the slots that event_scan_picked() has filled: no second pass, no allocation. Pure.
 *
 * A field that is absent, or of another type than the value, is not equal to it, neither less nor greater; so neq and
 * nin hold there. Numbers compare as numbers, texts byte by byte (times in ISO form in their order). null exists.
 */
#ifndef DRAY_COMMON_EVENT_FILTER_H
#define DRAY_COMMON_EVENT_FILTER_H

#include <stdbool.h>
#include <stddef.h>

#include "common/event/pick.h"

#define FILTER_DEPTH_MAX  16  /* not and parentheses inside each other */
#define FILTER_NODES_MAX  256 /* comparisons, and, or, not */
#define FILTER_VALUES_MAX 256 /* values, those in lists included */
#define FILTER_TEXT_MAX   4096

struct filter;

struct filter_fault {
    size_t at;     /* the byte of the text that it is about */
    char why[200]; /* what is wrong and what to do */
};

/* The fields it reads are put into p. NULL: *fault is set. */
struct filter *filter_compile(const char *text, struct pick *p, struct filter_fault *fault);
void filter_free(struct filter *f);
bool filter_match(const struct filter *f, const struct json_slice *slots);

#endif
