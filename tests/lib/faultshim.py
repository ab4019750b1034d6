"""Makes the Nth system call of one kind fail in one process of an instance (faultshim.c).

    shim = FaultShim(dray)              before it is started
    shim.arm("pipe2", 3)                from now on the third pipe2 of the master, or of a child before its exec, fails
    shim.arm("open", 2, kind="ingest")  the second open of the next ingest process that starts fails
    shim.disarm()                       True when it came to that
    shim.seen()                         how many such calls there were while it was armed

keep: every call from the Nth on. malloc: in the release build alone; at_least: only what is so big counts.
"""
import errno
import mmap
import os
import struct
import subprocess

NAMES = ("pipe2", "socketpair", "fcntl", "sendmsg", "fork", "recvmsg", "write", "read", "epoll_create1", "epoll_ctl",
         "epoll_wait", "memfd_create", "accept4", "open", "socket", "connect", "eventfd", "timerfd_create", "pthread_create",
         "fsync", "rename", "malloc")
CALLS = {name: i + 1 for i, name in enumerate(NAMES)}
PAGE = struct.Struct("=8i32s")  # pid, call, left, error, fired, keep, claim, at_least, kind
NEVER = 1 << 30


class FaultShim:
    def __init__(self, dray):
        self.dray = dray
        self.nth = 0
        library, path = os.path.join(dray.dir, "faultshim.so"), os.path.join(dray.dir, "faultshim")
        source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "faultshim.c")
        is_plain = os.path.basename(os.path.dirname(dray.binary)) == "release"
        subprocess.run(["cc", "-D_GNU_SOURCE", "-O1", "-Wall", "-Werror", "-fno-builtin", "-shared", "-fPIC", "-o", library,
                        source] + (["-DWITH_MALLOC"] if is_plain else []), check=True)
        with open(path, "wb") as f:
            f.truncate(4096)
        with open(path, "r+b") as f:
            self.page = mmap.mmap(f.fileno(), 4096)
        dray.env.update(LD_PRELOAD=library, FAULTSHIM=path)
        # The sanitizer's own library comes behind ours.
        dray.env["ASAN_OPTIONS"] = "verify_asan_link_order=0:detect_leaks=1:log_path=%s/sanitizer" % dray.dir

    def arm(self, call, nth, error=errno.EMFILE, kind=None, pid=None, keep=False, at_least=0):
        self.nth = nth
        error = errno.ENOMEM if call == "malloc" else error
        pid = pid or (self.dray.pid if kind is None else 0)
        self.page[4:8] = bytes(4)
        self.page[:PAGE.size] = PAGE.pack(pid, 0, nth, error, 0, keep, 0, at_least, (kind or "").encode())
        self.page[4:8] = struct.pack("=i", CALLS[call])  # it is in force from here
        if kind is not None:
            self.page[24:28] = struct.pack("=i", 1)  # or from here, for the next one

    def fired(self):
        return PAGE.unpack(self.page[:PAGE.size])[4] > 0

    def seen(self):
        return self.nth - PAGE.unpack(self.page[:PAGE.size])[2]

    def target(self):
        """pid of the process that it concerns, 0: it has not started yet."""
        return PAGE.unpack(self.page[:PAGE.size])[0]

    def disarm(self):
        fired = self.fired()
        self.page[4:8] = bytes(4)
        self.page[24:28] = bytes(4)
        return fired
