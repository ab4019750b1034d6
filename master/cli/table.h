/* table - JSON for people: an array of objects as columns, an object as "name value" pairs. Values follow the unit in
 * their key's name: *_ms is shown as a duration, *_bytes as a size. */
#ifndef DRAY_MASTER_CLI_TABLE_H
#define DRAY_MASTER_CLI_TABLE_H

#include <jansson.h>
#include <stddef.h>
#include <stdio.h>

/* keys: the columns in order, NULL-ended; NULL: every scalar of the first row, as it stands. Text is put to the left,
 * numbers to the right. Prints nothing for an empty array. */
void table_print(FILE *to, const json_t *rows, const char *const *keys);
/* "  accepted_events 12  refused_events 0", wrapped at 80 columns. */
void table_print_pairs(FILE *to, const json_t *object);
/* Terminals show what is printed to them: bytes that could steer one are replaced. */
void table_make_printable(char *s);
/* One value as it is shown, text that is too long with "..." at its end. Returns dst. */
char *table_format(const char *key, const json_t *value, char *dst, size_t size);

#endif
