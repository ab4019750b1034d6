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
    assert "--create" in ask(dray, "job", "add", "other", code=3).stderr
    job = ask(dray, "job", "add", "other", "--create", "--data", '"any"').stdout.strip()
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
    assert row["paused"] == 4 and row["mode"] == "key" and row["partition_count"] == 4 and row["is_paused"] is True
    shown = ask_json(dray, "queue", "show", "sink")
    assert [p["name"] for p in shown["partitions"]] == ["sink#%d" % n for n in range(4)]
    assert [p["paused"] for p in shown["partitions"]] == [1, 1, 1, 1]
    assert ask_json(dray, "queue", "show", "sink#2")["paused"] == 1
    assert "remove 4 jobs" in ask(dray, "queue", "drain", "sink", "--dry-run").stdout
    assert "removed 1 job" in ask(dray, "queue", "drain", "sink#2", "--yes").stdout
    ask(dray, "queue", "resume", "sink")
    assert ask_json(dray, "queue", "ls")["queues"][0]["wait"] == 3


# ---- names

def test_an_unknown_queue_is_not_made(dray):
    """A name that is misspelt must not pause, or fill, a queue that nobody works on."""
    for words in (["queue", "pause", "snik"], ["queue", "drain", "snik", "--yes"], ["job", "add", "snik"],
                  ["job", "repeats", "snik"], ["job", "show", "1", "--queue", "snik"], ["queue", "show", "snik"]):
        answer = ask(dray, *words, code=3)
        assert "did you mean sink?" in answer.stderr and answer.stdout == "", words
    assert "did you mean show?" in ask(dray, "job", "shwo", "1", code=64).stderr
    assert not [k for k in dray.redis().keys("*") if b"snik" in k]


def test_a_job_of_several_queues(make_dray, make_redis, sink):
    """Bull's ids count for each queue: what is done to "1" is not done to another queue's."""
    server = make_redis()
    dray = make_dray(conf={"redis": {"mode": "standalone", "url": server.url},
                           "queue": {"ordering": "key", "partitions": 2}}, start=False)
    assert [ask(dray, "job", "add", "sink#%d" % n).stdout for n in (0, 1)] == ["1\n", "1\n"]
    for words in (["job", "show"], ["job", "remove"], ["job", "logs"], ["queue", "show"]):
        answer = ask(dray, *words, "1", code=64)
        assert "sink#0, sink#1; name one with --queue" in answer.stderr and answer.stdout == "", words
    assert ask_json(dray, "job", "show", "1", "--queue", "sink#1")["queue"] == "sink#1"
    ask(dray, "job", "remove", "1", "--queue", "sink#1")
    assert ask_json(dray, "job", "show", "1")["queue"] == "sink#0"
    assert "no job 1 in sink#1" in ask(dray, "job", "show", "1", "--queue", "sink#1", code=3).stderr


def test_a_partition_that_is_not_there(make_dray, make_redis, sink):
    server = make_redis()
    dray = make_dray(conf={"redis": {"mode": "standalone", "url": server.url},
                           "queue": {"ordering": "key", "partitions": 4}}, start=False)
    assert "sink#0 to sink#3" in ask(dray, "queue", "show", "sink#9", code=64).stderr


# ---- what a terminal is given

def test_what_stands_in_a_job_does_not_steer_the_terminal(paused):
    dray = paused
    r = dray.redis()
    ids = [add(dray, "--id", name) for name in ("binary", "huge", "escapes")]
    r.hset("{dray}:sink:binary", "data", bytes(range(256)))
    r.hset("{dray}:sink:huge", "data", '"%s"' % ("y" * 3000000))
    r.hset("{dray}:sink:escapes", mapping={"failedReason": "a\x1b[31m\u009b2J\nb", "\x1b[2J": "field"})
    for job in ids:
        shown = ask(dray, "job", "show", job).stdout
        assert len(shown) < 20000
        assert not [c for c in shown if (ord(c) < 32 and c != "\n") or 127 <= ord(c) < 160], job
    assert "3000000 bytes" in ask(dray, "job", "show", "huge").stdout
    assert len(ask_json(dray, "job", "show", "huge")["data"]) == 3000000
    assert ask_json(dray, "job", "show", "binary")["data"].endswith("\\xfe\\xff")
    assert ask_json(dray, "job", "show", "escapes")["failedReason"] == "a\x1b[31m\u009b2J\nb"
    for part in ("queue", "show", "sink"), ("queue", "ls"):
        assert "\x1b" not in ask(dray, *part).stdout


def test_times_and_lock_of_a_job(dray, sink):
    sink.behave(hang=True)
    job = add(dray, "--id", "held-up")
    wait_state(dray, job, "active")
    shown = ask_json(dray, "job", "show", job)
    name = dray.status()["name"]
    assert shown["lock"]["worker"].startswith(name + " delivery.") and 0 < shown["lock"]["left_ms"] <= 30000
    assert "(%s)" % shown["timestamp"] in ask(dray, "job", "show", job).stdout
    active = ask_json(dray, "queue", "show", "sink")["active_jobs"]
    assert [row["id"] for row in active] == [job] and active[0]["worker"] == shown["lock"]["worker"]
    sink.behave(status=200, hang=False)
    sink.answer()
    late = add(dray, "--delay", "1h")
    shown = ask_json(dray, "job", "show", late)
    assert shown["dueOn"] == int(shown["timestamp"]) + 3600000


def test_one_queue_that_is_none_does_not_hide_the_others(dray):
    r = dray.redis()
    r.set("{dray}:broken:id", 1)
    r.set("{dray}:broken:wait", "text")
    answer = ask(dray, "queue", "ls", "-o", "json", code=1)
    assert [row["name"] for row in json.loads(answer.stdout)["queues"]] == ["sink"]
    assert "broken: Redis: WRONGTYPE" in answer.stderr
    assert "WRONGTYPE" in ask(dray, "queue", "show", "broken", code=1).stderr


def test_many_queues_and_many_failed_jobs(dray):
    r = dray.redis()
    start = int(r.time()[0] - 3600) * 1000
    with r.pipeline() as p:
        for n in range(200):
            p.set("{dray}:%s%03d:id" % ("a-name-that-goes-on-and-on-and-on-" * (n % 3), n), 1)
        for n in range(10000):
            p.zadd("{dray}:sink:failed", {"f%d" % n: start + n})
            p.hset("{dray}:sink:f%d" % n, mapping={"data": "{}", "opts": "{}", "name": "n", "failedReason": "no " * 500,
                                                   "finishedOn": start + n, "attemptsMade": 3})
        p.execute()
    assert len(ask_json(dray, "queue", "ls")["queues"]) == 201
    shown = ask_json(dray, "queue", "show", "sink")
    assert shown["failed"] == 10000
    assert [row["id"] for row in shown["failed_jobs"]] == ["f%d" % n for n in range(9999, 9989, -1)]
    lines = ask(dray, "queue", "show", "sink").stdout.splitlines()
    assert max(len(line) for line in lines) < 200 and any(line.endswith("...") for line in lines)
    ask(dray, "queue", "pause", "sink")
    assert ask(dray, "queue", "retry", "sink", "--dry-run").stdout == "sink: would retry 10000 jobs\n"
    assert "removed 10000 jobs" in ask(dray, "queue", "clean", "sink", "--state", "failed", "--yes").stdout


# ---- Redis

def test_redis_that_cannot_be_used(make_dray, make_redis, sink):
    server = make_redis(requirepass="secret")
    dray = make_dray(conf={"redis": {"mode": "standalone", "url": server.url}}, start=False)
    for words in (["queue", "ls"], ["queue", "pause", "sink"], ["job", "show", "x"], ["job", "add", "sink"]):
        assert "redis.password" in ask(dray, *words, code=4).stderr
        assert "redis.password" in ask(dray, *words, "--set", "redis.password=wrong", code=4).stderr
    ask(dray, "job", "add", "sink", "--set", "redis.password=secret")
    away = ask(dray, "job", "show", "1", "--set", "redis.url=unix:///nowhere/redis.sock", code=4).stderr
    assert away.startswith("dray job: Redis at unix:///nowhere/redis.sock: ") and "redis.url" in away


def test_the_managed_redis_runs_with_dray(make_dray, sink):
    dray = make_dray(start=False)
    for words in (["queue", "ls"], ["job", "add", "sink"]):
        assert "start dray" in ask(dray, *words, code=4).stderr


# ---- who does what

def test_who_processes_and_who_stands_by(make_dray, make_redis, sink, make_sink):
    """Two hosts with names of their own: the command line and status call holders by them."""
    server, other = make_redis(), make_sink()
    conf = {"redis": {"mode": "standalone", "url": server.url, "managed": None}, "queue": {"lease": "2s"},
            "master": {"processes": {"delivery": 1}},
            "destinations": [{"id": "sink", "url": sink.url, "is_multi_processor": False},
                             {"id": "parts", "url": other.url, "ordering": "key", "partitions": 4}]}
    a = make_dray(conf={**conf, "node": {"name": "alpha"}})
    b = make_dray(conf={**conf, "node": {"name": "beta"}})
    both = {"alpha delivery.0", "beta delivery.0"}

    def shared():
        holders = [p["worker"] for p in ask_json(a, "queue", "show", "parts")["partitions"]]
        return sorted(holders, key=str) == ["alpha delivery.0"] * 2 + ["beta delivery.0"] * 2
    wait_for(shared, 20, "each host has two partitions")
    shown = ask_json(b, "queue", "show", "sink")
    does = {c["worker"]: c["holds"] for c in shown["candidates"]}
    assert set(does) == both and sorted(does.values()) == [[], ["sink"]] and does[shown["worker"]] == ["sink"]
    text = ask(a, "queue", "show", "sink").stdout
    assert shown["worker"] + "  processes sink" in " ".join(text.split(" ")).replace("   ", "  ") and "stands by" in text
    assert "WORKERS" not in text
    holder, other = (a, b) if shown["worker"].startswith("alpha") else (b, a)
    name = holder.status()["name"]
    wait_for(lambda: "stands by for sink (held by %s delivery.0)" % name in other.cli("status").stdout, 10)
    wait_for(lambda: ", sink" in holder.cli("status").stdout or "processes sink" in holder.cli("status").stdout, 10)
    one = ask_json(a, "queue", "show", "parts#1")
    assert one["worker"] in both and [c["holds"] for c in one["candidates"]] == [["parts#1"]]


# ---- repetitions

def test_repetitions(dray, sink):
    job = ask(dray, "job", "add", "sink", "--repeat-every", "1s", "--id", "again", "--data",
              '{"batch":[{"messageId":"m1"}],"source":"web"}').stdout.strip()
    assert job.startswith("repeat:")
    wait_for(lambda: len(sink.requests) >= 2, 20, "it came twice")
    rows = ask_json(dray, "job", "repeats", "sink")
    assert [(row["id"], row["every_ms"], row["queue"]) for row in rows] == [("again", 1000, "sink")]
    assert rows[0]["key"] in ask(dray, "job", "repeats", "sink").stdout
    assert ask(dray, "job", "unrepeat", "sink", rows[0]["key"]).stdout == rows[0]["key"] + ": repeats no more\n"
    assert ask_json(dray, "job", "repeats", "sink") == []
    assert "job repeats sink" in ask(dray, "job", "unrepeat", "sink", rows[0]["key"], code=3).stderr
    assert "nothing repeats" in ask(dray, "job", "repeats", "sink").stderr


def test_repetition_by_cron(paused):
    dray = paused
    add(dray, "--repeat-cron", "0 3 * * *", "--repeat-tz", "Europe/Berlin", "--repeat-limit", "7", "--repeat-end",
        "2099-12-31T12:00:00Z", "--attempts", "3")
    row, = ask_json(dray, "job", "repeats", "sink")
    assert row["cron"] == "0 3 * * *" and row["tz"] == "Europe/Berlin" and row["end"] == 4102401600000
    job = jobs.job_ids(dray.redis(), "sink", "delayed")[0]
    opts = ask_json(dray, "job", "show", job)["opts"]
    assert opts["attempts"] == 3 and opts["repeat"]["limit"] == 7 and opts["repeat"]["count"] == 1
    assert "2099-12-31T12:00:00Z" in ask(dray, "job", "repeats", "sink").stdout


@pytest.mark.parametrize("options, part", [
    (["--repeat-every", "often"], "duration"),
    (["--repeat-cron", "61 * * * *"], "minute"),
    (["--repeat-cron", "* * * * *", "--repeat-tz", "Europe/Berlun"], "Europe/Berlun"),
    (["--repeat-every", "5m", "--repeat-cron", "* * * * *"], "one of the two"),
    (["--repeat-limit", "3"], "--repeat-every or --repeat-cron"),
    (["--repeat-every", "5m", "--repeat-tz", "UTC"], "--repeat-cron"),
    (["--repeat-every", "5m", "--repeat-end", "tomorrow"], "2027-01-31"),
    (["--repeat-every", "5m", "--delay", "1s"], "--delay"),
])
def test_wrong_repetitions(paused, options, part):
    answer = ask(paused, "job", "add", "sink", *options, code=64)
    assert part in answer.stderr and answer.stdout == ""
    assert ask_json(paused, "job", "repeats", "sink") == []


def test_a_repetition_that_is_over(paused):
    assert "no time left" in ask(paused, "job", "add", "sink", "--repeat-every", "5m", "--repeat-end", "2020-01-01",
                                 code=1).stderr
