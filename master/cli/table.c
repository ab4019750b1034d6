/* table - see table.h. */
#include "master/cli/table.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "common/base/str.h"

#define COLUMNS_MAX 16
#define CELL_MAX    320 /* of the first column: it may be a name that is to be copied */
#define OTHERS_MAX  100
#define LINE_MAX    80

void table_make_printable(char *s)
{
    for (; *s != '\0'; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7f)
            *s = '?';
        else if ((unsigned char)s[0] == 0xc2 && (unsigned char)s[1] >= 0x80 && (unsigned char)s[1] < 0xa0)
            s[0] = s[1] = '?';
}

/* What does not fit ends in "...", never within a character. */
static void copy_text(const char *text, char *dst, size_t size)
{
    if (str_copy(dst, text, size) < size)
        return;
    size_t n = size - 4;
    while (n > 0 && ((unsigned char)dst[n] & 0xc0) == 0x80)
        n--;
    memcpy(dst + n, "...", 4);
}

/* Characters, not bytes. */
static size_t width_of(const char *s)
{
    size_t n = 0;
    for (; *s != '\0'; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

char *table_format(const char *key, const json_t *value, char *dst, size_t size)
{
    json_int_t n = json_integer_value(value);
    switch (value == NULL ? JSON_NULL : json_typeof(value)) {
    case JSON_INTEGER:
        if (n >= 60000 && str_ends(key, "_ms"))
            return str_format_duration((uint64_t)n / 1000 * 1000, dst, size);
        if (n >= 1000 && str_ends(key, "_ms"))
            snprintf(dst, size, "%.1fs", (double)n / 1000);
        else if (str_ends(key, "_ms"))
            snprintf(dst, size, "%" JSON_INTEGER_FORMAT "ms", n);
        else if (n >= 1 << 20 && str_ends(key, "_bytes"))
            snprintf(dst, size, "%.1fMiB", (double)n / (1 << 20));
        else if (str_ends(key, "_bytes"))
            snprintf(dst, size, "%.1fKiB", (double)n / 1024);
        else
            snprintf(dst, size, "%" JSON_INTEGER_FORMAT, n);
        break;
    case JSON_REAL:
        snprintf(dst, size, "%.3g", json_real_value(value));
        break;
    case JSON_STRING:
        copy_text(json_string_value(value), dst, size);
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        str_copy(dst, json_is_true(value) ? "yes" : "no", size);
        break;
    default:
        str_copy(dst, "-", size);
    }
    table_make_printable(dst);
    return dst;
}

static bool is_scalar(const json_t *value)
{
    return !json_is_object(value) && !json_is_array(value);
}

/* A key as a heading: its unit is seen in the values. */
static void heading(const char *key, char dst[CELL_MAX])
{
    size_t n = strlen(key);
    if (str_ends(key, "_ms"))
        n -= 3;
    else if (str_ends(key, "_bytes"))
        n -= 6;
    n = n < CELL_MAX - 1 ? n : CELL_MAX - 1;
    for (size_t i = 0; i < n; i++)
        dst[i] = key[i] == '_' ? ' ' : (char)toupper((unsigned char)key[i]);
    dst[n] = '\0';
}

static size_t all_keys(const json_t *first, const char **keys)
{
    size_t n = 0;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)first, key, value)
    {
        if (is_scalar(value) && n < COLUMNS_MAX)
            keys[n++] = key;
    }
    return n;
}

static void print_cell(FILE *to, const char *text, size_t width, bool right, bool last)
{
    size_t own = width_of(text);
    int pad = own < width ? (int)(width - own) : 0;
    if (right)
        fprintf(to, "%*s%s%s", pad, "", text, last ? "" : "  ");
    else if (last)
        fputs(text, to);
    else
        fprintf(to, "%s%*s  ", text, pad, "");
}

void table_print(FILE *to, const json_t *rows, const char *const *keys)
{
    const char *columns[COLUMNS_MAX];
    size_t widths[COLUMNS_MAX], n = 0, i;
    bool right[COLUMNS_MAX];
    char cell[CELL_MAX];
    json_t *row;
    if (json_array_size(rows) == 0)
        return;
    if (keys == NULL)
        n = all_keys(json_array_get(rows, 0), columns);
    else
        while (n < COLUMNS_MAX && keys[n] != NULL) {
            columns[n] = keys[n];
            n++;
        }
    for (size_t k = 0; k < n; k++) {
        heading(columns[k], cell);
        widths[k] = strlen(cell);
        right[k] = false;
        json_array_foreach(rows, i, row)
        {
            const json_t *value = json_object_get(row, columns[k]);
            size_t width = width_of(table_format(columns[k], value, cell, k == 0 ? CELL_MAX : OTHERS_MAX));
            widths[k] = width > widths[k] ? width : widths[k];
            right[k] = right[k] || json_is_number(value);
        }
    }
    for (size_t k = 0; k < n; k++) {
        heading(columns[k], cell);
        print_cell(to, cell, widths[k], right[k], k + 1 == n);
    }
    fputc('\n', to);
    json_array_foreach(rows, i, row)
    {
        for (size_t k = 0; k < n; k++) {
            table_format(columns[k], json_object_get(row, columns[k]), cell, k == 0 ? CELL_MAX : OTHERS_MAX);
            print_cell(to, cell, widths[k], right[k], k + 1 == n);
        }
        fputc('\n', to);
    }
}

void table_print_pairs(FILE *to, const json_t *object)
{
    const char *key;
    json_t *value;
    char cell[CELL_MAX];
    size_t column = 0;
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        if (!is_scalar(value))
            continue;
        table_format(key, value, cell, sizeof cell);
        size_t width = strlen(key) + strlen(cell) + 3;
        if (column > 0 && column + width > LINE_MAX) {
            fputc('\n', to);
            column = 0;
        }
        column += (size_t)fprintf(to, "  %s %s", key, cell);
    }
    if (column > 0)
        fputc('\n', to);
}
