"""F10: a crash loop: the delays double from restart.min to restart.max and vary by the jitter; log lines are bounded; descriptors
and memory of the master stay as they were. And the other policy: what has worked is back at once, ten times in 10 s, then 1 s
apart."""
from datetime import datetime

import pytest

from lib import procs
from lib.hooks import Children
from lib.wait import wait_for

MIN, MAX = 10, 80  # ms
LINES_A_DEATH = 4  # started, died, back-off, and one to spare


def at(record):
    return datetime.strptime(record["ts"], "%Y-%m-%dT%H:%M:%S.%fZ").timestamp()


def delays(dray, slot):
    return [int(r["delay_ms"]) for r in dray.log.records("child_backoff", child_kind="delivery", child_slot=slot)]


def waited(dray, slot):
    """ms from each back-off to the next start."""
    found, since = [], None
    for r in dray.log.records():
        if (r.get("child_kind"), r.get("child_slot")) == ("delivery", str(slot)):
            if r["event"] == "child_backoff":
                since = at(r)
            elif r["event"] == "child_started" and since is not None:
                found.append(round((at(r) - since) * 1000))
                since = None
    return found


def crash_loop(make_dray, deaths):
    dray = make_dray(conf={"master": {"restart": {"min": "%dms" % MIN, "max": "%dms" % MAX}}}, start=False)
    children = Children(dray)
    # What was freed is used again at once, so that growth is growth.
    dray.env["ASAN_OPTIONS"] = "detect_leaks=1:log_path=%s/sanitizer:quarantine_size_mb=0:thread_local_quarantine_size_kb=0" % dray.dir
    dray.start()
    before = {(p["kind"], p["slot"]): p["pid"] for p in dray.processes() if (p["kind"], p["slot"]) != ("delivery", 1)}
    children.does("delivery", 1, "exit 1")
    dray.fd_baseline()
    dray.kill("delivery", 1)
    wait_for(lambda: len(delays(dray, 1)) >= deaths // 4, 30 + deaths)
    fds, rss = procs.fd_count(dray.pid), procs.rss_bytes(dray.pid)
    wait_for(lambda: len(delays(dray, 1)) >= deaths, 30 + deaths, every=0.1)
    children.does("delivery", 1)
    pid = wait_for(lambda: dray.slot("delivery", 1)["state"] == "up" and dray.pid_of("delivery", 1), 10)

    found = delays(dray, 1)
    for i, delay in enumerate(found):
        wanted = min(MIN * 2 ** min(i, 20), MAX)
        assert int(0.8 * wanted) <= delay <= 1.2 * wanted, "death %d" % i
    assert len(set(found[5:])) > 3, "jitter"
    waits = waited(dray, 1)
    assert len(waits) >= deaths and all(w >= delay - 2 for w, delay in zip(waits, found)), (waits, found)
    assert procs.fd_count(dray.pid) <= fds + 3  # the child that lives now: control, log; one may be in between
    grown = procs.rss_bytes(dray.pid) - rss
    assert grown < (1 << 20) + deaths * 64, "the master grew by %d bytes" % grown
    about = [r for r in dray.log.records() if r.get("child_kind") == "delivery" and r.get("child_slot") == "1"]
    assert len(about) <= LINES_A_DEATH * len(found) + 10
    assert len(dray.log.records("degraded")) == 1, "told once"
    assert {k: dray.slot(*k)["pid"] for k in before} == before, "nobody else is touched"
    assert dray.slot("delivery", 1)["restarts"] == len(found) + 1
    print("figure: %d deaths, the master grew by %d KiB" % (len(found), grown >> 10))

    # Proven again: the doubling is forgotten.
    wait_for(lambda: dray.slot("delivery", 1)["uptime_ms"] > 2000, 10)
    dray.kill("delivery", 1)
    dray.wait_replaced("delivery", 1, pid)
    assert len(delays(dray, 1)) == len(found)
    dray.check_fds()


@pytest.mark.expects("degraded")
def test_delays_double(make_dray, sink):
    crash_loop(make_dray, 40)


@pytest.mark.soak
@pytest.mark.limit(1800)
@pytest.mark.expects("degraded")
def test_a_thousand_deaths(make_dray, sink):
    crash_loop(make_dray, 1000)


@pytest.mark.release
def test_proven_ones_are_back_at_once_ten_times(make_dray, sink):
    dray = make_dray()
    for i in range(11):
        pid = dray.pid_of("delivery", 0)
        dray.kill("delivery", 0)
        dray.wait_replaced("delivery", 0, pid)
        assert len(dray.log.records("child_backoff")) == max(0, i - 9), "death %d" % (i + 1)
    record = dray.log.records("child_backoff")[0]
    assert (record["child_kind"], record["child_slot"], record["delay_ms"]) == ("delivery", "0", "1000")
