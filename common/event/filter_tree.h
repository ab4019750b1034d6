/* filter_tree - what filter_parse.c makes and filter.c walks; nobody else includes it. */
#ifndef DRAY_COMMON_EVENT_FILTER_TREE_H
#define DRAY_COMMON_EVENT_FILTER_TREE_H

#include "common/event/filter.h"

#define FILTER_EXACT_DIGITS 15 /* whole numbers of so many characters are exact as a double */

enum filter_op {
    FILTER_EQ,
    FILTER_NEQ,
    FILTER_GT,
    FILTER_GTE,
    FILTER_LT,
    FILTER_LTE,
    FILTER_IN,
    FILTER_NIN,
    FILTER_STARTS,
    FILTER_ENDS,
    FILTER_EXISTS,
    FILTER_OPS,
    FILTER_AND = FILTER_OPS,
    FILTER_OR,
    FILTER_NOT,
};

struct filter_value {
    enum json_type type; /* no container */
    char *text;          /* of a string its content, of a number its digits */
    size_t len;
    double number;
};

struct filter_node {
    enum filter_op op;
    unsigned left, right;     /* and, or; not: left alone */
    unsigned slot;            /* comparisons */
    unsigned value, n_values; /* from this one on */
};

struct filter {
    unsigned root, n_nodes, n_values;
    struct filter_value *values;
    struct filter_node *nodes;
};

#endif
