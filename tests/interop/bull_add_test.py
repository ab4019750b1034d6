"""Jobs that Bull 4.16.5 (npm) adds, with every option, and dray works; and what a Bull listener hears of it."""
import json

import pytest

from lib import jobs
from lib.bull import Refused, post, wait_counts
from lib.wait import stays, wait_for

EVENTS = ("waiting", "active", "completed", "failed", "stalled", "drained", "paused", "resumed", "progress", "duplicated",
          "debounced")


@pytest.fixture
def instance(make_dray, sink):
    """A destination without a key of its own, so that any JSON can go to it."""
    return make_dray(conf={"destinations": [{"id": "sink", "url": sink.url, "auth": {"type": "none"}}],
                           "delivery": {"timeout": "5s"}})


@pytest.fixture
def bull(make_bull, instance):
    return make_bull(instance)


@pytest.fixture
def listener(make_bull, instance):
    """Another process, which only listens."""
    other = make_bull(instance)
    other.listen(*("global:" + name for name in EVENTS))
    return other


def batch(message_id, event="fine"):
    return {"batch": [{"type": "track", "event": event, "userId": "u", "messageId": message_id}]}


def heard(listener, name, job_id):
    """What comes behind the job's id in each event of this name about it."""
    return [args[1:] for args in listener.told("global:" + name) if str(args[0]) == str(job_id)]


def wait_heard(listener, name, job_id, n=1):
    return wait_for(lambda: len(heard(listener, name, job_id)) >= n and heard(listener, name, job_id), 10,
                    "%s of job %s" % (name, job_id))


def test_finished_and_the_events(instance, sink, bull, listener):
    sink.rule = lambda r: {"status": 400, "body": b"no \"thanks\"\n"} if b"refuse" in r.body else {"body": b'{"ok": 1}'}
    job = bull.add(batch("m-1"))
    value = bull.finished(job["id"]).result(10)
    assert value == {"status": 200, "body": '{"ok": 1}', "ms": value["ms"]}
    assert bull.finished(job["id"]).result(10) == value, "asked again when it was over"
    ((val, *_),) = wait_heard(listener, "completed", job["id"])
    assert json.loads(val) == value
    assert len(wait_heard(listener, "waiting", job["id"])) == len(wait_heard(listener, "active", job["id"])) == 1
    assert bull.call("getJob", job["id"])["returnvalue"] == value
    bad = bull.add(batch("m-2", "refuse"))
    with pytest.raises(Refused, match='400.*no "thanks"') as refused:
        bull.finished(bad["id"]).result(10)
    ((reason, *_),) = wait_heard(listener, "failed", bad["id"])
    assert reason == str(refused.value) == bull.call("getJob", bad["id"])["failedReason"]
    listener.wait_told("global:drained")
    bull.call("pause")
    listener.wait_told("global:paused")
    bull.call("resume")
    listener.wait_told("global:resumed")
    (id_,) = post(instance, "fine")
    sink.wait_ids([id_])
    wait_counts(instance, completed=2)
    (own,) = [j["id"] for j in bull.call("getCompleted") if j["id"] != job["id"]]
    for name in ("waiting", "active", "completed"):
        assert len(wait_heard(listener, name, own)) == 1, "a job that dray added: %s" % name
    assert not listener.told("error") and not bull.told("error")


def test_any_json(sink, bull):
    """Without a batch the data is posted as it stands."""
    for data in ({"to": "a@b", "n": [1, None, {"é": "\u2028"}]}, {}, {"batch": "a text"}):
        job = bull.add(data)
        assert bull.finished(job["id"]).result(10)["status"] == 200
        (request,) = [r for r in sink.taken() if r.job == str(job["id"])]
        assert request.key == "{dray}:sink:%s" % job["id"], "a number is another queue's too"
        assert request.json() == data and request.headers["content-type"] == "application/json"
    named = bull.call("add", "mail", {"to": "c@d"}, {"preventParsingData": True})
    assert bull.finished(named["id"]).result(10)["status"] == 200 and sink.taken()[-1].json() == {"to": "c@d"}


def test_delay(instance, sink, bull, listener):
    job = bull.add(batch("m-1"), delay=700)
    assert bull.state(job["id"]) == "delayed" and sink.ids() == {}
    sink.wait_ids(["m-1"])
    (request,) = sink.taken()
    done = wait_for(lambda: bull.call("getJob", job["id"])["finishedOn"] and bull.call("getJob", job["id"]), 5)
    assert 700 <= done["processedOn"] - job["timestamp"] < 700 + 2 * 250, "at most 250 ms late"
    assert done["delay"] == 0
    wait_heard(listener, "waiting", job["id"])
    later = bull.add(batch("m-2"), delay=60000)
    bull.job(later["id"], "promote")
    sink.wait_ids(["m-2"])


def test_lifo_and_priority(make_dray, sink, make_bull):
    """One after another in the order in which a Bull worker pops them."""
    dray = make_dray(conf={"master": {"processes": {"delivery": 1}}, "delivery": {"concurrency": 1}})
    bull = make_bull(dray)
    (first,) = post(dray, "fine")
    sink.wait_ids([first])
    data = bull.call("getCompleted")[0]["data"]
    bull.call("pause")
    for name, opts in (("A", {}), ("B", {}), ("P5", {"priority": 5}), ("P1", {"priority": 1}), ("P5b", {"priority": 5}),
                       ("L1", {"lifo": True}), ("P2", {"priority": 2}), ("L2", {"lifo": True}), ("C", {})):
        data["batch"][0]["messageId"] = name
        bull.add(data, **opts)
    assert bull.call("getCountsPerPriority", [0, 1, 2, 5]) == {"0": 5, "1": 1, "2": 1, "5": 2}
    bull.call("resume")
    sink.wait_ids(["C"])
    assert [r.ids()[0] for r in sink.taken()][1:] == ["L2", "L1", "P2", "P1", "P5", "P5b", "A", "B", "C"]
    wait_counts(dray, completed=10, wait=0, active=0)
    assert bull.call("getCountsPerPriority", [0, 1, 2, 5]) == {"0": 0, "1": 0, "2": 0, "5": 0}


@pytest.mark.parametrize("backoff,waits", [(80, [80, 80, 80]), ({"type": "fixed", "delay": 80}, [80, 80, 80]),
                                           ({"type": "exponential", "delay": 40}, [40, 120, 280]), (None, None)])
def test_attempts_and_backoff(sink, bull, backoff, waits):
    sink.behave(status=500)
    job = bull.add(batch("m-1"), attempts=4, **({} if backoff is None else {"backoff": backoff}))
    with pytest.raises(Refused, match="500"):
        bull.finished(job["id"]).result(20)
    times = [r.at for r in sink.requests]
    gaps = [1000 * (b - a) for a, b in zip(times, times[1:])]
    assert len(gaps) == 3
    for gap, wait in zip(gaps, waits or gaps):
        assert wait - 5 <= gap, "waited %s ms between attempts, asked for %s" % (gaps, waits)
    failed = bull.call("getJob", job["id"])
    assert failed["attemptsMade"] == 4 and len(failed["stacktrace"]) == 4


def test_removed_as_asked(instance, sink, bull, listener):
    """removeOnComplete and removeOnFail in all forms, and the limit of stack traces."""
    sink.rule = lambda r: {"status": 400} if b"refuse" in r.body else None
    for event, option, state in (("fine", "removeOnComplete", "completed"), ("refuse", "removeOnFail", "failed")):
        def run(n, keep, **more):
            made = [bull.add(batch("%s-%d" % (state, i), event), **{option: keep}, **more)["id"] for i in range(n)]
            for id_ in made:
                assert len(wait_heard(listener, state, id_)) == 1
            return [bull.call("getJob", id_) is not None for id_ in made]
        assert run(2, True) == [False, False] and run(1, 0) == [False]
        assert run(3, False) == [True] * 3 and bull.counts()[state] == 3
        run(4, 2)
        assert bull.counts()[state] == 2
        assert run(1, {"age": 3600}) == [True] and bull.counts()[state] == 3
        assert run(1, {"age": 3600, "count": 1}) == [True] and bull.counts()[state] == 1
    base = "%s:sink:" % instance.prefix
    hashes = [k for k in instance.redis().scan_iter(match=jobs.glob_escape(base) + "[0-9]*")]
    assert len(hashes) == 2, "%s: what was removed left nothing" % hashes
    sink.rule = None
    sink.behave(status=500)
    job = bull.add(batch("m-1"), attempts=3, backoff=10, stackTraceLimit=2)
    with pytest.raises(Refused):
        bull.finished(job["id"]).result(10)
    assert len(bull.call("getJob", job["id"])["stacktrace"]) == 2


def test_timeout(sink, bull):
    """A job's own time limit ends the attempt, as in a Bull worker."""
    sink.behave(hang=True)
    job = bull.add(batch("m-1"), timeout=300, attempts=2, backoff=10)
    with pytest.raises(Refused, match="(?i)time"):
        bull.finished(job["id"]).result(8)  # two of the destination's own would be 10 s
    assert len(sink.requests) == 2


def test_own_id_and_duplicates(instance, sink, bull, listener):
    sink.behave(hang=True)
    job = bull.add(batch("m-1"), jobId="order 1/é")
    assert job["id"] == "order 1/é"
    wait_for(lambda: sink.requests, 10)
    assert sink.requests[0].key == "order%201/%C3%A9"
    again = bull.add(batch("m-2"), jobId="order 1/é")
    assert again["id"] == "order 1/é"
    wait_heard(listener, "duplicated", "order 1/é")
    sink.behave()
    sink.answer()
    assert bull.finished(job["id"]).result(10)["status"] == 200
    bull.add(batch("m-3"), jobId="order 1/é")
    wait_heard(listener, "duplicated", "order 1/é", 2)
    stays(lambda: sink.ids() == {"m-1": 1}, 0.3, "one delivery of one id")
    bull.job("order 1/é", "remove")
    bull.add(batch("m-4"), jobId="order 1/é")
    sink.wait_ids(["m-4"])


def test_debounce(instance, sink, bull, listener):
    """Without a ttl one at a time: the next is taken when dray has done the first. With a ttl: when that is over."""
    sink.behave(hang=True)
    first = bull.add(batch("m-1"), debounce={"id": "d"})
    assert bull.add(batch("m-2"), debounce={"id": "d"})["id"] == first["id"]
    wait_heard(listener, "debounced", first["id"])
    wait_for(lambda: sink.requests, 10)
    sink.behave()
    sink.answer()
    bull.finished(first["id"]).result(10)
    second = bull.add(batch("m-3"), debounce={"id": "d"})
    assert second["id"] != first["id"]
    bull.finished(second["id"]).result(10)
    third = bull.add(batch("m-4"), debounce={"id": "t", "ttl": 1000})
    bull.finished(third["id"]).result(10)
    assert bull.add(batch("m-5"), debounce={"id": "t", "ttl": 1000})["id"] == third["id"], "the ttl goes on"
    wait_for(lambda: not instance.redis().exists("%s:sink:de:t" % instance.prefix), 5)
    bull.add(batch("m-6"), debounce={"id": "t", "ttl": 1000})
    sink.wait_ids(["m-6"])
    assert sink.ids().keys() == {"m-1", "m-3", "m-4", "m-6"}
    assert jobs.locks(instance.redis(), "sink", instance.prefix) == []


def test_bulk_and_progress(sink, bull, listener):
    made = bull.call("addBulk", [{"data": batch("b-%d" % i), "opts": {"attempts": 2}} for i in range(50)])
    sink.wait_ids("b-%d" % i for i in range(50))
    assert set(sink.ids().values()) == {1}
    for job in made:
        wait_heard(listener, "completed", job["id"])
    bull.job(made[0]["id"], "progress", {"part": 1})
    assert wait_heard(listener, "progress", made[0]["id"]) == [[{"part": 1}]]
