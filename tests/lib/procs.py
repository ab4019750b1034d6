"""Looking at processes through /proc. The test process is a subreaper: whatever a test leaves behind becomes its child."""
import ctypes
import os
import signal
import time

PR_SET_CHILD_SUBREAPER = 36


def become_subreaper():
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


class Proc:
    """One line of /proc/PID/stat."""

    def __init__(self, pid):
        self.pid = pid
        with open("/proc/%d/stat" % pid, "rb") as f:
            text = f.read().decode("utf-8", "replace")
        self.name = text[text.index("(") + 1:text.rindex(")")]
        rest = text[text.rindex(")") + 2:].split()
        self.state, self.ppid = rest[0], int(rest[1])

    @property
    def command(self):
        try:
            with open("/proc/%d/cmdline" % self.pid, "rb") as f:
                return f.read().replace(b"\0", b" ").decode("utf-8", "replace").strip()
        except OSError:
            return ""

    def __repr__(self):
        return "pid %d %s (%s) parent %d %s" % (self.pid, self.state, self.name, self.ppid, self.command[:100])


def all_procs():
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                found.append(Proc(int(name)))
            except (OSError, ValueError):
                pass  # gone in between
    return found


def descendants(pid):
    """All processes below pid, zombies too."""
    children = {}
    for p in all_procs():
        children.setdefault(p.ppid, []).append(p)
    found, todo = [], [pid]
    while todo:
        for p in children.get(todo.pop(), []):
            found.append(p)
            todo.append(p.pid)
    return found


def alive(pid):
    """Is pid a living process (not a zombie)?"""
    try:
        return Proc(pid).state not in "ZX"
    except (OSError, ValueError):
        return False


def catches(pid, signo):
    """The process has a handler for the signal; False also when it is gone."""
    try:
        with open("/proc/%d/status" % pid) as f:
            caught = next(line for line in f if line.startswith("SigCgt:")).split()[1]
    except (OSError, StopIteration):
        return False
    return bool(int(caught, 16) >> (signo - 1) & 1)


def fd_count(pid):
    return len(os.listdir("/proc/%d/fd" % pid))


def fds(pid):
    """{number: target} of the open descriptors."""
    found = {}
    for name in os.listdir("/proc/%d/fd" % pid):
        try:
            found[int(name)] = os.readlink("/proc/%d/fd/%s" % (pid, name))
        except OSError:
            pass
    return found


def rss_bytes(pid):
    with open("/proc/%d/statm" % pid) as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def cpu_seconds(pid):
    """Processor time so far, user and system."""
    with open("/proc/%d/stat" % pid) as f:
        rest = f.read().rpartition(")")[2].split()
    return (int(rest[11]) + int(rest[12])) / os.sysconf("SC_CLK_TCK")


def reap_adopted(known):
    """Collects dead orphans that were given to this process; known: pids that others wait for."""
    for p in descendants(os.getpid()):
        if p.ppid == os.getpid() and p.state == "Z" and p.pid not in known:
            try:
                os.waitpid(p.pid, os.WNOHANG)
            except ChildProcessError:
                pass


def end_all(left):
    """Ends the processes given (children of this process' tree), surely."""
    for p in left:
        try:
            os.kill(p.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    time.sleep(0.05)
