/* filter_parse - the text of a condition to a tree: `or` binds least, then `and`, then `not`. Each fault names the byte
 * it is about, and what could stand there.
 */
#include "common/event/filter_tree.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/mem.h"
#include "common/base/str.h"

static const char *const ops[FILTER_OPS] = {
    [FILTER_EQ] = "eq",         [FILTER_NEQ] = "neq",       [FILTER_GT] = "gt",
    [FILTER_GTE] = "gte",       [FILTER_LT] = "lt",         [FILTER_LTE] = "lte",
    [FILTER_IN] = "in",         [FILTER_NIN] = "nin",       [FILTER_STARTS] = "startsWith",
    [FILTER_ENDS] = "endsWith", [FILTER_EXISTS] = "exists",
};
/* What people write who come from elsewhere. */
static const struct {
    const char *sign, *op;
} signs[] = {{"==", "eq"}, {"=", "eq"}, {"!=", "neq"}, {"<>", "neq"}, {">=", "gte"}, {"<=", "lte"},
             {">", "gt"},  {"<", "lt"}, {"&&", "and"}, {"||", "or"},  {"!", "not"},  {"$exist", "exists"}};

#define OPS_KNOWN "eq, neq, gt, gte, lt, lte, in, nin, startsWith, endsWith, exists"

struct parsing {
    struct filter *f;
    struct pick *p;
    struct filter_fault *fault;
    const char *text, *at;
    unsigned depth;
    bool failed;
};

__attribute__((format(printf, 3, 4))) static int fail(struct parsing *x, const char *where, const char *fmt,
                                                      ...)
{
    va_list ap;
    if (x->failed)
        return -1;
    x->failed = true;
    x->fault->at = (size_t)(where - x->text);
    va_start(ap, fmt);
    vsnprintf(x->fault->why, sizeof x->fault->why, fmt, ap);
    va_end(ap);
    return -1;
}

static void skip(struct parsing *x)
{
    x->at += strspn(x->at, " \t\r\n");
}

static bool is_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '$' || (c & 0x80) != 0;
}

static size_t word_length(const char *p)
{
    size_t n = 0;
    while (is_name(p[n]))
        n++;
    return n;
}

static bool word_is(const char *p, const char *word)
{
    size_t n = word_length(p);
    return n == strlen(word) && memcmp(p, word, n) == 0;
}

/* Takes the word if it is the next. */
static bool take_word(struct parsing *x, const char *word)
{
    skip(x);
    if (!word_is(x->at, word))
        return false;
    x->at += strlen(word);
    return true;
}

static long new_node(struct parsing *x, enum filter_op op)
{
    if (x->f->n_nodes == FILTER_NODES_MAX)
        return fail(x, x->at, "the condition is too long; at most %d comparisons, and, or, not",
                    FILTER_NODES_MAX);
    x->f->nodes[x->f->n_nodes] = (struct filter_node){.op = op};
    return x->f->n_nodes++;
}

/* ---- values */

/* The content of a text in double quotes; NULL after a fault. */
static char *read_quoted(struct parsing *x)
{
    struct json_scan s;
    struct json_slice v;
    json_scan_init(&s, x->at, strlen(x->at));
    if (json_scan_value(&s, &v) < 0) {
        fail(x, x->at, "a text in double quotes is written as in JSON, and this one is not right: %s", s.why);
        return NULL;
    }
    char *text = xmalloc(v.len);
    if (json_text(&v, text, v.len) < 0) {
        fail(x, x->at, "a text must not hold a NUL");
        free(text);
        return NULL;
    }
    x->at = s.at;
    return text;
}

static char *read_single_quoted(struct parsing *x)
{
    const char *end = strchr(x->at + 1, '\'');
    if (end == NULL) {
        fail(x, x->at, "the single quote that ends this text is missing");
        return NULL;
    }
    char *text = xstrndup(x->at + 1, (size_t)(end - x->at - 1));
    x->at = end + 1;
    return text;
}

static int read_number(struct parsing *x, struct filter_value *v)
{
    struct json_scan s;
    struct json_slice slice;
    size_t n = strcspn(x->at, " \t\r\n,])");
    json_scan_init(&s, x->at, n);
    if (json_scan_value(&s, &slice) < 0 || json_scan_end(&s) < 0 || slice.type != JSON_NUMBER)
        return fail(x, x->at, "this is no number as JSON has it; a text needs quotes");
    v->type = JSON_NUMBER;
    v->text = xstrndup(slice.text, slice.len);
    v->len = slice.len;
    v->number = strtod(v->text, NULL);
    x->at = s.at;
    return 0;
}

static int read_value(struct parsing *x)
{
    static const struct {
        const char *word;
        enum json_type type;
    } words[] = {{"true", JSON_TRUE}, {"false", JSON_FALSE}, {"null", JSON_NULL}};
    skip(x);
    if (x->f->n_values == FILTER_VALUES_MAX)
        return fail(x, x->at, "too many values; at most %d", FILTER_VALUES_MAX);
    struct filter_value *v = &x->f->values[x->f->n_values];
    *v = (struct filter_value){0};
    if (*x->at == '"' || *x->at == '\'') {
        v->type = JSON_STRING;
        v->text = *x->at == '"' ? read_quoted(x) : read_single_quoted(x);
        if (v->text == NULL)
            return -1;
        v->len = strlen(v->text);
        x->f->n_values++;
        return 0;
    }
    if ((*x->at >= '0' && *x->at <= '9') || *x->at == '-') {
        if (read_number(x, v) < 0)
            return -1;
        x->f->n_values++;
        return 0;
    }
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (take_word(x, words[i].word)) {
            v->type = words[i].type;
            x->f->n_values++;
            return 0;
        }
    if (*x->at == '\0')
        return fail(x, x->at, "a value is missing here: a number, a text in quotes, true, false or null");
    if (*x->at == '[')
        return fail(x, x->at, "a list is for the operators in and nin");
    size_t n = word_length(x->at);
    return n > 0 ? fail(x, x->at, "a text needs quotes: '%.*s'", (int)(n < 60 ? n : 60), x->at)
                 : fail(x, x->at, "expected a number, a text in quotes, true, false or null");
}

static int read_list(struct parsing *x, struct filter_node *n)
{
    skip(x);
    if (*x->at != '[')
        return fail(x, x->at, "%s takes a list such as ['a', 'b']", ops[n->op]);
    x->at++;
    for (;;) {
        if (read_value(x) < 0)
            return -1;
        n->n_values++;
        skip(x);
        if (*x->at == ']') {
            x->at++;
            return 0;
        }
        if (*x->at != ',')
            return fail(x, x->at, "expected a comma or ]");
        x->at++;
    }
}

/* ---- comparisons */

static int read_path(struct parsing *x, unsigned *slot)
{
    char *names[PICK_DEPTH_MAX];
    const char *start = x->at;
    size_t n = 0;
    int found = 0;
    for (;;) {
        if (n == PICK_DEPTH_MAX) {
            found = fail(x, start, "the path has more than %d names", PICK_DEPTH_MAX);
            break;
        }
        size_t len = word_length(x->at);
        if (*x->at == '"') {
            names[n] = read_quoted(x);
            if (names[n] == NULL) {
                found = -1;
                break;
            }
            n++;
        } else if (len > 0) {
            names[n++] = xstrndup(x->at, len);
            x->at += len;
        } else {
            found = fail(x, x->at,
                         n > 0 ? "a name is missing behind the dot"
                               : "expected a field such as properties.amount, not or (");
            break;
        }
        if (*x->at != '.')
            break;
        x->at++;
    }
    if (found == 0 && (found = pick_add(x->p, (const char *const *)names, n)) < 0)
        fail(x, start, "too many different fields in all routes (at most %d), or a name over %d bytes",
             PICK_FIELDS_MAX, PICK_NAME_MAX - 1);
    for (size_t i = 0; i < n; i++)
        free(names[i]);
    *slot = (unsigned)found;
    return found < 0 ? -1 : 0;
}

static int fail_operator(struct parsing *x)
{
    char word[32];
    size_t n = word_length(x->at);
    unsigned best = 3;
    const char *near = NULL;
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++)
        if (str_starts(x->at, signs[i].sign))
            return fail(x, x->at, "unknown operator; did you mean \"%s\"?", signs[i].op);
    if (n == 0)
        return fail(x, x->at, "an operator is missing here; known: " OPS_KNOWN);
    size_t sign = x->at[0] == '$';
    snprintf(word, sizeof word, "%.*s", (int)(n - sign), x->at + sign);
    for (size_t i = 0; i < FILTER_OPS; i++) {
        unsigned d = str_distance(word, ops[i]);
        if (d < best) {
            best = d;
            near = ops[i];
        }
    }
    if (strcasecmp(word, "not") == 0)
        near = "nin";
    return near != NULL ? fail(x, x->at, "unknown operator; did you mean \"%s\"?", near)
                        : fail(x, x->at, "unknown operator; known: " OPS_KNOWN);
}

static int check_value(struct parsing *x, const struct filter_node *n, const char *where)
{
    enum json_type type = x->f->values[n->value].type;
    if ((n->op == FILTER_STARTS || n->op == FILTER_ENDS) && type != JSON_STRING)
        return fail(x, where, "%s takes a text in quotes", ops[n->op]);
    if (n->op >= FILTER_GT && n->op <= FILTER_LTE && type != JSON_STRING && type != JSON_NUMBER)
        return fail(x, where, "%s takes a number or a text in quotes", ops[n->op]);
    return 0;
}

static long read_comparison(struct parsing *x)
{
    struct filter_node n = {0};
    if (read_path(x, &n.slot) < 0)
        return -1;
    skip(x);
    unsigned op = 0;
    while (op < FILTER_OPS && !word_is(x->at, ops[op]))
        op++;
    if (op == FILTER_OPS)
        return fail_operator(x);
    x->at += strlen(ops[op]);
    n.op = (enum filter_op)op;
    n.value = x->f->n_values;
    if (n.op == FILTER_IN || n.op == FILTER_NIN) {
        if (read_list(x, &n) < 0)
            return -1;
    } else if (n.op != FILTER_EXISTS) {
        skip(x);
        const char *where = x->at;
        n.n_values = 1;
        if (read_value(x) < 0 || check_value(x, &n, where) < 0)
            return -1;
    }
    long i = new_node(x, n.op);
    if (i >= 0)
        x->f->nodes[i] = n;
    return i;
}

/* ---- and, or, not */

static long read_or(struct parsing *x);

static long read_unary(struct parsing *x)
{
    long i;
    skip(x);
    if (x->depth == FILTER_DEPTH_MAX)
        return fail(x, x->at, "nested more than %d deep", FILTER_DEPTH_MAX);
    x->depth++;
    if (take_word(x, "not")) {
        long inner = read_unary(x);
        i = inner < 0 ? -1 : new_node(x, FILTER_NOT);
        if (i >= 0)
            x->f->nodes[i].left = (unsigned)inner;
    } else if (*x->at == '(') {
        const char *open = x->at++;
        i = read_or(x);
        skip(x);
        if (i >= 0 && *x->at != ')')
            i = fail(x, *x->at == '\0' ? open : x->at,
                     *x->at == '\0' ? "this parenthesis is never closed" : "expected and, or, or )");
        else
            x->at += i >= 0;
    } else {
        i = read_comparison(x);
    }
    x->depth--;
    return i;
}

/* A chain: each node's right hand is the rest of it. */
static long read_chain(struct parsing *x, enum filter_op op, const char *word,
                       long (*operand)(struct parsing *))
{
    long first = operand(x), last = -1;
    while (first >= 0 && take_word(x, word)) {
        long node = new_node(x, op), next = node < 0 ? -1 : operand(x);
        if (next < 0)
            return -1;
        struct filter_node *n = &x->f->nodes[node];
        if (last < 0) {
            n->left = (unsigned)first;
            first = node;
        } else {
            n->left = x->f->nodes[last].right;
            x->f->nodes[last].right = (unsigned)node;
        }
        n->right = (unsigned)next;
        last = node;
    }
    return first;
}

static long read_and(struct parsing *x)
{
    return read_chain(x, FILTER_AND, "and", read_unary);
}

static long read_or(struct parsing *x)
{
    return read_chain(x, FILTER_OR, "or", read_and);
}

struct filter *filter_compile(const char *text, struct pick *p, struct filter_fault *fault)
{
    struct filter *f = xcalloc(1, sizeof *f);
    f->values = xcalloc(FILTER_VALUES_MAX, sizeof *f->values);
    f->nodes = xcalloc(FILTER_NODES_MAX, sizeof *f->nodes);
    struct parsing x = {.f = f, .p = p, .fault = fault, .text = text, .at = text};
    *fault = (struct filter_fault){0};
    long root = strlen(text) > FILTER_TEXT_MAX
                    ? fail(&x, text, "the condition is longer than %d bytes", FILTER_TEXT_MAX)
                    : read_or(&x);
    skip(&x);
    if (root >= 0 && *x.at != '\0')
        root = fail(&x, x.at, *x.at == ')' ? "no parenthesis is open here" : "expected and, or, or the end");
    if (root < 0) {
        filter_free(f);
        return NULL;
    }
    f->root = (unsigned)root;
    f->values = xrealloc(f->values, (f->n_values + 1) * sizeof *f->values);
    f->nodes = xrealloc(f->nodes, f->n_nodes * sizeof *f->nodes);
    return f;
}
