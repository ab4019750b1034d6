/* jsfunction - the tokenizer that passes over a function's source; see jsfunction.h. The SDKs' old jobs carry the
 * callbacks of their callers as source text between the data and the counter of attempts: to read on behind it, its
 * end must be known, and nothing else about it.
 */
#include "workers/delivery/jsfunction.h"

#include <stdbool.h>
#include <string.h>

enum before { /* what stands before the next token */
              BEFORE_OPERATOR,
              BEFORE_VALUE, /* a name, a literal, a closed bracket: a slash divides */
              BEFORE_DOT,
              BEFORE_CONDITION, /* if ( */
              BEFORE_STATEMENT, /* ; {block} => else: a brace opens a block */
};

enum bracket { ROUND, ROUND_CONDITION, SQUARE, BLOCK, OBJECT, TEMPLATE };

struct skip {
    const char *at, *end, *why, *where;
    enum before before;
    unsigned depth;
    unsigned char open[JSFUNCTION_DEPTH_MAX];
};

static int fault(struct skip *s, const char *at, const char *why)
{
    if (s->why == NULL) {
        s->why = why;
        s->where = at;
    }
    return -1;
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '$' || c == '#' || c == '\\' || (unsigned char)c >= 0x80;
}

static bool is_one_of(const char *word, size_t len, const char *const *list)
{
    for (; *list != NULL; list++)
        if (strlen(*list) == len && memcmp(*list, word, len) == 0)
            return true;
    return false;
}

static void skip_word(struct skip *s)
{
    static const char *const conditions[] = {"if", "while", "for", "with", NULL},
                             *const statements[] = {"else", "do", "try", "finally", NULL},
                             *const operators[] = {"return", "typeof", "case",  "in",  "of",
                                                   "delete", "void",   "throw", "new", "instanceof",
                                                   "yield",  "await",  NULL};
    const char *word = s->at;
    size_t len;

    while (s->at < s->end && is_word(*s->at))
        s->at++;
    len = (size_t)(s->at - word);
    if (s->before == BEFORE_DOT)
        s->before = BEFORE_VALUE;
    else if (is_one_of(word, len, conditions))
        s->before = BEFORE_CONDITION;
    else if (is_one_of(word, len, statements))
        s->before = BEFORE_STATEMENT;
    else
        s->before = is_one_of(word, len, operators) ? BEFORE_OPERATOR : BEFORE_VALUE;
}

static int skip_string(struct skip *s)
{
    const char *start = s->at;
    char quote = *s->at++;

    for (; s->at < s->end && *s->at != quote; s->at++) {
        if (*s->at == '\n' || *s->at == '\r')
            return fault(s, start, "string in a function has no end");
        if (*s->at == '\\' && ++s->at == s->end)
            break;
    }
    if (s->at >= s->end)
        return fault(s, start, "string in a function has no end");
    s->at++;
    s->before = BEFORE_VALUE;
    return 0;
}

static int skip_regex(struct skip *s)
{
    const char *start = s->at++;
    bool in_class = false;

    for (; s->at < s->end && (in_class || *s->at != '/') && *s->at != '\n' && *s->at != '\r'; s->at++) {
        if (*s->at == '\\' && s->end - s->at >= 2)
            s->at++;
        else if (*s->at == '[')
            in_class = true;
        else if (*s->at == ']')
            in_class = false;
    }
    if (s->at == s->end || *s->at != '/')
        return fault(s, start, "regular expression in a function has no end");
    s->at++;
    while (s->at < s->end && is_word(*s->at)) /* flags */
        s->at++;
    s->before = BEFORE_VALUE;
    return 0;
}

static int skip_comment(struct skip *s)
{
    const char *start = s->at, *stop;

    if (s->at[1] == '/') {
        while (s->at < s->end && *s->at != '\n' && *s->at != '\r')
            s->at++;
        return 0;
    }
    stop = memmem(s->at + 2, (size_t)(s->end - s->at - 2), "*/", 2);
    if (stop == NULL)
        return fault(s, start, "comment in a function has no end");
    s->at = stop + 2;
    return 0;
}

static int open_bracket(struct skip *s, enum bracket kind)
{
    if (s->depth == JSFUNCTION_DEPTH_MAX)
        return fault(s, s->at, "function is nested too deep");
    s->open[s->depth++] = (unsigned char)kind;
    return 0;
}

/* Inside a template literal, up to its end or to the code that it holds. */
static int skip_template(struct skip *s, const char *start)
{
    for (; s->at < s->end && *s->at != '`'; s->at++) {
        if (*s->at == '$' && s->end - s->at >= 2 && s->at[1] == '{') {
            s->at += 2;
            s->before = BEFORE_OPERATOR;
            return open_bracket(s, TEMPLATE);
        }
        if (*s->at == '\\' && ++s->at == s->end)
            break;
    }
    if (s->at >= s->end)
        return fault(s, start, "template in a function has no end");
    s->at++;
    s->before = BEFORE_VALUE;
    return 0;
}

static int skip_open(struct skip *s, char c)
{
    enum bracket kind = SQUARE;

    if (c == '(')
        kind = s->before == BEFORE_CONDITION ? ROUND_CONDITION : ROUND;
    else if (c == '{')
        kind = s->before == BEFORE_VALUE || s->before == BEFORE_STATEMENT ? BLOCK : OBJECT;
    if (open_bracket(s, kind) != 0)
        return -1;
    s->at++;
    s->before = kind == BLOCK ? BEFORE_STATEMENT : BEFORE_OPERATOR;
    return 0;
}

static int skip_close(struct skip *s, char c)
{
    enum bracket kind;

    if (s->depth == 0)
        return fault(s, s->at, "unbalanced bracket in a function");
    kind = (enum bracket)s->open[--s->depth];
    if (c != (kind == ROUND || kind == ROUND_CONDITION ? ')' : kind == SQUARE ? ']' : '}'))
        return fault(s, s->at, "unbalanced bracket in a function");
    s->at++;
    if (kind == TEMPLATE)
        return skip_template(s, s->at - 1);
    s->before = kind == BLOCK || kind == ROUND_CONDITION ? BEFORE_STATEMENT : BEFORE_VALUE;
    return 0;
}

static void skip_operator(struct skip *s, char c)
{
    char next = s->end - s->at >= 2 ? s->at[1] : '\0';

    if ((c == '+' || c == '-') && next == c) { /* before or behind its value: a slash means what it did */
        s->at += 2;
        return;
    }
    if (c == '=' && next == '>') {
        s->at += 2;
        s->before = BEFORE_STATEMENT;
        return;
    }
    s->at++;
    s->before = c == '.' ? BEFORE_DOT : c == ';' ? BEFORE_STATEMENT : BEFORE_OPERATOR;
}

static int skip_token(struct skip *s)
{
    char c = *s->at;

    switch (c) {
    case ' ':
    case '\t':
    case '\n':
    case '\r':
    case '\v':
    case '\f':
        s->at++;
        return 0;
    case '"':
    case '\'':
        return skip_string(s);
    case '`':
        s->at++;
        return skip_template(s, s->at - 1);
    case '(':
    case '[':
    case '{':
        return skip_open(s, c);
    case ')':
    case ']':
    case '}':
        return skip_close(s, c);
    case '/':
        if (s->end - s->at >= 2 && (s->at[1] == '/' || s->at[1] == '*'))
            return skip_comment(s);
        if (s->before != BEFORE_VALUE)
            return skip_regex(s);
        break;
    default:
        if (is_word(c)) {
            skip_word(s);
            return 0;
        }
    }
    skip_operator(s, c);
    return 0;
}

const char *jsfunction_skip(const char *text, const char *end, const char **why, const char **where)
{
    struct skip s = {.at = text, .end = end, .before = BEFORE_OPERATOR};

    while (s.at < end && (s.depth > 0 || (*s.at != ',' && *s.at != ']')))
        if (skip_token(&s) != 0)
            goto bad;
    if (s.at < end && s.at > text)
        return s.at;
    (void)fault(&s, text, s.at < end ? "a function is missing" : "function has no end");
bad:
    *why = s.why;
    *where = s.where;
    return NULL;
}
