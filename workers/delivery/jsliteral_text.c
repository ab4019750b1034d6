/* jsliteral_text - tokens, strings and numbers of jsliteral; see jsliteral.h. Strings are checked and written in one go,
 * with the escapes that JSON has. Pure.
 */
#include <errno.h>
#include <string.h>

#include "workers/delivery/jsliteral_int.h"

int jsliteral_fault_at(struct jsliteral *r, const char *at, const char *why)
{
    if (r->fault->why == NULL) {
        r->fault->why = why;
        r->fault->at = (size_t)(at - r->text);
    }
    return -1;
}

int jsliteral_put(struct jsliteral *r, const void *data, size_t len)
{
    if (buf_append(r->out, data, len) == 0)
        return 0;
    return jsliteral_fault_at(
        r, r->at, errno == EMSGSIZE ? "its JSON is larger than allowed" : "no memory for its JSON");
}

int jsliteral_puts(struct jsliteral *r, const char *text)
{
    return jsliteral_put(r, text, strlen(text));
}

/* ---- tokens */

void jsliteral_space(struct jsliteral *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r'))
        r->at++;
}

bool jsliteral_take(struct jsliteral *r, char c)
{
    jsliteral_space(r);
    if (r->at == r->end || *r->at != c)
        return false;
    r->at++;
    return true;
}

int jsliteral_need(struct jsliteral *r, char c, const char *why)
{
    return jsliteral_take(r, c) ? 0 : jsliteral_fault_at(r, r->at, why);
}

bool jsliteral_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_name(char c)
{
    return jsliteral_is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           c == '$' || c == '.' || (unsigned char)c >= 0x80;
}

bool jsliteral_take_word(struct jsliteral *r, const char *word)
{
    size_t len = strlen(word);

    if ((size_t)(r->end - r->at) < len || memcmp(r->at, word, len) != 0)
        return false;
    if (r->at + len < r->end && is_name(r->at[len]))
        return false;
    r->at += len;
    return true;
}

/* ---- strings */

static int hex(struct jsliteral *r, unsigned digits, uint32_t *out)
{
    *out = 0;
    if ((size_t)(r->end - r->at) < digits)
        return -1;
    for (unsigned i = 0; i < digits; i++, r->at++) {
        char c = *r->at;

        if (jsliteral_is_digit(c))
            *out = *out << 4 | (uint32_t)(c - '0');
        else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
            *out = *out << 4 | (uint32_t)((c | 0x20) - 'a' + 10);
        else
            return -1;
    }
    return 0;
}

static int unicode(struct jsliteral *r, uint32_t *out)
{
    uint32_t digit;
    unsigned n = 0;

    if (r->at == r->end || *r->at != '{')
        return hex(r, 4, out);
    r->at++;
    for (*out = 0; hex(r, 1, &digit) == 0; n++) {
        *out = *out << 4 | digit;
        if (*out > 0x10ffff)
            return -1;
    }
    /* hex leaves its place at the byte that is none */
    if (n == 0 || r->at == r->end || *r->at != '}')
        return -1;
    r->at++;
    return 0;
}

/* A character that was written as an escape: as it is where JSON lets it, else as JSON's escape. Halves of a pair stay
 * escapes, so that two of them make their character and a lone one is kept. */
static int put_char(struct jsliteral *r, uint32_t c)
{
    static const char digits[] = "0123456789abcdef";
    char text[6];

    if (c < 0x20 || (c >= 0xd800 && c <= 0xdfff)) {
        text[0] = '\\';
        text[1] = 'u';
        for (unsigned i = 0; i < 4; i++)
            text[2 + i] = digits[c >> (12 - 4 * i) & 15];
        return jsliteral_put(r, text, 6);
    }
    if (c == '"' || c == '\\')
        return jsliteral_put(r, (const char[]){'\\', (char)c}, 2);
    if (c < 0x80)
        return jsliteral_put(r, (const char[]){(char)c}, 1);
    if (c < 0x800)
        return jsliteral_put(r, (const char[]){(char)(0xc0 | c >> 6), (char)(0x80 | (c & 63))}, 2);
    if (c < 0x10000)
        return jsliteral_put(
            r, (const char[]){(char)(0xe0 | c >> 12), (char)(0x80 | (c >> 6 & 63)), (char)(0x80 | (c & 63))},
            3);
    return jsliteral_put(r,
                         (const char[]){(char)(0xf0 | c >> 18), (char)(0x80 | (c >> 12 & 63)),
                                        (char)(0x80 | (c >> 6 & 63)), (char)(0x80 | (c & 63))},
                         4);
}

/* at stands at the backslash. */
static int read_escape(struct jsliteral *r)
{
    static const char names[] = "bfnrtv", codes[] = "\b\f\n\r\t\v";
    const char *start = r->at++, *name;
    uint32_t c;

    if (r->at == r->end)
        return jsliteral_fault_at(r, start, "string has no end");
    c = (unsigned char)*r->at++;
    if (c == 'x' || c == 'u') {
        if ((c == 'x' ? hex(r, 2, &c) : unicode(r, &c)) != 0)
            return jsliteral_fault_at(r, start, "bad escape");
        return put_char(r, c);
    }
    if (c == '\n' || c == '\r') { /* the line goes on */
        if (c == '\r' && r->at < r->end && *r->at == '\n')
            r->at++;
        return 0;
    }
    if (c == 0xe2 && r->end - r->at >= 2 && r->at[0] == '\x80' &&
        (r->at[1] == '\xa8' || r->at[1] == '\xa9')) {
        r->at += 2; /* U+2028 and U+2029 end lines too */
        return 0;
    }
    if (c == '0' && (r->at == r->end || !jsliteral_is_digit(*r->at)))
        return put_char(r, 0);
    if (jsliteral_is_digit((char)c))
        return jsliteral_fault_at(r, start, "octal escape");
    name = memchr(names, (int)c, sizeof(names) - 1);
    if (name != NULL)
        c = (unsigned char)codes[name - names];
    if (c >= 0x80) /* the first byte of a character that stands for itself */
        return jsliteral_put(r, (const char[]){(char)c}, 1);
    return put_char(r, c);
}

/* at stands at the opening quote. */
int jsliteral_string(struct jsliteral *r)
{
    const char *start = r->at, quote = *r->at++;

    if (jsliteral_puts(r, "\"") != 0)
        return -1;
    for (;;) {
        const char *plain = r->at;

        while (r->at < r->end && *r->at != quote && *r->at != '\\' && *r->at != '"' &&
               (unsigned char)*r->at >= 0x20)
            r->at++;
        if (jsliteral_put(r, plain, (size_t)(r->at - plain)) != 0)
            return -1;
        if (r->at == r->end || *r->at == '\n' || *r->at == '\r')
            return jsliteral_fault_at(r, start, "string has no end");
        if (*r->at == quote)
            break;
        if (*r->at == '\\' ? read_escape(r) != 0 : put_char(r, (unsigned char)*r->at++) != 0)
            return -1;
    }
    r->at++;
    return jsliteral_puts(r, "\"");
}

int jsliteral_need_string(struct jsliteral *r)
{
    jsliteral_space(r);
    if (r->at == r->end || (*r->at != '"' && *r->at != '\''))
        return jsliteral_fault_at(r, r->at, "a string in quotes is expected");
    return jsliteral_string(r);
}

/* ---- numbers */

static bool take_digits(struct jsliteral *r)
{
    const char *start = r->at;

    while (r->at < r->end && jsliteral_is_digit(*r->at))
        r->at++;
    return r->at > start;
}

int jsliteral_number(struct jsliteral *r)
{
    const char *start = r->at;
    bool ok;

    r->at += *r->at == '-';
    if (jsliteral_take_word(r, "Infinity"))
        return jsliteral_puts(r, "null");
    if (r->at < r->end && *r->at == '0') {
        r->at++;
        ok = r->at == r->end || !jsliteral_is_digit(*r->at);
    } else {
        ok = take_digits(r);
    }
    if (ok && r->at < r->end && *r->at == '.') {
        r->at++;
        ok = take_digits(r);
    }
    if (ok && r->at < r->end && (*r->at | 0x20) == 'e') {
        r->at++;
        r->at += r->at < r->end && (*r->at == '+' || *r->at == '-');
        ok = take_digits(r);
    }
    if (!ok || (r->at < r->end && is_name(*r->at)))
        return jsliteral_fault_at(r, start, "bad number");
    return jsliteral_put(r, start, (size_t)(r->at - start));
}
