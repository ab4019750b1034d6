/* peer - see peer.h.
 *
 * A link belongs to one pair of incarnations: a new process gets a new pair of pipes, because the next reader of an
 * old pipe would wake up in the middle of a frame. The master keeps none of the four ends, so that EOF is the truth.
 */
#include "master/peer.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "common/base/fd.h"
#include "common/base/hook.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "master/state.h"
#include "master/slot.h"

static bool is_linked(const struct slot *sender, uint32_t generation)
{
    for (unsigned i = 0; i < sender->n_linked; i++)
        if (sender->linked[i] == generation)
            return true;
    return false;
}

/* Generations of receivers that are gone make room. */
static void forget_dead(struct slot *sender)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < sender->n_linked; i++) {
        const struct slot *s;
        bool alive = false;
        list_foreach(s, &sender->master->slots, struct slot, link) alive =
            alive || (s->pid != 0 && s->generation == sender->linked[i]);
        if (alive)
            sender->linked[kept++] = sender->linked[i];
    }
    sender->n_linked = kept;
}

static int tell(struct slot *s, const struct slot *peer, uint64_t id, enum msg_link_role role, int batch_fd,
                int ack_fd)
{
    struct msg m = {.type = MSG_LINK, .generation = s->generation};
    m.u.link.link_id = id;
    m.u.link.role = role;
    str_copy(m.u.link.peer_kind, peer->kind->name, sizeof m.u.link.peer_kind);
    m.u.link.peer_slot = peer->index;
    m.u.link.peer_generation = peer->generation;
    int fds[2] = {batch_fd, ack_fd};
    return chan_send(s->chan, &m, fds, 2);
}

static void introduce(struct slot *sender, struct slot *receiver)
{
    int batch[2] = {-1, -1}, ack[2] = {-1, -1};
    const unsigned room = sizeof sender->linked / sizeof *sender->linked;
    if (sender->n_linked == room)
        forget_dead(sender);
    if (sender->n_linked == room)
        return;
    if (pipe2(batch, O_CLOEXEC | O_NONBLOCK) < 0 || pipe2(ack, O_CLOEXEC | O_NONBLOCK) < 0) {
        log_error("link_failed", "err=%s", log_q(strerror(errno)));
    } else {
        uint64_t id = (uint64_t)sender->generation << 32 | receiver->generation;
        /* The receiver first: when only one of the two hears of the link, the other end is closed below and the one
         * sees EOF at once. */
        int r = tell(receiver, sender, id, MSG_LINK_RECEIVER, batch[0], ack[1]);
        HOOK_POINT(link_half);
        if (r < 0 || tell(sender, receiver, id, MSG_LINK_SENDER, batch[1], ack[0]) < 0)
            log_warn("link_failed", "sender_gen=%u receiver_gen=%u err=%s", sender->generation,
                     receiver->generation, log_q(strerror(errno)));
        else /* otherwise again with the next tick */
            sender->linked[sender->n_linked++] = receiver->generation;
        HOOK_POINT(link_made);
    }
    fd_close(&batch[0]);
    fd_close(&batch[1]);
    fd_close(&ack[0]);
    fd_close(&ack[1]);
}

void peer_introduce_all(struct master *m)
{
    struct slot *a, *b;
    list_foreach(a, &m->slots, struct slot, link)
    {
        /* One that drains still takes requests on its open connections, and its receivers may be replaced meanwhile. */
        if (!a->kind->sends ||
            (a->state != SLOT_UP && (a->state != SLOT_DRAIN || a->n_linked == 0 || a->chan == NULL)))
            continue;
        list_foreach(b, &m->slots, struct slot, link) if (b->kind->receives && b->kind != a->kind && b->state == SLOT_UP &&
                                                          !is_linked(a, b->generation)) introduce(a, b);
    }
}

void peer_unlinked(struct slot *sender, uint32_t generation)
{
    for (unsigned i = 0; i < sender->n_linked; i++)
        if (sender->linked[i] == generation) {
            sender->linked[i] = sender->linked[--sender->n_linked];
            return;
        }
}
