/* dump - the configuration written out: as JSON for the children and for people, and the table as a commented file. */
#include "common/conf/internal.h"

#include <string.h>

/* Rows of one group ("limits.") stand together in the .def files; the group becomes one object. */
static int put_rows(const struct conf_section *s, const void *base, bool masked, struct buf *out)
{
    const char *group = "";
    size_t group_len = 0;
    int bad = 0;
    for (size_t i = 0; i < s->n; i++) {
        const struct conf_row *row = &s->rows[i];
        const char *dot = strchr(row->path, '.');
        size_t len = dot != NULL ? (size_t)(dot - row->path) : 0;
        bool same = len == group_len && strncmp(row->path, group, len) == 0;
        if (!same && group_len > 0)
            bad |= buf_appendc(out, '}');
        if (i > 0)
            bad |= buf_appendc(out, ',');
        if (!same && len > 0)
            bad |= buf_printf(out, "\"%.*s\":{", (int)len, row->path);
        bad |= buf_printf(out, "\"%s\":", dot != NULL ? dot + 1 : row->path);
        bad |= conf_value_put(row, base, masked, out);
        group = row->path;
        group_len = len;
    }
    if (group_len > 0)
        bad |= buf_appendc(out, '}');
    return bad;
}

static int put_list(const struct conf_section *s, const struct conf *c, bool masked, struct buf *out)
{
    const char *elements;
    size_t n;
    memcpy(&elements, (const char *)c + s->offset, sizeof elements);
    memcpy(&n, (const char *)c + s->n_offset, sizeof n);
    int bad = buf_appendc(out, '[');
    for (size_t i = 0; i < n; i++) {
        bad |= buf_puts(out, i > 0 ? ",{" : "{");
        bad |= put_rows(s, elements + i * s->size, masked, out);
        bad |= buf_appendc(out, '}');
    }
    return bad | buf_appendc(out, ']');
}

/* The lists that stand inside a section ("ingest.listeners"), after its rows. */
static int put_inner_lists(const struct conf_section *s, const struct conf *c, bool masked, struct buf *out)
{
    int bad = 0;
    size_t len = strlen(s->name);
    for (size_t i = 0; i < CONF_SECTIONS; i++) {
        const struct conf_section *inner = &conf_sections[i];
        if (strncmp(inner->name, s->name, len) != 0 || inner->name[len] != '.')
            continue;
        bad |= buf_printf(out, ",\"%s\":", inner->name + len + 1);
        bad |= put_list(inner, c, masked, out);
    }
    return bad;
}

int conf_dump(const struct conf *c, bool masked, struct buf *out)
{
    size_t start = out->len;
    int bad = buf_puts(out, "{\"version\":1");
    for (size_t i = 0; i < CONF_SECTIONS; i++) {
        const struct conf_section *s = &conf_sections[i];
        if (strchr(s->name, '.') != NULL)
            continue;
        bad |= buf_printf(out, ",\"%s\":", s->name);
        if (CONF_IS_LIST(s)) {
            bad |= put_list(s, c, masked, out);
            continue;
        }
        bad |= buf_appendc(out, '{');
        bad |= put_rows(s, (const char *)c + s->offset, masked, out);
        bad |= put_inner_lists(s, c, masked, out);
        bad |= buf_appendc(out, '}');
    }
    bad |= buf_puts(out, "}\n");
    if (bad == 0)
        return 0;
    out->len = start;
    return -1;
}

/* ---- the table as YAML */

static int document_value(const struct conf_row *row, struct buf *out)
{
    if (row->type == CONF_TYPE_STRING || row->type == CONF_TYPE_SECRET || row->type == CONF_TYPE_FILE ||
        (row->def[0] == '\0' && !CONF_IS_WORDS(row)))
        return buf_put_json(out, row->def, strlen(row->def));
    return buf_puts(out, row->type == CONF_TYPE_MAP ? "{}" : CONF_IS_WORDS(row) ? "[]" : row->def);
}

static int document_rows(const struct conf_section *s, const char *indent, struct buf *out)
{
    const char *group = "";
    int bad = 0;
    for (size_t i = 0; i < s->n; i++) {
        const struct conf_row *row = &s->rows[i];
        const char *dot = strchr(row->path, '.');
        size_t len = dot != NULL ? (size_t)(dot - row->path) + 1 : 0;
        const char *front = CONF_IS_LIST(s) && i == 0 ? "- " : CONF_IS_LIST(s) ? "  " : "";
        if (len > 0 && strncmp(group, row->path, len) != 0)
            bad |= buf_printf(out, "%s%s%.*s:\n", indent, front, (int)len - 1, row->path);
        bad |= buf_printf(out, "%s%s%s%s: ", indent, front, len > 0 ? "  " : "", row->path + len);
        bad |= document_value(row, out);
        if (row->help[0] != '\0' || row->words[0] != '\0')
            bad |= buf_printf(out, "  # %s%s%s", row->words,
                              row->help[0] != '\0' && row->words[0] != '\0' ? ": " : "", row->help);
        bad |= buf_appendc(out, '\n');
        group = row->path;
    }
    return bad;
}

int conf_document(struct buf *out)
{
    int bad = buf_puts(out, "version: 1\n");
    for (size_t i = 0; i < CONF_SECTIONS; i++) {
        const struct conf_section *s = &conf_sections[i];
        const char *dot = strchr(s->name, '.');
        bad |= buf_printf(out, "%s%s:\n", dot != NULL ? "  " : "", dot != NULL ? dot + 1 : s->name);
        bad |= document_rows(s, dot != NULL ? "    " : "  ", out);
    }
    return bad == 0 ? 0 : -1;
}
