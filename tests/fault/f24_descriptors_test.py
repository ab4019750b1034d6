"""F24: descriptors over many restarts (10,000 in `make soak`): the master's count is back at the baseline, and each child's
descriptors are exactly those of the table (ipc/fdmap.h): nothing of a sibling or of the master."""
import os
import signal
from collections import Counter

import pytest

from lib import procs
from lib.hooks import Children, put
from lib.wait import wait_for

LISTENERS = {"ingest": 1, "console": 1}


def kinds_of_fds(pid):
    """Counter of what the descriptors are: "pipe", "socket", "anon_inode:[eventpoll]", a path."""
    return Counter(target.split(":[")[0] if target.startswith(("pipe:", "socket:")) else target
                   for target in procs.fds(pid).values())


def snapshot(dray):
    return {(p["kind"], p["slot"]): kinds_of_fds(p["pid"]) for p in dray.processes() if p["kind"] != "master"}


def kill_some(dray, count):
    """One kill of each of the first `count` children that are up, and their successors."""
    old = {}
    for p in dray.processes():
        if p["kind"] in ("delivery", "ingest", "console") and p["state"] == "up" and len(old) < count:
            os.kill(p["pid"], signal.SIGKILL)
            old[p["kind"], p["slot"]] = p["pid"]
    for (kind, slot), pid in old.items():
        dray.wait_replaced(kind, slot, pid, 30)
    return len(old)


def restarts(make_dray, workers, total):
    dray = make_dray(conf={"master": {"processes": {"delivery": workers}}})
    dray.expect("degraded")

    def quiet():
        """All links stand; connections to Redis are the same in number."""
        return snapshot(dray) == first
    kill_some(dray, 100)  # what is made once, on the first use, is made now
    wait_for(lambda: dray.get("/readyz").status == 200, 10)
    first = None
    for _ in range(50):  # until two looks agree
        now = snapshot(dray)
        if now == first:
            break
        first = now
        wait_for(lambda: snapshot(dray) != now or True, 1, every=0.2)
    dray.fd_baseline()
    done = 0
    while done < total:
        done += kill_some(dray, total - done)
    dray.check_fds()
    wait_for(quiet, 10, "each child has as many descriptors as before")
    print("figure: %d restarts, the master has %d descriptors as before" % (done, procs.fd_count(dray.pid)))


@pytest.mark.release
def test_fifty_restarts(make_dray, sink):
    restarts(make_dray, 4, 50)


@pytest.mark.soak
@pytest.mark.release
@pytest.mark.limit(3 * 3600)
def test_ten_thousand_restarts(make_dray, sink):
    restarts(make_dray, 24, 10000)


def settled(pid):
    """Its descriptors once the script sleeps: nothing is being moved to its place."""
    first = procs.fds(pid)
    asleep = [p for p in procs.descendants(pid) if p.name == "sleep"]
    return first if asleep and procs.fds(pid) == first else None


def test_what_a_child_inherits(make_dray, sink):
    """Looked at before the child's first instruction, in children born while all others live."""
    dray = make_dray(start=False)
    children = Children(dray)
    dray.start()
    slots = [(p["kind"], p["slot"]) for p in dray.processes() if p["kind"] != "master"]
    for kind, slot in slots:
        children.does(kind, slot, "while [ ! -e %s/go ]; do sleep 0.05; done" % children.dir)
    # The last one is born while all the others live.
    for kind, slot in slots:
        old = dray.kill(kind, slot)
        pid = wait_for(lambda: dray.slot(kind, slot)["pid"] not in (0, old) and dray.pid_of(kind, slot), 5)
        wait_for(lambda: procs.Proc(pid).name == "start", 5, "the script runs")
        found = wait_for(lambda: settled(pid), 5)
        put(os.path.join(children.dir, "go"), "")
        dray.wait_replaced(kind, slot, old)
        os.unlink(os.path.join(children.dir, "go"))
        own_script = {n: t for n, t in found.items() if t.startswith(children.dir)}
        fixed = {n: t for n, t in found.items() if n not in own_script}
        listeners = LISTENERS.get(kind, 0)
        assert sorted(fixed) == list(range(4 + listeners)), (kind, found)
        assert fixed[0] == "/dev/null" and fixed[1] == fixed[2] and fixed[1].startswith("pipe:["), (kind, fixed)
        assert all(fixed[n].startswith("socket:[") for n in range(3, 4 + listeners)), (kind, fixed)
    assert not dray.log.records("child_stray_fd")
