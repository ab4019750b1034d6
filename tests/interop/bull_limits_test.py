"""What a worker of a Bull queue owes beyond the single job: the limiter shared with Bull's workers, Bull's metrics, the
job's own time limit, being counted by getWorkers, an end for what never ends."""
import time

import pytest

from lib import jobs
from lib.bull import wait_counts
from lib.wait import wait_for

NO_KEY = {"auth": {"type": "none"}}


def instance(make_dray, sink, **conf):
    return make_dray(conf={"destinations": [{"id": "sink", "url": sink.url, **NO_KEY}],
                           "delivery": {"timeout": "5s"}, **conf})


def busiest(times, window):
    """Most of the times that fall into any window of so many seconds."""
    times = sorted(times)
    return max(sum(1 for t in times if start <= t < start + window) for start in times)


def test_limiter_is_shared(make_dray, sink, make_bull):
    """One counter for dray's workers and a Bull worker with the same limiter; and no job is lost."""
    limit, window, n = 5, 1.0, 30
    dray = instance(make_dray, sink, queue={"limiter": "%d/1s" % limit})
    bull = make_bull(dray, limiter={"max": limit, "duration": 1000}, settings={"guardInterval": 300, "drainDelay": 1})
    bull.call("pause")
    added = [str(bull.add({"n": i})["id"]) for i in range(n)]
    bull.work(value="by bull")
    bull.call("resume")
    wait_counts(dray, seconds=3 * n / limit * window, completed=n, wait=0, active=0, delayed=0)
    done = {i: jobs.job(dray.redis(), "sink", i) for i in added}
    by_bull = sum(job["returnvalue"] == '"by bull"' for job in done.values())
    print("figure: %d of %d jobs done by Bull under a shared limit" % (by_bull, n))
    # The window begins anew with the first job after its end: two of them may touch.
    assert busiest([int(job["processedOn"]) / 1000 for job in done.values()], window - 0.05) <= 2 * limit
    times = sorted(int(job["processedOn"]) for job in done.values())
    assert times[-1] - times[0] >= 1000 * window * (n / limit - 2)
    assert len(sink.taken()) == n - by_bull


def test_limiter_by_group(make_dray, sink, make_bull):
    dray = instance(make_dray, sink, queue={"limiter": "2/1s", "limiter_group_key": True})
    bull = make_bull(dray, limiter={"max": 2, "duration": 1000, "groupKey": "who"})
    for i in range(6):
        bull.add({"who": "red", "n": i})
        bull.add({"who": "blue%d" % i, "n": i})
    wait_counts(dray, seconds=20, completed=12, wait=0, active=0, delayed=0)
    red = sorted(r.at for r in sink.taken() if r.json()["who"] == "red")
    blue = sorted(r.at for r in sink.taken() if r.json()["who"] != "red")
    assert red[-1] - red[0] >= 1.0 and blue[-1] - blue[0] < red[-1] - red[0], "the others do not wait for a limited group"
    r = dray.redis()
    assert not [k for k in r.scan_iter("{dray}:sink:limiter*limited")] and not r.exists("{dray}:sink:limiter:index")


def test_metrics(make_dray, sink, make_bull):
    dray = instance(make_dray, sink, queue={"metrics_max_data_points": 10})
    bull = make_bull(dray)
    sink.rule = lambda request: {"status": 400} if b"bad" in request.body else None
    for i in range(4):
        bull.add({"n": i})
    bull.add({"n": "bad"})
    wait_counts(dray, completed=4, failed=1)
    assert bull.call("getMetrics", "completed")["meta"]["count"] == 4
    assert bull.call("getMetrics", "failed")["meta"]["count"] == 1
    dray.redis().hincrby("{dray}:sink:metrics:completed", "prevTS", -120000)
    bull.add({"n": 5})
    wait_counts(dray, completed=5)
    after = bull.call("getMetrics", "completed")
    assert after["meta"]["count"] == 5 and after["meta"]["prevCount"] == 4
    assert after["data"] == ["0", "4"] and after["count"] == 2


def test_timeout(make_dray, sink, make_bull):
    """opts.timeout ends an attempt, and is a failed attempt."""
    dray = instance(make_dray, sink)
    bull = make_bull(dray)
    sink.behave(hang=True)
    began = time.monotonic()
    job = bull.add({"n": 1}, timeout=300, attempts=2, backoff=100)
    wait_counts(dray, failed=1)
    assert 0.7 <= time.monotonic() - began < 4, "not the 5 s of the destination"
    failed = bull.call("getJob", job["id"])
    assert failed["attemptsMade"] == 2 and "timeout" in failed["failedReason"] and len(failed["stacktrace"]) == 2
    assert len(sink.requests) == 2


def test_workers_are_counted(make_dray, sink, make_bull):
    """Also while they are busy."""
    dray = instance(make_dray, sink, master={"processes": {"delivery": 3}})
    bull = make_bull(dray)
    wait_for(lambda: len(bull.call("getWorkers")) == 3, 5)
    sink.behave(delay=1)
    for i in range(40):
        bull.add({"n": i})
    wait_counts(dray, wait=0)
    assert dray.queue_counts()["active"] > 0 and len(bull.call("getWorkers")) == 3
    wait_counts(dray, completed=40)


@pytest.mark.parametrize("max_stalled,end", [(1, "completed"), (0, "failed")])
def test_a_renewed_lock_is_no_proof_of_life(make_dray, sink, make_bull, max_stalled, end):
    """A Bull worker that renews its lock for ever loses the job after queue.max_run."""
    dray = instance(make_dray, sink, queue={"max_run": "2s", "stalled_interval": "500ms", "max_stalled_count": max_stalled})
    quick = {"lockDuration": 1000, "lockRenewTime": 300, "stalledInterval": 0}
    bull, watcher = make_bull(dray, settings=quick), make_bull(dray, settings=quick)
    watcher.call("pause")
    job = watcher.add({"n": 1})
    for slot in range(len(dray.processes("delivery"))):
        dray.signal("delivery", slot, 19)
    watcher.call("resume")
    bull.work(hang=True)
    bull.wait_told("took")
    for slot in range(len(dray.processes("delivery"))):
        dray.signal("delivery", slot, 18)
    began = time.monotonic()
    wait_for(lambda: watcher.state(job["id"]) == end, 10)
    assert time.monotonic() - began < 2 * (2 + 0.5) + 1
    assert dray.log.records("jobs_overrun")
    assert len(sink.requests) == (1 if end == "completed" else 0)
    assert dray.redis().hget("{dray}:sink:%s" % job["id"], "stalledCounter") == b"1"
