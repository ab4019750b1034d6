"""F21: who reads the log stops, or goes (EPIPE). No child is held up, drops are counted and told, supervision goes on as
ever. (A disk that is full, broken or slow: f21_log_disk_test.py.)"""
import os
import select
import signal
import threading
import time

import pytest

from lib import logs, procs
from lib.client import Load
from lib.outcome import pids, wait_settled
from lib.wait import wait_for

RING = 1 << 20  # LOGSINK_RING


class Cat(threading.Thread):
    """Reads dray's stderr into the file of its log, unless it is stopped."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.path, self.stopped, self.over = path, threading.Event(), threading.Event()
        self.fd, self.theirs = os.pipe()
        self.start()

    def run(self):
        with open(self.path, "ab", buffering=0) as f:
            while True:
                if self.stopped.is_set():
                    if self.over.wait(0.02):
                        return
                    continue
                if not select.select([self.fd], [], [], 0.05)[0]:
                    continue
                data = os.read(self.fd, 65536)
                if not data:
                    return
                f.write(data)


def supervises(dray):
    """A killed worker is replaced at once, the control socket and health answer."""
    old = dray.kill("delivery", 0)
    started = time.monotonic()
    dray.wait_replaced("delivery", 0, old, 4)
    took = time.monotonic() - started
    assert dray.get("/livez").status == 200
    assert dray.cli("status", "-o", "json").returncode == 0
    return took


def chatter(dray, dropped):
    """Makes log lines (each SIGUSR1 writes the state down) until so many were dropped."""
    def enough():
        for _ in range(100):
            os.kill(dray.pid, signal.SIGUSR1)
            dray.control({"verb": "status"})
        return dray.metric("dray_log_dropped_total") >= dropped
    wait_for(enough, 60, "%d lines dropped" % dropped, every=0)


@pytest.fixture
def stalled(make_dray, house):
    """Running with a reader in the test's hands."""
    dray = make_dray(start=False, conf={"log": {"level": "debug"}})
    cat = Cat(dray.log.path)
    dray.start(stderr=cat.theirs)
    os.close(cat.theirs)
    yield dray, cat
    cat.stopped.clear()
    cat.over.set()
    if dray.is_running():
        dray.stop()
    cat.join(5)


@pytest.mark.limit(90)
def test_the_reader_stops(stalled, ledger):
    dray, cat = stalled
    load = Load(dray, ledger, clients=4, batch=10, pause=0.01).start()
    wait_for(lambda: len(ledger.acked) > 100, 20)
    before = pids(dray)
    cat.stopped.set()
    chatter(dray, 200)
    print("figure: with a stopped reader a worker is replaced in %.2f s" % supervises(dray))
    held = len(ledger.acked)
    wait_for(lambda: len(ledger.acked) > held + 200, 5, "children are not held up")
    assert max(p["loop_lag_ms"] for p in dray.processes()) < 200
    for key, pid in pids(dray).items():
        assert key == ("delivery", 0) or before[key] == pid
    load.stop()
    ledger.settle()
    wait_settled(dray)
    dropped = dray.metric("dray_log_dropped_total")
    cat.stopped.clear()

    def told():
        return sum(int(r["n"]) for r in dray.log.records("log_dropped", kind="master"))
    wait_for(lambda: told() >= dropped, 10, "the log tells how many lines are missing")
    wait_for(lambda: told() == dray.metric("dray_log_dropped_total"), 5, "the metric says the same")
    assert not dray.log.bad_lines(), "no line is torn"
    assert len(dray.log.text()) > RING
    old = dray.kill("console", 0)
    dray.wait_replaced("console", 0, old)
    wait_for(lambda: dray.log.records("child_died", child_pid=old), 5, "it goes on with the log")


def test_the_reader_goes(stalled, ledger):
    """EPIPE, with a full pipe before it: everything is dropped from then on, and nobody minds."""
    dray, cat = stalled
    Load(dray, ledger, events=100, clients=2).start().join()
    cat.stopped.set()
    time.sleep(0.1)
    chatter(dray, 1)
    os.close(cat.fd)
    before = procs.cpu_seconds(dray.pid)
    time.sleep(1)
    assert procs.cpu_seconds(dray.pid) - before < 0.3, "a descriptor that stays ready is no reason to spin"
    print("figure: with a closed reader a worker is replaced in %.2f s" % supervises(dray))
    Load(dray, ledger, events=100, clients=2, seed="then").start().join()
    ledger.settle()
    wait_for(lambda: dray.metric("dray_log_dropped_total") > 3, 5)
    assert dray.stop() == 0
