"""dray queue and dray job: what a person does to queues and jobs from the command line, on a running instance and on a
Redis alone."""
import json

import pytest

from lib import jobs
from lib.wait import stays, wait_for


def ask(dray, *words, code=0, **options):
    answer = dray.cli(*words, **options)
    assert answer.returncode == code, (words, answer.returncode, answer.stdout, answer.stderr)
    return answer


def ask_json(dray, *words, **options):
    return json.loads(ask(dray, *words, "-o", "json", **options).stdout)


def add(dray, *options, queue="sink", data='{"batch":[{"messageId":"m1"}],"source":"web"}'):
    return ask(dray, "job", "add", queue, "--data", data, *options).stdout.strip()


def counts(dray, queue="sink"):
    return jobs.counts(dray.redis(), queue)


def wait_state(dray, job_id, state, queue="sink"):
    wait_for(lambda: ask_json(dray, "job", "show", job_id)["state"] == state, 10, "%s is %s" % (job_id, state))


@pytest.fixture
def paused(dray, sink):
    """Nothing is taken while the test looks."""
    ask(dray, "queue", "pause", "sink")
    wait_for(lambda: dray.redis().exists("{dray}:sink:meta-paused"), 5)
    return dray


def test_pause_and_resume(dray, sink):
    assert ask(dray, "queue", "pause", "sink").stdout == "sink: paused\n"
    ask(dray, "queue", "pause", "sink")  # twice is once
    first = add(dray)
    assert ask_json(dray, "queue", "ls")["queues"][0]["is_paused"] is True
    stays(lambda: counts(dray)["paused"] == 1 and not sink.ids(), 0.5)
    ask(dray, "queue", "resume", "sink")
    wait_state(dray, first, "completed")
    assert list(sink.ids()) == ["m1"]


def test_add_with_every_option(paused):
    dray = paused
    job = add(dray, "--id", "order-1", "--name", "mail", "--priority", "3", "--attempts", "4", "--backoff",
              "exponential:500ms", "--timeout", "2s", "--remove-on-complete", "count=5,age=60", "--remove-on-fail", "7",
              "--stack-trace-limit", "2")
    assert job == "order-1"
    shown = ask_json(dray, "job", "show", "order-1")
    assert shown["state"] == "paused" and shown["name"] == "mail" and shown["queue"] == "sink"
    opts = shown["opts"]
    assert opts["attempts"] == 4 and opts["priority"] == 3 and opts["timeout"] == 2000 and opts["stackTraceLimit"] == 2
    assert opts["backoff"] == {"type": "exponential", "delay": 500}
    assert opts["removeOnComplete"] == {"count": 5, "age": 60} and opts["removeOnFail"] == 7
    again = ask(dray, "job", "add", "sink", "--id", "order-1")
    assert again.stdout == "order-1\n" and "duplicate" in again.stderr
    a = add(dray, "--debounce", "d", "--debounce-ttl", "1m")
    assert ask_json(dray, "job", "add", "sink", "--debounce", "d") == {"queue": "sink", "id": a, "status": "debounced"}
    urgent = add(dray, "--lifo")
    assert jobs.job_ids(dray.redis(), "sink", "paused")[-1] == urgent
    delayed = add(dray, "--delay", "1h")
    assert ask_json(dray, "job", "show", delayed)["state"] == "delayed"


def test_data_from_a_file_and_standard_input(paused):
    dray = paused
    with open(dray.dir + "/data.json", "w") as f:
        f.write('{"x": 1}')
    job = ask(dray, "job", "add", "sink", "--data", "@data.json").stdout.strip()
    assert ask_json(dray, "job", "show", job)["data"] == {"x": 1}
    job = ask(dray, "job", "add", "sink", "--data", "-", input='[1,2]').stdout.strip()
    assert ask_json(dray, "job", "show", job)["data"] == [1, 2]


@pytest.mark.parametrize("words, part", [
    (["job", "add", "sink", "--data", "{"], "not JSON"),
    (["job", "add", "sink", "--id", "12"], "number"),
    (["job", "add", "sink", "--id", "a:b"], ":"),
    (["job", "add", "sink", "--id", "wait"], "own keys"),
    (["job", "add", "sink", "--backoff", "often"], "fixed:DURATION"),
    (["job", "add", "sink", "--delay", "5"], "duration"),
    (["job", "add", "sink", "--priority", "high"], "whole number"),
    (["job", "add", "sink", "--remove-on-fail", "x=1"], "count=N"),
    (["job", "add", "si:nk"], "no name of a queue"),
    (["job", "add", "sink#1"], "partition"),
    (["job", "add"], "a queue's name is needed"),
    (["job", "retry"], "a job's id is needed"),
    (["job", "dance", "x"], "not dance"),
    (["job"], "is needed"),
    (["queue", "pause"], "a queue's name is needed"),
    (["queue", "clean", "sink", "--state", "done"], "completed"),
    (["queue", "clean", "sink", "--grace", "soon"], "duration"),
    (["queue", "dance", "sink"], "not dance"),
])
def test_wrong_words(dray, words, part):
    answer = ask(dray, *words, code=64)
    assert part in answer.stderr and answer.stdout == ""


def test_one_job(dray, sink):
    sink.behave(status=400)
    failed = add(dray)
    wait_state(dray, failed, "failed")
    assert "400" in ask_json(dray, "job", "show", failed)["failedReason"]
    sink.behave(status=200)
    assert ask(dray, "job", "retry", failed).stdout == failed + ": waits again\n"
    wait_state(dray, failed, "completed")
    late = add(dray, "--delay", "1h")
    ask(dray, "job", "promote", late, "--queue", "sink")
    wait_state(dray, late, "completed")
    answer = ask(dray, "job", "promote", late, code=1)
    assert late in answer.stderr
    ask(dray, "job", "logs", late, "--add", "seen by me")
    assert ask(dray, "job", "logs", late).stdout == "seen by me\n"
    assert ask_json(dray, "job", "logs", late) == ["seen by me"]
    ask(dray, "job", "remove", late)
    assert "no queue has a job" in ask(dray, "job", "remove", late, code=3).stderr
    assert ask(dray, "job", "show", late, code=3).stdout == ""


def test_a_job_in_hand_is_not_removed(dray, sink):
    sink.behave(hang=True)
    job = add(dray)
    wait_state(dray, job, "active")
    assert "work" in ask(dray, "job", "remove", job, code=1).stderr
    sink.behave(status=200, hang=False)


def test_one_that_fails_does_not_stop_the_others(paused):
    dray = paused
    a, b = add(dray), add(dray)
    answer = ask(dray, "job", "remove", a, "nobody", b, code=3)
    assert answer.stdout.splitlines() == [a + ": removed", b + ": removed"] and "nobody" in answer.stderr


def test_retry_all(dray, sink):
    sink.behave(status=400)
    for _ in range(5):
        add(dray)
    wait_for(lambda: counts(dray)["failed"] == 5, 10)
    assert ask_json(dray, "queue", "retry", "sink", "--dry-run") == {
        "queue": "sink", "act": "retry", "dry_run": True, "jobs": 5, "left_alone": 0}
    assert counts(dray)["failed"] == 5
    sink.behave(status=200)
    assert ask(dray, "queue", "retry", "sink", "--limit", "2").stdout == "sink: retried 2 jobs\n"
    wait_for(lambda: counts(dray)["completed"] == 2, 10)
    assert ask(dray, "queue", "retry", "sink").stdout == "sink: retried 3 jobs\n"
    wait_for(lambda: counts(dray)["completed"] == 5 and counts(dray)["failed"] == 0, 10)


def test_promote_all(dray, sink):
    for _ in range(3):
        add(dray, "--delay", "1h")
    assert ask(dray, "queue", "promote", "sink").stdout == "sink: promoted 3 jobs\n"
    wait_for(lambda: counts(dray)["completed"] == 3, 10)


def test_clean_drain_obliterate(paused):
    """What deletes is counted first, and not done without a yes."""
    dray = paused
    r = dray.redis()
    ids = [add(dray) for _ in range(4)]
    late = add(dray, "--delay", "1h")
    answer = ask(dray, "queue", "drain", "sink", code=1)
    assert "4 jobs" in answer.stderr and "--yes" in answer.stderr and counts(dray)["paused"] == 4
    assert "remove 4 jobs" in ask(dray, "queue", "drain", "sink", "--dry-run").stdout
    assert "removed 4 jobs" in ask(dray, "queue", "drain", "sink", "--yes").stdout
    assert counts(dray)["paused"] == 0 and counts(dray)["delayed"] == 1
    assert not any(r.exists("{dray}:sink:" + i) for i in ids) and r.exists("{dray}:sink:meta-paused")
    ask(dray, "queue", "drain", "sink", "--delayed", "--yes")
    assert counts(dray)["delayed"] == 0 and not r.exists("{dray}:sink:" + late)
    for _ in range(3):
        add(dray)
    assert "removed 0 jobs" in ask(dray, "queue", "clean", "sink", "--state", "wait", "--grace", "1h", "--yes").stdout
    assert "removed 2 jobs" in ask(dray, "queue", "clean", "sink", "--state", "paused", "--limit", "2", "--yes").stdout
    ask(dray, "queue", "obliterate", "sink", "--yes")
    assert sum(counts(dray).values()) == 0


def test_obliterate_wants_a_paused_queue(dray):
    add(dray, "--delay", "1h")
    assert "pause" in ask(dray, "queue", "obliterate", "sink", "--yes", code=1).stderr
    assert counts(dray)["delayed"] == 1


def test_without_a_running_dray(make_dray, make_redis, sink):
    server = make_redis()
    dray = make_dray(conf={"redis": {"mode": "standalone", "url": server.url}}, start=False)
    job = ask(dray, "job", "add", "other", "--data", '"any"').stdout.strip()
    rows = {row["name"]: row for row in ask_json(dray, "queue", "ls")["queues"]}
    assert rows["other"]["wait"] == 1 and rows["sink"]["wait"] == 0
    assert ask_json(dray, "job", "show", job)["data"] == "any"
    ask(dray, "job", "remove", job, "--queue", "other")
    server.kill()
    assert "Redis at" in ask(dray, "queue", "pause", "sink", code=4).stderr


def test_partitions_in_the_command_line(make_dray, make_redis, sink):
    server = make_redis()
    dray = make_dray(conf={"redis": {"mode": "standalone", "url": server.url},
                           "queue": {"ordering": "key", "partitions": 4}}, start=False)
    ask(dray, "queue", "pause", "sink")
    for n in range(4):
        ask(dray, "job", "add", "sink#%d" % n)
    assert "4 partitions" in ask(dray, "job", "add", "sink", code=64).stderr
    assert "no such partition" in ask(dray, "job", "add", "sink#4", code=64).stderr
    row = ask_json(dray, "queue", "ls")["queues"][0]
    assert row["paused"] == 4 and row["mode"] == "key, 4 partitions" and row["is_paused"] is True
    shown = ask_json(dray, "queue", "show", "sink")
    assert [p["name"] for p in shown["partitions"]] == ["sink#%d" % n for n in range(4)]
    assert [p["paused"] for p in shown["partitions"]] == [1, 1, 1, 1]
    assert ask_json(dray, "queue", "show", "sink#2")["paused"] == 1
    assert "remove 4 jobs" in ask(dray, "queue", "drain", "sink", "--dry-run").stdout
    assert "removed 1 job" in ask(dray, "queue", "drain", "sink#2", "--yes").stdout
    ask(dray, "queue", "resume", "sink")
    assert ask_json(dray, "queue", "ls")["queues"][0]["wait"] == 3
