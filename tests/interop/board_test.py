"""bull-board (@bull-board/api with its BullAdapter, npm) over a queue of dray: every route of its page, on real jobs."""
import time

import pytest

from lib import jobs
from lib.bull import post, wait_counts
from lib.outcome import wait_settled
from lib.wait import wait_for

OLD_MS = 5000  # the board cleans what is older
USED, RAN = set(), set()  # routes, tests


@pytest.fixture
def instance(make_dray, sink):
    """One job at a time; the sink does what an event's name says."""
    answers = {"refuse": {"status": 400}, "later": {"status": 503}, "hang": {"hang": True}}
    sink.rule = lambda r: next((how for name, how in answers.items() if b'"%s"' % name.encode() in r.body), None)
    dray = make_dray(conf={"master": {"processes": {"delivery": 1}, "drain": "30s"},
                           "delivery": {"concurrency": 1, "timeout": "25s"},
                           "destinations": [{"id": "sink", "url": sink.url, "auth": {"type": "none"}}],
                           "queue": {"metrics_max_data_points": 60, "backoff": {"delay": "60s", "max": "60s", "jitter": 0}}})
    dray.answers = answers
    yield dray
    answers.clear()
    sink.answer()


@pytest.fixture
def board(make_board, instance, request):
    made = make_board(instance, "sink")
    yield made
    USED.update(made.used)
    RAN.add(request.node.originalname)


def queue(board, **query):
    (found,) = board.get("queues", **query)["queues"]
    return found


def listed(board, status, **query):
    return queue(board, activeQueue="sink", status=status, **query)["jobs"]


def message_id(job):
    return job["data"]["batch"][0]["messageId"]


def age(dray, seconds=OLD_MS / 1000 + 1):
    """Makes every job so much older."""
    r, base = dray.redis(), "%s:sink:" % dray.prefix
    for state in ("wait", "paused", "delayed", "completed", "failed"):
        for id_ in jobs.job_ids(r, "sink", state, dray.prefix):
            for field in ("timestamp", "processedOn", "finishedOn"):
                if r.hexists(base + id_, field):
                    r.hset(base + id_, field, int(r.hget(base + id_, field)) - int(1000 * seconds))


def test_what_the_board_shows(instance, board, sink):
    dray = instance
    made = {"completed": post(dray, *["fine"] * 12), "failed": post(dray, "refuse"), "delayed": post(dray, "later")}
    wait_counts(dray, completed=12, failed=1, delayed=1, wait=0, active=0)
    made["active"] = post(dray, "hang")
    wait_counts(dray, active=1)
    made["waiting"] = post(dray, "fine", "fine")
    whole = queue(board)
    assert whole["counts"] == {"waiting": 2, "active": 1, "completed": 12, "failed": 1, "delayed": 1, "paused": 0}
    assert (whole["name"], whole["type"], whole["isPaused"], whole["hasWorkers"]) == ("sink", "bull", False, True)
    assert whole["jobSchedulerCount"] == 0
    for status, ids in made.items():
        page = listed(board, status, jobsPerPage="10")
        assert [message_id(j) for j in page] == ids[::-1][:10], status
        for job in page[:2]:
            one = board.get("queues/sink/" + job["id"])
            assert one == {"job": job, "status": status}
            failures = status in ("failed", "delayed")
            assert job["isFailed"] == failures and job["attempts"] == 1 + failures and len(job["stacktrace"]) == failures
            assert (job.get("returnValue") or {}).get("status") == (200 if status == "completed" else None)
            assert board.get("queues/sink/%s/logs" % job["id"]) == []
            assert board.get("queues/sink/%s/flow" % job["id"])["isFlowNode"] is False
    assert [message_id(j) for j in listed(board, "completed", page="2")] == made["completed"][1::-1]
    assert {message_id(j) for j in listed(board, "latest", jobsPerPage="20")} == {i for ids in made.values() for i in ids}
    workers = board.get("queues/sink/workers")["workers"]
    assert len(workers) == 1 and workers[0]["age"] >= 0
    stats = board.get("redis/stats")
    assert stats["version"] == dray.redis().info()["redis_version"] and stats["clients"]["blocked"] >= 0
    metrics = board.get("queues/sink/metrics")
    assert {name: m["meta"]["count"] for name, m in metrics.items()} == {"completed": 12, "failed": 1}
    print("not checked: points of the board's metrics, of which there is one a minute")
    assert board.get("job-schedulers") == {"schedulers": []}
    assert board.get("queues/sink/default-job-options") == {} == board.get("queues/sink/job-data-schema")
    assert board.get("queues/sink/rate-limit")["supported"] is False
    assert board.ask_route("get", "queues/sink/no-such-job")["status"] == 404


def test_what_the_board_does_to_one_job(instance, board, sink):
    dray = instance
    failed, other = post(dray, "refuse", "refuse")
    delayed, gone = post(dray, "later", "later")
    wait_counts(dray, failed=2, delayed=2, wait=0, active=0)
    (held,) = post(dray, "hang")
    wait_counts(dray, active=1)
    changed, removed = post(dray, "fine", "fine")
    ids = {message_id(j): j["id"] for j in listed(board, "latest", jobsPerPage="50")}
    dray.answers.pop("refuse")
    dray.answers.pop("later")
    board.put("queues/sink/%s/retry" % ids[failed], status=204)
    board.put("queues/sink/%s/retry" % ids[changed], status=400)
    board.put("queues/sink/%s/promote" % ids[delayed], status=204)
    board.put("queues/sink/%s/promote" % ids[other], status=500)
    for id_ in (removed, gone):
        board.put("queues/sink/%s/clean" % ids[id_], status=204)
        assert board.ask_route("get", "queues/sink/" + ids[id_])["status"] == 404
    assert "JOB_IS_ACTIVE" in str(board.put("queues/sink/%s/clean" % ids[held], status=409))
    board.put("queues/sink/%s/retry" % ids[held], status=400)
    data = board.get("queues/sink/" + ids[changed])["job"]["data"]
    data["batch"][0]["messageId"] = "changed"
    board.put("queues/sink/%s/update-data" % ids[changed], method="patch", jobData=data)
    for what, body in (("delay", {"runAt": 1}), ("priority", {"priority": 1})):
        board.put("queues/sink/%s/%s" % (ids[changed], what), status=400, method="patch", **body)  # BullMQ's alone
    board.put("queues/sink/%s/remove-unprocessed-children" % ids[changed], status=400)
    dray.answers.clear()
    sink.answer()
    sink.wait_ids([failed, delayed, held, "changed"])
    wait_counts(dray, wait=0, active=0, delayed=0, failed=1, completed=4)
    assert sink.ids().keys() == {failed, delayed, held, "changed"} and set(sink.ids().values()) == {1}
    assert board.get("queues/sink/" + ids[failed])["status"] == "completed"


def test_what_the_board_does_to_all(instance, board, sink):
    """retry all, promote all, pause and resume, of one queue and of every queue."""
    dray = instance
    failed = post(dray, *["refuse"] * 120)  # the board retries 100 at a time
    delayed = post(dray, *["later"] * 15)
    wait_counts(dray, failed=120, delayed=15, wait=0, active=0)
    dray.answers.clear()
    board.put("queues/sink/pause")
    assert queue(board)["isPaused"] is True
    assert board.put("queues/sink/retry/failed") == {"retried": 120, "skipped": 0}
    board.put("queues/sink/promote")
    wait_counts(dray, paused=135, failed=0, delayed=0, wait=0, active=0)
    assert len(listed(board, "paused", jobsPerPage="50")) == 50
    assert sink.ids() == {}
    board.put("queues/sink/resume")
    assert queue(board)["isPaused"] is False
    sink.wait_ids(failed + delayed)
    wait_counts(dray, completed=135, wait=0, active=0)
    board.put("queues/sink/retry/waiting", status=400)
    board.put("queues/pause")
    (late,) = post(dray, "fine")
    wait_counts(dray, paused=1)
    board.put("queues/resume")
    sink.wait_ids([late])
    assert set(sink.ids().values()) == {1}
    wait_settled(dray)


def test_the_board_adds(instance, board, sink):
    dray = instance
    added = board.put("queues/sink/add", method="post", name="mail", data={"to": "é@b"}, options={"attempts": 2})
    assert added["status"] in ("waiting", "active", "completed", "stuck")  # Bull looks where it has just left
    wait_counts(dray, completed=1)
    shown = board.get("queues/sink/" + added["job"]["id"])
    assert shown["status"] == "completed" and shown["job"]["returnValue"]["status"] == 200
    assert [r.json() for r in sink.taken()] == [{"to": "é@b"}]
    later = board.put("queues/sink/add", method="post", data={"n": 1}, options={"delay": 400, "removeOnComplete": True})
    assert later["status"] == "delayed" and later["job"]["name"] == ""
    wait_for(lambda: len(sink.taken()) == 2, 5)
    wait_for(lambda: board.ask_route("get", "queues/sink/" + later["job"]["id"])["status"] == 404, 5)


def test_the_board_cleans_each_status(instance, board, sink):
    dray = instance
    post(dray, "fine", "fine", "refuse", "later")
    wait_counts(dray, completed=2, failed=1, delayed=1, wait=0, active=0)
    (held,) = post(dray, "hang")
    wait_counts(dray, active=1)
    waiting = post(dray, "fine")
    for status in ("completed", "failed", "delayed"):
        board.put("queues/sink/clean/" + status)
    wait_counts(dray, completed=2, failed=1, delayed=1)  # they are too young
    age(dray)
    for status, left in (("completed", "completed"), ("failed", "failed"), ("delayed", "delayed")):
        board.put("queues/sink/clean/" + status)
        wait_counts(dray, **{left: 0})
    board.put("queues/sink/clean/active")
    board.put("queues/sink/clean/waiting", status=500)  # Bull wants the name "wait": the board's own fault
    board.put("queues/sink/pause")
    wait_counts(dray, paused=1)
    board.put("queues/sink/clean/paused")
    wait_counts(dray, paused=0, active=1)
    board.put("queues/sink/resume")
    dray.answers.clear()
    sink.answer()
    later = post(dray, "fine")
    sink.wait_ids([held, *later])
    wait_settled(dray)
    assert not set(waiting) & sink.ids().keys()


@pytest.mark.parametrize("paused", [False, True])
def test_the_board_empties(instance, board, sink, paused):
    """The board's empty takes the pause away with the waiting jobs, as Bull's does."""
    dray = instance
    post(dray, "later")
    wait_counts(dray, delayed=1, active=0)
    (held,) = post(dray, "hang")
    wait_counts(dray, active=1)
    if paused:
        board.put("queues/sink/pause")
    waiting = post(dray, "fine", "fine")
    board.put("queues/sink/empty")
    wait_counts(dray, wait=0, paused=0, delayed=0, active=1)
    dray.answers.clear()
    sink.answer()
    later = post(dray, "fine")
    sink.wait_ids([held, *later])
    wait_settled(dray)
    assert not set(waiting) & sink.ids().keys()


def test_the_board_obliterates(instance, board, sink):
    dray = instance
    post(dray, "fine", "refuse", "later")
    wait_counts(dray, completed=1, failed=1, delayed=1, active=0)
    post(dray, "hang")
    wait_counts(dray, active=1)
    board.put("queues/sink/obliterate", status=400)  # it must be paused
    board.put("queues/sink/pause")
    gone = post(dray, "fine", "fine")
    assert "ACTIVE_JOBS" in str(board.put("queues/sink/obliterate", status=409))
    board.put("queues/sink/obliterate", force=True)
    assert set(queue(board)["counts"].values()) == {0} and queue(board)["isPaused"] is False
    dray.answers.clear()
    sink.answer()
    later = post(dray, "fine", "fine")
    sink.wait_ids(later)
    wait_settled(dray)
    assert not set(gone) & sink.ids().keys()
    base = "%s:sink:" % dray.prefix
    left = {k.decode()[len(base):] for k in dray.redis().scan_iter(match=jobs.glob_escape(base) + "*")}
    done = jobs.job_ids(dray.redis(), "sink", "completed", dray.prefix)
    assert {k for k in left if not k.startswith("dray:")} <= {"id", "completed", "metrics:completed", "stalled", "stalled-check", *done}
    assert len(done) == 2


def test_what_bull_has_not(instance, board, sink):
    """Routes of BullMQ: the board says so, and nothing changes. Schedulers: Bull's repeatable jobs."""
    board.put("queues/sink/concurrency", concurrency=3)
    board.put("queues/sink/rate-limit", status=400, max=1, duration=1)
    board.put("queues/sink/rate-limit/release")
    board.put("queues/sink/add", method="post", name="nightly", data={"n": 1},
              options={"repeat": {"cron": "0 3 * * *", "tz": "UTC"}})  # without a zone the board finds its own answer wrong
    (scheduler,) = board.get("job-schedulers", queueName="sink")["schedulers"]
    assert (scheduler["name"], scheduler["pattern"], scheduler["tz"]) == ("nightly", "0 3 * * *", "UTC")
    assert queue(board)["jobSchedulerCount"] == 1
    (armed,) = listed(board, "delayed")
    board.put("queues/sink/%s/clean" % armed["id"], status=400)
    key = "queues/sink/job-schedulers/" + scheduler["id"].replace(":", "%3A")
    board.put(key + "/run", status=405)
    board.put(key, status=405, method="patch", every=1000)
    board.put(key + "/remove", status=204)
    assert board.get("job-schedulers")["schedulers"] == [] == listed(board, "delayed")
    ids = post(instance, "fine")
    sink.wait_ids(ids)
    wait_settled(instance)


def test_no_route_was_left_out(instance, board):
    left = {name for name in globals() if name.startswith("test_")} - RAN - {"test_no_route_was_left_out"}
    if left:
        pytest.skip("asks whether all tests of this file together use every route; these did not run: %s" % sorted(left))
    assert set(board.ask(routes=True)) == USED - {None}
