"""Builds what is loaded into an instance (LD_PRELOAD) and gives its environment, for make_dray(env=...)."""
import mmap
import os
import struct
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))


def build(directory, name):
    library = os.path.join(str(directory), name + ".so")
    if not os.path.exists(library):
        subprocess.run(["cc", "-D_GNU_SOURCE", "-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o", library,
                        os.path.join(HERE, name + ".c")], check=True)
    return library


def bad_io(directory, short=None, broken=None):
    """io_shim.c. short: "local" or "tcp"; broken: the Breaks that are to happen."""
    env = {"LD_PRELOAD": build(directory, "io_shim")}
    if short is not None:
        env["IO_SHIM_SHORT"] = short
    if broken is not None:
        env["IO_SHIM_BREAK"] = broken.path
    return env


class Breaks:
    """Which writes to control channels are to fail: {kind: the first so many of it}. left() names those that have not yet."""
    ROWS, NAME, POINTS = 8, 16, 48

    def __init__(self, directory, kinds):
        assert len(kinds) <= self.ROWS and max(kinds.values()) <= self.POINTS
        self.kinds = kinds
        self.path = os.path.join(str(directory), "breaks")
        rows = b"".join(struct.pack("=%ds%ds" % (self.NAME, self.POINTS), kind.encode(), b"\1" * n)
                        for kind, n in kinds.items())
        with open(self.path, "wb") as f:
            f.write(rows.ljust(self.ROWS * (self.NAME + self.POINTS), b"\0"))
        with open(self.path, "r+b") as f:
            self.page = mmap.mmap(f.fileno(), 0)

    def left(self):
        names = []
        for i, (kind, count) in enumerate(self.kinds.items()):
            first = i * (self.NAME + self.POINTS) + self.NAME
            names += ["%s.%d" % (kind, n + 1) for n in range(count) if self.page[first + n]]
        return names


def bad_dns(directory, milliseconds):
    """dns_shim.c."""
    return {"LD_PRELOAD": build(directory, "dns_shim"), "DNS_SHIM_MS": str(milliseconds)}


class Disk:
    """disk_shim.c: fill() and clear() of the disk below a folder, for make_dray(env=disk.env)."""

    def __init__(self, directory, folder):
        self.flag = os.path.join(str(directory), "full")
        self.env = {"LD_PRELOAD": build(directory, "disk_shim"), "DISK_SHIM_FLAG": self.flag, "DISK_SHIM_DIR": str(folder)}

    def fill(self):
        with open(self.flag, "w"):
            pass

    def clear(self):
        os.unlink(self.flag)


class Clocks:
    """clock_shim.c: moves the wall clock and the monotonic clock of an instance and its Redis, for make_dray(env=clocks.env)."""

    def __init__(self, directory):
        path = os.path.join(str(directory), "clocks")
        with open(path, "wb") as f:
            f.truncate(4096)
        with open(path, "r+b") as f:
            self.page = mmap.mmap(f.fileno(), 4096)
        self.env = {"LD_PRELOAD": build(directory, "clock_shim"), "CLOCK_SHIM": path}

    def move(self, wall=0.0, monotonic=0.0):
        """Seconds from the true clocks."""
        self.page[:16] = struct.pack("=2q", round(wall * 1000), round(monotonic * 1000))
