"""F06: SIGSTOP of the master for longer than its children may be silent, then CONT: no child is killed for missed beats; the
children work on meanwhile."""
import os
import signal
import time

from lib.client import Load
from lib.wait import stays, wait_for

STOP = 3.5
CONF = {"master": {"health": {"beat": "100ms", "hang": "2s", "kill_grace": "500ms"}}}


def test_stopped_and_continued(make_dray, sink, ledger):
    dray = make_dray(conf=CONF)
    dray.fd_baseline()
    before = {(p["kind"], p["slot"]): (p["pid"], p["restarts"]) for p in dray.processes()}
    load = Load(dray, ledger, clients=2, batch=10, pause=0.02).start()
    wait_for(lambda: len(ledger.acked) > 50, 20)
    os.kill(dray.pid, signal.SIGSTOP)
    began = time.monotonic()
    try:
        count = len(ledger.acked)
        wait_for(lambda: len(ledger.acked) > count + 100, 20, "work goes on without a master")
        wait_for(lambda: time.monotonic() - began > STOP, 2 * STOP, "the stop")
    finally:
        os.kill(dray.pid, signal.SIGCONT)
    gap = wait_for(lambda: dray.log.records("clock_gap"), 5)[0]
    assert int(gap["ms"]) >= 2000
    # Those that are really silent would be found by now, and whoever is killed by mistake is killed here.
    stays(lambda: not dray.log.records("child_kill") and not dray.log.records("child_died"), 2.5, "nobody is killed")
    assert {(p["kind"], p["slot"]): (p["pid"], p["restarts"]) for p in dray.processes()} == before
    load.stop()
    ledger.settle()

    # The deadlines are in force again.
    pid = dray.signal("delivery", 0, signal.SIGSTOP)
    wait_for(lambda: dray.log.records("child_died", child_pid=pid, reason="hang"), 10)
    dray.wait_replaced("delivery", 0, pid)
    dray.check_fds()
