"""F37: jobs that are none, among jobs that are: each broken one ends in failed with a reason, each good one is delivered,
nothing goes round. And promotion goes on when the process that does it dies or stands still."""
import signal
import time

import pytest

from lib import jobs
from lib.wait import wait_for

BASE = "{dray}:sink:"
DEEP = "[" * 2000 + "]" * 2000


def instance(make_dray, sink, **conf):
    return make_dray(conf={"destinations": [{"id": "sink", "url": sink.url, "auth": {"type": "none"}}], **conf})


def as_bull(r, job_id, pipe=None, **fields):
    """A job as Bull would have written it, with these fields instead (None: without)."""
    job = {"name": "__default__", "data": '{"n":1}', "opts": '{"attempts":1,"delay":0,"timestamp":1795220944860}',
           "timestamp": "1795220944860", "delay": "0", "priority": "0", **fields}
    (pipe or r).hset(BASE.encode() + job_id, mapping={k: v for k, v in job.items() if v is not None})


def broken_jobs(r, p):
    """Ids of jobs that cannot be done."""
    bad = {
        b"ghost": None, b"no-data": {"data": None}, b"empty-data": {"data": ""}, b"text": {"data": "hello"},
        b"half": {"data": '{"a":'}, b"js": {"data": "{a:1}"}, b"nan": {"data": "NaN"}, b"two": {"data": "{} {}"},
        b"nul": {"data": b'{"a":"\x00"}'}, b"binary": {"data": bytes(range(128, 256))}, b"newer": {"data": '{"dray":9,"batch":[]}'},
        b"deep": {"data": DEEP}, b"half-utf8": {"data": b'{"a":"\xc3"}'}, b"no-fields": {"data": None, "opts": None, "name": None},
    }
    for job_id, fields in bad.items():
        if fields is not None:
            as_bull(r, job_id, p, **fields)
    for kind, make in (("string", lambda k: p.set(k, "x")), ("list", lambda k: p.rpush(k, "x")), ("set", lambda k: p.sadd(k, "x")),
                       ("zset", lambda k: p.zadd(k, {"x": 1})), ("stream", lambda k: p.xadd(k, {"x": 1}))):
        make(BASE + kind)
        bad[kind.encode()] = None
    for own in (b"wait", b"active", b"meta", b"completed", b"", b"id", b"x" * 5000):
        bad[own] = None
    as_bull(r, b"nul\x00id", p)
    bad[b"nul\x00id"] = {}
    return list(bad)


def odd_jobs(r, p):
    """Ids of jobs that look odd, and can be done."""
    odd = {
        b"no-opts": {"opts": None}, b"bad-opts": {"opts": "{"}, b"list-opts": {"opts": "[]"}, b"deep-opts": {"opts": DEEP},
        b"inf": {"opts": '{"attempts":1e999,"backoff":1e999,"timeout":1e999}'}, b"neg": {"opts": '{"attempts":-5,"delay":-1e15}'},
        b"types": {"opts": '{"attempts":"x","backoff":[],"timeout":{},"lifo":7,"removeOnComplete":"yes","priority":{}}'},
        b"keep": {"opts": '{"removeOnComplete":{"count":-1,"age":-5},"removeOnFail":1.5}'},
        b"debounced": {"opts": '{"debounce":7}', "deid": "x" * 300}, b"prio": {"priority": "1e999"}, b"prio-nan": {"priority": "nan"},
        b"numbers": {"timestamp": "yesterday", "attemptsMade": "many", "stalledCounter": "-", "processedOn": "never"},
        b"trace": {"stacktrace": "[[[", "progress": "{", "returnvalue": "}"}, b"sp ace\n\t": {}, b"\xff\xfe": {}, b"a:b:c": {}, b"5": {},
        b"{}*?[": {}, b'"quote\\': {}, b"\xc3\xa9": {}, b"repeat": {"opts": '{"repeat":{"cron":"rubbish"}}'} , b"named": {"name": "x" * 3000},
    }
    for job_id, fields in odd.items():
        as_bull(r, job_id, p, **fields)
    p.set(BASE + "locked-for-ever:lock", "somebody")
    as_bull(r, b"locked-for-ever", p)
    return [*odd, b"locked-for-ever"]


def test_broken_jobs_between_good_ones(make_dray, sink):
    dray = instance(make_dray, sink)
    r = dray.redis()
    sink.rule = lambda request: {"status": 400} if b"refuse" in request.body else None
    with r.pipeline(transaction=True) as p:
        bad, odd = broken_jobs(r, p), odd_jobs(r, p)
        good = [b"good%d" % i for i in range(len(bad) + len(odd))]
        for i, job_id in enumerate(good):
            as_bull(r, job_id, p, data='{"n":"%s"}' % job_id.decode())
        mixed = [i for pair in zip(good, bad + odd) for i in pair]
        p.lpush(BASE + "wait", *mixed)
        p.zadd(BASE + "delayed", {b"late-ghost": -5, b"late-text": 1})
        p.set(BASE + "late-text", "x")
        p.execute()
    assert len(bad) >= 25 and len(odd) >= 20
    wait_for(lambda: not any(dray.queue_counts()[s] for s in ("wait", "active", "delayed")), 20, "the queue is through")
    assert {r_.json()["n"] for r_ in sink.taken() if "n" in r_.json() and r_.json()["n"] != 1} == {g.decode() for g in good}
    failed = r.zrange(BASE + "failed", 0, -1)
    for job_id in failed:
        job = r.hgetall(BASE.encode() + job_id)
        assert job[b"failedReason"] and job[b"finishedOn"] and b"data" in job, job_id
    assert len(failed) == len(bad) + 2, set(bad) - set(failed)
    assert not set(failed) & set(good) and not set(failed) & set(odd)
    assert r.get(BASE + "string") == b"x" and r.get(BASE + "late-text") == b"x", "other programs' keys stay"
    done = {i for i in r.zrange(BASE + "completed", 0, -1)}
    assert set(good) <= done and set(odd) <= done, (set(odd) | set(good)) - done
    assert not dray.log.records("lock_lost") and not dray.log.records("child_died")


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_promotion_without_its_holder(make_dray, sink, how):
    """Delayed jobs come due while the process that promotes has died, or hangs. No other traffic."""
    dray = instance(make_dray, sink, master={"processes": {"delivery": 2}, "health": {"hang": "60s"}})
    r, late = dray.redis(), []
    for i in range(4):
        token = wait_for(lambda: r.get(BASE + "dray:tick"), 5).decode()
        slot = int(token.split(".")[-2])
        seconds, micros = r.time()
        due = seconds * 1000 + micros // 1000 + 150
        as_bull(r, b"late%d" % i)
        r.zadd(BASE + "delayed", {"late%d" % i: due * 4096})
        if how == "killed":
            pid = dray.kill("delivery", slot)
        else:
            dray.signal("delivery", slot, signal.SIGSTOP)
        done = wait_for(lambda: jobs.job(r, "sink", "late%d" % i).get("processedOn"), 10)
        late.append(int(done) - due)
        if how == "killed":
            dray.wait_replaced("delivery", slot, pid)
        else:
            dray.signal("delivery", slot, signal.SIGCONT)
            time.sleep(0.2)
    print("figure: promoted late by %s ms, its holder %s" % (", ".join(map(str, late)), how))
    assert max(late) < 2 * 600
