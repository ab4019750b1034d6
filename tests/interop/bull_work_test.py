"""Workers of Bull 4.16.5 (npm) and of dray on the same jobs: dray adds and Bull works, both at once under kill -9, and
each takes over what the other one held when it died or stood still."""
import json
import os
import random
import signal
import threading
import time

import pytest

from lib import jobs
from lib.bull import Refused, post, wait_counts
from lib.client import Load
from lib.outcome import wait_settled
from lib.wait import wait_for

LOCK_S = 2
QUEUE = {"lock_duration": "%ds" % LOCK_S, "lock_renew": "%dms" % (400 * LOCK_S), "stalled_interval": "1s",
         "max_stalled_count": 100, "keep_completed": {"count": 1000000}}
BULL = {"settings": {"lockDuration": 1000 * LOCK_S, "lockRenewTime": 400 * LOCK_S, "stalledInterval": 1000,
                     "maxStalledCount": 100, "guardInterval": 500, "drainDelay": 1}}


def bull_takes(dray, watcher, worker, **how):
    """Posts an event of which the Bull worker takes the job, dray standing still meanwhile; the messageId and the job."""
    watcher.call("pause")
    (id_,) = post(dray, "fine")
    wait_counts(dray, paused=1)
    pid = dray.signal("delivery", 0, signal.SIGSTOP)
    watcher.call("resume")
    worker.work(**how)
    ((job,),) = worker.wait_told("took")
    os.kill(pid, signal.SIGCONT)
    return id_, job


@pytest.fixture
def instance(make_dray):
    return make_dray(conf={"master": {"processes": {"delivery": 1}}, "queue": QUEUE})


def test_dray_adds_and_bull_works(instance, sink, make_bull):
    """dray goes on adding, and takes nothing: its destination has told it to wait."""
    dray = instance
    sink.behave(status=429, retry_after=3600)
    post(dray, "first")
    wait_counts(dray, delayed=1, active=0)
    watcher, worker = make_bull(dray), make_bull(dray)
    watcher.listen("global:waiting", "global:active", "global:completed")
    ids = post(dray, *["fine"] * 20)
    wait_counts(dray, wait=20)
    worker.work(value={"by": "bull"})
    wait_counts(dray, wait=0, active=0, completed=20)
    worked = [job for (job,) in worker.told("took")]
    assert [j["data"]["batch"][0]["messageId"] for j in worked] == ids, "each once, in order"
    assert all(j["name"] == "__default__" and j["data"]["source"] == "web" for j in worked)
    for job in worked:
        assert watcher.finished(job["id"]).result(5) == {"by": "bull"}
    assert len(watcher.wait_told("global:completed", 20)) == 20
    told = {event: [args[0] for args in watcher.told("global:" + event)] for event in ("waiting", "active")}
    assert told["waiting"] == [j["id"] for j in worked] == told["active"], "each event once: dray's waiting, Bull's active"
    shown = json.loads(dray.cli("queue", "show", worked[0]["id"], "-o", "json").stdout)
    assert shown["state"] == "completed" and "bull" in json.dumps(shown)
    (first,) = watcher.call("getDelayed")
    watcher.job(first["id"], "promote")
    wait_counts(dray, delayed=0, wait=0, active=0, completed=21)
    assert sink.taken() == []


def test_bull_fails_and_dray_delivers_after_the_retry(instance, sink, make_bull):
    dray, watcher, worker = instance, make_bull(instance), make_bull(instance)
    id_, job = bull_takes(dray, watcher, worker, fail="not \"today\"")
    wait_counts(dray, wait=0, active=0, failed=1)
    worker.kill()
    job = watcher.call("getJob", job["id"])
    assert job["failedReason"] == "not \"today\"" and job["attemptsMade"] == 1
    with pytest.raises(Refused, match="not \"today\""):
        watcher.finished(job["id"]).result(5)
    watcher.job(job["id"], "retry")
    sink.wait_ids([id_])
    wait_settled(dray)
    assert watcher.finished(job["id"]).result(5)["status"] == 200
    assert watcher.call("getJob", job["id"])["retriedOn"] > 0


# ---- one dies, or stands still, with a job in its hand

def test_bull_dies_holding_a_job_of_dray(instance, sink, make_bull):
    dray, watcher, worker = instance, make_bull(instance), make_bull(instance, **BULL)
    watcher.listen("global:stalled")
    id_, job = bull_takes(dray, watcher, worker, hang=True)
    worker.kill()
    killed = time.monotonic()
    sink.wait_ids([id_])
    wait_settled(dray)
    (request,) = [r for r in sink.taken() if r.job == job["id"]]
    assert killed + 0.5 < request.at < killed + 2 * (LOCK_S + 2), "when the lock has run out, in two checks"
    assert watcher.wait_told("global:stalled") == [[job["id"]]]
    assert jobs.job(dray.redis(), "sink", job["id"])["stalledCounter"] == "1"
    assert watcher.finished(job["id"]).result(5)["status"] == 200


def test_bull_stands_still_holding_a_job_of_dray(instance, sink, make_bull):
    """Its late answer changes nothing that shows: what dray has returned stays."""
    dray, watcher, worker = instance, make_bull(instance), make_bull(instance, **BULL)
    watcher.listen("global:completed")
    sink.rule = lambda r: {"hang": True} if r.path == "/bull" else None
    id_, job = bull_takes(dray, watcher, worker, post=sink.url.replace("/in", "/bull"))
    wait_for(lambda: [r for r in sink.requests if r.path == "/bull"], 5)
    os.kill(worker.pid, signal.SIGSTOP)
    sink.wait_ids([id_])
    wait_settled(dray)
    value = watcher.finished(job["id"]).result(5)
    sink.answer()
    os.kill(worker.pid, signal.SIGCONT)
    ((why,),) = worker.wait_told("error", seconds=10)
    assert "lock" in why.lower(), why
    assert watcher.state(job["id"]) == "completed" and watcher.finished(job["id"]).result(5) == value != {"by": "bull"}
    assert [args[0] for args in watcher.told("global:completed")].count(job["id"]) == 1


@pytest.fixture
def external(make_dray, make_redis, sink):
    """dray on a Redis that outlives it."""
    return make_dray(conf={"redis": {"mode": "standalone", "url": make_redis().url, "managed": None},
                           "master": {"processes": {"delivery": 1}}, "queue": QUEUE, "delivery": {"timeout": "9s"}})


def test_dray_dies_holding_a_job_of_bull(external, sink, make_bull):
    dray, producer = external, make_bull(external)
    producer.listen("global:stalled")
    sink.behave(hang=True)
    job = producer.add({"source": "web", "batch": [{"type": "track", "messageId": "b-1"}]})
    wait_for(lambda: sink.requests, 10)
    pid = dray.pid_of("delivery")
    dray.kill_master()
    os.kill(pid, signal.SIGKILL)  # before it could see that it is alone
    sink.behave()
    worker = make_bull(dray, **BULL)
    worker.work(value="mine")
    assert producer.finished(job["id"]).result(2 * (LOCK_S + 2)) == "mine"
    assert producer.told("global:stalled") == [[job["id"]]]
    assert producer.counts()["completed"] == 1 and jobs.locks(dray.redis(), "sink", dray.prefix) == []


def test_dray_stands_still_holding_a_job_of_bull(external, sink, make_bull):
    """Its late answer changes nothing, and is counted."""
    dray, producer = external, make_bull(external)
    sink.behave(hang=True)
    job = producer.add({"source": "web", "batch": [{"type": "track", "messageId": "b-1"}]})
    wait_for(lambda: sink.requests, 10)
    pid = dray.signal("delivery", 0, signal.SIGSTOP)
    worker = make_bull(dray, **BULL)
    worker.work(value="mine")
    try:
        assert producer.finished(job["id"]).result(2 * (LOCK_S + 2)) == "mine"
        before = jobs.job(dray.redis(), "sink", job["id"])
        sink.answer()
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_for(lambda: dray.metric("dray_lock_lost_total") == 1, 5, "counted")
    assert jobs.job(dray.redis(), "sink", job["id"]) == before
    assert dray.pid_of("delivery") == pid, "it goes on"


# ---- both at once

def test_one_limiter_for_both(make_dray, sink, make_bull):
    """dray and a Bull worker count in the same window how many jobs may start."""
    limiter = {"max": 5, "duration": 500}
    dray = make_dray(conf={"queue": {**QUEUE, "limiter": "5/500ms"}})
    watcher, worker = make_bull(dray), make_bull(dray, limiter=limiter, **BULL)
    watcher.call("pause")
    ids = post(dray, *["fine"] * 40)
    worker.work(post=sink.url)
    watcher.call("resume")
    sink.wait_ids(ids)
    wait_settled(dray)
    done = watcher.call("getCompleted")
    starts = sorted(j["processedOn"] for j in done)
    assert len(starts) == 40 == sum(sink.ids().values())
    gaps = [later - first for first, later in zip(starts, starts[10:])]
    assert min(gaps) > 400, "over 10 jobs, which two windows that touch may hold, in %d ms" % min(gaps)
    by_bull = sum(1 for j in done if (j["returnvalue"] or {}).get("by") == "bull")
    print("figure: %d of 40 jobs by the Bull worker" % by_bull)


class Fleet:
    """Bull workers that post to the sink, as dray does; one is killed and replaced at a time."""

    def __init__(self, make, n):
        self.make = make
        self.workers = [make() for _ in range(n)]
        self.dead = []

    def kill_one(self, rng):
        at = rng.randrange(len(self.workers))
        self.workers[at].kill()
        self.dead.append(self.workers[at])
        self.workers[at] = self.make()


class Producer(threading.Thread):
    """Adds jobs by Bull until it is stopped, with the options that change their way through the queue."""

    OPTIONS = ({}, {"lifo": True}, {"priority": 3}, {"delay": 150}, {"attempts": 5, "backoff": 50}, {"priority": 1})

    def __init__(self, bull, ledger):
        super().__init__(daemon=True)
        self.bull, self.ledger, self.n, self.end = bull, ledger, 0, threading.Event()

    def run(self):
        while not self.end.wait(0.02):
            asked = []
            for _ in range(4):
                id_ = "bull-%d" % self.n
                asked.append((id_, self.bull.later(call="add", args=[
                    {"source": "web", "batch": [{"type": "track", "messageId": id_}]}, self.OPTIONS[self.n % len(self.OPTIONS)]])))
                self.n += 1
            for id_, future in asked:
                future.result(30)
                self.ledger.ack([id_])

    def stop(self):
        self.end.set()
        self.join(30)


def both_at_once(make_dray, sink, ledger, make_bull, seconds):
    dray = make_dray(conf={"queue": QUEUE, "delivery": {"concurrency": 8}})
    sink.behave(delay=0.02)
    watcher = make_bull(dray)

    def make_worker():
        worker = make_bull(dray, **BULL)
        worker.work(post=sink.url, concurrency=6)
        return worker
    fleet, rng = Fleet(make_worker, 2), random.Random(1)
    load = Load(dray, ledger, clients=2, batch=3, pause=0.02).start()
    producer = Producer(watcher, ledger)
    producer.start()
    deaths, start = {"bull": 0, "dray": 0}, time.monotonic()
    while time.monotonic() - start < seconds:
        time.sleep(1)
        side = "bull" if sum(deaths.values()) % 2 else "dray"
        if side == "bull":
            fleet.kill_one(rng)
        else:
            slot = rng.randrange(2)
            dray.wait_replaced("delivery", slot, dray.kill("delivery", slot))
        deaths[side] += 1
    producer.stop()
    load.stop()
    ledger.settle(4 * (LOCK_S + 2) + seconds)
    wait_settled(dray, seconds=2 * (LOCK_S + 2))
    judge(dray, sink, watcher, deaths, fleet)


def judge(dray, sink, watcher, deaths, fleet):
    """Every job is done; done twice were only jobs that somebody held when it died."""
    done = watcher.call("getCompleted")
    counts = watcher.counts()
    assert counts["completed"] == len(done) and sum(counts.values()) == len(done), counts
    times = {}
    for request in sink.taken():
        times[request.job] = times.get(request.job, 0) + 1
    assert times.keys() == {str(j["id"]) for j in done}
    stalled = {str(j["id"]): jobs.job(dray.redis(), "sink", j["id"]).get("stalledCounter") for j in done
               if times[str(j["id"])] > 1}
    for id_, counter in stalled.items():
        assert int(counter or 0) >= times[id_] - 1, "job %s was done %d times, and nobody died with it" % (id_, times[id_])
    in_hand = 8 * deaths["dray"] + 6 * deaths["bull"]
    assert sum(times.values()) - len(times) <= in_hand
    by_bull = sum(1 for j in done if (j["returnvalue"] or {}).get("by") == "bull")
    print("figure: %d jobs, %d by Bull workers, %d by dray's, %s deaths, %d done twice" % (
        len(done), by_bull, len(done) - by_bull, deaths, len(stalled)))
    assert 0 < by_bull < len(done)
    assert min(deaths.values()) > 0


def test_both_at_once(make_dray, sink, ledger, make_bull):
    both_at_once(make_dray, sink, ledger, make_bull, 8)


@pytest.mark.soak
@pytest.mark.limit(300)
@pytest.mark.expects("degraded")
def test_both_at_once_for_a_minute(make_dray, sink, ledger, make_bull):
    both_at_once(make_dray, sink, ledger, make_bull, 60)
