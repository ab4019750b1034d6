/* fdmap - the fixed descriptor numbers of a child. Everything else is close-on-exec from birth. */
#ifndef DRAY_IPC_FDMAP_H
#define DRAY_IPC_FDMAP_H

enum fdmap {
    FDMAP_NULL = 0,    /* /dev/null */
    FDMAP_LOG_OUT = 1, /* the log pipe, for what a library prints */
    FDMAP_LOG = 2,     /* the log pipe */
    FDMAP_CONTROL = 3, /* socketpair to the master */
    FDMAP_LISTEN = 4,  /* first of the listening sockets, if the kind has any */
};

#endif
