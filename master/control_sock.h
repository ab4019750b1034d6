/* control_sock - RUN_DIR/control.sock: one JSON line in, one JSON line out, for the command line and for people.
 *
 * {"verb":"status"} -> {"ok":true,...}; on failure {"ok":false,"code":N,"error":"sentence"}. The peer must be root or
 * the service's own user (peer credentials). `printf '{"verb":"status"}\n' | nc -U control.sock` works.
 */
#ifndef DRAY_MASTER_CONTROL_SOCK_H
#define DRAY_MASTER_CONTROL_SOCK_H

struct master;
struct control_sock;

/* NULL after logging. */
struct control_sock *control_sock_open(struct master *m);
/* Makes the socket file again when it is not there any more, or not ours. */
void control_sock_check(struct control_sock *c);
void control_sock_close(struct control_sock *c);

#endif
