/* front - see front.h. A listener's number is its place in the configuration, and of its socket among those inherited. */
#include "workers/ingest/front.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/http/tls.h"
#include "ipc/fdmap.h"

/* NULL with *bad unset: it speaks plain HTTP. */
static struct http_tls *context_of(const struct conf_listener *l, bool *bad)
{
    char why[256];
    if (l->tls_cert[0] == '\0')
        return NULL;
    struct http_tls *t =
        http_tls_new(&(struct http_tls_options){.name = l->id,
                                                .cert = l->tls_cert,
                                                .key = l->tls_key,
                                                .client_ca = l->tls_client_ca,
                                                .only_1_3 = l->tls_min_version == CONF_TLS_1_3},
                     why, sizeof why);
    if (t == NULL) {
        log_error("tls_unusable", "listener=%s reason=%s", log_q(l->id), log_q(why));
        *bad = true;
    }
    return t;
}

int front_start(struct ingest *g)
{
    bool bad = false;
    g->tls = xcalloc(g->conf->n_listeners + 1, sizeof *g->tls);
    for (size_t i = 0; i < g->conf->n_listeners; i++)
        g->tls[i] = context_of(&g->conf->listeners[i], &bad);
    return bad ? -1 : 0;
}

void front_listen(struct ingest *g)
{
    g->listening = true;
    for (unsigned i = 0; i < child_listeners(g->child); i++) {
        bool known = i < g->conf->n_listeners;
        const char *name = known ? g->conf->listeners[i].id : "?";
        if (http_server_listen(g->server, FDMAP_LISTEN + (int)i, name) < 0) {
            log_error("listen_failed", "listener=%s error=%s", log_q(name), log_q(strerror(errno)));
            child_exit(g->child, EXIT_CODE_OSERR); /* alive and deaf is worse */
        }
        if (known && g->tls[i] != NULL)
            http_server_set_tls(g->server, i, g->tls[i]);
    }
    http_server_share(g->server, g->conf->master.processes_ingest > 1);
    free(g->tls); /* the server has them */
    g->tls = NULL;
}

static bool same_tls(const struct conf_listener *a, const struct conf_listener *b)
{
    return strcmp(a->tls_cert, b->tls_cert) == 0 && strcmp(a->tls_key, b->tls_key) == 0 &&
           strcmp(a->tls_client_ca, b->tls_client_ca) == 0 && a->tls_min_version == b->tls_min_version;
}

int front_reload(struct ingest *g, const struct conf *old)
{
    const struct conf *now = g->conf;
    size_t n = now->n_listeners < old->n_listeners ? now->n_listeners : old->n_listeners;
    struct http_tls **fresh = xcalloc(n + 1, sizeof *fresh);
    bool bad = false;
    for (size_t i = 0; i < n; i++)
        if (!same_tls(&now->listeners[i], &old->listeners[i]))
            fresh[i] = context_of(&now->listeners[i], &bad);
    for (size_t i = 0; i < n; i++) {
        if (bad) {
            http_tls_unref(fresh[i]);
        } else if (!same_tls(&now->listeners[i], &old->listeners[i])) {
            log_info("tls_renewed", "listener=%s tls=%s", log_q(now->listeners[i].id),
                     fresh[i] != NULL ? "true" : "false");
            if (g->listening) {
                http_server_set_tls(g->server, (unsigned)i, fresh[i]);
            } else {
                http_tls_unref(g->tls[i]);
                g->tls[i] = fresh[i];
            }
        }
    }
    if (g->listening && !bad)
        http_server_share(g->server, now->master.processes_ingest > 1);
    free(fresh);
    return bad ? -1 : 0;
}

void front_count_handshake(const char *listener, enum http_handshake result, uint64_t duration_us, void *arg)
{
    static const char *const names[HTTP_HANDSHAKES] = {
        [HTTP_HANDSHAKE_FULL] = "full",        [HTTP_HANDSHAKE_RESUMED] = "resumed",
        [HTTP_HANDSHAKE_PLAIN] = "plain_http", [HTTP_HANDSHAKE_CERTIFICATE] = "certificate",
        [HTTP_HANDSHAKE_FAILED] = "failed",    [HTTP_HANDSHAKE_TIMEOUT] = "timeout",
        [HTTP_HANDSHAKE_CUT] = "cut",
    };
    const struct ingest *g = arg;
    (void)duration_us;
    metric_add(
        metrics_series(child_metrics(g->child), METRIC_INGEST_TLS_HANDSHAKES, listener, names[result], NULL),
        1);
}
