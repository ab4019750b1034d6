/* reload_force - see reload_int.h: the configuration in force, its sealed copy, sockets, log output, numbers of processes. */
#include "master/reload_int.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/sha.h>
#include <string.h>
#include <sys/mman.h>

#include "common/base/fd.h"
#include "common/base/hook.h"
#include "common/base/log.h"
#include "master/listen.h"
#include "master/loglevel.h"
#include "master/logsink.h"
#include "master/scale.h"
#include "master/slot.h"

#define DUMP_MAX (16u << 20)

int reload_force_seal(const struct conf *c, struct sealed *out)
{
    struct buf text;
    buf_init(&text, DUMP_MAX);
    int fd = memfd_create("dray-config", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || conf_dump(c, false, &text) < 0 || fd_write_full(fd, text.data, text.len) < 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0) {
        log_crit("config_not_sealed", "err=%s", log_q(strerror(errno)));
        fd_close(&fd);
        buf_fini(&text);
        return -1;
    }
    SHA256((const unsigned char *)text.data, text.len, out->sha256);
    out->fd = fd;
    out->len = text.len;
    buf_fini(&text);
    HOOK_POINT(conf_sealed);
    return 0;
}

void reload_force_set(struct master *m, const struct sealed *s)
{
    m->conf = s->conf;
    m->conf_fd = s->fd;
    m->conf_len = s->len;
    memcpy(m->conf_sha256, s->sha256, sizeof m->conf_sha256);
    m->epoch = s->epoch;
    m->listen = s->listen;
}

struct sealed reload_force_get(const struct master *m)
{
    struct sealed s = {
        .conf = m->conf, .fd = m->conf_fd, .len = m->conf_len, .epoch = m->epoch, .listen = m->listen};
    memcpy(s.sha256, m->conf_sha256, sizeof s.sha256);
    memcpy(s.wanted, m->wanted, sizeof s.wanted);
    memcpy(s.by_hand, m->scale.by_hand, sizeof s.by_hand);
    return s;
}

void reload_force_drop(struct master *m, struct sealed *s)
{
    conf_free(s->conf);
    if (s->fd >= 0)
        fd_close(&s->fd);
    if (s->listen != m->listen)
        listen_close(s->listen, m->listen);
    *s = (struct sealed){.fd = -1};
}

static bool same_output(const struct conf_log *a, const struct conf_log *b)
{
    return a->format == b->format && a->facility == b->facility && strcmp(a->output, b->output) == 0;
}

static void rearm(struct master *m, const struct conf *old)
{
    const struct conf_master *a = &old->master, *b = &m->conf->master;
    struct slot *s;
    if (a->health_boot_ms == b->health_boot_ms && a->health_hang_ms == b->health_hang_ms &&
        a->health_kill_grace_ms == b->health_kill_grace_ms)
        return;
    list_foreach(s, &m->slots, struct slot, link) slot_rearm(s);
}

enum exitcode reload_force_plan(struct reload *r, struct buf *errors)
{
    struct master *m = r->m;
    struct sealed fresh = {.conf = r->plan.conf, .fd = -1, .listen = m->listen};
    enum exitcode code = EXIT_CODE_OK;
    if (r->plan.listeners && (fresh.listen = listen_change(m->listen, fresh.conf, errors)) == NULL)
        return EXIT_CODE_NOPERM;
    if (!same_output(&m->conf->log, &fresh.conf->log) && logsink_reconfigure(m->sink, &fresh.conf->log) < 0) {
        (void)buf_printf(errors, "log.output: cannot open %s: %s\n", fresh.conf->log.output, strerror(errno));
        code = EXIT_CODE_NOPERM;
    } else if (reload_force_seal(fresh.conf, &fresh) < 0) {
        (void)buf_puts(errors, "the configuration could not be handed over, see the log\n");
        code = EXIT_CODE_OSERR;
    }
    if (code != EXIT_CODE_OK) {
        if (fresh.listen != m->listen)
            listen_close(fresh.listen, m->listen);
        return code;
    }
    fresh.epoch = ++m->last_epoch;
    r->before = reload_force_get(m);
    r->plan.conf = NULL;
    reload_force_set(m, &fresh);
    listen_set_modes(m->listen);
    scale_reload(m, r->before.conf);
    rearm(m, r->before.conf);
    return EXIT_CODE_OK;
}

void reload_force_back(struct reload *r)
{
    struct master *m = r->m;
    struct sealed failed = reload_force_get(m);
    reload_force_set(m, &r->before);
    listen_set_modes(m->listen);
    loglevel_reset(m, "reload failed");
    if (!same_output(&m->conf->log, &failed.conf->log) && logsink_reconfigure(m->sink, &m->conf->log) < 0)
        log_error("log_open_failed", "output=%s err=%s", log_q(m->conf->log.output), log_q(strerror(errno)));
    scale_reload(m, failed.conf);
    for (int i = 0; i < KIND_COUNT; i++)
        if (r->before.by_hand[i] && !m->scale.by_hand[i]) {
            m->wanted[i] = r->before.wanted[i];
            m->scale.by_hand[i] = true;
        }
    rearm(m, failed.conf);
    r->before = (struct sealed){.fd = -1};
    reload_force_drop(m, &failed);
}
