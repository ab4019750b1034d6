"""Bull 4.16.5 (the npm package, unmodified) looks at dray's jobs in every state and steers them."""
import json
import time

import pytest

from lib import jobs
from lib.bull import Refused, post, wait_counts
from lib.outcome import wait_settled
from lib.wait import wait_for


STATES = ("waiting", "active", "completed", "failed", "delayed", "paused")


@pytest.fixture
def one_hand(make_dray, sink):
    """dray with room for one job at a time, so that the rest waits. The sink does what an event's name says."""
    answers = {"refuse": {"status": 400}, "later": {"status": 503}, "hang": {"hang": True}}
    sink.rule = lambda r: next((how for name, how in answers.items() if b'"%s"' % name.encode() in r.body), None)
    dray = make_dray(conf={"master": {"processes": {"delivery": 1}, "drain": "30s"},
                           "delivery": {"concurrency": 1, "timeout": "25s"},
                           "queue": {"backoff": {"delay": "60s", "max": "60s", "jitter": 0}}})
    dray.sink, dray.answers = sink, answers
    yield dray
    answers.clear()
    sink.answer()


def message_id(job):
    return job["data"]["batch"][0]["messageId"]


def in_every_state(dray):
    """{state: messageIds, oldest first}; "waiting" is in wait, or in paused once the queue is."""
    made = {"completed": post(dray, "fine", "fine", "fine"), "failed": post(dray, "refuse", "refuse")}
    made["delayed"] = post(dray, "later", "later")
    wait_counts(dray, completed=3, failed=2, delayed=2, wait=0, active=0)
    made["active"] = post(dray, "hang")
    wait_counts(dray, active=1)
    made["waiting"] = post(dray, "fine", "fine", "fine")
    return made


def counts(**some):
    return {**dict.fromkeys(STATES, 0), **some}


def test_bull_reads_jobs_in_every_state(one_hand, make_bull):
    dray, bull = one_hand, make_bull(one_hand)
    made = in_every_state(dray)
    assert bull.counts() == counts(completed=3, failed=2, delayed=2, active=1, waiting=3)
    assert bull.call("count") == 5 and bull.call("getWaitingCount") == 3
    assert bull.call("getJobCountByTypes", "completed,failed", "delayed") == 7
    for state, ids in made.items():
        rising = bull.call("getJobs", [state], 0, -1, True)
        falling = bull.call("getJobs", [state], 0, -1, False)
        assert [message_id(j) for j in rising] == ids, "%s, oldest first" % state
        assert [message_id(j) for j in falling] == ids[::-1], "%s, newest first" % state
        assert [message_id(j) for j in bull.call("getJobs", [state], 0, 0, True)] == ids[:1]
        for job in rising:
            assert bull.state(job["id"]) == state
            assert bull.call("getJob", job["id"]) == job
            as_added(job)
            as_in_state(job, state)
            assert bull.call("getJobLogs", job["id"]) == {"logs": [], "count": 0}
    done = bull.call("getCompleted")[0]["id"]
    assert bull.job(done, "log", "seen") == 1 and bull.call("getJobLogs", done) == {"logs": ["seen"], "count": 1}
    assert bull.finished(done).result(5)["status"] == 200
    with pytest.raises(Refused, match="400"):
        bull.finished(bull.call("getFailed")[0]["id"]).result(5)
    assert bull.call("getRepeatableJobs") == [] and bull.call("getCountsPerPriority", [0, 1]) == {"0": 3, "1": 0}
    workers = bull.call("getWorkers")
    assert len(workers) == 1 and workers[0]["name"] == "sink"
    assert bull.call("isPaused") is False
    bull.call("pause")
    assert bull.call("isPaused") is True
    assert bull.counts() == counts(completed=3, failed=2, delayed=2, active=1, paused=3)
    assert [message_id(j) for j in bull.call("getJobs", ["paused"], 0, -1, True)] == made["waiting"]
    assert {bull.state(j["id"]) for j in bull.call("getWaiting")} == {"paused"}
    shown = json.loads(dray.cli("queue", "show", done, "-o", "json").stdout)
    assert (shown["state"], shown["queue"]) == ("completed", "sink")
    dray.answers.clear()
    dray.sink.answer()
    bull.call("resume")
    dray.sink.wait_ids(made["waiting"])


def as_added(job):
    assert job["name"] == "__default__" and job["progress"] == 0 and job["delay"] == 0
    assert job["opts"] == {"attempts": 1, "delay": 0, "timestamp": job["timestamp"]}
    assert abs(job["timestamp"] - time.time() * 1000) < 60000


def as_in_state(job, state):
    failures = {"failed": 1, "delayed": 1}.get(state, 0)
    assert job["attemptsMade"] == failures and len(job["stacktrace"] or []) == failures
    assert bool(job.get("failedReason")) == bool(failures)
    assert (job["finishedOn"] is not None) == (state in ("completed", "failed"))
    assert (job["processedOn"] is not None) == (state != "waiting")
    assert (job["returnvalue"] or {}).get("status") == (200 if state == "completed" else None)
    if failures:
        assert {"failed": "400", "delayed": "503"}[state] in job["failedReason"]
        assert job["failedReason"] in job["stacktrace"][0]
    if job["finishedOn"]:
        assert job["timestamp"] <= job["processedOn"] <= job["finishedOn"]


def test_bull_cannot_move_what_dray_holds(one_hand, make_bull):
    dray, bull = one_hand, make_bull(one_hand)
    (id_,) = post(dray, "hang")
    wait_counts(dray, active=1)
    job = bull.call("getActive")[0]["id"]
    before = jobs.job(dray.redis(), "sink", job)
    for name, args, why in (("remove", (), "Could not remove"), ("retry", (), "job is locked"),
                            ("promote", (), "not in a delayed state"), ("releaseLock", (), "Could not release"),
                            ("moveToCompleted", ("mine",), "Lock mismatch")):
        with pytest.raises(Refused, match=why):
            bull.job(job, name, *args)
    bull.job(job, "moveToDelayed", 1)  # Bull does not tell that it was refused
    assert bull.job(job, "takeLock") is False and bull.job(job, "extendLock", 1000) == 0
    assert bull.call("clean", 0, "active") == []
    with pytest.raises(Refused, match="active jobs"):
        bull.call("obliterate")
    bull.call("resume")
    after = jobs.job(dray.redis(), "sink", job)
    changed = {k for k in before.keys() | after.keys() if before.get(k) != after.get(k)}
    assert changed <= {"finishedOn", "processedOn", "failedReason", "retriedOn"}, "what Bull's retry writes anyway"
    with pytest.raises(Refused, match="Lock mismatch"):
        bull.job(job, "moveToFailed", {"message": "mine"})  # counts an attempt all the same: Bull's own fault
    assert bull.state(job) == "active"
    dray.answers.clear()
    dray.sink.answer()
    dray.sink.wait_ids([id_])
    wait_counts(dray, completed=1, wait=0, active=0)


@pytest.mark.parametrize("call,value,state", [("moveToCompleted", "by hand", "completed"),
                                              ("moveToFailed", {"message": "by hand"}, "failed")])
def test_bull_ends_what_dray_holds(one_hand, make_bull, call, value, state):
    """With Bull's way of ignoring the lock: dray's own result is late then, and changes nothing."""
    dray, bull = one_hand, make_bull(one_hand)
    post(dray, "hang")
    wait_counts(dray, active=1)
    job = bull.call("getActive")[0]["id"]
    bull.job(job, call, value, True)
    assert bull.state(job) == state
    before = jobs.job(dray.redis(), "sink", job)
    dray.answers.clear()
    dray.sink.answer()
    wait_for(lambda: dray.metric("dray_lock_lost_total") == 1, 5, "counted")
    assert jobs.job(dray.redis(), "sink", job) == before and bull.state(job) == state
    dray.sink.wait_ids(post(dray, "fine"))
    wait_settled(dray)


def test_bull_steers(one_hand, make_bull):
    """retry, promote, remove, update: and dray delivers what it should, once."""
    dray, bull = one_hand, make_bull(one_hand)
    made = in_every_state(dray)
    dray.answers.pop("refuse")
    dray.answers.pop("later")
    found = {message_id(j): j["id"] for j in bull.call("getJobs", list(STATES))}
    bull.job(found[made["failed"][0]], "retry")
    with pytest.raises(Refused):
        bull.job(found[made["completed"][0]], "retry")
    bull.job(found[made["delayed"][0]], "promote")
    with pytest.raises(Refused, match="not in a delayed state"):
        bull.job(found[made["failed"][1]], "promote")
    removed = [made["waiting"][0], made["delayed"][1], made["failed"][1], made["completed"][1]]
    for id_ in removed:
        bull.job(found[id_], "remove")
        assert bull.call("getJob", found[id_]) is None
    changed = bull.call("getJob", found[made["waiting"][1]])["data"]
    changed["batch"][0]["messageId"] = "changed"
    bull.job(found[made["waiting"][1]], "update", changed)
    dray.answers.clear()
    dray.sink.answer()
    wanted = ["changed", made["waiting"][2], made["failed"][0], made["delayed"][0]]
    dray.sink.wait_ids(wanted)
    wait_counts(dray, wait=0, active=0, failed=0, completed=7, delayed=0)
    assert dray.sink.ids().keys() == {*wanted, *made["completed"], *made["active"]} and set(dray.sink.ids().values()) == {1}
    retried = bull.call("getJob", found[made["failed"][0]])
    assert retried["attemptsMade"] == 1 and retried["retriedOn"] > 0 and bull.state(retried["id"]) == "completed"
    assert jobs.locks(dray.redis(), "sink", dray.prefix) == []


def test_bull_pauses_the_queue(dray, sink, bull):
    bull.call("pause")
    ids = post(dray, "fine", "fine")
    wait_counts(dray, paused=2, wait=0, active=0)
    assert sink.ids() == {}
    bull.call("resume")
    sink.wait_ids(ids)
    wait_counts(dray, paused=0, wait=0, active=0, completed=2)


@pytest.mark.parametrize("how", ["empty", "obliterate", "force", "removeJobs"])
def test_bull_clears_the_queue(one_hand, make_bull, how):
    """What is gone is never delivered, and dray goes on with what comes later."""
    dray, bull = one_hand, make_bull(one_hand)
    made = in_every_state(dray)
    if how == "empty":
        bull.call("empty")
        assert bull.counts() == counts(completed=3, failed=2, active=1)
    elif how == "removeJobs":
        bull.call("removeJobs", "*")
        assert bull.counts() == counts(active=1), "the held one stays"
    elif how == "force":
        bull.call("obliterate", {"force": True})
        assert bull.counts() == counts()
    dray.answers.clear()
    if how == "obliterate":
        bull.call("pause")
        dray.sink.answer()
        wait_counts(dray, active=0)
        bull.call("obliterate")
        assert bull.counts() == counts()
    dray.sink.answer()
    bull.call("resume")
    later = post(dray, "fine", "fine")
    dray.sink.wait_ids(later)
    wait_counts(dray, wait=0, active=0, paused=0)
    assert not dray.sink.ids().keys() & set(made["waiting"] + made["delayed"] + made["failed"])
    assert jobs.locks(dray.redis(), "sink", dray.prefix) == []


def test_bull_cleans(one_hand, make_bull):
    dray, bull = one_hand, make_bull(one_hand)
    made = in_every_state(dray)
    assert bull.call("clean", 60000, "completed") == [] and bull.call("clean", 60000, "failed") == []
    time.sleep(0.002)  # clean takes what is older than the given ms
    assert len(bull.call("clean", 0, "completed", 1)) == 1 and len(bull.call("clean", 0, "completed")) == 2
    assert len(bull.call("clean", 0, "failed")) == 2
    assert len(bull.call("clean", 0, "delayed")) == 2
    assert len(bull.call("clean", 0, "wait")) == 3
    assert bull.counts() == counts(active=1)
    dray.answers.clear()
    dray.sink.answer()
    dray.sink.wait_ids(made["active"])
    wait_counts(dray, active=0, completed=1)
    (job,) = bull.call("getCompleted")
    base = "%s:sink:" % dray.prefix
    left = {k.decode() for k in dray.redis().scan_iter(match=jobs.glob_escape(base) + "*")}
    assert {k for k in left if not k.startswith(base + "dray:")} <= {
        base + k for k in ("id", "completed", "stalled-check", "stalled", job["id"])}
