/* json - see json.h. The scanner; json_walk.c goes through what it has validated.
 *
 * Nearly all time is spent in strings: 16 bytes a step, stopping at a quote, a backslash or a control byte; the bytes
 * are checked as UTF-8 only when one of them had its high bit set. Nesting is a bit stack in one word (1: object), no
 * recursion. Every helper takes the place it stands at and returns the place behind what it read, NULL at a fault.
 */
#include "common/event/json.h"

#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

static const char *fault(struct json_scan *s, const char *at, const char *why)
{
    if (s->why == NULL) {
        s->why = why;
        s->where = at;
    }
    return NULL;
}

static inline bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static inline bool is_digit(char c)
{
    return (unsigned char)(c - '0') <= 9;
}

static inline const char *skip_space(const char *p, const char *end)
{
    if (p == end || (unsigned char)*p > ' ')
        return p;
#ifdef __SSE2__
    while (end - p >= 16) {
        __m128i x = _mm_loadu_si128((const __m128i *)(const void *)p);
        __m128i space = _mm_or_si128(
            _mm_or_si128(_mm_cmpeq_epi8(x, _mm_set1_epi8(' ')), _mm_cmpeq_epi8(x, _mm_set1_epi8('\n'))),
            _mm_or_si128(_mm_cmpeq_epi8(x, _mm_set1_epi8('\r')), _mm_cmpeq_epi8(x, _mm_set1_epi8('\t'))));
        unsigned other = ~(unsigned)_mm_movemask_epi8(space) & 0xffff;
        if (other != 0)
            return p + __builtin_ctz(other);
        p += 16;
    }
#endif
    while (p < end && is_space(*p))
        p++;
    return p;
}

/* RFC 3629: no overlong forms, no surrogates, nothing over U+10FFFF. */
static bool is_utf8(const unsigned char *p, const unsigned char *end)
{
    while (p < end) {
        if (*p < 0x80) {
            p++;
            continue;
        }
        unsigned c = *p;
        unsigned more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
        if (c < 0xc2 || c > 0xf4 || (size_t)(end - p) <= more)
            return false;
        unsigned low = c == 0xe0   ? 0xa0
                       : c == 0xf0 ? 0x90
                                   : 0x80,
                 high = c == 0xed   ? 0x9f
                        : c == 0xf4 ? 0x8f
                                    : 0xbf;
        if (p[1] < low || p[1] > high)
            return false;
        for (unsigned i = 2; i <= more; i++)
            if ((p[i] & 0xc0) != 0x80)
                return false;
        p += more + 1;
    }
    return true;
}

static inline bool is_hex(char c)
{
    return is_digit(c) || (unsigned char)((c | 0x20) - 'a') <= 5;
}

/* p stands at a backslash. */
static inline const char *scan_escape(struct json_scan *s, const char *p, const char *end)
{
    if (end - p < 2)
        return fault(s, p, "string has no end");
    switch (p[1]) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't':
        return p + 2;
    case 'u':
        if (end - p >= 6 && is_hex(p[2]) && is_hex(p[3]) && is_hex(p[4]) && is_hex(p[5]))
            return p + 6;
        break;
    default:
        break;
    }
    return fault(s, p, "bad escape");
}

/* The first byte from p on that is a quote, a backslash or a control byte; *high collects the high bits before it. */
static inline const char *find_stop(const char *p, const char *end, unsigned *high)
{
#ifdef __SSE2__
    const __m128i quote = _mm_set1_epi8('"'), back = _mm_set1_epi8('\\'), control = _mm_set1_epi8(0x1f);
    while (end - p >= 16) {
        __m128i x = _mm_loadu_si128((const __m128i *)(const void *)p);
        __m128i stop = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(x, quote), _mm_cmpeq_epi8(x, back)),
                                    _mm_cmpeq_epi8(_mm_min_epu8(x, control), x));
        unsigned at = (unsigned)_mm_movemask_epi8(stop), tops = (unsigned)_mm_movemask_epi8(x);
        if (at != 0) {
            *high |= tops & (at ^ (at - 1)); /* those up to the stop, which has none */
            return p + __builtin_ctz(at);
        }
        *high |= tops;
        p += 16;
    }
#endif
    for (; p < end && *p != '"' && *p != '\\' && (unsigned char)*p >= 0x20; p++)
        *high |= (unsigned char)*p & 0x80u;
    return p;
}

/* p stands at the opening quote. */
static inline const char *scan_string(struct json_scan *s, const char *p, const char *end, bool *escaped)
{
    const char *start = ++p;
    unsigned high = 0;
    *escaped = false;
    for (;;) {
        p = find_stop(p, end, &high);
        if (p == end)
            return fault(s, p, "string has no end");
        if (*p == '"')
            break;
        if (*p != '\\')
            return fault(s, p, "control character in a string");
        *escaped = true;
        p = scan_escape(s, p, end);
        if (p == NULL)
            return NULL;
    }
    if (high != 0 && !is_utf8((const unsigned char *)start, (const unsigned char *)p))
        return fault(s, start, "string is not UTF-8");
    return p + 1;
}

static const char *scan_digits(struct json_scan *s, const char *p, const char *end)
{
    if (p == end || !is_digit(*p))
        return fault(s, p, "bad number");
    while (p < end && is_digit(*p))
        p++;
    return p;
}

static const char *scan_number(struct json_scan *s, const char *p, const char *end)
{
    if (*p == '-')
        p++;
    if (p < end && *p == '0') {
        p++;
    } else {
        p = scan_digits(s, p, end);
        if (p == NULL)
            return NULL;
    }
    if (p < end && *p == '.') {
        p = scan_digits(s, p + 1, end);
        if (p == NULL)
            return NULL;
    }
    if (p < end && (*p | 0x20) == 'e') {
        p++;
        if (p < end && (*p == '+' || *p == '-'))
            p++;
        p = scan_digits(s, p, end);
    }
    return p;
}

static const char *scan_word(struct json_scan *s, const char *p, const char *end, const char *word,
                             size_t len)
{
    if ((size_t)(end - p) < len || memcmp(p, word, len) != 0)
        return fault(s, p, "unknown word");
    return p + len;
}

/* A value that is no container; p is not at the end. */
static inline const char *scan_scalar(struct json_scan *s, const char *p, const char *end,
                                      enum json_type *type)
{
    bool escaped;
    switch (*p) {
    case '"':
        *type = JSON_STRING;
        return scan_string(s, p, end, &escaped);
    case 't':
        *type = JSON_TRUE;
        return scan_word(s, p, end, "true", 4);
    case 'f':
        *type = JSON_FALSE;
        return scan_word(s, p, end, "false", 5);
    case 'n':
        *type = JSON_NULL;
        return scan_word(s, p, end, "null", 4);
    default:
        *type = JSON_NUMBER;
        if (*p == '-' || is_digit(*p))
            return scan_number(s, p, end);
        return fault(s, p, "a value is expected");
    }
}

/* Key and colon, up to the value. */
static inline const char *scan_key(struct json_scan *s, const char *p, const char *end, const char **key_end)
{
    p = skip_space(p, end);
    if (p == end || *p != '"')
        return fault(s, p, "a member's name is expected");
    p = scan_string(s, p, end, &s->key_escaped);
    if (p == NULL)
        return NULL;
    *key_end = p;
    p = skip_space(p, end);
    if (p == end || *p != ':')
        return fault(s, p, "a colon is expected");
    return p + 1;
}

/* Behind a value: closes what ends here, and leaves p where the next value begins, or behind the outermost bracket
 * with *depth == 0. */
static inline const char *scan_close(struct json_scan *s, const char *p, const char *end, uint64_t *objects,
                                     unsigned *depth)
{
    const char *unused;
    while (*depth > 0) {
        bool object = (*objects & 1) != 0;
        p = skip_space(p, end);
        if (p == end)
            return fault(s, p, "text ends inside a value");
        if (*p == ',')
            return object ? scan_key(s, p + 1, end, &unused) : p + 1;
        if (*p != (object ? '}' : ']'))
            return fault(s, p, object ? "a comma or } is expected" : "a comma or ] is expected");
        p++;
        *objects >>= 1;
        --*depth;
    }
    return p;
}

/* The rest of a container whose opening bracket stands at p. */
static const char *scan_container(struct json_scan *s, const char *p, const char *end)
{
    uint64_t objects = 0;
    unsigned depth = 0;
    const char *unused;
    do {
        p = skip_space(p, end);
        if (p == end)
            return fault(s, p, "text ends inside a value");
        if (*p == '{' || *p == '[') {
            bool object = *p == '{';
            if (s->depth + depth >= JSON_DEPTH_MAX)
                return fault(s, p, "nested too deep");
            p = skip_space(p + 1, end);
            if (p < end && *p == (object ? '}' : ']')) {
                p++;
            } else {
                objects = objects << 1 | object;
                depth++;
                if (object)
                    p = scan_key(s, p, end, &unused);
                if (p == NULL)
                    return NULL;
                continue;
            }
        } else {
            enum json_type type;
            p = scan_scalar(s, p, end, &type);
            if (p == NULL)
                return NULL;
        }
        p = scan_close(s, p, end, &objects, &depth);
        if (p == NULL)
            return NULL;
    } while (depth > 0);
    return p;
}

void json_scan_init(struct json_scan *s, const char *text, size_t len)
{
    *s = (struct json_scan){.at = text, .end = text + len};
    if (len > UINT32_MAX)
        fault(s, text, "text is too long");
}

int json_scan_value(struct json_scan *s, struct json_slice *out)
{
    if (s->why != NULL)
        return -1;
    const char *end = s->end, *start = skip_space(s->at, end), *p;
    if (start == end) {
        fault(s, start, "a value is expected");
        return -1;
    }
    if (*start == '{' || *start == '[') {
        out->type = *start == '{' ? JSON_OBJECT : JSON_ARRAY;
        p = scan_container(s, start, end);
    } else {
        p = scan_scalar(s, start, end, &out->type);
    }
    if (p == NULL)
        return -1;
    out->text = start;
    out->len = (uint32_t)(p - start);
    s->at = p;
    s->fresh = false;
    return 0;
}

int json_scan_end(struct json_scan *s)
{
    if (s->why != NULL)
        return -1;
    s->at = skip_space(s->at, s->end);
    if (s->at == s->end)
        return 0;
    fault(s, s->at, "text behind the value");
    return -1;
}

bool json_scan_peek(struct json_scan *s, enum json_type container)
{
    s->at = skip_space(s->at, s->end);
    return s->why == NULL && s->at < s->end && *s->at == (container == JSON_OBJECT ? '{' : '[');
}

int json_scan_enter(struct json_scan *s, enum json_type container)
{
    if (!json_scan_peek(s, container)) {
        fault(s, s->at, container == JSON_OBJECT ? "an object is expected" : "an array is expected");
        return -1;
    }
    if (s->depth >= JSON_DEPTH_MAX) {
        fault(s, s->at, "nested too deep");
        return -1;
    }
    s->at++;
    s->depth++;
    s->fresh = true;
    return 0;
}

/* Reads what stands between two values of a container. 1: a comma, or nothing in front of the first; 0: the end. */
static int scan_between(struct json_scan *s, char close)
{
    if (s->why != NULL)
        return -1;
    const char *p = skip_space(s->at, s->end);
    bool fresh = s->fresh;
    s->fresh = false;
    if (p < s->end && *p == close) {
        s->at = p + 1;
        s->depth--;
        return 0;
    }
    if (!fresh && (p == s->end || *p != ',')) {
        fault(s, p, p == s->end ? "text ends inside a value" : "a comma or a closing bracket is expected");
        return -1;
    }
    s->at = fresh ? p : p + 1;
    return 1;
}

int json_scan_member(struct json_scan *s, struct json_slice *key)
{
    int r = scan_between(s, '}');
    if (r <= 0)
        return r;
    const char *start = skip_space(s->at, s->end), *key_end;
    const char *p = scan_key(s, start, s->end, &key_end);
    if (p == NULL)
        return -1;
    *key = (struct json_slice){start, (uint32_t)(key_end - start), JSON_STRING};
    s->at = p;
    return 1;
}

int json_scan_element(struct json_scan *s)
{
    return scan_between(s, ']');
}
