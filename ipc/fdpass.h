/* fdpass - descriptors over a unix socket (SCM_RIGHTS), closed on every error path. */
#ifndef DRAY_IPC_FDPASS_H
#define DRAY_IPC_FDPASS_H

#include <stddef.h>
#include <sys/types.h>

#define FDPASS_MAX 2

/* sendmsg with n descriptors (0..FDPASS_MAX) attached to the first byte. As send(2): bytes taken, or -1. */
ssize_t fdpass_send(int sock, const void *data, size_t len, const int *fds, size_t n);
/* recvmsg; what came is close-on-exec in fds (n_fds of them, at most FDPASS_MAX; more are closed and errno is EPROTO).
 * As recv(2): bytes, 0 at EOF, -1. */
ssize_t fdpass_recv(int sock, void *data, size_t len, int *fds, size_t *n_fds);

#endif
