"""F30: the kernel's OOM killer ends a worker: the obituary tells it from a kill by somebody; the worker is back at once, nothing
is lost."""
import os
import signal

import pytest

from lib.cgroups import FakeRoot, MemoryGroup
from lib.client import Load
from lib.hooks import Hooks
from lib.wait import wait_for

BEAT = {"master": {"health": {"beat": "50ms"}}}
LIMIT = 24 << 20


@pytest.fixture
def group():
    try:
        g = MemoryGroup()
    except OSError as error:
        pytest.skip("no memory group can be made: %s" % error)
    yield g
    wait_for(lambda: g.remove() is None, 10) if os.path.exists(g.path) else None


def died(dray, pid):
    return wait_for(lambda: dray.log.records("child_died", child_pid=pid), 20, "an obituary")[0]


def told(dray, reason):
    return dray.metric("dray_deaths_total", kind="delivery", reason=reason)


@pytest.mark.limit(120)
def test_a_worker_in_a_group_that_is_full(make_dray, sink, ledger, group):
    dray = make_dray(conf=BEAT, start=False)
    hooks = Hooks(dray)
    dray.start()
    load = Load(dray, ledger, clients=2, batch=5, pause=0.02).start()
    wait_for(lambda: len(ledger.acked) > 100, 20)
    pid = dray.pid_of("delivery", 0)
    group.limit(LIMIT)  # of what it takes from now on
    group.add(pid)
    hooks.arm("beat", "leak", "delivery", keep=True)
    record = died(dray, pid)
    hooks.disarm("beat")
    assert (record["signal"], record["by"], record["reason"]) == ("SIGKILL", "kernel OOM killer", "oom")
    assert record["msg"] == "killed by signal 9, not by us: kernel OOM killer (cgroup %s oom_kill rose by 1)" % group.file
    assert int(record["max_rss"]) > LIMIT and int(record["cpu_ms"]) > 0
    dray.wait_replaced("delivery", 0, pid)
    assert not dray.log.records("child_backoff"), "it is not its fault"
    wait_for(lambda: told(dray, "oom") == 1, 10)
    # The same group has counted that one: who is killed there now is killed by somebody.
    pid = dray.pid_of("delivery", 0)
    group.limit(1 << 30)
    group.add(pid)
    os.kill(pid, signal.SIGKILL)
    record = died(dray, pid)
    assert (record["by"], record["reason"], record["msg"]) == ("somebody else", "kill",
                                                              "killed by signal 9, not by us: somebody sent it")
    dray.wait_replaced("delivery", 0, pid)
    deaths = dray.slot("delivery", 0)["deaths"]
    assert [(d["reason"], d["exit"]) for d in deaths] == [("kill", "SIGKILL"), ("oom", "SIGKILL")]
    assert deaths[0]["ms_ago"] < deaths[1]["ms_ago"]
    load.stop()
    ledger.settle()


def test_the_count_of_version_2(make_dray, sink, tmp_path):
    """Where no group can be made: what is read and concluded, in a tree laid out by the test."""
    root = FakeRoot(str(tmp_path))
    root.group("memory.events", "low 0\noom 3\noom_kill 3\n")
    dray = make_dray(env={"DRAY_TEST_ROOT": root.folder})
    pid = dray.pid_of("delivery", 0)
    root.group("memory.events", "low 0\noom 5\noom_kill 5\n")
    os.kill(pid, signal.SIGKILL)
    assert died(dray, pid)["msg"].endswith("kernel OOM killer (cgroup memory.events oom_kill rose by 2)")
    dray.wait_replaced("delivery", 0, pid)
    for slot in (0, 1):  # its successor began behind that; the other was told that it is explained
        pid = dray.pid_of("delivery", slot)
        os.kill(pid, signal.SIGKILL)
        record = died(dray, pid)
        if slot == 0:
            assert record["reason"] == "kill", record
        dray.wait_replaced("delivery", slot, pid)
