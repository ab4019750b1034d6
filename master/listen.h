/* listen - the listening sockets, bound once and kept as long as the configuration wants them, so that a restarted child
 * refuses nobody.
 * Sockets of systemd (LISTEN_FDS) are taken where their address is a configured one. */
#ifndef DRAY_MASTER_LISTEN_H
#define DRAY_MASTER_LISTEN_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/buf.h"
#include "common/conf/conf.h"
#include "master/kinds.h"

struct listen_set;

/* Binds everything the configuration names. NULL: each fault is logged with the address and the remedy. An address that
 * is still held by a predecessor's last children is waited for, a short while. */
struct listen_set *listen_open(const struct conf *c);
/* The sockets of another configuration: those of the same address are the same, others are bound at once. NULL: a line in
 * errors for each that cannot be bound, and nothing has changed. old goes on to stand until it is closed. */
struct listen_set *listen_change(const struct listen_set *old, const struct conf *c, struct buf *errors);
/* Gives unix socket files the permissions that this configuration wants. */
void listen_set_modes(const struct listen_set *l);
/* Removes unix socket files that it made, but those that are kept's, too (may be NULL). */
void listen_close(struct listen_set *l, const struct listen_set *kept);
/* Descriptors of one use in the order of the configuration; returns how many (at most max are written). */
size_t listen_fds_for(const struct listen_set *l, enum kind_listen use, int *fds, size_t max);
/* "127.0.0.1:8080" as bound (port 0 resolved); "" when there is no such socket. Returns dst. */
char *listen_address(const struct listen_set *l, enum kind_listen use, size_t index, char *dst, size_t size);

/* For a successor of this process: socket i (false: there is none), with the file that is to be removed at the end, or
 * NULL; and back, one at a time, into an empty set. The set takes over the descriptor. */
bool listen_save(const struct listen_set *l, size_t i, int *fd, enum kind_listen *use,
                 const char **unix_path);
struct listen_set *listen_new(void);
/* 0, or -1: there are too many, or this is no listening socket. */
int listen_restore(struct listen_set *l, int fd, enum kind_listen use, const char *unix_path);
/* Behind the last of them: which one is which, by their order in the configuration that they were made for. */
void listen_name(struct listen_set *l, const struct conf *c);

#endif
