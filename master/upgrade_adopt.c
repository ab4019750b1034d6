/* upgrade_adopt - see upgrade_adopt.h. */
#include "master/upgrade_adopt.h"
#include "master/reload.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/crash.h"
#include "common/base/fd.h"
#include "common/base/hook.h"
#include "common/base/mem.h"
#include "common/base/sig.h"
#include "common/base/str.h"
#include "master/confine.h"
#include "master/control.h"
#include "master/control_sock.h"
#include "master/health.h"
#include "master/listen.h"
#include "master/loglevel.h"
#include "master/logmux.h"
#include "master/logsink.h"
#include "master/logstream.h"
#include "master/pause.h"
#include "master/signals.h"
#include "master/slot_act.h"
#include "master/upgrade_back.h"
#include "master/upgrade_state.h"

#define CONF_MAX (16u << 20)

/* The state lives as long as the process: the options point into it. */
static struct {
    int state_fd, exe_fd; /* exe_fd -1: this is the way back */
    char why_back[UPGRADE_TEXT_MAX];
    char last_line[UPGRADE_TEXT_MAX]; /* what was logged before there was a log */
    struct upgrade_state state;
    struct master_options options;
    struct master master;
} self;

bool upgrade_adopt_wanted(void)
{
    const char *text = getenv(UPGRADE_VARIABLE);
    int pid = 0, at = 0;
    if (text == NULL)
        return false;
    bool mine = sscanf(text, "%d:%d:%d:%n", &pid, &self.state_fd, &self.exe_fd, &at) == 3 && at > 0 &&
                pid == (int)getpid() && fcntl(self.state_fd, F_GETFD) >= 0;
    if (mine)
        (void)str_copy(self.why_back, text + at, sizeof self.why_back);
    unsetenv(UPGRADE_VARIABLE); /* no child shall have it */
    return mine;
}

/* ------------------------------------------------------------------ loading */

/* The descriptor's position is shared with whoever reads it next: it is left alone. */
static char *read_whole(int fd, size_t max, size_t *len)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return NULL;
    if (st.st_size <= 0 || (uint64_t)st.st_size > max) {
        errno = EFBIG;
        return NULL;
    }
    *len = (size_t)st.st_size;
    char *data = mem_try(*len);
    for (size_t at = 0; data != NULL && at < *len;) {
        ssize_t n = pread(fd, data + at, *len - at, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            free(data);
            return NULL;
        }
        at += (size_t)n;
    }
    return data;
}

int upgrade_adopt_load(int fd, struct upgrade_state *st, char *why, size_t size)
{
    size_t len = 0;
    memset(st, 0, sizeof *st);
    char *text = read_whole(fd, UPGRADE_STATE_MAX, &len);
    if (text == NULL) {
        snprintf(why, size, "the state cannot be read: %s", strerror(errno));
        return -1;
    }
    int rc = upgrade_state_read(text, len, st, why, size);
    free(text);
    return rc;
}

struct conf *upgrade_adopt_conf(const struct upgrade_state *st, int fd, char *why, size_t size)
{
    size_t len = 0;
    struct conf *conf = NULL;
    struct buf errors;
    unsigned char digest[SHA256_DIGEST_LENGTH];
    char *text = read_whole(fd, CONF_MAX, &len);
    if (text == NULL) {
        snprintf(why, size, "the configuration in force cannot be read: %s", strerror(errno));
        return NULL;
    }
    buf_init(&errors, 1u << 20);
    SHA256((const unsigned char *)text, len, digest);
    if (memcmp(digest, st->m.conf_sha256, sizeof digest) != 0)
        snprintf(why, size, "the configuration in force is not of the digest told");
    else if (conf_parse_old_dump(text, len, &conf, &errors) < 0)
        snprintf(why, size, "the configuration in force is not one for this version: %.300s",
                 buf_cstr(&errors));
    else if (errors.len > 0)
        log_warn("config_warning", "msg=%s", log_q(buf_cstr(&errors)));
    buf_fini(&errors);
    free(text);
    return conf;
}

/* ------------------------------------------------------------------ taking over */

static void keep_line(enum log_level level, const char *line, void *arg)
{
    (void)arg;
    if (level <= LOGL_ERROR)
        (void)str_copy(self.last_line, line, sizeof self.last_line);
}

static void take_slot(struct master *m, struct upgrade_slot *us)
{
    struct slot *s = slot_new(m, us->s.kind, us->s.index), own = *s;
    *s = us->s;
    s->link = own.link;
    s->master = m;
    s->timer = own.timer;
    s->metrics = own.metrics;
    s->obituary = own.obituary; /* is looked at anew */
    s->recycle = own.recycle;
    memset(&us->s.stats, 0, sizeof us->s.stats);
    if (s->pid == 0)
        return;
    s->chan = control_open(s, us->chan_fd);
    if (chan_restore(s->chan, &us->rest) < 0)
        upgrade_back_go("a channel is not what it should be");
    s->log =
        logmux_new(m, us->log_fd, &(struct logsink_origin){s->kind->name, s->index, s->generation, s->pid});
    usage_begin(s);
    logmux_keep(s->log, &s->obituary.words);
    logmux_restore(s->log, us->half, us->half_len, us->half_continued);
}

static struct slot *nth(const struct master *m, uint32_t n)
{
    struct slot *s;
    list_foreach(s, &m->slots, struct slot, link) if (n-- == 1) return s;
    return NULL;
}

static void take_slots(struct master *m, struct upgrade_state *st)
{
    for (size_t i = 0; i < st->n_slots; i++)
        take_slot(m, &st->slots[i]);
    for (size_t i = 0; i < st->n_slots; i++) {
        struct slot *s = nth(m, (uint32_t)i + 1);
        s->replaces = st->slots[i].replaces != 0 ? nth(m, st->slots[i].replaces) : NULL;
        if (s->state == SLOT_WAIT)
            slot_act_arm_wait(s, st->slots[i].wait_ms);
        else
            slot_act_arm(s);
    }
}

static void take_plain(struct master *m, const struct upgrade_state *st)
{
    const struct master *from = &st->m;
    m->run = from->run;
    memcpy(m->node, from->node, sizeof m->node);
    m->epoch = from->epoch;
    m->last_epoch = from->last_epoch;
    m->started_ms = from->started_ms;
    m->conf_fd = st->conf_fd;
    m->conf_len = from->conf_len;
    memcpy(m->conf_sha256, from->conf_sha256, sizeof m->conf_sha256);
    m->last_generation = from->last_generation;
    m->stage = from->stage;
    m->phase = MASTER_RUNNING;
    m->reload_pending = from->reload_pending;
    m->last_flush = from->last_flush;
    m->health_told = from->health_told;
    m->loop_lag_worst_ms = from->loop_lag_worst_ms;
    m->lock_fd = st->lock_fd;
    m->lock_lost = from->lock_lost;
    scale_start(m);
    for (int k = 0; k < KIND_COUNT; k++) {
        if (from->wanted[k] != UINT32_MAX)
            m->wanted[k] = from->wanted[k];
        m->scale.by_hand[k] = from->scale.by_hand[k];
        m->deaths[k] = from->deaths[k];
        m->degraded[k] = from->degraded[k];
    }
}

static void take_upgrade(struct master *m, const struct upgrade_state *st)
{
    struct upgrade *u = upgrade_new(m);
    free(u->path);
    u->path = xstrdup(st->upgrade.path);
    u->began_ms = st->upgrade.began_ms;
    u->count = st->upgrade.count;
    u->failed = st->upgrade.failed;
    u->took_ms = st->upgrade.took_ms;
    u->adopted_ms = st->upgrade.adopted_ms;
    u->generation = st->upgrade.generation;
    u->pending = st->upgrade.pending;
    (void)str_copy(u->from, st->upgrade.from, sizeof u->from);
    (void)str_copy(u->to, st->upgrade.to, sizeof u->to);
    (void)str_copy(u->result, st->upgrade.result, sizeof u->result);
    m->upgrade = u;
}

static void take_lists(struct master *m, const struct upgrade_state *st)
{
    for (size_t i = 0; i < st->n_orphans; i++)
        reap_restore(m, &st->orphans[i]);
    for (size_t i = 0; i < st->n_paused; i++)
        pause_restore(m, st->paused[i]);
    m->listen = listen_new();
    for (size_t i = 0; i < st->n_sockets; i++)
        if (listen_restore(m->listen, st->sockets[i].fd, st->sockets[i].use, st->sockets[i].unix_path) < 0)
            upgrade_back_go("a listening socket is none");
    listen_name(m->listen, m->conf);
    reload_adopt(m);
    m->control_sock = control_sock_restore(m, st->control_fd, st->control_dev, st->control_ino);
    for (size_t i = 0; i < st->n_clients; i++)
        control_sock_restore_client(m->control_sock, &st->clients[i]);
    if ((st->sum.len > 0 && metrics_carry_in(m->sum, st->sum.data, st->sum.len) < 0) ||
        (st->own.len > 0 && metrics_carry_in(m->own, st->own.data, st->own.len) < 0))
        upgrade_back_go("the metrics are not what they should be");
}

static void prepare(char **argv)
{
    struct upgrade_state *st = &self.state;
    struct master *m = &self.master;
    char why[UPGRADE_TEXT_MAX] = "";
    hook_at("adopt_begin");
    if (upgrade_adopt_load(self.state_fd, st, why, sizeof why) < 0)
        upgrade_back_go(why);
    self.options = (struct master_options){.config_path = st->config_path,
                                           .overrides = st->overrides,
                                           .n_overrides = st->n_overrides,
                                           .argv = argv};
    if (master_init(m, &self.options) < 0)
        upgrade_back_go("no event loop");
    if ((m->conf = upgrade_adopt_conf(st, st->conf_fd, why, sizeof why)) == NULL)
        upgrade_back_go(why);
    hook_at("adopt_decoded");
    if ((m->sink = logsink_new(&m->conf->log)) == NULL)
        upgrade_back_go(self.last_line);
    log_to_writer(keep_line, NULL); /* until the commit */
    take_plain(m, st);
    enum exitcode code = EXIT_CODE_OK;
    if (confine_start(m, &code) < 0)
        upgrade_back_go(self.last_line);
    take_upgrade(m, st);
    take_lists(m, st);
    take_slots(m, st);
    hook_at("adopt_taken");
}

static void begin_log(struct master *m)
{
    const struct upgrade_state *st = &self.state;
    for (size_t i = 0; i < st->n_lines; i++)
        logsink_put(m->sink, &st->lines[i]);
    logsink_set_dropped(m->sink, st->log_dropped);
    for (size_t i = 0; i < st->n_errors; i++)
        logerrors_restore(logsink_errors(m->sink), &st->errors[i]);
    m->own_log = logstream_new(m, &(struct logsink_origin){.kind = "master", .pid = getpid()});
    logstream_own(m->own_log);
    for (size_t i = 0; i < st->n_levels; i++)
        loglevel_restore(m, &st->levels[i]);
    loglevel_apply(m);
}

/* The point of no return. */
static void commit(struct master *m)
{
    bool back = self.exe_fd < 0;
    upgrade_back_disarm();
    fd_set_cloexec_from(STDERR_FILENO + 1);
    fd_close(&self.state_fd);
    fd_close(&self.exe_fd);
    crash_install();
    begin_log(m);
    signals_start(m);
    sig_defaults();
    reap_missed(m);
    upgrade_adopted(m, self.state.version, back ? self.why_back : NULL);
}

int upgrade_adopt_main(char **argv)
{
    char *name = xstrdup(argv[0]);
    (void)prctl(PR_SET_NAME, basename(name)); /* it was executed by a number */
    free(name);
    signal(SIGPIPE, SIG_IGN);
    if (self.exe_fd >= 0)
        upgrade_back_arm(self.state_fd, self.exe_fd, argv);
    log_to_writer(keep_line, NULL);
    prepare(argv);
    commit(&self.master);
    master_turn(&self.master);
    int code = master_end(&self.master);
    upgrade_state_fini(&self.state);
    return code;
}
