"""F08: a worker never sends READY / sends it shortly before the deadline / asks for more time (EXTEND): killed at the
deadline / fine / fine."""
import os
import signal
import sys

from lib import dray as dray_module
from lib.hooks import Children
from lib.wait import wait_for

BOOT, GRACE = 5, 1
LATE_CHILD = os.path.join(os.path.dirname(dray_module.__file__), "late_child.py")


def test_never_late_extended(make_dray, sink, ledger):
    dray = make_dray(conf={"master": {"processes": {"delivery": 4},
                                      "health": {"boot": "%ds" % BOOT, "kill_grace": "%ds" % GRACE}}}, start=False)
    children = Children(dray)
    dray.start()
    dray.fd_baseline()
    children.does("delivery", 0, "trap '' ABRT; exec sleep 60")
    children.does("delivery", 1, "rm $self; sleep %.1f" % (BOOT * 0.7))
    children.does("delivery", 2, "rm $self; exec %s %s %d %.1f $real \"$@\"" % (
        sys.executable, LATE_CHILD, 2 * BOOT * 1000, BOOT * 1.3))
    old = [dray.kill("delivery", n) for n in (0, 1, 2)]

    def starts(slot):
        return [r for r in dray.log.records("child_started", child_kind="delivery", child_slot=slot)][1:]
    pids = [int(wait_for(lambda: starts(n), 5)[0]["child_pid"]) for n in (0, 1, 2)]
    assert not set(pids) & set(old)

    # Shortly before the deadline.
    assert dray.wait_replaced("delivery", 1, old[1], 2 * BOOT)["pid"] == pids[1]
    # Never: SIGABRT at the deadline, which this one ignores, then SIGKILL.
    died = wait_for(lambda: dray.log.records("child_died", child_pid=pids[0]), 2 * (BOOT + GRACE))[0]
    assert (died["signal"], died["by"], died["reason"]) == ("SIGKILL", "the supervisor", "boot")
    assert BOOT + GRACE <= int(died["ran_ms"]) / 1000 + 0.1 and int(died["ran_ms"]) / 1000 <= 2 * (BOOT + GRACE)
    kills = dray.log.records("child_kill", child_pid=pids[0])
    assert [(k["reason"], k["signal"]) for k in kills] == [("boot", "SIGABRT"), ("boot", "SIGKILL")]
    backoff = dray.log.records("child_backoff", child_kind="delivery", child_slot=0)
    assert len(backoff) == 1 and 80 <= int(backoff[0]["delay_ms"]) <= 120, "100 ms, 20 % jitter"
    # Asked for more time, and used it.
    assert dray.wait_replaced("delivery", 2, old[2], 2 * BOOT)["pid"] == pids[2]
    assert dray.slot("delivery", 2)["boot_ms"] > BOOT * 1000
    assert int(dray.log.records("child_extends", child_slot=2)[0]["ms"]) == 2 * BOOT * 1000

    assert {r["child_pid"] for r in dray.log.records("child_kill")} == {str(pids[0])}
    children.does("delivery", 0)
    p = wait_for(lambda: [p for p in dray.processes("delivery") if p["slot"] == 0 and p["state"] in ("boot", "up")], 5)[0]
    if p["state"] == "boot":  # perhaps begun before the script was taken away
        os.kill(p["pid"], signal.SIGKILL)
    dray.wait_all_up(20)
    dray.check_fds()
