"""When a destination is sent to: Retry-After for the whole fleet, circuits, learnt and configured rates, divided batches, disabled
destinations, and that a dead one does not slow the others."""
import threading
import time

import pytest

from lib import jobs
from lib.client import Load
from lib.config import merge
from lib.events import make_events
from lib.wait import wait_for

CIRCUIT = {"open_min": "200ms", "open_max": "2s", "ramp": "500ms"}


def fleet(make_dray, make_redis, conf=None, hosts=2):
    server = make_redis()
    base = {"redis": {"mode": "standalone", "url": server.url, "managed": None}}
    return server, [make_dray(conf=merge(base, conf or {})) for _ in range(hosts)]


def gaps_after(sink, status, slack=0.1):
    """For each answer of this status, how long until the next request that was not under way then."""
    requests = sorted(sink.requests, key=lambda r: r.at)
    found = []
    for r in requests:
        if r.status == status:
            later = [q.at for q in requests if q.at > r.done + slack]
            if later:
                found.append(later[0] - r.done)
    return found


@pytest.mark.parametrize("form", ["seconds", "fraction", "date"])
def test_retry_after_holds_for_the_fleet(form, make_dray, make_redis, sink, ledger):
    """429 with Retry-After to one worker of two masters: no other sends anything before it is over."""
    _server, drays = fleet(make_dray, make_redis)
    once = threading.Event()

    def rule(_request):
        if once.is_set():
            return None
        once.set()
        value = {"seconds": "2", "fraction": "1.5",
                 "date": time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 3))}[form]
        return {"status": 429, "retry_after": value}
    loads = [Load(d, ledger, events=600, clients=2, batch=10, pause=0.01, seed=d.name).start() for d in drays]
    wait_for(lambda: len(ledger.acked) > 100, 20, "a stream of events")
    sink.rule = rule
    for load in loads:
        load.join()
    ledger.settle(30)
    gap = gaps_after(sink, 429)
    assert len(gap) == 1 and gap[0] >= {"seconds": 1.95, "fraction": 1.45, "date": 1.9}[form], gap
    failures = [jobs.job(drays[0].redis(), "sink", i, drays[0].prefix) for i in
                jobs.job_ids(drays[0].redis(), "sink", "completed")]
    assert all(int(j.get("attemptsMade", 0)) == 0 for j in failures), "a 429 spends no attempt"


def test_circuit_of_the_fleet(make_dray, make_redis, sink, ledger):
    """A destination that is down: few requests from all workers of two masters, jobs wait, nothing fails; delivered after."""
    _server, drays = fleet(make_dray, make_redis, {"delivery": {"circuit": CIRCUIT}})
    sink.behave(status=503)
    loads = [Load(d, ledger, events=1000, clients=4, batch=10, seed=d.name).start() for d in drays]
    for load in loads:
        load.join()
    wait_for(lambda: any(d.log.records("circuit_opened") for d in drays), 10, "an open circuit")
    wait_for(lambda: any(d.metric("dray_delivery_circuit_state", dest="sink") > 0 for d in drays), 10, "the metric")
    before = len(sink.requests)
    started = time.monotonic()
    wait_for(lambda: time.monotonic() - started > 4, 10, "four seconds of it")
    tries = len(sink.requests) - before
    assert tries <= 12, "%d requests in 4 s to a dead destination" % tries
    counts = drays[0].queue_counts()
    assert counts["failed"] == 0 and counts["wait"] > counts["delayed"], counts
    sink.behave()
    ledger.settle(40)
    assert any(d.log.records("circuit_closed") for d in drays)
    print("figure: %d requests to a dead destination in 4 s, %d before its circuit was open" % (tries, before))


def test_outage(make_dray, sink, ledger):
    """An hour of outage, six hundred times faster, with 20,000 events queued."""
    outage(make_dray, sink, ledger, events=20000, scale=600)


@pytest.mark.soak
@pytest.mark.release
@pytest.mark.limit(900)
def test_outage_full(make_dray, sink, ledger):
    outage(make_dray, sink, ledger, events=1000000, scale=60, variant="release", maxmemory="2GiB")


def outage(make_dray, sink, ledger, events, scale, variant="asan", maxmemory="256MiB"):
    ms = "%dms"
    dray = make_dray(variant=variant, conf={
        "redis": {"managed": {"maxmemory": maxmemory, "appendfsync": "always"}},
        "queue": {"backoff": {"delay": ms % max(10, 1000 // scale), "max": ms % (600000 // scale)}, "retry_window": "24h",
                  "max_attempts": 10},
        "delivery": {"circuit": {"window": ms % max(100, 60000 // scale), "open_min": ms % max(10, 5000 // scale),
                                 "open_max": ms % (300000 // scale), "ramp": ms % (30000 // scale)}}})
    r = dray.redis()
    empty = int(r.info("memory")["used_memory"])
    sink.behave(status=503)
    started = time.monotonic()
    load = Load(dray, ledger, events=events, clients=4, batch=100).start()
    load.join(600)
    wait_for(lambda: time.monotonic() - started > 3600 / scale, 3600, "the outage")
    sent = len(sink.requests)
    counts = dray.queue_counts()
    held = int(r.info("memory")["used_memory"]) - empty
    data = [len(r.hget("%s:sink:%s" % (dray.prefix, i), "data")) for i in jobs.job_ids(r, "sink", "wait")[:100]]
    predicted = sum(counts[s] for s in ("wait", "delayed", "active")) * (sum(data) / len(data) * 1.25 + 600)
    assert sent < 2000 and counts["failed"] == 0, (sent, counts)
    assert held < predicted, (held, predicted)
    sink.behave()
    ledger.settle(300)
    assert dray.queue_counts()["failed"] == 0
    print("figure: %d requests to the dead host, %d events queued, %.1f MiB in Redis (at most %.1f predicted)" %
          (sent, events, held / 2**20, predicted / 2**20))


def limited(per_s):
    """429 above so many requests in each second."""
    windows = {}

    def rule(_request):
        second = int(time.monotonic())
        windows[second] = windows.get(second, 0) + 1
        return {"status": 429} if windows[second] > per_s else None
    return rule


def hard_limit(make_dray, make_redis, sink, settle_s, measure_s, share, least, **options):
    _server, drays = fleet(make_dray, make_redis, {"ingest": {"flush_at": 1}}, **options)
    sink.rule = limited(50)
    c = drays[0].client()
    todo = 55 * (settle_s + measure_s)
    for n in range(0, todo, 100):
        c.batch(list(make_events(100, seed="limit%d" % n)))
    started = time.monotonic()
    wait_for(lambda: time.monotonic() - started > settle_s, settle_s + 5, "the rate to be learnt")
    first = len(sink.requests)
    begun = time.monotonic()
    wait_for(lambda: time.monotonic() - begun > measure_s, measure_s + 5, "a measurement")
    seen = list(sink.requests)[first:]
    taken = sum(r.status == 200 for r in seen)
    refused = sum(r.status == 429 for r in seen)
    print("figure: limit of 50/s: %.1f/s taken, %.2f %% refused" % (taken / measure_s, 100.0 * refused / max(1, len(seen))))
    assert refused <= share * len(seen), (taken, refused)
    assert taken >= least * 50 * measure_s, (taken, refused)


def test_hard_limit(make_dray, make_redis, sink):
    """The destination's own limit is found by its 429: short, and not as near as the long run."""
    hard_limit(make_dray, make_redis, sink, 4, 4, 0.06, 0.8)


@pytest.mark.soak
@pytest.mark.limit(300)
def test_hard_limit_full(make_dray, make_redis, sink):
    hard_limit(make_dray, make_redis, sink, 30, 60, 0.02, 0.95)


def test_configured_rate(make_dray, make_redis, sink, ledger):
    """rate_limit counts over two masters."""
    _server, drays = fleet(make_dray, make_redis, {
        "ingest": {"flush_at": 1}, "destinations": [{"id": "sink", "url": sink.url, "rate_limit": "40/s"}]})
    load = Load(drays[0], ledger, events=200, clients=2, batch=50).start()
    load.join()
    ledger.settle(30)
    times = sorted(r.at for r in sink.requests)
    took = times[-1] - times[0]
    assert 200 / 40 * 0.85 <= took, took
    most = max(sum(t <= u < t + 1 for u in times) for t in times)
    assert most <= 40 + 10, most  # tokens come in small leases, and an answer may be late on its way
    print("figure: 200 requests at 40/s took %.1f s, at most %d in a second" % (took, most))


def test_bad_event_stands_alone(make_dray, sink, ledger):
    """One of a hundred events is rejected: it alone is failed, with the answer; the others are delivered."""
    dray = make_dray()
    sink.rule = lambda r: {"status": 400, "body": b"no such user"} if b"poison" in r.body else None
    events = list(make_events(100, seed="split"))
    events[37]["properties"] = {"note": "poison"}
    c = dray.client()
    ids = {e["messageId"] for e in events}
    assert c.batch(events).status == 200
    sink.wait_ids(ids - {events[37]["messageId"]}, 20)
    r = dray.redis()
    wait_for(lambda: dray.queue_counts()["failed"] == 1, 10, "the bad event in failed")
    job = jobs.job(r, "sink", jobs.job_ids(r, "sink", "failed")[0], dray.prefix)
    assert [e["messageId"] for e in job["data"]["batch"]] == [events[37]["messageId"]], job
    assert "answered 400: no such user" in job["failedReason"], job
    assert len(sink.requests) <= 2 * 7 + 1 + 4, len(sink.requests)
    wait_for(lambda: dray.metric("dray_delivery_splits_total", dest="sink") >= 6, 5, "the metric")


def test_a_destination_that_rejects_all(make_dray, sink):
    """Everything is answered 400: what is divided is bounded, and a line says so."""
    dray = make_dray()
    sink.behave(status=400)
    c = dray.client()
    for n in range(20):
        assert c.batch(list(make_events(100, seed="all%d" % n))).status == 200
    dray.expect("destination_rejects_all")
    wait_for(lambda: dray.log.records("destination_rejects_all"), 10, "the warning")

    def quiet():
        counts = dray.queue_counts()
        return counts["wait"] + counts["active"] + counts["delayed"] == 0
    wait_for(quiet, 20, "all to be failed")
    assert len(sink.requests) < 20 * 8, len(sink.requests)
    print("figure: %d requests for 20 batches of 100 that were all rejected" % len(sink.requests))


def test_isolation(make_dray, make_sink, ledger):
    """One of ten destinations hangs; the other nine get theirs. (The rate is compared in the soak and the bench.)"""
    sinks = [make_sink() for _ in range(10)]
    sinks[0].behave(hang=True)
    dray = make_dray(conf={"master": {"processes": {"delivery": 1}},
                           "destinations": [{"id": "d%d" % i, "url": s.url} for i, s in enumerate(sinks)]})
    c = dray.client()
    ids = set()
    for n in range(40):
        events = list(make_events(50, seed="iso%d" % n))
        ids |= {e["messageId"] for e in events}
        assert c.batch(events).status == 200
    for s in sinks[1:]:
        s.wait_ids(ids, 20)
    assert len(sinks[0].requests) <= 40


class Nobody:
    """Takes a load's account, and keeps none: the sinks are counted."""

    def __init__(self):
        self.tried = set()

    def ack(self, _ids):
        pass


def seconds_for(dray, sinks, tag, events=30000):
    """How long until these sinks have what is sent now."""
    seen = [s.ids().total() for s in sinks]
    started = time.monotonic()
    load = Load(dray, Nobody(), events=events, clients=4, batch=100, seed=tag).start()
    load.join(120)
    for s, n in zip(sinks, seen):
        wait_for(lambda s=s, n=n: s.ids().total() - n >= events, 120, "all events at a sink", every=0.02)
    return time.monotonic() - started


@pytest.mark.soak
@pytest.mark.release
@pytest.mark.limit(600)
def test_isolation_full(make_dray, make_sink):
    """One worker, ten destinations: nine are as fast beside one that hangs as beside one that is well (rounds in turn)."""
    sinks = [make_sink() for _ in range(10)]
    dray = make_dray(variant="release", conf={
        "master": {"processes": {"delivery": 1}},
        "destinations": [{"id": "d%d" % i, "url": s.url} for i, s in enumerate(sinks)]})
    seconds_for(dray, sinks, "warm", 5000)
    took = {"well": 0.0, "hangs": 0.0}
    for n in range(3):
        for how in took:
            sinks[0].behave(hang=how == "hangs")
            took[how] += seconds_for(dray, sinks[1:], "%s%d" % (how, n))
            sinks[0].behave()
            sinks[0].release()
    ratio = took["well"] / took["hangs"]
    print("figure: nine of ten beside one that hangs: %.3f of their rate beside one that is well" % ratio)
    assert ratio >= 0.95
