"""Memory groups of a test's own, of version 2 or 1, where root may make them; and trees that only look like them."""
import os
import tempfile

MOUNTS = "/proc/self/mountinfo"


def _places():
    """[(version, mount point)] of the hierarchies that limit memory."""
    found = []
    with open(MOUNTS) as f:
        for line in f:
            left, _, right = line.partition(" - ")
            kind, _, options = right.split()[:3]
            point = left.split()[4]
            if kind == "cgroup" and "memory" in options.split(","):
                found.append((1, point))
            elif kind == "cgroup2":
                try:
                    with open(os.path.join(point, "cgroup.subtree_control")) as control:
                        if "memory" in control.read().split():
                            found.append((2, point))
                except OSError:
                    pass
    return found


class MemoryGroup:
    """raises OSError with the reason when none can be made."""

    def __init__(self):
        error = OSError("no hierarchy of control groups limits memory here")
        for self.version, point in _places():
            try:
                self.path = tempfile.mkdtemp(prefix="dray-test-", dir=point)
                self.file = "memory.events" if self.version == 2 else "memory.oom_control"
                with open(os.path.join(self.path, self.file)):
                    return
            except OSError as e:
                error = e
        raise error

    def write(self, name, value):
        with open(os.path.join(self.path, name), "w") as f:
            f.write(str(value))

    def limit(self, size):
        self.write("memory.max" if self.version == 2 else "memory.limit_in_bytes", size)
        if self.version == 2 and os.path.exists(os.path.join(self.path, "memory.swap.max")):
            self.write("memory.swap.max", 0)

    def add(self, pid):
        self.write("cgroup.procs", pid)

    def remove(self):
        os.rmdir(self.path)


class FakeRoot:
    """A folder with /proc and /sys as in a host with control groups of version 2; for DRAY_TEST_ROOT."""

    def __init__(self, folder):
        self.folder = folder
        self.put("/proc/self/cgroup", "0::/service\n")
        self.put("/proc/self/mountinfo", "30 23 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw\n")

    def put(self, path, text):
        full = self.folder + path
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full + ".new", "w") as f:
            f.write(text)
        os.rename(full + ".new", full)

    def group(self, name, text):
        self.put("/sys/fs/cgroup/service/" + name, text)
