"""Bull 4.16.5 (the npm package, unmodified) and dray on the same queue: each reads, adds to and steers the other's jobs."""
import json
import os
import subprocess

import pytest

from lib import jobs, npm
from lib.events import make_events
from lib.wait import wait_for

HERE = os.path.dirname(os.path.abspath(__file__))


@pytest.fixture(scope="module")
def bull_folder(request):
    try:
        return npm.install(request.config.build)
    except npm.NotInstalled as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture
def bull(bull_folder, dray):
    def call(command, argument=None, queue="sink"):
        words = ["node", os.path.join(HERE, "bull_client.js"), bull_folder, dray.redis_path, dray.prefix, queue, command]
        if argument is not None:
            words.append(json.dumps(argument))
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)
    return call


def post(dray, n=1):
    events = list(make_events(n))
    with dray.client() as c:
        for event in events:
            assert c.batch([event]).status == 200
    return [e["messageId"] for e in events]


def wait_counts(dray, **wanted):
    wait_for(lambda: {k: dray.queue_counts()[k] for k in wanted} == wanted, 15, "counts %s" % wanted)


def test_bull_reads_what_dray_wrote(dray, sink, bull):
    ids = post(dray, 3)
    sink.wait_ids(ids)
    wait_counts(dray, wait=0, active=0, completed=3)
    seen = bull("look")
    assert seen["counts"] == {"waiting": 0, "active": 0, "completed": 3, "failed": 0, "delayed": 0, "paused": 0}
    assert seen["workers"] >= 1, "getWorkers finds dray's connections by their names"
    for job in seen["lists"]["completed"]:
        assert job["name"] == "__default__" and isinstance(job["data"], dict)
        assert job["opts"] == {"attempts": 1, "delay": 0, "timestamp": job["timestamp"]}
        assert job["timestamp"] <= job["processedOn"] <= job["finishedOn"]
        assert job["attemptsMade"] == 0
        assert bull("job", job["id"])["state"] == "completed"
    one = seen["lists"]["completed"][0]
    shown = dray.cli("queue", "show", one["id"], "-o", "json")
    assert shown.returncode == 0, shown.stderr
    shown = json.loads(shown.stdout)
    assert (shown["state"], shown["queue"], shown["data"]) == ("completed", "sink", one["data"])
    listed = json.loads(dray.cli("queue", "ls", "-o", "json").stdout)["queues"]
    assert [(q["name"], q["completed"], q["failed"]) for q in listed] == [("sink", 3, 0)]
    assert dray.cli("queue", "show", "nothing-of-this-name").returncode == 3


def test_bull_retries_what_dray_failed(dray, sink, bull):
    sink.behave(status=400)
    ids = post(dray)
    wait_counts(dray, wait=0, active=0, failed=1)
    job = bull("look")["lists"]["failed"][0]
    assert "400" in job["failedReason"] and job["attemptsMade"] == 1
    assert len(job["stacktrace"]) == 1 and "400" in job["stacktrace"][0]
    sink.behave()
    assert bull("retry", job["id"])
    sink.wait_ids(ids)
    wait_counts(dray, wait=0, active=0, failed=0, completed=1)
    assert bull("job", job["id"])["state"] == "completed"


def test_dray_works_what_bull_added(dray, sink, bull):
    ids = post(dray)
    sink.wait_ids(ids)
    wait_counts(dray, completed=1)
    data = bull("look")["lists"]["completed"][0]["data"]
    added = bull("add", {"data": data, "opts": {"removeOnComplete": True}})  # returns when dray's message has come
    assert "error" not in added, added
    assert sink.ids()[ids[0]] == 2
    assert bull("job", added["id"]) is None, "removeOnComplete was honoured"
    delayed = bull("add", {"data": data, "opts": {"delay": 300}})
    assert "error" not in delayed and sink.ids()[ids[0]] == 3
    nonsense = bull("add", {"data": {"what": "is this"}, "opts": {}})
    assert nonsense["error"], "a job that dray cannot read goes to failed, and Bull hears of it"
    wait_counts(dray, wait=0, active=0, delayed=0, completed=2, failed=1)
    assert jobs.locks(dray.redis(), "sink", dray.prefix) == []


def test_bull_pauses_the_queue(dray, sink, bull):
    assert bull("pause")
    ids = post(dray, 2)
    wait_counts(dray, paused=2, wait=0, active=0)
    assert sink.ids() == {}
    assert bull("resume")
    sink.wait_ids(ids)
    wait_counts(dray, paused=0, wait=0, active=0, completed=2)
