/* jsliteral_int - what the files of jsliteral share. All that return int: 0, or -1 with the first fault noted. */
#ifndef DRAY_WORKERS_DELIVERY_JSLITERAL_INT_H
#define DRAY_WORKERS_DELIVERY_JSLITERAL_INT_H

#include <stdbool.h>
#include <stdint.h>

#include "workers/delivery/jsliteral.h"

struct jsliteral { /* one reading */
    const char *text, *at, *end;
    struct buf *out;
    struct jsliteral_fault *fault;
    unsigned depth;
};

int jsliteral_fault_at(struct jsliteral *r, const char *at, const char *why); /* -1 */
int jsliteral_put(struct jsliteral *r, const void *data, size_t len);
int jsliteral_puts(struct jsliteral *r, const char *text);

void jsliteral_space(struct jsliteral *r);        /* passes over white space */
bool jsliteral_take(struct jsliteral *r, char c); /* behind white space */
int jsliteral_need(struct jsliteral *r, char c, const char *why);
bool jsliteral_take_word(struct jsliteral *r, const char *word); /* a whole word, just here */
bool jsliteral_is_digit(char c);

int jsliteral_string(struct jsliteral *r); /* at stands at its quote */
int jsliteral_need_string(struct jsliteral *r);
int jsliteral_number(struct jsliteral *r); /* at stands at a digit or a minus sign */

#endif
