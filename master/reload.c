/* reload - see reload.h. */
#include "master/reload.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "common/base/clock.h"
#include "common/base/fd.h"
#include "common/base/hook.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "master/health.h"
#include "master/loglevel.h"
#include "master/logsink.h"
#include "master/reconcile.h"
#include "master/sd.h"
#include "master/state.h"

#define DUMP_MAX (16u << 20)
#define KEEP_MAX 64

int reload_seal(struct master *m)
{
    struct buf text;
    buf_init(&text, DUMP_MAX);
    int fd = memfd_create("dray-config", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || conf_dump(m->conf, false, &text) < 0 || fd_write_full(fd, text.data, text.len) < 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0) {
        log_crit("config_not_sealed", "err=%s", log_q(strerror(errno)));
        fd_close(&fd);
        buf_fini(&text);
        return -1;
    }
    SHA256((const unsigned char *)text.data, text.len, m->conf_sha256);
    fd_close(&m->conf_fd);
    m->conf_fd = fd;
    m->conf_len = text.len;
    m->epoch++;
    buf_fini(&text);
    HOOK_POINT(conf_sealed);
    return 0;
}

/* ------------------------------------------------------------------ keys that a reload cannot change */

struct keep {
    const json_t *old; /* the dump of the configuration in force */
    struct conf_override overrides[KEEP_MAX];
    size_t n;
    bool program;     /* the managed Redis is concerned */
    struct buf *kept; /* names, one a line; or NULL */
};

static const json_t *find_path(const json_t *o, const char *path)
{
    char part[64];
    while (o != NULL && *path != '\0') {
        size_t n = strcspn(path, ".");
        if (n >= sizeof part)
            return NULL;
        memcpy(part, path, n);
        part[n] = '\0';
        o = json_object_get(o, part);
        path += n + (path[n] == '.');
    }
    return o;
}

static void on_difference(const char *path, enum conf_apply apply, void *arg)
{
    struct keep *k = arg;
    if (strncmp(path, "redis.managed", strlen("redis.managed")) == 0)
        k->program = true;
    if (apply != CONF_APPLY_RESTART)
        return;
    log_warn("reload_needs_restart", "key=%s remedy=%s", path,
             log_q("restart dray to change it; the old value stays"));
    if (k->kept != NULL)
        (void)buf_printf(k->kept, "%s\n", path);
    const json_t *value = find_path(k->old, path);
    if (value == NULL || k->n == KEEP_MAX)
        return;
    /* An override is YAML only where a list is wanted: a scalar stands as it is. */
    char *text = json_is_string(value) ? xstrdup(json_string_value(value))
                                       : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    k->overrides[k->n].origin = "reload";
    k->overrides[k->n++].text = xasprintf("%s=%s", path, text != NULL ? text : "");
    free(text);
}

static void log_lines(enum log_level level, const char *event, struct buf *lines)
{
    char *copy = xstrdup(buf_cstr(lines)), *save = NULL;
    for (char *line = strtok_r(copy, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save))
        log_event(level, event, "msg=%s", log_q(line));
    free(copy);
}

static enum exitcode load(const struct master *m, const struct keep *k, struct conf **out, struct buf *errors)
{
    const struct master_options *o = m->options;
    struct buf warnings;
    size_t n = o->n_overrides + (k != NULL ? k->n : 0);
    struct conf_override *all = xcalloc(n, sizeof *all);
    for (size_t i = 0; i < o->n_overrides; i++)
        all[i] = o->overrides[i];
    for (size_t i = 0; k != NULL && i < k->n; i++)
        all[o->n_overrides + i] = k->overrides[i];
    buf_init(&warnings, 1u << 20);
    enum exitcode code = conf_load(o->config_path, all, n, out, errors, &warnings);
    if (code == EXIT_CODE_OK && k == NULL)
        log_lines(LOGL_WARN, "config_warning", &warnings);
    if (code == EXIT_CODE_OK && (*out)->node.name[0] == '\0') { /* the host's, found at the start */
        free((*out)->node.name);
        (*out)->node.name = xstrdup(m->conf->node.name);
    }
    buf_fini(&warnings);
    free(all);
    return code;
}

/* The new configuration with the old values of what cannot change now. */
static enum exitcode load_kept(struct master *m, struct conf **out, struct keep *k, struct buf *errors)
{
    struct buf dump;
    buf_init(&dump, DUMP_MAX);
    enum exitcode code = load(m, NULL, out, errors);
    if (code == EXIT_CODE_OK && conf_dump(m->conf, false, &dump) == 0) {
        json_t *old = json_loadb(dump.data, dump.len, 0, NULL);
        k->old = old;
        conf_diff(m->conf, *out, on_difference, k);
        if (k->n > 0) {
            conf_free(*out);
            code = load(m, k, out, errors);
        }
        for (size_t i = 0; i < k->n; i++)
            free((char *)(uintptr_t)k->overrides[i].text);
        json_decref(old);
    }
    buf_fini(&dump);
    return code;
}

/* A program that is another is replaced, and none beside it. */
static void roll_programs(struct master *m, const struct conf *old)
{
    struct slot *s;
    list_foreach(s, &m->slots, struct slot, link)
    {
        if (kind_id(s->kind) == KIND_PROGRAM && conf_program_slot_differs(old, m->conf, s->index))
            reconcile_roll_slot(s);
    }
}

enum exitcode reload_now(struct master *m, struct buf *errors, struct buf *kept)
{
    struct conf *fresh = NULL;
    struct keep k = {.kept = kept};
    if (m->phase != MASTER_RUNNING || reconcile_rolling(m)) {
        (void)buf_puts(errors,
                       "not now: it is starting, stopping or already replacing processes; try again later\n");
        return EXIT_CODE_TEMP;
    }
    sd_notify_text("RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)clock_mono_us());
    enum exitcode code = load_kept(m, &fresh, &k, errors);
    if (code == EXIT_CODE_OK) {
        struct conf *old = m->conf;
        conf_programs_keep_places(fresh, old);
        m->conf = fresh;
        if (reload_seal(m) < 0) {
            m->conf = old;
            conf_free(fresh);
            code = EXIT_CODE_OSERR;
        } else {
            scale_reload(m, old);
            roll_programs(m, old);
            conf_free(old);
        }
    }
    if (code == EXIT_CODE_OK) {
        loglevel_reset(m, "reload");
        if (logsink_reconfigure(m->sink, &m->conf->log) < 0)
            log_error("log_open_failed", "output=%s err=%s remedy=%s", log_q(m->conf->log.output),
                      log_q(strerror(errno)), log_q("the log goes on where it was"));
        reconcile_roll(m, NULL);
        if (k.program)
            reconcile_roll(m, &kinds[KIND_PROGRAM]);
        log_info("reload", "epoch=%u", m->epoch);
    } else {
        log_lines(LOGL_ERROR, "reload_refused", errors);
        sd_notify_text("READY=1"); /* else it follows when all are replaced */
    }
    return code;
}

void reload_later(struct master *m)
{
    struct buf errors;
    buf_init(&errors, 1u << 20);
    m->reload_pending = m->phase != MASTER_STOPPING && reload_now(m, &errors, NULL) == EXIT_CODE_TEMP;
    buf_fini(&errors);
}
