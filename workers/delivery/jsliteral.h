/* jsliteral - the text that serialize-javascript writes (jobs of the SDKs 1.x and 2.x, and of Hightouch's), as JSON.
 *
 * Nothing is evaluated: this is a parser of data. What is read, and what it becomes, is what the SDK's own worker would
 * have posted for it:
 *   objects (names in quotes), arrays, true, false, null, numbers as JSON writes them   the same
 *   strings in either quote with all escapes of JavaScript but octal                    strings
 *   new Date("2026-11-21T00:28:53.660Z"), new URL("...")                                their strings
 *   undefined                                     the member is left out; null in an array
 *   Infinity, -Infinity, NaN                      null
 *   new RegExp("..", ".."), new Map([..]), new Set([..])    {}, as JSON.stringify has it
 *   BigInt("123")                                 the number (JSON.stringify refuses it)
 *   Array.prototype.slice.call({"0":1,"length":3})          [1,null,null]
 *   function source in the array `callbacks` of the outermost object    left out: the array becomes []
 * Everything else is a fault: function source elsewhere, calls, operators, names without quotes, comments. Pure.
 */
#ifndef DRAY_WORKERS_DELIVERY_JSLITERAL_H
#define DRAY_WORKERS_DELIVERY_JSLITERAL_H

#include <stddef.h>

#include "common/base/buf.h"

#define JSLITERAL_DEPTH_MAX  64    /* as json.h */
#define JSLITERAL_SPARSE_MAX 65536 /* elements of an array with holes: few bytes must not become many */

struct jsliteral_fault {
    size_t at;       /* byte of the text */
    const char *why; /* static text */
};

/* Appends the JSON of text (UTF-8) to out, whose max is the bound. 0, or -1 with *fault filled and out as it was. */
int jsliteral_to_json(const char *text, size_t len, struct buf *out, struct jsliteral_fault *fault);

#endif
