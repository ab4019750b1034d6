/* jsfunction - where the source of a JavaScript function ends. It is passed over, never run and never kept. Pure. */
#ifndef DRAY_WORKERS_DELIVERY_JSFUNCTION_H
#define DRAY_WORKERS_DELIVERY_JSFUNCTION_H

#define JSFUNCTION_DEPTH_MAX 256 /* brackets in brackets */

/* text stands where an element of an array begins. The place of the comma or bracket that ends the element, or NULL
 * with why (static text) and where set. Strings, template literals, comments, regular expressions and brackets are
 * known; whether a slash divides is told from what stands before it, as a reader does who does not parse. */
const char *jsfunction_skip(const char *text, const char *end, const char **why, const char **where);

#endif
