/* str - bounded text handling and the parsing of numbers, durations, sizes and rates. Pure. */
#ifndef DRAY_COMMON_BASE_STR_H
#define DRAY_COMMON_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Copies at most size - 1 bytes and always ends with NUL; returns strlen(src) (>= size: it was cut). */
size_t str_copy(char *dst, const char *src, size_t size);
bool str_starts(const char *s, const char *prefix);
bool str_ends(const char *s, const char *suffix);
/* Length of the UTF-8 character at p, of which `left` (1 or more) bytes may be read; 0: there is none (overlong
 * forms, surrogates, over U+10FFFF). */
size_t str_utf8_length(const char *p, size_t left);
/* UTF-8 without control characters (C0, DEL, C1): safe to be shown. */
bool str_is_plain(const char *s, size_t len);

/* All parse the whole text or return -1 with EINVAL (bad form) or ERANGE (too big). */
int str_parse_u64(const char *s, uint64_t *out);
int str_parse_i64(const char *s, int64_t *out);
int str_parse_double(const char *s, double *out);
/* "250ms", "30s", "5m", "24h", "7d"; several units may follow each other ("1h30m"); "0" is 0.
 * bare_ms: a number without a unit counts as milliseconds (the SDKs' options), else it is EINVAL. */
int str_parse_duration(const char *s, bool bare_ms, uint64_t *ms_out);
/* "450KiB", "4MB", "1GiB", "512" (bytes); KiB = 1024, KB = 1000. */
int str_parse_size(const char *s, uint64_t *bytes_out);
/* "1000/s", "45/20s", "60/m": count per period. "" gives 0/0. */
int str_parse_rate(const char *s, uint64_t *count_out, uint64_t *period_ms_out);
int str_parse_bool(const char *s, bool *out); /* true false yes no on off */

/* Shortest exact form: "30s", "1h30m", "250ms"; "4MiB". Returns dst. */
char *str_format_duration(uint64_t ms, char *dst, size_t size);
char *str_format_size(uint64_t bytes, char *dst, size_t size);

/* Edit distance (insert, delete, replace, swap), for "did you mean"; more than 63 characters count as far away. */
unsigned str_distance(const char *a, const char *b);

/* Standard base64 with padding. Decoding returns the length, or -1 with EINVAL. dst needs 3/4 of len + 3 bytes. */
long str_base64_decode(const char *src, size_t len, unsigned char *dst, size_t size);
/* dst needs 4 * ((len + 2) / 3) + 1 bytes; NUL-terminated. Returns the length. */
size_t str_base64_encode(const void *src, size_t len, char *dst, size_t size);

#endif
