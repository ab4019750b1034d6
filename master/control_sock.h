/* control_sock - RUN_DIR/control.sock: one JSON line in, one JSON line out, for the command line and for people.
 *
 * {"verb":"status"} -> {"ok":true,...}; on failure {"ok":false,"code":N,"error":"sentence"}. The peer must be root or
 * the service's own user (peer credentials). `printf '{"verb":"status"}\n' | nc -U control.sock` works.
 */
#ifndef DRAY_MASTER_CONTROL_SOCK_H
#define DRAY_MASTER_CONTROL_SOCK_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONTROL_SOCK_REQUEST_MAX (64u << 10)
#define CONTROL_SOCK_REPLY_MAX   (4u << 20)
#define CONTROL_SOCK_CLIENTS_MAX 32

struct master;
struct control_sock;
struct flush;
struct upgrade_client;

/* NULL after logging. */
struct control_sock *control_sock_open(struct master *m);
/* Makes the socket file again when it is not there any more, or not ours. */
void control_sock_check(struct control_sock *c);
void control_sock_close(struct control_sock *c);

/* The upgrade that some of them wait for has ended: reply (taken over) is the answer. */
void control_sock_upgraded(struct control_sock *c, json_t *reply);

/* For a successor of this process: client i (false: there is none), as it stands until the next turn. */
struct control_sock_client {
    int fd;
    const char *in, *out;
    size_t in_len, out_len;
    const struct flush *flush; /* it waits for this, or NULL */
    bool waits_upgrade;
};
int control_sock_fd(const struct control_sock *c, uint64_t *dev, uint64_t *ino); /* which file it is */
bool control_sock_save(const struct control_sock *c, size_t i, struct control_sock_client *out);
/* And back: the listening socket, then each client; the descriptors are taken over. */
struct control_sock *control_sock_restore(struct master *m, int fd, uint64_t dev, uint64_t ino);
void control_sock_restore_client(struct control_sock *c, const struct upgrade_client *from);

#endif
