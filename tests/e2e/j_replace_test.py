"""Replacing processes while work goes on: each event answered, none lost, none twice; a successor that dies is tried
again, one that cannot start leaves the old process where it is."""
import pytest

from lib.client import Load
from lib.hooks import Children
from lib.wait import stays, wait_for


def replaced(dray, times):
    return wait_for(lambda: len(dray.log.records("replaced")) >= times, 30, "%d replacements are done" % times)


@pytest.mark.limit(120)
def test_reloads_and_restarts_under_load(dray, sink, ledger):
    load = Load(dray, ledger, clients=6, batch=10).start()
    wait_for(lambda: len(ledger.acked) > 200, 30)
    before = {p["pid"] for p in dray.processes()} - {dray.slot("program", 0)["pid"], dray.pid}
    for n in range(1, 4):
        dray.write_config({"delivery": {"response_store": 1024 * n}, "ingest": {"listeners": [
            {"id": "public-%d" % n, "address": dray.ingest}]}})
        assert dray.cli("reload").returncode == 0
        replaced(dray, n)
    for n, kind in ((4, "ingest"), (5, "console"), (6, "spool")):
        assert dray.cli("restart", kind).returncode == 0
        replaced(dray, n)
    assert dray.cli("scale", "delivery", "4").returncode == 0
    assert len(dray.processes("delivery", "up")) == 4
    assert dray.cli("scale", "delivery", "1").returncode == 0
    assert len(dray.processes("delivery")) == 1
    wait_for(lambda: not before & {p["pid"] for p in dray.processes()}, 20, "all were replaced")
    load.stop()
    ledger.settle(20)
    ledger.check(dray)
    assert ledger.duplicates() == {}, load.counts
    assert not dray.log.records("child_died")


def test_a_successor_that_dies_is_tried_again(make_dray, sink, ledger):
    dray = make_dray(start=False)
    children = Children(dray)
    dray.start()
    old = dray.pid_of("delivery", 0)
    children.does("delivery", 0, "rm $self; exit 1")
    assert dray.cli("restart", "delivery").returncode == 0
    replaced(dray, 1)
    wait_for(lambda: old not in {p["pid"] for p in dray.processes("delivery")}, 20, "the old one is gone")
    assert dray.log.records("child_died", child_kind="delivery", code="1")


def test_a_successor_that_cannot_start_leaves_the_old_one(make_dray, sink, ledger):
    dray = make_dray(start=False)
    children = Children(dray)
    dray.start()
    dray.expect("slot_failed")
    old = {n: dray.pid_of("delivery", n) for n in (0, 1)}
    children.does("delivery", 0, "exit 78")
    assert dray.cli("restart", "delivery").returncode == 0
    wait_for(lambda: dray.log.records("replace_failed"), 10)
    assert {n: dray.pid_of("delivery", n) for n in (0, 1)} == old
    Load(dray, ledger, events=200, clients=2, batch=10).start().join()
    ledger.settle(20)
    children.does("delivery", 0)
    assert dray.cli("restart", "delivery").returncode == 0
    replaced(dray, 2)
    wait_for(lambda: not set(old.values()) & {p["pid"] for p in dray.processes("delivery")}, 20, "both are gone")
    stays(lambda: len(dray.processes("delivery", "up")) == 2, 0.5)
