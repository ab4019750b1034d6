"""Every verb of administration, side by side: the same state in two prefixes, made by Bull 4.16.5 (npm); Bull acts on one,
dray on the other. Then keys, types, values and what was published must be the same, times and tokens apart. Where Bull has a
bug the test says what dray leaves instead. See lib/sides.py."""
import json
import os

import pytest
from lib.bull import Bull, Refused
from lib.sides import BULL, DRAY, Driver, Sides


@pytest.fixture
def sides(request, packages, make_redis, house):
    server = make_redis(appendonly="no")
    path = os.path.join(request.config.build, "asan", "tests", "interop", "queue_driver")
    programs = [Bull(packages, server.socket, BULL, "q"), Bull(packages, server.socket, DRAY, "q"),
                Driver(path, server.socket, DRAY, "q")]
    house.closers += [program.close for program in programs]
    return Sides(server.client(), programs[:2], programs[2])


def take(bull):
    return bull.take()["id"]


def fail(bull, reason="no"):
    job_id = take(bull)
    bull.held(job_id, "moveToFailed", {"message": reason, "stack": reason})
    return job_id


def complete(bull, value=1):
    job_id = take(bull)
    bull.held(job_id, "moveToCompleted", value, False, True)
    return job_id


def limited(sides, job_id):
    """As a limiter with groups leaves it."""
    sides.raw("HSET", "limiter:index", job_id, "PREFIX:q:limiter:g:limited")
    sides.raw("SADD", "limiter:g:limited", job_id, "other")


# ---- add

ADDS = {
    "plain": [{}],
    "three": [{}, {}, {}],
    "own id": [{"jobId": "mine"}, {}],
    "duplicate": [{"jobId": "mine"}, {"jobId": "mine"}, {}],
    "delay": [{"delay": 60000}, {"jobId": "late", "delay": 90000}],
    "lifo": [{}, {"lifo": True}, {}],
    "priorities": [{}, {"priority": 5}, {"priority": 1}, {"priority": 5}, {}, {"priority": 2}],
    "delay and priority": [{"delay": 60000, "priority": 7}],
    "attempts": [{"attempts": 5}, {"attempts": 3, "backoff": {"type": "fixed", "delay": 100}},
                 {"attempts": 3, "backoff": {"type": "exponential", "delay": 7}}],
    "keeping": [{"removeOnComplete": True, "removeOnFail": False}, {"removeOnComplete": 0, "removeOnFail": 9},
                {"removeOnComplete": {"age": 60, "count": 5}, "removeOnFail": {"age": 1}}, {"removeOnFail": {"count": 2}}],
    "timeout and limit": [{"timeout": 500, "stackTraceLimit": 3}],
    "debounce": [{"debounce": {"id": "d"}}, {"debounce": {"id": "d"}}, {"debounce": {"id": "e"}}],
    "debounce for a time": [{"debounce": {"id": "d", "ttl": 60000}}, {"debounce": {"id": "d", "ttl": 60000}}],
    "debounced duplicate": [{"jobId": "x", "debounce": {"id": "d"}}, {"jobId": "x", "debounce": {"id": "d"}},
                            {"jobId": "y", "debounce": {"id": "d"}}],
    "named": [{"name": "mail"}],
}


def test_add(sides):
    for case, paused in sides.each(ADDS, (False, True)):
        if paused:
            sides.seed(lambda b: b.call("pause"))
        sides.begin()
        for n, opts in enumerate(ADDS[case]):
            data = {"n": n, "text": "ünï \"quoted\" / \n"}
            given = {k: v for k, v in opts.items() if k != "name"}
            by_bull = sides.bull.call("add", *([opts["name"]] if "name" in opts else []), data, given)
            by_dray = sides.dray("add", json=json.dumps(data, ensure_ascii=False, separators=(",", ":")), opts=opts)
            assert by_dray["id"] == str(by_bull["id"]) and by_dray["status"] in ("ok", "duplicate", "debounced")
        sides.compare()


def test_an_added_job_is_worked_by_bull(sides):
    sides.dray("add", json='{"n":1}', opts={"attempts": 2, "backoff": {"type": "fixed", "delay": 1}, "priority": 3})
    assert fail(sides.seeder) == "1"
    assert sides.seeder.state("1") == "delayed"
    assert sides.seeder.job("1", "promote") is None
    assert complete(sides.seeder) == "1"
    assert sides.dray("is_finished", id="1")["state"] == "completed"


def test_ids_that_bull_takes_to_its_harm(sides):
    sides.bull.add({}, jobId="2")
    sides.bull.add({"second": 1})
    assert sides.bull.call("getJob", "2")["data"] == {"second": 1}, "Bull overwrites it"
    for bad in ("2", "a:b", "wait", "limiter"):
        assert sides.dray("add", json="{}", opts={"jobId": bad})["status"] == "invalid"
    assert sides.keys(DRAY) == {}


# ---- pause and resume

def test_pause_and_resume(sides):
    for jobs in sides.each((0, 3)):
        sides.seed(lambda b: [b.add({"n": n}) for n in range(jobs)])
        sides.begin()
        for verb in ("pause", "pause", "resume", "resume", "pause"):
            sides.bull.call(verb)
            assert sides.dray(verb)["status"] == "ok"
            assert sides.dray("is_paused")["paused"] == sides.bull.call("isPaused")
            sides.compare()


def test_pause_loses_nothing(sides):
    sides.seed(lambda b: [b.add({}), b.call("pause")])
    sides.raw("LPUSH", "wait", "stray")
    sides.begin()
    sides.bull.call("pause")
    sides.dray("pause")
    assert sides.keys(BULL)["paused"] == ("list", ["stray"]), "Bull overwrites the list"
    sides.compare(bull_leaves={"paused": None}, dray_leaves={"paused": ("list", ["stray", "1"])})


# ---- one job

def test_retry(sides):
    for opts, paused in sides.each(({}, {"lifo": True}), (False, True)):
        sides.seed(lambda b: [b.add({}, **opts), fail(b), b.add({})])
        if paused:
            sides.seed(lambda b: b.call("pause"))
        sides.begin()
        sides.bull.job("1", "retry")
        assert sides.dray("retry", id="1")["status"] == "ok"
        sides.compare()
        sides.refused({"verb": "retry", "id": "1"}, "wrong state", lambda: sides.bull.job("1", "retry"),
                      "already retried or has not failed")
        sides.compare()


def test_retry_keeps_a_priority(sides):
    sides.seed(lambda b: [b.add({}, priority=2), fail(b), b.add({}), b.add({}, priority=9)])
    sides.begin()
    sides.bull.job("1", "retry")
    sides.dray("retry", id="1")
    assert sides.keys(BULL)["wait"] == ("list", ["1", "2", "3"]), "Bull forgets it"
    sides.compare(bull_leaves={"wait": None, "priority": None},
                  dray_leaves={"wait": ("list", ["2", "3", "1"]), "priority": ("zset", [("1", 2.0), ("3", 9.0)])})


def test_retry_refuses(sides):
    sides.seed(lambda b: [b.add({"n": 1}), complete(b), b.add({"n": 2}), fail(b)])
    sides.raw("SET", "2:lock", "somebody")
    before = sides.keys(DRAY)
    sides.begin()
    sides.refused({"verb": "retry", "id": "1"}, "wrong state", lambda: sides.bull.job("1", "retry"), "not failed")
    assert "finishedOn" not in sides.keys(BULL)["1"][1], "Bull has wiped it"
    sides.refused({"verb": "retry", "id": "2"}, "locked", lambda: sides.bull.job("2", "retry"), "locked")
    assert sides.dray("retry", id="none")["status"] == "missing"
    assert sides.keys(DRAY) == before
    sides.compare(bull_leaves={"1": None}, dray_leaves={"1": None})


def test_promote(sides):
    for opts, paused in sides.each(({}, {"priority": 3}, {"lifo": True}), (False, True)):
        sides.seed(lambda b: [b.add({}), b.add({}, priority=5), b.add({}, delay=60000, **opts), b.add({}, delay=60000)])
        if paused:
            sides.seed(lambda b: b.call("pause"))
        sides.begin()
        sides.bull.job("3", "promote")
        assert sides.dray("promote", id="3")["status"] == "ok"
        sides.compare()
        sides.refused({"verb": "promote", "id": "1"}, "wrong state", lambda: sides.bull.job("1", "promote"),
                      "not in a delayed")
        sides.compare()


STATES = {
    "wait": lambda b: b.add({"n": 1}, debounce={"id": "d"}),
    "prioritised": lambda b: [b.add({}, priority=4), b.add({}, priority=5)],
    "paused": lambda b: [b.add({}), b.add({}), b.call("pause")],
    "delayed": lambda b: b.add({}, delay=60000, debounce={"id": "d", "ttl": 60000}),
    "completed": lambda b: [b.add({}), complete(b)],
    "failed": lambda b: [b.add({}), fail(b)],
}


def test_remove(sides):
    for state in sides.each(STATES):
        sides.seed(STATES[state])
        sides.seed(lambda b: [b.job("1", "log", "line"), b.add({"n": "stays"}, delay=60000)])
        limited(sides, "1")
        sides.begin()
        sides.bull.job("1", "remove")
        assert sides.dray("remove", id="1")["status"] == "ok"
        sides.compare()
        assert sides.dray("remove", id="1")["status"] == "missing"
        sides.compare()


def test_remove_refuses_what_is_locked(sides):
    sides.seed(lambda b: [b.add({}), take(b)])
    sides.begin()
    sides.refused({"verb": "remove", "id": "1"}, "locked", lambda: sides.bull.job("1", "remove"), "Could not remove")
    sides.compare()


def test_remove_spares_a_newer_debounce(sides):
    sides.seed(lambda b: b.add({}, debounce={"id": "d"}))
    sides.raw("SET", "de:d", "7")
    sides.begin()
    sides.bull.job("1", "remove")
    sides.dray("remove", id="1")
    sides.compare(dray_leaves={"de:d": ("string", "7", False)})


def test_update_progress_and_log(sides):
    sides.seed(lambda b: b.add({}))
    sides.begin()
    sides.bull.job("1", "update", {"new": [1, "two"]})
    sides.dray("update", id="1", json='{"new":[1,"two"]}')
    for progress in (42, {"at": "half", "n": 1.5}):
        sides.bull.job("1", "progress", progress)
        sides.dray("progress", id="1", json=json.dumps(progress, separators=(",", ":")))
    for n in range(4):
        assert sides.dray("log", id="1", line="line %d" % n)["lines"] == sides.bull.job("1", "log", "line %d" % n)
    sides.compare()
    for keep in (3, 2):
        by_bull = sides.bull.ask(script="addLog", args=["1", "more", keep])
        assert sides.dray("log", id="1", line="more", keep=keep)["lines"] == by_bull == keep
    sides.compare()
    for start, end, asc in ((0, -1, True), (0, -1, False), (0, 0, True), (0, 0, False), (1, 5, True), (1, 5, False)):
        by_bull = sides.bull.call("getJobLogs", "1", start, end, asc)
        by_dray = sides.dray("logs", id="1", start=start, end=end, asc=asc)
        assert (by_dray["logs"], by_dray["count"]) == (by_bull["logs"], by_bull["count"])
    for verb in ({"verb": "update", "json": "1"}, {"verb": "progress", "json": "1"}, {"verb": "log", "line": "x"}):
        assert sides.dray(id="none", **verb)["status"] == "missing"
    with pytest.raises(Refused, match="Missing key"):
        sides.bull.ask(script="addLog", args=["none", "x"])
    sides.compare()


# ---- looking

def numbered(b):
    """Three jobs in each state; wait last."""
    for _ in range(3):
        b.add({})
        complete(b)
        b.add({})
        fail(b)
    for _ in range(3):
        b.add({})
        take(b)
    for n in range(3):
        b.add({"n": n}, delay=60000 + n)
        b.add({"n": n}, priority=n)


def test_looking(sides):
    for paused in sides.each((False, True)):
        sides.seed(numbered)
        if paused:
            sides.seed(lambda b: b.call("pause"))
        sides.begin()
        assert sides.dray("counts")["counts"] == sides.bull.counts()
        asked = [0, 1, 2, 7]
        by_bull = sides.bull.call("getCountsPerPriority", asked)
        assert sides.dray("priorities", of=asked)["counts"] == [by_bull[str(p)] for p in asked]
        for state, of_bull in (("wait", ["wait", "paused"]), ("active", ["active"]), ("delayed", ["delayed"]),
                               ("completed", ["completed"]), ("failed", ["failed"])):
            for start, end in ((0, 99), (0, 0), (1, 1), (1, 2), (5, 9)):
                for asc in (True, False):
                    ids = [str(j["id"]) for j in sides.bull.call("getJobs", of_bull, start, end, asc)]
                    jobs = sides.dray("list", state=state, start=start, end=end, asc=asc)["jobs"]
                    assert [j["id"] for j in jobs] == ids, (state, start, end, asc)
        for job_id in sides.keys(BULL):
            if job_id.isdigit():
                same_job(sides, job_id)
        sides.compare()


def same_job(sides, job_id):
    by_bull, by_dray = sides.bull.call("getJob", job_id), sides.dray("get", id=job_id)["job"]
    assert by_dray["state"] == sides.bull.state(job_id).replace("waiting", "wait")
    assert (by_dray["name"], json.loads(by_dray["data"])) == (by_bull["name"], by_bull["data"])
    for name in ("delay", "attemptsMade"):
        assert by_dray[name] == by_bull[name], name
    for name in ("processedOn", "finishedOn"):
        assert (by_dray[name] > 0) == bool(by_bull[name]), name
    assert by_dray["failedReason"] == by_bull.get("failedReason")
    assert json.loads(by_dray["stacktrace"] or "[]") == by_bull["stacktrace"]
    assert json.loads(by_dray["returnvalue"] or "null") == by_bull["returnvalue"]
    done = {"completed": sides.bull.job(job_id, "isCompleted"), "failed": sides.bull.job(job_id, "isFailed")}
    assert sides.dray("is_finished", id=job_id)["state"] == next((s for s in done if done[s]), "stuck")


# ---- many jobs

def test_retry_all(sides):
    sides.seed(lambda b: [[b.add({}, **opts), fail(b)] for opts in ({}, {}, {})])
    sides.begin()
    assert sides.dray("retry_all", dry_run=True)["done"] == 3
    sides.bull.call("retryJobs", {"count": 2})
    assert sides.dray("retry_all")["done"] == 3
    for n in "123":  # so that the worker knows that a person retried it
        assert sides.redis.hexists(DRAY + ":q:" + n, "retriedOn")
        sides.redis.hdel(DRAY + ":q:" + n, "retriedOn")
    by_bull, by_dray = sides.compare(heard=False)
    assert by_bull == [] and by_dray == [("waiting@token", n) for n in "123"]


def test_promote_all(sides):
    sides.seed(lambda b: [b.add({}, delay=60000 + n, priority=n % 2) for n in range(5)])
    sides.begin()
    for n in range(1, 6):
        sides.bull.job(str(n), "promote")
    assert sides.dray("promote_all", dry_run=True)["done"] == 5
    assert sides.dray("promote_all")["done"] == 5
    sides.compare()


def test_remove_matching(sides):
    sides.seed(lambda b: [b.add({}, jobId="a1"), complete(b), b.add({}, jobId="a2"), fail(b), b.add({}, jobId="a3"), take(b),
                          b.add({}, jobId="a4"), b.add({}, jobId="a5", delay=60000), b.add({}, jobId="a6", priority=2),
                          b.add({}, jobId="b1")])
    limited(sides, "a4")
    sides.begin()
    dry = sides.dray("remove_matching", pattern="a*", dry_run=True)
    assert dry == {"status": "ok", "why": None, "done": 5, "skipped": 1}
    sides.bull.call("removeJobs", "a*")
    assert sides.dray("remove_matching", pattern="a*")["done"] == 5
    sides.compare()


def test_remove_matching_spares_the_queue(sides):
    sides.seed(lambda b: [b.add({}), b.call("pause")])
    sides.begin()
    sides.bull.call("removeJobs", "*")
    sides.dray("remove_matching", pattern="*")
    assert "meta" not in sides.keys(BULL), "Bull takes it for a job"
    sides.compare(dray_leaves={"meta": ("hash", {"paused": "1"})})


CLEANS = {
    "wait": lambda b: [b.add({"n": n}, debounce={"id": "d%d" % n}) for n in range(4)],
    "paused": lambda b: [[b.add({}) for _ in range(4)], b.call("pause")],
    "active": lambda b: [[b.add({}), take(b)] for _ in range(4)],
    "delayed": lambda b: [b.add({}, delay=60000 + n) for n in range(4)],
    "completed": lambda b: [[b.add({}, debounce={"id": "d%d" % n, "ttl": 60000}), complete(b), b.job(str(n + 1), "log", "x")]
                            for n in range(4)],
    "failed": lambda b: [[b.add({}), fail(b)] for _ in range(4)],
}


def test_clean(sides):
    for state, most in sides.each(CLEANS, (0, 2)):
        sides.seed(CLEANS[state])
        if state == "active":
            for n in "124":
                sides.raw("DEL", n + ":lock")
        limited(sides, "1")
        old = str(int(sides.redis.time()[0] - 3600)) + "000"
        for n in "123":
            for name in ("timestamp", "processedOn", "finishedOn"):
                if sides.redis.hexists(BULL + ":q:" + n, name):
                    sides.raw("HSET", n, name, old)
            if state in ("completed", "failed"):
                sides.raw("ZADD", state, int(old) + int(n), n)
        sides.begin()
        wanted = 2 if most or state == "active" else 3
        assert sides.dray("clean", state=state, grace=60000, max=most, dry_run=True)["done"] == wanted
        by_bull = len(sides.bull.call("clean", 60000, state, *([most] if most else [])))
        if state == "delayed" and most:
            assert by_bull == 0, "Bull compares a time with a score"
            sides.bull.call("clean", 60000, state)
            sides.dray("clean", state=state, grace=60000, max=1)
        assert sides.dray("clean", state=state, grace=60000, max=most)["done"] == wanted
        sides.compare()


def test_clean_compares_numbers(sides):
    sides.seed(lambda b: [b.add({}) for _ in range(3)])
    sides.raw("HSET", "1", "timestamp", "999999999999")  # in 2001, one digit less
    sides.raw("HSET", "2", "timestamp", "4000000000000")
    assert sides.bull.call("clean", 60000, "wait") == []
    assert sides.dray("clean", state="wait", grace=60000)["done"] == 1
    assert sides.keys(DRAY)["wait"] == ("list", ["3", "2"])


def test_drain(sides):
    sides.seed(lambda b: [b.add({}), complete(b), b.add({}), fail(b), b.add({}, priority=3), b.add({}),
                          b.add({}, delay=60000)])
    limited(sides, "4")
    sides.raw("SREM", "limiter:g:limited", "other")
    sides.begin()
    assert sides.dray("drain", delayed=True, dry_run=True)["done"] == 3
    sides.bull.call("empty")
    assert sides.dray("drain", delayed=True)["done"] == 3
    sides.compare(bull_leaves={"5": None})  # the hash of the delayed job


def test_drain_leaves_a_pause(sides):
    sides.seed(lambda b: [b.add({}), b.add({}, delay=60000), b.call("pause")])
    sides.begin()
    sides.bull.call("empty")
    assert sides.bull.call("isPaused") and "meta-paused" not in sides.keys(BULL), "Bull half resumes it"
    assert sides.dray("drain")["done"] == 1
    assert sides.dray("is_paused")["paused"]
    assert sorted(sides.keys(DRAY)) == ["2", "delayed", "id", "meta", "meta-paused"]


def test_obliterate(sides):
    sides.seed(numbered)
    sides.seed(lambda b: [b.add({}, debounce={"id": "d"}), b.job("1", "log", "line")])
    limited(sides, "2")
    sides.begin()
    assert sides.dray("obliterate")["status"] == "wrong state", "Bull pauses by itself"
    with pytest.raises(Refused, match="active"):
        sides.bull.call("obliterate")
    sides.dray("pause")
    assert sides.dray("obliterate")["status"] == "wrong state"
    assert sides.dray("obliterate", force=True, dry_run=True)["done"] == 16
    sides.bull.call("obliterate", {"force": True})
    assert sides.dray("obliterate", force=True)["done"] == 16
    assert sides.keys(DRAY) == {}
    assert sorted(sides.keys(BULL)) == ["de:d", "limiter:g:limited", "limiter:index"], "Bull leaves these behind"
    leftovers = {name: None for name in sides.keys(BULL)}
    by_bull, by_dray = sides.compare(bull_leaves=leftovers, heard=False)
    assert by_dray == [("paused", "paused")] and by_bull == 2 * by_dray
