"""The tools of the tests themselves: what judges must not be wrong."""
import http.client
import os
import signal
import subprocess
import threading
import time

import pytest
import redis

from lib import config, events, jobs, logs, procs, quarantine
from lib.client import Client, Load
from lib.ledger import Ledger
from lib.order import OrderedLoad, Sent, inversions, overtakings
from lib.wait import Expired, wait_for


class FakeDray:
    key = "k"

    def __init__(self, sink):
        self.ingest = "%s:%d" % (sink.host, sink.port)


def address(sink):
    return "%s:%d" % (sink.host, sink.port)


def test_sink_records_and_counts(sink):
    sent = list(events.make_events(30))
    with Client(address(sink)) as c:
        assert c.batch(sent[:20]).status == 200
        assert c.batch(sent[10:], zipped=True).status == 200
    ids = sink.ids()
    assert len(ids) == 30 and ids[sent[15]["messageId"]] == 2 and ids[sent[0]["messageId"]] == 1
    assert sink.events()[:20] == sent[:20]


def test_sink_misbehaves_as_told(sink):
    with Client(address(sink), timeout=1) as c:
        sink.behave(status=429, retry_after=7)
        a = c.post("/in", {})
        assert (a.status, a.headers["retry-after"]) == (429, "7")
        for how in ({"cut": "answer"}, {"cut": "half"}, {"hang": True}, {"cut": "body"}):
            sink.behave(**how)
            with pytest.raises((OSError, http.client.HTTPException)):
                c.post("/in", {"messageId": "x"})
        sink.behave(delay=0.2)
        started = time.monotonic()
        assert c.post("/in", {}).status == 200 and time.monotonic() - started > 0.15
        sink.behave()
        sink.rule = lambda r: {"status": 410} if b"bad" in r.body else None
        assert c.post("/in", {"a": "bad"}).status == 410 and c.post("/in", {}).status == 200
        sink.down()
        with pytest.raises(OSError):
            c.post("/in", {})
        sink.up()
        assert c.post("/in", {}).status == 200
    assert "x" not in sink.ids() and "x" in sink.seen_ids()


def test_sink_takes_chunked_and_expect(sink):
    import socket
    with socket.create_connection((sink.host, sink.port)) as s:
        s.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert s.recv(100).startswith(b"HTTP/1.1 100 ")
        s.sendall(b"5\r\nhello\r\n3;x\r\n wo\r\n0\r\n\r\n")
        assert s.recv(100).startswith(b"HTTP/1.1 200 ")
    assert sink.taken()[0].body == b"hello wo"


def test_load_retries_until_all_is_acknowledged(sink):
    sink.behave(fail_rate=0.2, cut_rate=0.1)
    ledger = Ledger(sink)
    load = Load(FakeDray(sink), ledger, events=400, clients=4, batch=10).start()
    load.join()
    assert len(ledger.acked) == 400 == len(load.sent)
    assert load.counts["500"] > 0 and load.counts["no answer"] > 0
    ledger.settle(1)
    assert not Ledger(sink).duplicates()  # what was not answered 2xx does not count as taken


def test_ledger_finds_what_is_lost(sink):
    class Nowhere:
        quarantine_dir = "/nonexistent"

        @staticmethod
        def held_message_ids():
            return {"held": "sink/wait"}
    ledger = Ledger(sink)
    ledger.ack(["held"])
    assert ledger.check(Nowhere)["redis"] == 1
    ledger.ack(["gone"])
    with pytest.raises(AssertionError, match="1 of 2 acknowledged events are lost.*gone"):
        ledger.check(Nowhere)
    with Client(address(sink)) as c:
        c.post("/in", {"messageId": "gone"})
        assert ledger.check(Nowhere)["delivered"] == 1
        c.post("/in", {"messageId": "never-sent"})
    with pytest.raises(AssertionError, match="nobody sent"):
        ledger.check(Nowhere)


class Came:
    """A request as a sink records it: its ids, when it came, when it was taken (None: it was not)."""

    def __init__(self, at, done, *ids):
        self.at, self.done, self.given = at, done, ids

    def ids(self):
        return list(self.given)


class FakeSink:
    def __init__(self, *requests):
        self.requests = list(requests)

    def taken(self):
        return [r for r in self.requests if r.done is not None]


class FakeLoad:
    def __init__(self, **sent):
        self.sent = {}
        for i, (user, begun, acked, request, place) in sent.items():
            self.sent[i] = Sent(user, begun, request, place)
            self.sent[i].acked = acked


def test_order_is_judged():
    load = FakeLoad(a=("u", 0, 1, 0, 0), b=("u", 2, 3, 1, 0), c=("u", 2, 3, 1, 1), d=("v", 2.5, 4, 2, 0), e=("u", 2.5, 9, 3, 0))

    def came(*ids):
        return FakeSink(*(Came(n, n + 0.5, i) for n, i in enumerate(ids)))
    assert inversions(came(*"abcde"), load) == inversions(came(*"adebc"), load) == [], "what overlapped has no order"
    assert inversions(came(*"abacbde"), load) == [], "repeats do not count"
    assert inversions(came(*"bacde"), load) == [("b", "a")]
    assert inversions(came(*"acbde"), load) == [("c", "b")], "within a request"
    assert inversions(came(*"dabce"), load) == [], "another user"
    assert inversions(came(*"dabce"), load, whole=True) == [("d", "a")]
    assert inversions(came(*"abdce"), load, whole=True) == []

    def at(*rows):
        return FakeSink(*(Came(*row) for row in rows))
    assert overtakings(at((0, 0.1, "a"), (1, 1.1, "b", "c")), load) == []
    assert overtakings(at((0, None, "a"), (1, 1.1, "a"), (2, 2.1, "b")), load) == []
    assert overtakings(at((0, None, "a"), (1, 1.1, "b"), (2, 2.1, "a")), load) == [("b", "a")]
    assert overtakings(at((0, 1.2, "a"), (1, 1.1, "b")), load) == [("b", "a")], "taken, but later"
    assert overtakings(at((0, None, "a"), (1, 1.1, "d"), (2, 2.1, "a")), load) == []
    assert overtakings(at((0, None, "a"), (1, 1.1, "d"), (2, 2.1, "a")), load, whole=True) == [("d", "a")]
    assert overtakings(at((0, None, "a"), (1, 1.1, "a", "b")), load) == [], "together"


def test_ordered_load(sink):
    dray, ledger = FakeDray(sink), Ledger(sink)
    load = OrderedLoad(lambda: [dray], ledger, 100, users=7, clients=3, batch=4).start().join()
    ledger.settle()
    assert len(load.sent) == len(ledger.acked) == 100 and inversions(sink, load) == overtakings(sink, load) == []
    one = OrderedLoad(lambda: [dray], ledger, 20, seed="one").start()
    one.join()
    assert [i for r in sink.requests for i in r.ids() if i in one.sent] == sorted(one.sent)


def test_what_redis_holds(make_redis):
    r = make_redis().client()
    for prefix, n in (("{dray}", 1), ("{dray:sink:0}", 2), ("{dray:sink:15}", 3), ("{other}", 4), ("p", 5), ("p:sink:7", 6)):
        r.lpush(prefix + ":sink:wait", "j")
        r.hset(prefix + ":sink:j", "data", '{"messageId":"m%d"}' % n)
    assert set(jobs.held_message_ids(r)) == {"m1", "m2", "m3"}
    assert jobs.partitions(r) == ["{dray:sink:0}", "{dray:sink:15}"]
    assert set(jobs.held_message_ids(r, "p")) == {"m5", "m6"}


def test_proxy_modes(make_redis, make_proxy):
    server = make_redis()
    proxy = make_proxy(server.socket)
    r = redis.Redis(unix_socket_path=proxy.path, socket_timeout=0.4)
    assert r.set("a", "1")
    proxy.stall()
    with pytest.raises(redis.exceptions.TimeoutError):
        r.get("a")
    proxy.pass_on()
    assert r.get("a") == b"1"
    proxy.swallow()
    with pytest.raises(redis.exceptions.TimeoutError):
        r.incr("n")
    proxy.pass_on()
    assert server.client().get("n") == b"1"  # it happened, nobody heard
    proxy.slow(0.1)
    started = time.monotonic()
    assert r.get("a") == b"1" and time.monotonic() - started > 0.15
    proxy.pass_on()
    proxy.refuse()
    with pytest.raises(redis.exceptions.ConnectionError):
        r.get("a")
    proxy.pass_on()
    assert r.get("a") == b"1"
    proxy.cut_answer(2)
    with pytest.raises(redis.exceptions.ConnectionError):
        r.execute_command("GET", "a")
    assert r.get("a") == b"1"
    tcp = make_proxy(server.socket, host="127.0.0.1")
    assert redis.Redis.from_url(tcp.url).get("a") == b"1"


def test_redis_keeps_its_data_over_a_kill(make_redis):
    server = make_redis(port=True)
    base = "{dray}:q:"
    r = server.client()
    r.hset(base + "J1", "data", '{"batch":[{"messageId":"m1"},{"messageId":"m\\u00e9"}]}')
    r.lpush(base + "wait", "J1")
    r.hset(base + "J2", "data", '{"batch":[{"messageId":"done"}]}')
    r.zadd(base + "completed", {"J2": 1})
    server.kill()
    server.start()
    assert jobs.held_message_ids(server.client()) == {"m1": "q/wait", "mé": "q/wait"}
    assert jobs.counts(server.client(), "q")["completed"] == 1
    assert redis.Redis.from_url(server.tcp_url).ping()


LINES = [
    ('ts=2026-11-21T02:41:28.123Z level=info kind=ingest slot=0 gen=3 pid=1 event=started url=http://a?b=c why="a \\"b\\""',
     None),
    ("ts=2026-11-21T02:41:28.123Z level=info kind=master event=up empty= x=1", None),
    ("level=info ts=2026-11-21T02:41:28.123Z kind=master event=up", "begin"),
    ("ts=2026-11-21 level=info kind=master event=up", "time"),
    ("ts=2026-11-21T02:41:28.123Z level=loud kind=master event=up", "level"),
    ("ts=2026-11-21T02:41:28.123Z level=info kind=master", "no event"),
    ("ts=2026-11-21T02:41:28.123Z level=info kind=master event=up two words", "key=value"),
    ('ts=2026-11-21T02:41:28.123Z level=info kind=master event=up a="open', "key=value"),
    ("==12==ERROR: AddressSanitizer", "key=value"),
]


@pytest.mark.parametrize("line, wrong", LINES, ids=range(len(LINES)))
def test_log_grammar(line, wrong):
    if wrong is None:
        assert logs.parse_line(line)["level"] == "info"
        return
    with pytest.raises(logs.Bad, match=wrong):
        logs.parse_line(line)


def test_log_values_are_unquoted():
    r = logs.parse_line('ts=2026-11-21T02:41:28.123Z level=info kind=m event=e a="q\\" \\\\ \\n \\x01"')
    assert r["a"] == 'q" \\ \n \x01'


def test_crc32c():
    assert quarantine.crc32c(b"123456789") == 0xE3069283
    assert quarantine.crc32c(b"6789", quarantine.crc32c(b"12345")) == 0xE3069283


def test_raw_elements():
    made = list(events.make_events(20))
    assert events.raw_elements(events.batch_body(made).decode()) == [events.event_text(e) for e in made]
    assert events.raw_elements('{"a": [1, {"batch": 0}], "batch" : [ {"x": 1.0} , null ] , "z":1}') == ['{"x": 1.0}', "null"]
    with pytest.raises(KeyError):
        events.raw_elements("{}")


def test_config_merge_and_dump():
    merged = config.merge({"a": {"b": 1, "c": 2}, "l": [1]}, {"a": {"b": None, "d": True}, "l": [2]})
    assert merged == {"a": {"c": 2, "d": True}, "l": [2]}
    assert config.dump({"a": {"d": True}, "l": [{"id": "x", "n": {"m": "a: b"}}], "e": []}) == (
        'a:\n  d: true\nl:\n  - { id: "x", n: { m: "a: b" } }\ne: []')


def test_wait_for_tells_what_it_saw():
    with pytest.raises(Expired, match="the thing.*last: 0"):
        wait_for(lambda: 0, 0.1, "the thing")


def test_orphans_come_to_the_test_process():
    """A process whose parent dies is seen as left behind, and as a zombie once it has ended."""
    shell = subprocess.Popen(["sh", "-c", "sleep 60 & echo $!"], stdout=subprocess.PIPE, text=True,
                             start_new_session=True)
    pid = int(shell.stdout.readline())
    shell.wait()
    shell.stdout.close()
    wait_for(lambda: procs.Proc(pid).ppid == os.getpid(), 2)
    assert pid in [p.pid for p in procs.descendants(os.getpid())]
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: procs.Proc(pid).state == "Z", 2)
    assert not procs.alive(pid)
    procs.reap_adopted(set())
    assert pid not in [p.pid for p in procs.descendants(os.getpid())]


def test_sink_keeps_up(sink):
    """Not a figure, but a destination that needs 20 s for 2,000 requests would make every test a test of the sink."""
    def post():
        with Client(address(sink)) as c:
            for _ in range(500):
                c.post("/in", b'{"messageId":"x"}')
    threads = [threading.Thread(target=post) for _ in range(4)]
    started = time.monotonic()
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sink.ids()["x"] == 2000
    assert time.monotonic() - started < 20
    print("figure: the sink took %.0f requests/s" % (2000 / (time.monotonic() - started)))
