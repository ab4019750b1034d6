"""Faults at chosen places of an instance in the sanitized build (common/base/hook.h). Make these before it is started.

    hooks = Hooks(dray)
    hooks.arm("batch_stored", "kill")              the next delivery process that has stored a batch dies there
    wait_for(lambda: hooks.fired("batch_stored"))

    children = Children(dray)                      every child is started by a shell script, which becomes the child
    children.does("delivery", 0, "exit 78")        ... after it has done this
    children.does("delivery", 0)                   nothing special any more
"""
import os


def put(path, text, mode=0o644):
    """Writes a file that others may be reading: it is there whole or not at all."""
    with open(path + ".new", "w") as f:
        f.write(text)
    os.chmod(path + ".new", mode)
    os.rename(path + ".new", path)


class Hooks:
    """Places: batch_torn (a part of a batch was read), batch_arrived (its events are the data), batch_stored."""

    def __init__(self, dray):
        self.dir = os.path.join(dray.dir, "hooks")
        os.makedirs(self.dir, exist_ok=True)
        dray.env["DRAY_TEST_HOOKS"] = self.dir

    def arm(self, place, action, text="", keep=False):
        """action: kill, abort, stop, spin. text: only when the data at that place contains it. keep: every time."""
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
