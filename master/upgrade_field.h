/* upgrade_field - the plain members of a structure as members of a JSON object, by a table of rows.
 *
 * What stands in the object and in no row is ignored, what is missing leaves the member as it is: so that one release
 * reads what another wrote. Pure.
 */
#ifndef DRAY_MASTER_UPGRADE_FIELD_H
#define DRAY_MASTER_UPGRADE_FIELD_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/base/buf.h"

enum upgrade_form {
    UPGRADE_BOOL,
    UPGRADE_UINT, /* unsigned, uint32_t */
    UPGRADE_U64,
    UPGRADE_INT,  /* also pid_t */
    UPGRADE_TEXT, /* char[] */
    UPGRADE_WORD, /* const char * to a word of the program: NULL, or one of a few short ones */
    UPGRADE_UINTS,
    UPGRADE_U64S,
};

struct upgrade_field {
    const char *name;
    enum upgrade_form form;
    size_t at, size;
};
#define UPGRADE_FIELD(type, form, field)                                                                     \
    {                                                                                                        \
#field, UPGRADE_##form, offsetof(struct type, field), sizeof(((struct type *)0)->field)              \
    }

void upgrade_field_write(json_t *o, const void *base, const struct upgrade_field *rows, size_t n);
/* 0, or -1: a member has another type, is out of range or too long; *bad names it. */
int upgrade_field_read(const json_t *o, void *base, const struct upgrade_field *rows, size_t n,
                       const char **bad);

/* Bytes that are no text. */
json_t *upgrade_field_hex(const void *data, size_t len);
/* Appends; a missing one (NULL) is empty. 0, or -1: no hex, or too long. */
int upgrade_field_unhex(const json_t *o, struct buf *out);
/* Text of unknown make: a string, or {"hex": ...} when it is no UTF-8. NULL gives null. */
json_t *upgrade_field_text(const char *text);
/* malloc'ed; NULL: it is no such thing, or null. */
char *upgrade_field_untext(const json_t *o);

#endif
