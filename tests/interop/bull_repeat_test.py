"""Repeated jobs of Bull 4.16.5 (npm): Bull adds them and dray works them, both do, and what dray wrote Bull goes on with,
lists and removes. Each job of a repetition carries its number (opts.repeat.count): none is left out, none comes twice."""
import time

import pytest

from lib.wait import stays, wait_for


@pytest.fixture
def instance(make_dray, sink):
    """A destination without a key of its own, so that Bull's jobs can go to it; two workers."""
    return make_dray(conf={"destinations": [{"id": "sink", "url": sink.url, "auth": {"type": "none"}}],
                           "master": {"processes": {"delivery": 2}}, "queue": {"backoff": {"delay": "100ms"}}})


@pytest.fixture
def bull(make_bull, instance):
    return make_bull(instance)


def batch(name):
    return {"batch": [{"type": "track", "event": name, "userId": "u", "messageId": name}]}


def repeat(bull, name, **options):
    """The key under which Bull lists it."""
    more = options.pop("more", {})
    bull.add(batch(name), **more, repeat=options, jobId=name)
    return next(r["key"] for r in bull.call("getRepeatableJobs") if r["id"] == name)


def done(bull, name, *states):
    """The finished jobs of a repetition, in order."""
    found = [j for j in bull.call("getJobs", list(states or ("completed",))) if j["opts"].get("repeat", {}).get("jobId") == name]
    return sorted(found, key=lambda j: j["opts"]["prevMillis"])


def wait_done(bull, name, n, *states):
    wait_for(lambda: len(done(bull, name, *states)) >= n, 20, "%d jobs of %s" % (n, name))
    return done(bull, name, *states)


def check_chain(found):
    assert [j["opts"]["repeat"]["count"] for j in found] == list(range(1, len(found) + 1)), "none left out, none twice"
    times = [j["opts"]["prevMillis"] for j in found]
    assert times == sorted(set(times))
    for job in found:
        assert job["id"] == job["opts"]["jobId"] and job["id"].endswith(":%d" % job["opts"]["prevMillis"])
        assert job["finishedOn"] >= job["opts"]["prevMillis"], "not before its time"
        assert job["delay"] == 0 or job["timestamp"] + job["delay"] == job["opts"]["prevMillis"]
    return times


def test_dray_works_what_bull_repeats(instance, sink, bull):
    soon = int(time.time() * 1000) + 2500
    repeat(bull, "every", every=300)
    repeat(bull, "second", cron="* * * * * *", tz="Asia/Kathmandu")
    repeat(bull, "thrice", every=250, limit=3, more={"priority": 2, "removeOnComplete": False})
    ending = repeat(bull, "ending", cron="*/1 * * * * *", endDate=soon)
    nightly = repeat(bull, "nightly", cron="30 2 * * *", tz="Europe/Berlin")
    times = check_chain(wait_done(bull, "every", 10))
    assert all(t % 300 == 0 for t in times)
    assert all(t % 1000 == 0 for t in check_chain(wait_done(bull, "second", 4)))
    check_chain(wait_done(bull, "thrice", 3))
    stays(lambda: len(done(bull, "thrice")) == 3, 1), "the limit"
    assert all(t <= soon for t in check_chain(done(bull, "ending")))
    assert [j["opts"]["repeat"]["key"] for j in bull.call("getDelayed") if j["opts"]["repeat"]["jobId"] in ("ending", "nightly")] \
        == [nightly], "the one has ended, the other waits for its night"
    assert ending != nightly
    keys = [r.key for r in sink.requests]
    assert len(keys) == len(set(keys)), "posted once each"


def test_a_failed_job_repeats_all_the_same(instance, sink, bull):
    answers = {"refused": {"status": 400}, "later": {"status": 503}}
    sink.rule = lambda r: next((how for name, how in answers.items() if b'"%s"' % name.encode() in r.body), None)
    repeat(bull, "refused", every=400)
    repeat(bull, "later", every=400, more={"attempts": 2, "backoff": 900})  # tried again when the next ones are long there
    check_chain(wait_done(bull, "refused", 4, "failed"))
    check_chain(wait_done(bull, "later", 4, "failed"))
    assert {j["attemptsMade"] for j in done(bull, "later", "failed")} == {2}
    names = [j["opts"]["repeat"]["jobId"] for j in bull.call("getJobs", ["delayed", "waiting", "active"]) if j["attemptsMade"] == 0]
    assert names.count("refused") <= 1 and names.count("later") <= 1, "one chain each"


def test_bull_goes_on_with_what_dray_wrote(instance, sink, bull, make_bull):
    key = repeat(bull, "every", every=300)
    kept = repeat(bull, "removed", cron="* * * * * *")
    wait_done(bull, "every", 3)
    wait_done(bull, "removed", 2)
    listed = {r["id"]: r for r in bull.call("getRepeatableJobs")}
    assert (listed["every"]["every"], listed["every"]["cron"], listed["removed"]["cron"]) == (300, None, "* * * * * *")
    assert listed["every"]["key"] == key and bull.call("getRepeatableCount") == 2
    for process in instance.processes("delivery"):
        instance.signal("delivery", process["slot"], 19)  # SIGSTOP: the next jobs, which dray wrote, are Bull's
    try:
        before = len(done(bull, "every"))
        other = make_bull(instance)
        other.work(value="bull")
        wait_done(bull, "every", before + 3)
        found = [j for j in done(bull, "every") if j["returnvalue"] == "bull"]
        assert len(found) >= 2
    finally:
        for process in instance.processes("delivery"):
            instance.signal("delivery", process["slot"], 18)
    bull.call("removeRepeatableByKey", kept)
    assert [r["id"] for r in bull.call("getRepeatableJobs")] == ["every"]
    last = len(wait_done(bull, "every", before + 6))
    assert bull.call("removeRepeatable", {"every": 300, "jobId": "every"}) is None
    assert bull.call("getRepeatableJobs") == []
    wait_for(lambda: bull.counts()["delayed"] == bull.counts()["waiting"] == bull.counts()["active"] == 0, 10, "rest")
    stays(lambda: len(done(bull, "every")) <= last + 1, 1)
    check_chain(done(bull, "every"))
    check_chain(done(bull, "removed"))


def test_both_work_under_kills(instance, sink, bull, make_bull):
    repeat(bull, "every", every=200)
    repeat(bull, "second", cron="* * * * * *")
    others = [make_bull(instance)]
    others[0].work(value="bull")
    end = time.monotonic() + 6
    while time.monotonic() < end:
        time.sleep(0.7)  # between deaths; what is waited for comes behind
        instance.kill("delivery", 0)
    n = len(done(bull, "every"))
    check_chain(wait_done(bull, "every", n + 5))
    check_chain(done(bull, "second"))
    by = {j["returnvalue"] == "bull" for j in done(bull, "every")}
    assert by == {True, False}, "both had their part"
