/* internal - what the files of conf share: the table as data, the tree that YAML and JSON are read into, and the
 * collector of faults. Only files of this folder (and their tests) include it. */
#ifndef DRAY_COMMON_CONF_INTERNAL_H
#define DRAY_COMMON_CONF_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/conf/conf.h"

/* ---- table.c: the .def files as data */

enum conf_type {
    CONF_TYPE_BOOL,
    CONF_TYPE_U64,
    CONF_TYPE_COUNT,
    CONF_TYPE_DURATION,
    CONF_TYPE_SIZE,
    CONF_TYPE_RATIO,
    CONF_TYPE_RATE,
    CONF_TYPE_STRING,
    CONF_TYPE_SECRET,
    CONF_TYPE_ENUM,
    CONF_TYPE_WORDS,
    CONF_TYPE_PAIRS,
    CONF_TYPE_SECRETS,
    CONF_TYPE_MAP,
    CONF_TYPE_FILE,
    CONF_TYPE_NAMES
};

struct conf_row {
    enum conf_type type;
    size_t offset; /* of the field in its section's struct */
    const char *path, *def;
    uint64_t min, max;
    const char *words; /* "a|b|c" */
    enum conf_apply apply;
    const char *help;
};

struct conf_section {
    const char *name; /* "ingest"; of a list its whole path: "ingest.listeners" */
    const struct conf_row *rows;
    size_t n;
    size_t offset;   /* in struct conf: of the section, or of the pointer to the elements */
    size_t n_offset; /* lists: of the number of elements */
    size_t size;     /* lists: bytes of an element; 0: a plain section */
};

#define CONF_SECTIONS    17
#define CONF_ROWS_MAX    64                  /* rows of one section, and one place more */
#define CONF_ROW_ELEMENT (CONF_ROWS_MAX - 1) /* in the places of a list's element: the element itself */
extern const struct conf_section conf_sections[CONF_SECTIONS];

#define CONF_IS_LIST(s) ((s)->size > 0)

/* NULL: no such section or list. */
const struct conf_section *conf_table_section(const char *name);
/* The row of a path inside the section; *alias: it was found by an SDK's name. NULL: none. */
const struct conf_row *conf_table_row(const struct conf_section *s, const char *path, bool *alias);
/* Is path the front of some row's path or of a list's name ("limits" of "limits.request")? */
bool conf_table_is_group(const struct conf_section *s, const char *path);
/* Appends the second half of a message about an unknown key: a near name, or the names known at that place.
 * s == NULL: the top level. group: path inside the section, "" for the section itself. */
void conf_table_suggest(const struct conf_section *s, const char *group, const char *key, struct buf *out);

/* ---- value.c: one field */

/* text into the field; bare_ms as in str_parse_duration. 0, or -1 with a clause in why ("must be 1 to 2500"). */
int conf_value_set(const struct conf_row *row, void *section, const char *text, bool bare_ms, char *why,
                   size_t size);
/* The same for lists of texts; copies the words. */
int conf_value_set_words(const struct conf_row *row, void *section, char *const *words, size_t n, char *why,
                         size_t size);
/* Index of one of the row's words, or -1. */
int conf_value_word(const struct conf_row *row, const char *text);
#define CONF_IS_WORDS(row)                                                                                   \
    ((row)->type == CONF_TYPE_WORDS || (row)->type == CONF_TYPE_PAIRS || (row)->type == CONF_TYPE_SECRETS || \
     (row)->type == CONF_TYPE_MAP || (row)->type == CONF_TYPE_NAMES)
/* What is never shown; of PAIRS and MAP the part behind the name. */
#define CONF_IS_HIDDEN(row)                                                                                  \
    ((row)->type == CONF_TYPE_SECRET || (row)->type == CONF_TYPE_PAIRS ||                                    \
     (row)->type == CONF_TYPE_SECRETS || (row)->type == CONF_TYPE_FILE ||                                    \
     ((row)->type == CONF_TYPE_MAP && (row)->words[0] == '\0'))
#define CONF_FILE_TEXT_MAX (512u << 10) /* bytes of a FILE */
void conf_value_set_default(const struct conf_row *row, void *section);
/* The field as a JSON value; masked hides secrets and the credentials inside URLs. */
int conf_value_put(const struct conf_row *row, const void *section, bool masked, struct buf *out);
bool conf_value_equal(const struct conf_row *row, const void *a, const void *b);
void conf_value_swap(const struct conf_row *row, void *a, void *b);
void conf_value_free(const struct conf_row *row, void *section);
/* Printable UTF-8 in one line? NULL, or what is wrong. */
const char *conf_value_bad_text(const char *text, size_t len);

/* ---- yaml.c, json.c: text to a tree */

/* Where values come from: a file, a variable, an option. */
struct conf_origin {
    const char *name;
    const char *text; /* for excerpts; NULL: none */
    size_t len;
};

enum conf_item_kind { CONF_ITEM_SCALAR, CONF_ITEM_LIST, CONF_ITEM_MAP };

struct conf_item {
    enum conf_item_kind kind;
    bool empty;            /* a plain scalar without text, ~ or null */
    unsigned line, column; /* from 1; 0: not known */
    const struct conf_origin *from;
    char *text; /* scalars */
    char *key;  /* in a map */
    unsigned key_line, key_column;
    struct conf_item *first, *next;
};

#define CONF_DEPTH_MAX 16
#define CONF_ITEMS_MAX 65536

struct conf_reader;
/* NULL: there were faults (told), or the text is empty. The tree is the caller's. */
struct conf_item *conf_yaml_parse(struct conf_reader *r, const struct conf_origin *from);
struct conf_item *conf_json_parse(const char *text, size_t len, const struct conf_origin *from,
                                  struct buf *errors);
struct conf_item *conf_item_scalar(const char *text, const struct conf_origin *from);
void conf_item_free(struct conf_item *item);
struct conf_item *conf_item_find(const struct conf_item *map, const char *key);

/* ---- fault.c: what is told about the text */

struct conf_reader {
    struct buf *errors, *warnings;
    unsigned faults, denied; /* denied: those that are a matter of permissions */
    const char *folder;      /* of the file: relative secret files are looked up there */
    bool expand;             /* ${env:X} and ${file:X} */
    bool skip_unknown;       /* another release wrote it: a key without a row is a warning */
};

struct conf_place {
    const struct conf_origin *from;
    unsigned line, column;
    const char *path; /* full path of the key; "" when there is none */
    bool secret;      /* no excerpt */
};

void conf_fault(struct conf_reader *r, const struct conf_place *at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void conf_warning(struct conf_reader *r, const struct conf_place *at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- secret.c: ${env:X}, ${env:X:-default}, ${file:path} */

/* Returns the value, malloc'ed, with *expanded telling whether it stood elsewhere; NULL after a fault. */
char *conf_secret_expand(struct conf_reader *r, const struct conf_place *at, const char *text,
                         bool *expanded);

/* The text of the file that a FILE row names, malloc'ed; "" for "". NULL after a fault. */
char *conf_secret_read(struct conf_reader *r, const struct conf_place *at, const char *name);

/* ---- build.c: trees to a struct conf */

/* What was set, and where: the later layer wins. */
struct conf_layers {
    struct conf_reader *r;
    const struct conf_origin *main; /* what faults without a place of their own are about */
    const struct conf_item *set[CONF_SECTIONS][CONF_ROWS_MAX];
    const struct conf_item *list[CONF_SECTIONS];
    const struct conf_item **elements[CONF_SECTIONS]; /* after building: CONF_ROWS_MAX places an element */
    bool wrong[CONF_SECTIONS][CONF_ROWS_MAX];         /* a value of this row was told to be faulty */
};

/* Takes the values of a whole document. */
void conf_build_layer(struct conf_layers *l, const struct conf_item *root);
/* One value by its full path; the value is a scalar or, for a list's path, a list. */
void conf_build_override(struct conf_layers *l, const char *path, const struct conf_item *value);
/* The layers over the defaults. */
struct conf *conf_build(struct conf_layers *l);
void conf_build_end(struct conf_layers *l);

/* ---- check.c: the rules that join keys */

void conf_check(struct conf_layers *l, const struct conf *c);
/* check_program.c: the same for one of the list programs. */
void conf_check_programs(struct conf_layers *l, const struct conf *c);
/* check_delivery.c: how requests look and where they may go: of section delivery, and of one destination. */
void conf_check_delivery(struct conf_layers *l, const struct conf *c);
void conf_check_delivery_of(struct conf_layers *l, const struct conf *c, size_t i);
/* check_pem.c: NULL, or what is wrong with the text of a PEM file; a pair must fit. */
const char *conf_check_pem_certs(const char *text);
const char *conf_check_pem_key(const char *text);
const char *conf_check_pem_pair(const char *cert, const char *key);
/* check_subscription.c: the same for subscriptions; the listener that they come in by, behind all others. */
void conf_check_subscriptions(struct conf_layers *l, const struct conf *c);
void conf_add_local_listener(struct conf *c);
/* check_route.c: the same for the list routes. */
void conf_check_routes(struct conf_layers *l, const struct conf *c);
/* check_flow.c: the same for retries, circuits and rates. */
void conf_check_flow(struct conf_layers *l, const struct conf *c);
/* check_intake.c: who may send, and from where. */
void conf_check_intake(struct conf_layers *l, const struct conf *c);
/* For all: a fault of one key of a list's element (CONF_ALONE: of a plain section), unless its value was told to be wrong
 * already; what NULL: none. */
#define CONF_ALONE SIZE_MAX
void conf_check_tell(struct conf_layers *l, const char *section, const char *id, size_t element,
                     const char *row, const char *what);
/* check_tls.c: certificates and keys of one element of a list; PEM, "" = none, and the rows that they stand in. */
struct conf_check_pem {
    const char *section, *id;
    size_t element;
    const char *cert, *key, *ca;
    const char *cert_row, *key_row, *ca_row;
    bool ca_needs_cert; /* the authorities mean nothing without a certificate of our own */
};
void conf_check_tls(struct conf_layers *l, const struct conf_check_pem *p);
void conf_check_warn(struct conf_layers *l, const char *section, const char *id, size_t element,
                     const char *row, const char *what);
/* form.c: NULL, or what is wrong with the form. No name is looked up. */
const char *conf_check_address(const char *text);
const char *conf_check_http_url(const char *text);
const char *conf_check_proxy(const char *text);
const char *conf_check_redis_url(const char *text);
const char *conf_check_id(const char *text);

#endif
