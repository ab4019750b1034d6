"""F09: a worker exits 78 at boot; 1; 0; 82; 127: FAIL and told in health / back-off / back-off and a warning / started again at
once / FAIL."""
from datetime import datetime

import pytest

from lib.hooks import Children
from lib.wait import stays, wait_for

CODES = {0: 78, 1: 1, 2: 0, 3: 82, 4: 127}  # by slot
NAMES = {78: "CONFIG", 1: "FAILURE", 0: "OK", 82: "RETIRED", 127: "EXEC"}


def at(record):
    return datetime.strptime(record["ts"], "%Y-%m-%dT%H:%M:%S.%fZ").timestamp()


def ended(dray, slot):
    """Obituaries of a slot's children that ended by themselves."""
    return [r for r in dray.log.records(child_kind="delivery", child_slot=slot)
            if r["event"] in ("child_died", "child_ended") and "code" in r]


@pytest.mark.expects("slot_failed")
def test_each_code(make_dray, sink):
    dray = make_dray(conf={"master": {"processes": {"delivery": 6}}}, start=False)
    children = Children(dray)
    dray.start()
    dray.fd_baseline()
    for slot, code in CODES.items():
        children.does("delivery", slot, "%sexit %d" % ("rm $self; " if code == 82 else "", code))
    for slot in CODES:
        dray.kill("delivery", slot)

    # 82: planned, at once, and it works then.
    record = wait_for(lambda: ended(dray, 3), 5)[0]
    assert (record["event"], record["code"], record["name"]) == ("child_ended", "82", "RETIRED")
    dray.wait_replaced("delivery", 3, int(record["child_pid"]))
    assert not dray.log.records("child_backoff", child_slot=3)
    started = [r for r in dray.log.records("child_started", child_kind="delivery", child_slot=3) if at(r) >= at(record)]
    assert at(started[-1]) - at(record) < 0.1

    # 78 and 127: never again.
    for slot in (0, 4):
        wait_for(lambda: dray.slot("delivery", slot)["state"] == "fail", 5)
        record = dray.log.records("slot_failed", child_slot=slot)
        assert len(record) == 1 and record[0]["level"] == "crit" and record[0]["remedy"]
        assert (record[0]["code"], record[0]["name"]) == (str(CODES[slot]), NAMES[CODES[slot]])

    # 1 and 0: back-off, a warning each time.
    for slot in (1, 2):
        wait_for(lambda: len(dray.log.records("child_backoff", child_kind="delivery", child_slot=slot)) >= 4, 10)
        delays = [int(r["delay_ms"]) for r in dray.log.records("child_backoff", child_kind="delivery", child_slot=slot)]
        for i, delay in enumerate(delays):
            assert 0.8 * 100 * 2 ** i - 1 <= delay <= 1.2 * 100 * 2 ** i
        for r in ended(dray, slot):
            assert (r["event"], r["level"], r["reason"]) == ("child_died", "warn", "boot")
            assert (r["code"], r["name"]) == (str(CODES[slot]), NAMES[CODES[slot]])
    stays(lambda: dray.slot("delivery", 0)["state"] == "fail" and len(ended(dray, 0)) == 1, 0.5)
    assert len(ended(dray, 4)) == 1

    # Told in health: two slots can work, so the host is ready, and not well.
    assert dray.get("/readyz").status == 200
    status = dray.status()
    assert status["state"] == "degraded"
    assert sorted(p["slot"] for p in status["processes"] if p["state"] == "fail") == [0, 4]
    wait_for(lambda: dray.metric("dray_workers", role="delivery", state="fail") == 2, 5)

    # Mended: a reload tries them again, the others come back by themselves.
    for slot in CODES:
        children.does("delivery", slot)
    assert dray.cli("reload").returncode == 0
    wait_for(lambda: all(p["state"] == "up" for p in dray.processes("delivery")), 30)
    wait_for(lambda: dray.status()["state"] in ("ok", "up"), 30)
    dray.check_fds()


@pytest.mark.expects("slot_failed")
def test_not_ready_when_none_can_work(make_dray, sink):
    dray = make_dray(conf={"master": {"processes": {"delivery": 1}}}, start=False)
    children = Children(dray)
    dray.start()
    children.does("delivery", 0, "exit 78")
    dray.kill("delivery", 0)
    wait_for(lambda: dray.get("/readyz").status == 503, 5)
    assert dray.get("/livez").status == 200
    assert "delivery" in dray.get("/readyz?verbose=1").body.decode()


@pytest.mark.expects("slot_failed")
@pytest.mark.parametrize("code", [78, 127])
def test_at_the_first_start_the_master_ends_with_it(make_dray, sink, code):
    dray = make_dray(start=False)
    children = Children(dray)
    children.does("delivery", 0, "exit %d" % code)
    dray.expect_exit(code)
    dray.start(wait=False)
    assert dray.wait_exit(20) == code
