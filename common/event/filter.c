/* filter - see filter.h. The text is compiled in filter_parse.c; this is what happens to each event. */
#include "common/event/filter.h"

#include <stdlib.h>
#include <string.h>

#include "common/event/filter_tree.h"

void filter_free(struct filter *f)
{
    if (f == NULL)
        return;
    for (unsigned i = 0; i < f->n_values; i++)
        free(f->values[i].text);
    free(f->values);
    free(f->nodes);
    free(f);
}

/* ---- numbers */

static bool is_whole(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (text[i] == '.' || text[i] == 'e' || text[i] == 'E')
            return false;
    return true;
}

/* Whole numbers that a double does not hold exactly. */
static int compare_whole(const char *a, size_t a_len, const char *b, size_t b_len)
{
    bool a_less = a[0] == '-', b_less = b[0] == '-';
    if (a_less != b_less)
        return a_less ? -1 : 1;
    int r = a_len != b_len ? (a_len < b_len ? -1 : 1) : memcmp(a, b, a_len);
    return a_less ? -r : r;
}

static int compare_numbers(const struct json_slice *v, const struct filter_value *w)
{
    if ((v->len > FILTER_EXACT_DIGITS || w->len > FILTER_EXACT_DIGITS) && is_whole(v->text, v->len) &&
        is_whole(w->text, w->len))
        return compare_whole(v->text, v->len, w->text, w->len);
    double n = strtod(v->text, NULL); /* ends at what stands behind a number: a member of an object */
    return n < w->number ? -1 : n > w->number;
}

/* ---- one comparison */

static bool equal(const struct json_slice *v, const struct filter_value *w)
{
    if (v->type != w->type)
        return false;
    switch (w->type) {
    case JSON_NUMBER:
        return compare_numbers(v, w) == 0;
    case JSON_STRING:
        return json_key_is(v, w->text);
    default: /* null, true, false */
        return true;
    }
}

static bool among(const struct filter *f, const struct filter_node *n, const struct json_slice *v)
{
    for (unsigned i = 0; i < n->n_values; i++)
        if (equal(v, &f->values[n->value + i]))
            return true;
    return false;
}

static bool ordered(enum filter_op op, const struct json_slice *v, const struct filter_value *w)
{
    int r;
    if (v->type != w->type)
        return false;
    r = v->type == JSON_NUMBER ? compare_numbers(v, w) : json_compare(v, w->text, w->len);
    switch (op) {
    case FILTER_GT:
        return r > 0;
    case FILTER_GTE:
        return r >= 0;
    case FILTER_LT:
        return r < 0;
    default:
        return r <= 0;
    }
}

static bool compare(const struct filter *f, const struct filter_node *n, const struct json_slice *v)
{
    const struct filter_value *w = &f->values[n->value];
    bool there = v->text != NULL;
    switch (n->op) {
    case FILTER_EXISTS:
        return there;
    case FILTER_EQ:
    case FILTER_IN:
        return there && among(f, n, v);
    case FILTER_NEQ:
    case FILTER_NIN:
        return !there || !among(f, n, v);
    case FILTER_STARTS:
        return there && v->type == JSON_STRING && json_starts(v, w->text, w->len);
    case FILTER_ENDS:
        return there && v->type == JSON_STRING && json_ends(v, w->text, w->len);
    default:
        return there && ordered(n->op, v, w);
    }
}

/* Depth: FILTER_DEPTH_MAX, and chains of `and` and `or` go on to the right in a loop. */
static bool holds(const struct filter *f, unsigned i, const struct json_slice *slots)
{
    for (;;) {
        const struct filter_node *n = &f->nodes[i];
        switch (n->op) {
        case FILTER_NOT:
            return !holds(f, n->left, slots);
        case FILTER_AND:
            if (!holds(f, n->left, slots))
                return false;
            i = n->right;
            break;
        case FILTER_OR:
            if (holds(f, n->left, slots))
                return true;
            i = n->right;
            break;
        default:
            return compare(f, n, &slots[n->slot]);
        }
    }
}

bool filter_match(const struct filter *f, const struct json_slice *slots)
{
    return holds(f, f->root, slots);
}
