"""Faults at chosen places of an instance in the sanitized build (common/base/hook.h). Make these before it is started.

    hooks = Hooks(dray)
    hooks.arm("batch_stored", "kill")              the next delivery process that has stored a batch dies there
    wait_for(lambda: hooks.fired("batch_stored"))

    children = Children(dray)                      every child is started by a shell script, which becomes the child
    children.does("delivery", 0, "exit 78")        ... after it has done this
    children.does("delivery", 0)                   nothing special any more
"""
import mmap
import os
import re
import struct


def put(path, text, mode=0o644):
    """Writes a file that others may be reading: it is there whole or not at all."""
    with open(path + ".new", "w") as f:
        f.write(text)
    os.chmod(path + ".new", mode)
    os.rename(path + ".new", path)


class Hooks:
    """Places: batch_torn (a part of a batch was read), batch_arrived (its events are the data), batch_stored; beat (the kind is
    the data)."""

    def __init__(self, dray):
        self.dir = os.path.join(dray.dir, "hooks")
        os.makedirs(self.dir, exist_ok=True)
        dray.env["DRAY_TEST_HOOKS"] = self.dir

    def arm(self, place, action, text="", keep=False):
        """action: kill, abort, stop, spin, forbidden (system calls that must be refused). text: only
        when the data at that place contains it. keep: every time."""
        put(os.path.join(self.dir, place), "%s%s\n%s" % (action, " keep" if keep else "", text))

    def disarm(self, place):
        os.unlink(os.path.join(self.dir, place))

    def fired(self, place):
        return not os.path.exists(os.path.join(self.dir, place))


class Children:
    """The script has $self (the file with the commands: rm it to do them once) and $real (the program)."""

    def __init__(self, dray):
        self.dir = os.path.join(dray.dir, "children")
        self.path = os.path.join(self.dir, "start")
        os.makedirs(self.dir, exist_ok=True)
        put(self.path, "#!/bin/sh\n# -x KIND -n SLOT\nreal=%s\nself=%s/$2.$4\n[ -f $self ] && . $self\nexec $real \"$@\"\n" % (
            dray.binary, self.dir), 0o755)
        dray.env["DRAY_TEST_EXE"] = self.path

    def does(self, kind, slot, commands=None):
        path = os.path.join(self.dir, "%s.%d" % (kind, slot))
        if commands is not None:
            put(path, commands + "\n")
        elif os.path.exists(path):
            os.unlink(path)


class Point:
    """A crash point: name; side (BEFORE, AFTER, KEPT: see the table); process ("ingest", "delivery"...); sentence."""

    def __init__(self, number, name, side, sentence):
        self.number, self.name, self.side, self.sentence = number, name, side, sentence
        self.process = sentence.split(":")[0]


def points():
    """All of common/base/crash_points.def, in its order."""
    with open(os.path.join(os.path.dirname(__file__), "..", "..", "common", "base", "crash_points.def")) as f:
        found = re.findall(r'^P\((\w+), (\w+), "([^"]*)"\)$', f.read(), re.M)
    return [Point(i, *row) for i, row in enumerate(found)]


class Points:
    """Crash points of an instance, armed while it runs. Make it before it is started.

        crash = Points(dray)
        crash.arm("add_answered", n=3)                      whoever passes there as the third dies
        pid = wait_for(lambda: crash.fired("add_answered"))
    """

    def __init__(self, dray):
        hooks = os.path.join(dray.dir, "hooks")
        os.makedirs(hooks, exist_ok=True)
        dray.env["DRAY_TEST_HOOKS"] = hooks
        self.all = {p.name: p for p in points()}
        path = os.path.join(hooks, "points")
        with open(path, "wb") as f:
            f.write(bytes(16 * len(self.all)))
        os.chmod(path, 0o666)
        with open(path, "r+b") as f:
            self.page = mmap.mmap(f.fileno(), 0)

    def _at(self, name, field):
        return 16 * self.all[name].number + 4 * field

    def arm(self, name, n=1, how="kill"):
        """how: kill, exit."""
        struct.pack_into("=I", self.page, self._at(name, 1), ("kill", "exit").index(how))
        struct.pack_into("=I", self.page, self._at(name, 3), 0)
        struct.pack_into("=i", self.page, self._at(name, 0), n)

    def disarm(self, name):
        struct.pack_into("=i", self.page, self._at(name, 0), 0)

    def passed(self, name):
        return struct.unpack_from("=I", self.page, self._at(name, 2))[0]

    def fired(self, name):
        """The pid of who died there since it was armed; 0: nobody."""
        return struct.unpack_from("=I", self.page, self._at(name, 3))[0]
