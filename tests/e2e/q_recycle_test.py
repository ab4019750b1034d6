"""Worn processes are replaced before anybody feels it: a leak stays within its bound, under clients that try once; by work done;
and what a limit that nobody can keep does."""
import pytest

from lib.hooks import Hooks
from lib.steady import Steady
from lib.wait import stays, wait_for

BEAT = {"beat": "100ms"}
MIB = 1 << 20


def recycles(dray, kind, reason):
    return dray.metric("dray_recycles_total", kind=kind, reason=reason)


@pytest.mark.limit(180)
def test_a_leak_stays_within_its_bound(make_dray, sink, ledger):
    dray = make_dray(conf={"master": {"health": BEAT}}, start=False)
    hooks = Hooks(dray)
    dray.start()
    steady = Steady(dray, ledger).start()
    wait_for(lambda: len(ledger.acked) > 300, 20)
    limit = max(p["rss_bytes"] for p in dray.processes("delivery")) + 60 * MIB
    dray.write_config({"master": {"recycle": {"max_rss": limit}}})
    assert dray.cli("reload").returncode == 0
    wait_for(lambda: not dray.status()["rolling"], 30)
    hooks.arm("beat", "leak", "delivery", keep=True)  # 10 MiB a second
    most, crowd = 0, 0

    def enough():
        nonlocal most, crowd
        found = dray.processes("delivery")
        most = max([most] + [p["rss_bytes"] for p in found])
        crowd = max(crowd, len(found))
        return recycles(dray, "delivery", "max_rss") >= 3
    wait_for(enough, 90, "three are replaced")
    hooks.disarm("beat")
    wait_for(lambda: len(dray.processes("delivery")) == 2, 30)
    steady.stop()
    records = dray.log.records("recycle")
    assert all(r["reason"] == "max_rss" and int(r["value"]) >= int(r["limit"]) <= limit for r in records), records
    assert most < limit + 60 * MIB, "from the look to the end of the drain it goes on"
    assert crowd <= 4, "one at a time; who drains is still there"
    assert steady.failed == []
    ledger.settle(30)
    assert ledger.duplicates() == {} and not dray.log.records("child_died")
    assert all(p["deaths"] == [] for p in dray.processes("delivery"))
    print("figure: %d replaced at %d MiB, at most %d MiB, %d requests, none failed" % (
        len(records), limit // MIB, most // MIB, steady.requests))


@pytest.mark.limit(120)
def test_by_work_done(make_dray, sink, ledger):
    dray = make_dray(conf={"master": {"health": BEAT, "recycle": {"max_jobs": 200}}, "ingest": {"flush_at": 1}})
    steady = Steady(dray, ledger).start()
    wait_for(lambda: recycles(dray, "delivery", "max_jobs") >= 1 and recycles(dray, "ingest", "max_jobs") >= 1, 60)
    steady.stop()
    assert steady.failed == []
    ledger.settle(30)
    assert ledger.duplicates() == {} and not dray.log.records("child_died")


def test_a_limit_that_a_fresh_process_is_over(make_dray, sink):
    """It is said once, and nothing goes round in circles."""
    dray = make_dray(conf={"master": {"recycle": {"max_rss": "1MiB"}}})
    wait_for(lambda: dray.log.records("recycle_limit_low", child_kind="delivery"), 10)
    pids = [p["pid"] for p in dray.processes("delivery")]
    stays(lambda: [p["pid"] for p in dray.processes("delivery")] == pids, 3)
    assert len(dray.log.records("recycle_limit_low", child_kind="delivery")) == 1 and not dray.log.records("recycle")
