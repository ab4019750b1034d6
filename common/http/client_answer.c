/* client_answer - what an attempt's end means: libcurl's result as one of our few classes, and Retry-After in both of its
 * forms. Pure.
 */
#include "common/http/client_answer.h"

#include <curl/curl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum http_error http_client_answer_class(int curl_code)
{
    switch ((CURLcode)curl_code) {
    case CURLE_OK:
        return HTTP_ERROR_NONE;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        return HTTP_ERROR_DNS;
    case CURLE_COULDNT_CONNECT:
    case CURLE_PROXY:
    case CURLE_INTERFACE_FAILED:
        return HTTP_ERROR_CONNECT;
    case CURLE_OPERATION_TIMEDOUT:
        return HTTP_ERROR_TIMEOUT;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_SSL_CLIENTCERT:
        return HTTP_ERROR_TLS;
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
    case CURLE_SEND_FAIL_REWIND:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
        return HTTP_ERROR_CUT;
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_HTTP_RETURNED_ERROR:
    case CURLE_BAD_CONTENT_ENCODING:
        return HTTP_ERROR_PROTOCOL;
    default:
        return HTTP_ERROR_OTHER;
    }
}

/* "120", "1.5": seconds, which servers also send with a fraction. */
static bool parse_seconds(const char *text, int64_t *ms)
{
    char *end;
    double seconds;

    if (*text < '0' || *text > '9')
        return false;
    seconds = strtod(text, &end);
    while (*end == ' ' || *end == '\t')
        end++;
    if (*end != '\0' || !isfinite(seconds) || strpbrk(text, "xXpP") != NULL)
        return false;
    *ms = seconds > 1e9 ? (int64_t)1e12 : (int64_t)ceil(seconds * 1000.0);
    return true;
}

int64_t http_client_answer_retry_after(const char *value, size_t len, uint64_t now_ms)
{
    char text[64];
    int64_t ms;
    time_t when;

    while (len > 0 && (*value == ' ' || *value == '\t'))
        value++, len--;
    while (len > 0 && (value[len - 1] == '\r' || value[len - 1] == '\n' || value[len - 1] == ' '))
        len--;
    if (len == 0 || len >= sizeof(text) || memchr(value, '\0', len) != NULL)
        return -1;
    memcpy(text, value, len);
    text[len] = '\0';
    if (parse_seconds(text, &ms))
        return ms;
    /* A date must begin with a day's name: curl_getdate takes nearly anything, "-5" too. */
    if (!((text[0] >= 'A' && text[0] <= 'Z') || (text[0] >= 'a' && text[0] <= 'z')))
        return -1;
    when = curl_getdate(text, NULL);
    if (when < 0)
        return -1;
    ms = (int64_t)when * 1000 - (int64_t)now_ms;
    return ms < 0 ? 0 : ms;
}

const char *http_error_name(enum http_error e)
{
    static const char *const names[] = {
        [HTTP_ERROR_NONE] = "none",   [HTTP_ERROR_CONNECT] = "connect",   [HTTP_ERROR_DNS] = "dns",
        [HTTP_ERROR_TLS] = "tls",     [HTTP_ERROR_TIMEOUT] = "timeout",   [HTTP_ERROR_CUT] = "cut",
        [HTTP_ERROR_OTHER] = "other", [HTTP_ERROR_PROTOCOL] = "protocol", [HTTP_ERROR_DENIED] = "denied",
    };

    return (unsigned)e < sizeof(names) / sizeof(names[0]) ? names[e] : "?";
}
