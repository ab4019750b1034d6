"""Jobs that dray's command line adds, with no dray running, and a Bull 4.16.5 worker (npm) works."""
import json

import pytest

from lib.wait import wait_for


@pytest.fixture
def instance(make_dray, make_redis, sink):
    return make_dray(conf={"redis": {"mode": "standalone", "url": make_redis().url}}, start=False)


@pytest.fixture
def bull(make_bull, instance):
    return make_bull(instance)


def add(instance, *options):
    answer = instance.cli("job", "add", "sink", "-o", "json", *options)
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)["id"]


def order_of(bull):
    """Ids of the completed jobs, the first one first."""
    found = bull.call("getCompleted")
    return [j["id"] for j in sorted(found, key=lambda j: (j["processedOn"], j["finishedOn"], int(j["id"])))]


def test_bull_works_what_was_added(instance, bull):
    plain = add(instance, "--data", '{"x": [1, "\u00e4"]}')
    own = add(instance, "--id", "order-7", "--name", "__default__", "--data", '"text"')
    late = add(instance, "--delay", "1s", "--data", "1")
    twice = add(instance, "--attempts", "3", "--backoff", "fixed:100ms", "--data", '{"n": 2}')
    gone = add(instance, "--remove-on-complete", "true", "--data", "2")
    listed = {j["id"]: j for j in bull.call("getJobs", ["waiting", "delayed"])}
    assert set(listed) == {plain, own, late, twice, gone} and listed[plain]["data"] == {"x": [1, "\u00e4"]}
    assert listed[twice]["opts"]["attempts"] == 3 and listed[twice]["opts"]["backoff"] == {"type": "fixed", "delay": 100}
    bull.work(value="bull")
    wait_for(lambda: bull.counts()["completed"] == 4, 15, "all but the removed one: %s" % bull.counts())
    for job in (plain, own, late, twice):
        found = bull.call("getJob", job)
        assert found["returnvalue"] == "bull" and found["attemptsMade"] <= 1, found
    assert bull.call("getJob", gone) is None
    assert bull.call("getJob", late)["processedOn"] - bull.call("getJob", late)["timestamp"] >= 1000


def test_priority_and_lifo(instance, bull):
    ids = [add(instance), add(instance, "--priority", "2"), add(instance, "--priority", "1"), add(instance, "--lifo")]
    bull.work(value="bull")
    wait_for(lambda: bull.counts()["completed"] == 4, 15)
    assert order_of(bull) == ids[::-1]  # as with Bull: what has a priority goes before what has none


def test_bull_repeats_what_was_added(instance, bull):
    add(instance, "--repeat-every", "300ms", "--id", "every", "--data", '{"n": 1}')
    add(instance, "--repeat-cron", "* * * * * *", "--repeat-tz", "Europe/Berlin", "--name", "__default__", "--id", "cron")
    add(instance, "--repeat-every", "200ms", "--repeat-limit", "2", "--id", "limited")
    listed = {r["id"]: r for r in bull.call("getRepeatableJobs")}
    assert set(listed) == {"every", "cron", "limited"} and listed["every"]["every"] == 300
    assert (listed["cron"]["cron"], listed["cron"]["tz"]) == ("* * * * * *", "Europe/Berlin")
    ours = json.loads(instance.cli("job", "repeats", "sink", "-o", "json").stdout)
    assert {r["key"]: r["next"] for r in ours} == {r["key"]: r["next"] for r in listed.values()}
    bull.work(value="bull")

    def done(name):
        return [j for j in bull.call("getCompleted") if j["opts"]["repeat"]["jobId"] == name]
    wait_for(lambda: len(done("every")) >= 4 and len(done("cron")) >= 3, 20, "each again and again")
    assert all(j["data"] == {"n": 1} and j["returnvalue"] == "bull" for j in done("every"))
    assert len(done("limited")) == 2
    for key in [r["key"] for r in bull.call("getRepeatableJobs")]:
        assert instance.cli("job", "unrepeat", "sink", key).returncode == 0
    assert bull.call("getRepeatableJobs") == []
    wait_for(lambda: bull.counts()["delayed"] == bull.counts()["waiting"] == bull.counts()["active"] == 0, 10,
             "what was next is gone or was worked on")
