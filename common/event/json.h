/* json - a strict zero-copy scanner of JSON text (RFC 8259): validates and finds, never rebuilds.
 *
 * Accepts what real senders emit and the grammar allows: lone surrogate escapes ("\ud83d"), 1e400, long integers,
 * duplicate keys. Refuses: bad UTF-8 in strings, control bytes, trailing text, nesting over JSON_DEPTH_MAX. Pure.
 */
#ifndef DRAY_COMMON_EVENT_JSON_H
#define DRAY_COMMON_EVENT_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JSON_DEPTH_MAX 64

enum json_type { JSON_NULL, JSON_FALSE, JSON_TRUE, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json_slice { /* a value's text inside the input, with its quotes or brackets */
    const char *text;
    uint32_t len;
    enum json_type type;
};

struct json_scan {
    const char *at, *end;
    const char *why;   /* static text of the first fault; NULL: none so far */
    const char *where; /* its place in the input */
    unsigned depth;    /* containers that were entered */
    bool fresh;        /* entered, nothing read yet */
    bool key_escaped;  /* the last key holds a backslash */
};

/* An input over UINT32_MAX bytes is a fault of the first call. */
void json_scan_init(struct json_scan *s, const char *text, size_t len);
/* The next value as a whole, validated. 0, or -1 with s->why and s->where set. */
int json_scan_value(struct json_scan *s, struct json_slice *out);
/* 0 when only white space is left. */
int json_scan_end(struct json_scan *s);

/* Going into a container instead, so that one pass validates and finds: enter, then as long as _member (_element)
 * returns 1, read exactly one value by json_scan_value or by entering it. The closing bracket is read with the 0.
 *
 *     json_scan_enter(s, JSON_OBJECT);
 *     while ((r = json_scan_member(s, &key)) > 0)
 *         json_scan_value(s, &value);
 *
 * peek: does the next value open such a container? Then enter cannot fail but for the depth. */
bool json_scan_peek(struct json_scan *s, enum json_type container);
int json_scan_enter(struct json_scan *s,
                    enum json_type container); /* 0, or -1 (something else stands there) */
int json_scan_member(struct json_scan *s,
                     struct json_slice *key); /* 1: key and colon read; 0: end; -1: fault */
int json_scan_element(struct json_scan *s);   /* 1: a value follows; 0: end; -1: fault */

/* Walking a slice that was validated: members of an object, elements of an array. Start with it = {0}; false at the
 * end. key keeps its quotes. */
struct json_iter {
    const char *at;
};
bool json_next_member(const struct json_slice *object, struct json_iter *it, struct json_slice *key,
                      struct json_slice *value);
bool json_next_element(const struct json_slice *array, struct json_iter *it, struct json_slice *value);
/* Is this key (with its quotes, escapes undone) the name? */
bool json_key_is(const struct json_slice *key, const char *name);
/* The content of a string, escapes undone, byte by byte against a text that holds no NUL: as strcmp; does it begin so;
 * does it end so? Of any length, nothing is copied. */
int json_compare(const struct json_slice *string, const char *text, size_t len);
bool json_starts(const struct json_slice *string, const char *text, size_t len);
bool json_ends(const struct json_slice *string, const char *text, size_t len);
/* Last member of that name; false when there is none. */
bool json_find(const struct json_slice *object, const char *name, struct json_slice *value);
/* The string's content, escapes undone, UTF-8 (a lone surrogate becomes U+FFFD), NUL-terminated; -1 when it does not
 * fit or holds U+0000. */
long json_text(const struct json_slice *string, char *dst, size_t size);
/* Blank or absent as senders mean it: null, "", or a string of white space. */
bool json_is_blank(const struct json_slice *value);

#endif
