"""Makes the Nth system call of one kind fail in a running master (faultshim.c).

    shim = FaultShim(dray)              before it is started
    shim.arm("pipe2", 3)                from now on the third pipe2 of the master, or of a child before its exec, fails
    shim.disarm()                       True when it came to that
"""
import errno
import mmap
import os
import struct
import subprocess

CALLS = {"pipe2": 1, "socketpair": 2, "fcntl": 3, "sendmsg": 4, "fork": 5}
PAGE = struct.Struct("=5i")  # pid, call, left, error, fired


class FaultShim:
    def __init__(self, dray):
        self.dray = dray
        library, path = os.path.join(dray.dir, "faultshim.so"), os.path.join(dray.dir, "faultshim")
        source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "faultshim.c")
        subprocess.run(["cc", "-D_GNU_SOURCE", "-O1", "-shared", "-fPIC", "-o", library, source], check=True)
        with open(path, "wb") as f:
            f.truncate(4096)
        with open(path, "r+b") as f:
            self.page = mmap.mmap(f.fileno(), 4096)
        dray.env.update(LD_PRELOAD=library, FAULTSHIM=path)
        # The sanitizer's own library comes behind ours.
        dray.env["ASAN_OPTIONS"] = "verify_asan_link_order=0:detect_leaks=1:log_path=%s/sanitizer" % dray.dir

    def arm(self, call, nth, error=errno.EMFILE):
        self.page[:PAGE.size] = PAGE.pack(self.dray.pid, 0, nth, error, 0)
        self.page[4:8] = struct.pack("=i", CALLS[call])  # last: it is in force from here

    def fired(self):
        return PAGE.unpack(self.page[:PAGE.size])[4] > 0

    def disarm(self):
        fired = self.fired()
        self.page[4:8] = bytes(4)
        return fired
