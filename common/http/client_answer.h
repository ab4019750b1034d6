/* client_answer - libcurl's result as one of our few classes, and Retry-After in both of its forms. Pure. */
#ifndef DRAY_COMMON_HTTP_CLIENT_ANSWER_H
#define DRAY_COMMON_HTTP_CLIENT_ANSWER_H

#include <stddef.h>
#include <stdint.h>

#include "common/http/client.h"

/* curl_code is a CURLcode. */
enum http_error http_client_answer_class(int curl_code);
/* Milliseconds from now_ms (wall clock): delta seconds (a fraction is allowed) or an HTTP date; a past date is 0;
 * -1 for anything else. RFC 9110, 10.2.3. */
int64_t http_client_answer_retry_after(const char *value, size_t len, uint64_t now_ms);

#endif
