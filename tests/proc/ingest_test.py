"""The intake alone, under a fake master; the workers at the other end of its links are in the test's hands."""
import json

import pytest

from lib import quarantine
from lib.client import Client, Posting
from lib.fake_worker import Worker, events_of
from lib.wait import wait_for


def batch(*names):
    return {"batch": [{"userId": "u", "type": "track", "event": n} for n in names]}


@pytest.fixture
def ingest(fake_master, tmp_path):
    def make(slot=0, **keys):
        conf = {"node": {"state_dir": str(tmp_path)}, "ingest": {"listeners": [{"id": "a", "address": "127.0.0.1:0"}]},
                "sources": [{"id": "web", "write_key": "KEY"}, {"id": "off", "write_key": "OFF", "enabled": False}],
                "destinations": [{"id": "sink", "url": "http://127.0.0.1:9/"}]}
        for name, value in keys.items():
            if isinstance(value, dict):
                conf.setdefault(name, {}).update(value)
            else:
                conf[name] = value
        m = fake_master("ingest", conf, listen=["127.0.0.1:0"], slot=slot).start()
        m.expect("READY")
        m.quarantine = lambda: quarantine.read(str(tmp_path / "quarantine"))
        return m
    return make


@pytest.fixture
def master(ingest):
    return ingest()


def test_answers_when_stored_and_not_before(master):
    w = Worker(master)
    p = Posting(master, batch("a"))
    b = w.expect()
    assert b.fields[1:5] == [0, "web", "sink", ""]
    assert [e["event"] for e in events_of(b)] == ["a"]
    assert p.answer is None
    w.stored(b)
    assert (p.wait().status, p.answer.body) == (200, b"ok")


def test_requests_wait_for_the_first_worker(master):
    p = Posting(master, batch("a"))
    p.join(0.3)
    assert p.answer is None
    w = Worker(master)
    w.stored(w.expect())
    assert p.wait().status == 200


def test_gathers_while_one_is_under_way(ingest):
    master = ingest(ingest={"flush_interval": "60s"})
    w = Worker(master)
    first = Posting(master, batch("a"))
    b = w.expect()
    rest = [Posting(master, batch(n)) for n in "bcd"]
    assert w.nothing()
    w.stored(b)
    b = w.expect()
    assert sorted(e["event"] for e in events_of(b)) == ["b", "c", "d"]
    w.stored(b)
    assert [p.wait().status for p in [first] + rest] == [200] * 4


def test_every_destination_gets_the_same_event(ingest):
    master = ingest(destinations=[{"id": i, "url": "http://127.0.0.1:9/"} for i in ("one", "two")])
    w = Worker(master)
    p = Posting(master, batch("a"))
    got = [w.expect(), w.expect()]
    assert sorted(b.fields[3] for b in got) == ["one", "two"]
    assert got[0].fields[5] == got[1].fields[5] and got[0].fields[0] != got[1].fields[0]
    w.stored(got[0])
    p.join(0.3)
    assert p.answer is None, "only one of two parts is stored"
    w.stored(got[1])
    assert p.wait().status == 200


def test_bad_elements_are_set_aside(master):
    w = Worker(master)
    p = Posting(master, b'{"batch":[null,{"userId":"u"},{"type":"track"}, 7 ]}')
    b = w.expect()
    assert len(b.fields[5]) == 1
    w.stored(b)
    assert (p.wait().status, p.answer.body) == (200, b"ok (1 taken, 3 quarantined: not_object)")
    assert [(r.reason, r.data, r.head["source"]) for r in master.quarantine()] == [
        ("not_object", b"null", "web"), ("no_user", b'{"type":"track"}', "web"), ("not_object", b"7", "web")]


def test_nothing_valid_is_refused(master):
    w = Worker(master)
    for body, text in ((b'{"batch":[null,{"type":"x"}]}', b"event is not a valid rudder event\n"),
                       (b'{"batch":[{"type":"x"},null]}', b"request neither has anonymousId nor userId\n"),
                       (b'{"batch":[]}', b"empty batch payload\n"), (b'{"batch":[1}', b"invalid json\n")):
        a = Posting(master, body).wait()
        assert (a.status, a.body) == (400, text)
    a = Posting(master, b'{"event":"x"}', path="/v1/track").wait()
    assert (a.status, a.body) == (400, b"request neither has anonymousId nor userId\n")
    assert master.quarantine() == [] and w.nothing()


def test_too_big_alone_is_kept(ingest):
    master = ingest(ingest={"limits": {"event": "1KiB"}})
    Worker(master)
    a = Posting(master, {"batch": [{"userId": "u", "p": "x" * 2000}]}).wait()
    assert (a.status, a.body) == (200, b"ok (0 taken, 1 quarantined: too_big)")
    assert [r.reason for r in master.quarantine()] == ["too_big"]


def test_surplus_is_kept(ingest):
    master = ingest(ingest={"limits": {"events_per_batch": 2}})
    w = Worker(master)
    p = Posting(master, batch(*"abcd"))
    b = w.expect()
    assert [e["event"] for e in events_of(b)] == ["a", "b"]
    w.stored(b)
    assert p.wait().body == b"ok (2 taken, 2 quarantined: too_many)"
    kept = master.quarantine()
    assert [r.reason for r in kept] == ["too_many"]
    assert [e["event"] for e in json.loads(b"[" + kept[0].data + b"]")] == ["c", "d"]


def test_reject_request(ingest):
    master = ingest(ingest={"invalid_event": "reject_request", "oversize_event": "reject_request",
                            "limits": {"event": "1KiB"}})
    w = Worker(master)
    assert Posting(master, {"batch": [None, {"userId": "u"}]}).wait().status == 400
    assert Posting(master, {"batch": [{"userId": "u", "p": "x" * 2000}, {"userId": "u"}]}).wait().status == 413
    assert w.nothing() and master.quarantine() == []


def test_a_full_quarantine_takes_nothing(ingest):
    master = ingest(quarantine={"max_size": "64KiB"})
    w = Worker(master)
    bad = json.dumps({"p": "x" * 20000})
    answers = []
    for _ in range(4):
        p = Posting(master, '{"batch":[%s,{"userId":"u"}]}' % bad)
        wait_for(lambda: p.answer is not None or not w.nothing(0.05), 10)
        if w.seen:
            w.stored(w.expect())
        answers.append(p.wait())
    assert [a.status for a in answers] == [200, 200, 200, 503]
    assert 1 <= int(answers[3].headers["retry-after"]) <= 30
    assert w.nothing()
    p = Posting(master, batch("good"))
    w.stored(w.expect())
    assert p.wait().status == 200, "what is good still goes"


def test_write_keys(master):
    w = Worker(master)

    def post(path="/v1/batch", body=b'{"batch":[{"userId":"u"}]}', **options):
        p = Posting(master, body, path=path, **options)
        wait_for(lambda: p.answer is not None or not w.nothing(0.05), 10)
        if w.seen:
            w.stored(w.expect())
        return p.wait().status, p.answer.body

    assert post() == (200, b"ok")
    assert post(key="other") == (401, b"invalid write key\n")
    assert post(key="OFF") == (404, b"source is disabled\n")
    assert post(key="") == (401, b"failed to read writekey from header\n")
    assert post(key="", path="/v1/batch?writeKey=KEY") == (200, b"ok")
    assert post(key="", body=b'{"batch":[{"userId":"u"}],"writeKey":"KEY"}') == (200, b"ok")
    assert post(key="", body=b'{"userId":"u","writeKey":"KEY"}', path="/v1/track") == (200, b"ok")
    assert post(key="", body=b'{"batch":[{"userId":"u"}],"writeKey":"no"}') == (401, b"invalid write key\n")
    assert post(zipped=True) == (200, b"ok")
    assert post(headers={"Content-Encoding": "br"})[0] == 415
    assert post(headers={"Content-Encoding": "gzip"})[0] == 400
    assert post(body=b"") == (400, b"request body is nil\n")


def test_routes(master):
    Worker(master)
    with Client(master.address(), key="KEY") as c:
        assert c.get("/nothing").status == 404
        a = c.get("/v1/batch")
        assert (a.status, a.headers["allow"]) == (405, "POST, OPTIONS")
        assert c.get("/health").json()["server"] == "UP"
        master.send("HEALTH", False, "{}")
        wait_for(lambda: c.get("/health").status == 503, 5)
        master.send("HEALTH", True, "{}")
        wait_for(lambda: c.get("/").status == 200, 5)


def test_segment_answers(ingest):
    master = ingest(ingest={"compat": "segment"})
    w = Worker(master)
    p = Posting(master, batch("a"))
    w.stored(w.expect())
    assert p.wait().json() == {"success": True}
    assert Posting(master, b"{").wait().json() == {"success": False, "message": "invalid json"}


def test_ack_memory(ingest):
    master = ingest(ingest={"ack": "memory", "max_internal_queue_size": 3})
    w = Worker(master, credit=0)
    assert Posting(master, batch("a", "b")).wait().status == 200
    a = Posting(master, batch("c", "d")).wait()
    assert a.status == 503 and 1 <= int(a.headers["retry-after"]) <= 30
    w.credit(1)
    assert len(w.expect().fields[5]) == 2


def test_a_full_queue_says_so(ingest):
    master = ingest(ingest={"max_internal_queue_size": 3})
    w = Worker(master, credit=0)
    both = [Posting(master, batch("a", "b")), Posting(master, batch("c", "d"))]
    wait_for(lambda: [p for p in both if p.answer is not None], 10)
    first, second = sorted(both, key=lambda p: p.answer is not None)
    assert first.answer is None and second.answer.status == 503
    w.credit(4)
    w.stored(w.expect())
    assert first.wait().status == 200
    p = Posting(master, batch(*"abcdef"))  # more than the whole queue: taken when nothing else is held
    w.stored(w.expect())
    assert p.wait().status == 200


def test_ack_timeout_is_no_failure(ingest):
    master = ingest(ingest={"ack_timeout": "200ms"})
    w = Worker(master)
    a = Posting(master, batch("a")).wait()
    assert a.status == 503 and 1 <= int(a.headers["retry-after"]) <= 30
    b = w.expect()
    w.send("REFUSED", b.fields[0], True, 10, "later")
    assert w.expect().fields[0] == b.fields[0], "the batch goes on"
    w.stored(b)


def test_refused_for_good_is_set_aside(master):
    w = Worker(master)
    p = Posting(master, batch("a"))
    b = w.expect()
    w.send("REFUSED", b.fields[0], False, 0, "never")
    assert p.wait().status == 200
    r = master.quarantine()[0]
    assert (r.reason, r.head["id"], r.head["queue"]) == ("refused", b.fields[0], "sink")
    assert json.loads(r.data)["batch"][0]["event"] == "a"


def test_a_full_quarantine_is_told_once_a_beat(ingest):
    master = ingest(quarantine={"max_size": "64KiB"}, ingest={"ack_timeout": "500ms", "flush_at": 1})
    w = Worker(master)
    pad = "x" * 8000
    postings = [Posting(master, batch("e%d%s" % (n, pad))) for n in range(30)]
    for _ in postings:
        w.send("REFUSED", w.expect().fields[0], False, 0, "never")
    answers = [p.wait().status for p in postings]
    assert set(answers) == {200, 503} and len(master.quarantine()) == answers.count(200)
    said = master.log().count("event=quarantine_refused")
    for _ in range(5):
        master.expect("BEAT")
    assert 0 < master.log().count("event=quarantine_refused") - said <= 7


def test_a_dead_workers_batches_go_to_another(master):
    one = Worker(master, 0, 1)
    p = Posting(master, batch("a"))
    b = one.expect()
    one.die()
    two = Worker(master, 0, 2)
    again = two.expect()
    assert again.fields[0] == b.fields[0] and again.fields[5] == b.fields[5] and again.fields[1] == 1
    two.stored(again)
    assert p.wait().status == 200


def test_a_lost_link_is_told_to_the_master(master):
    """A broken link between two living processes must not keep them apart for ever."""
    first = Worker(master, 0, 5)
    p = Posting(master, batch("a"))
    first.expect()
    first.die()
    assert master.expect("UNLINK").fields == [5]
    second = Worker(master, 0, 5)  # the same incarnation, by new pipes
    second.stored(second.expect())
    assert p.wait().status == 200


def test_an_orderly_leave_is_no_death(master):
    one = Worker(master, 0, 1)
    p = Posting(master, batch("a"))
    one.expect()
    one.send("LEAVE")
    one.expect("END")
    one.die()
    two = Worker(master, 0, 2)
    again = two.expect()
    assert again.fields[1] == 0
    two.stored(again)
    assert p.wait().status == 200


@pytest.mark.expects("batch_poison")
def test_poison_is_alone_at_its_third_death(master):
    poison = Posting(master, batch("poison"))
    for generation in (1, 2):
        w = Worker(master, 0, generation)
        b = w.expect()
        assert b.fields[1] == generation - 1
        w.die()
    w = Worker(master, 0, 3)
    assert w.expect().fields[1] == 2
    good = Posting(master, batch("good"))
    assert w.nothing(0.5), "nothing else travels with it"
    w.die()
    assert poison.wait().status == 200, "kept where a person can see it"
    r = master.quarantine()[0]
    assert (r.reason, r.head["id"]) == ("poison", b.fields[0])
    w = Worker(master, 0, 4)
    b = w.expect()
    assert [e["event"] for e in events_of(b)] == ["good"]
    w.stored(b)
    assert good.wait().status == 200
    assert "event=batch_poison" in master.log()


def test_drain_waits_for_what_it_holds(master):
    w = Worker(master)
    p = Posting(master, batch("a"))
    b = w.expect()
    master.send("DRAIN", 10000, "test")
    wait_for(lambda: "event=ingest_drain " in master.log(), 10)
    assert p.answer is None
    w.stored(b)
    assert p.wait().status == 200
    w.expect("END")
    w.die()
    assert master.expect("DRAINED").fields == [0]
    assert master.wait_exit() == 0


def test_drain_ends_at_its_deadline(master):
    w = Worker(master)
    p = Posting(master, batch("a"))
    w.expect()
    master.send("DRAIN", 1000, "test")
    assert p.wait().status == 503
    assert master.expect("DRAINED").fields == [1]
    assert master.wait_exit() == 0


def test_a_predecessor_may_still_hold_the_quarantine(ingest):
    one, two = ingest(), ingest()
    for m in (one, two):
        Worker(m)
        assert Posting(m, {"batch": [{"userId": "u", "p": "x" * 40000}]}).wait().status == 200
    assert [r.reason for r in two.quarantine()] == ["too_big", "too_big"]


def test_an_orphan_without_workers_keeps_nobody_waiting(master):
    """The master is gone, and the workers with it: no other will come, so that the client may go elsewhere at once."""
    w = Worker(master)
    p = Posting(master, batch("a"))
    w.expect()
    w.die()
    master.control.shutdown(2)
    assert p.wait(2 * 2).status == 503
    assert master.wait_exit(2 * 2) == 81
