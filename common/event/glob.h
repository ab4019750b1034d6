/* glob - patterns over names: * is any run of characters, ? is any one, and a backslash takes its wildcard from what
 * follows. Case counts. Pure.
 */
#ifndef DRAY_COMMON_EVENT_GLOB_H
#define DRAY_COMMON_EVENT_GLOB_H

#include <stdbool.h>
#include <stddef.h>

#include "common/event/json.h"

#define GLOB_PATTERN_MAX 256
#define GLOB_TEXT_MAX    4096 /* a longer text is matched by * and by nothing else */

enum glob_kind { GLOB_ANY, GLOB_EXACT, GLOB_PREFIX, GLOB_GENERAL };

struct glob {
    enum glob_kind kind;
    size_t len;
    char text[GLOB_PATTERN_MAX]; /* EXACT, PREFIX: without wildcards and backslashes */
};

/* NULL, or what is wrong with the pattern. */
const char *glob_compile(struct glob *g, const char *pattern);
bool glob_match(const struct glob *g, const char *text, size_t len);
/* The content of a JSON string, escapes undone. Anything else is matched by nothing. */
bool glob_match_json(const struct glob *g, const struct json_slice *value);

#endif
