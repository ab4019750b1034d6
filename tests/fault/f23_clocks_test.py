"""F23: the wall clock is set a day forward or back, the machine is suspended (the monotonic clock has a gap): nobody is killed
for it, no timer of supervision is missed or comes early, events flow, nothing is lost."""
import signal

import pytest

from lib.client import Load
from lib.outcome import pids, wait_settled
from lib.shims import Clocks
from lib.wait import stays, wait_for

DAY = 86400.0
CONF = {"master": {"health": {"beat": "100ms", "hang": "2s", "kill_grace": "1s"}},
        "queue": {"lock_duration": "3s", "lock_renew": "1s", "stalled_interval": "1s"}}
pytestmark = pytest.mark.release  # before everything else, the sanitizer's runtime would read the clock


def hang_is_found(dray):
    """The deadlines of supervision are in force."""
    pid = dray.signal("delivery", 0, signal.SIGSTOP)
    wait_for(lambda: dray.log.records("child_died", child_pid=pid, reason="hang"), 2 * (2 + 1), "the hang is found")
    dray.wait_replaced("delivery", 0, pid)


@pytest.fixture
def clocks(tmp_path):
    return Clocks(tmp_path)


@pytest.mark.parametrize("days", [1, -1], ids=["a-day-forward", "a-day-back"])
def test_the_wall_clock_is_set(make_dray, sink, ledger, clocks, days):
    dray = make_dray(conf=CONF, env=clocks.env)
    load = Load(dray, ledger, clients=2, batch=5, pause=0.01).start()
    wait_for(lambda: len(ledger.acked) > 50, 20)
    before = pids(dray)
    clocks.move(wall=days * DAY)
    count = len(ledger.acked)
    wait_for(lambda: len(ledger.acked) > count + 100, 10, "work goes on")
    stays(lambda: not dray.log.records("child_kill") and not dray.log.records("child_died"), 2.5, "nobody is killed")
    assert pids(dray) == before
    stamps = [r["ts"][:10] for r in dray.log.records()]
    assert not dray.log.records("clock_gap"), "supervision does not look at that clock"
    hang_is_found(dray)
    assert dray.log.records()[-1]["ts"][:10] != stamps[0], "the log has the new date"
    clocks.move()
    load.stop()
    ledger.settle(30)
    wait_settled(dray)


def test_a_suspended_machine(make_dray, sink, ledger, clocks):
    """Both clocks go on 10 minutes in one step, for everybody at once."""
    dray = make_dray(conf=CONF, env=clocks.env)
    load = Load(dray, ledger, clients=2, batch=5, pause=0.01).start()
    wait_for(lambda: len(ledger.acked) > 50, 20)
    before = pids(dray)
    for n in (1, 2):
        clocks.move(wall=600 * n, monotonic=600 * n)
        gap = wait_for(lambda: [r for r in dray.log.records("clock_gap", kind="master")[n - 1:]], 5)[0]
        assert int(gap["ms"]) >= 599000
        count = len(ledger.acked)
        wait_for(lambda: len(ledger.acked) > count + 100, 15, "work goes on")
    stays(lambda: not dray.log.records("child_kill") and not dray.log.records("child_died"), 2.5, "nobody is killed")
    assert pids(dray) == before
    hang_is_found(dray)
    load.stop()
    ledger.settle(30)
    wait_settled(dray)
