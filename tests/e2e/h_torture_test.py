"""Hostile clients against a whole dray: each wrong request has the answer that the RFCs (9110, 9112) and the API give it,
nothing of it is delivered, memory stays bounded, and others are served meanwhile. Every row of the parser's own table
is in unit/http_server_syntax_test.c."""
import gzip
import json
import os
import resource
import socket
import time
import zlib

import pytest

from lib import procs
from lib.client import Client, Load, basic
from lib.raw import Raw, talk
from lib.wait import stays, wait_for

KEY = "test-key"
MIB = 1 << 20
GOOD = json.dumps({"userId": "u", "event": "e", "messageId": "good"}).encode()
SMUGGLED = json.dumps({"userId": "u", "event": "e", "messageId": "smuggled"}).encode()


def head(path="/v1/track", *lines, method="POST", auth=True):
    all_lines = ["%s %s HTTP/1.1" % (method, path), "Host: x", *(["Authorization: " + basic(KEY)] if auth else []), *lines]
    return "\r\n".join(all_lines).encode("latin-1") + b"\r\n\r\n"


def request(body, *lines, path="/v1/track"):
    return head(path, *lines, "Content-Length: %d" % len(body)) + body


# A whole request that a server out of step would take for the next one.
NEXT = request(SMUGGLED)
CHUNKS = b"%x\r\n%s\r\n0\r\n\r\n" % (len(GOOD), GOOD)
LENGTH = "Content-Length: %d" % len(GOOD)

# what, bytes, status; the connection is closed after each
TRICKS = [
    ("two lengths", head("/v1/track", LENGTH, "Content-Length: 0") + GOOD + NEXT, 400),
    ("two equal lengths", head("/v1/track", LENGTH, LENGTH) + GOOD + NEXT, 400),
    ("a list of lengths", head("/v1/track", "Content-Length: 0, %d" % len(GOOD)) + GOOD + NEXT, 400),
    ("length and chunked", head("/v1/track", "Content-Length: 4", "Transfer-Encoding: chunked") + CHUNKS + NEXT, 400),
    ("chunked and length", head("/v1/track", "Transfer-Encoding: chunked", LENGTH) + CHUNKS + NEXT, 400),
    ("chunked twice", head("/v1/track", "Transfer-Encoding: chunked, chunked") + CHUNKS + NEXT, 400),
    ("not quite chunked", head("/v1/track", "Transfer-Encoding: xchunked") + CHUNKS + NEXT, 400),
    ("another coding", head("/v1/track", "Transfer-Encoding: gzip, chunked") + CHUNKS + NEXT, 501),
    ("space before the colon", head("/v1/track", "Content-Length : %d" % len(GOOD)) + GOOD + NEXT, 400),
    ("signed length", head("/v1/track", "Content-Length: +%d" % len(GOOD)) + GOOD + NEXT, 400),
    ("lone CR", head("/v1/track", "X: y\rTransfer-Encoding: chunked", LENGTH) + GOOD + NEXT, 400),
    ("bare LF", head("/v1/track", "X: y\nTransfer-Encoding: chunked", LENGTH) + GOOD + NEXT, 400),
    ("obs-fold", head("/v1/track", "X: y\r\n Transfer-Encoding: chunked", LENGTH) + GOOD + NEXT, 400),
    ("NUL", head("/v1/track", "X: a\0b", LENGTH) + GOOD + NEXT, 400),
    ("chunk size over 64 bits", head("/v1/track", "Transfer-Encoding: chunked") + b"1" + b"0" * 16 + b"\r\n" + NEXT, 413),
    ("chunk longer than it says", head("/v1/track", "Transfer-Encoding: chunked") + b"1\r\n" + GOOD + b"\r\n0\r\n\r\n" + NEXT,
     400),
    ("chunk size ends by LF", head("/v1/track", "Transfer-Encoding: chunked") + CHUNKS.replace(b"\r\n", b"\n", 1) + NEXT, 400),
    ("two hosts", head("/v1/track", "Host: y", LENGTH) + GOOD + NEXT, 400),
    ("no host", head("/v1/track", LENGTH).replace(b"Host: x\r\n", b"") + GOOD + NEXT, 400),
    ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(64) + b"\r\n\r\n", 400),
    ("no HTTP at all", bytes(range(256)) + b"\r\n\r\n", 400),
    ("an unknown method", head("/v1/track", LENGTH).replace(b"POST", b"SMUG") + GOOD + NEXT, 501),
    ("long target", head("/v1/" + "a" * 70000) + NEXT, 414),
    ("long headers", head("/v1/track", *["X-%d: %s" % (i, "y" * 1000) for i in range(70)]) + NEXT, 431),
    ("many headers", head("/v1/track", *["X-%d: y" % i for i in range(300)]) + NEXT, 431),
    ("unknown expectation", head("/v1/track", "Expect: a-miracle", LENGTH) + GOOD + NEXT, 417),
]


def test_framing_tricks(dray, sink):
    for what, data, status in TRICKS:
        (answer,), closed = talk(dray.ingest, data)
        assert answer is not None and answer.status == status, "%s: %r" % (what, answer)
        assert closed, "%s: what follows is not to be trusted" % what
    with dray.client() as c:
        assert c.post("/v1/track", GOOD).status == 200
    sink.wait_ids({"good"})
    assert sink.seen_ids() == {"good"}
    assert all(p["restarts"] == 0 for p in dray.processes())


def test_requests_that_only_look_odd(dray, sink):
    """What the RFCs allow is taken: chunks with extensions and trailers, absolute form, pipelining, case, Expect."""
    def body(n):
        return json.dumps({"userId": "u", "messageId": "odd-%d" % n}).encode()
    b = body(0)
    chunked = b"1;a=b\r\n%s\r\n%X;c=\"d\"\r\n%s\r\n0\r\nX: y\r\n\r\n" % (b[:1], len(b) - 1, b[1:])
    rows = [head("/v1/track", "tRANSFER-eNCODING:\tChunked ") + chunked,
            request(body(1), path="http://x/v1/track?a=b"), request(body(2), "X:", "Y: \xe9\xff"),
            b"\r\n" + request(body(3)) + request(body(4)) + request(body(5))]
    for data in rows:
        n = data.count(b"HTTP/1.1\r\n")
        answers, closed = talk(dray.ingest, data, answers=n)
        assert [a.status for a in answers] == [200] * n and not closed, data
    with Raw(dray.ingest) as raw:
        raw.send(head("/v1/track", "Expect: 100-continue", "Content-Length: %d" % len(body(6))))
        assert raw.answer().status == 100
        raw.send(body(6))
        assert raw.answer().status == 200
    sink.wait_ids({"odd-%d" % i for i in range(7)})


def test_bodies_too_big(dray, sink):
    most = 4000 * 1024
    too_long = head("/v1/batch", "Content-Length: %d" % (most + 1))
    (answer,), closed = talk(dray.ingest, too_long)
    assert (answer.status, closed) == (413, True), "known before the body"
    (answer,), closed = talk(dray.ingest, head("/v1/batch", "Expect: 100-continue", "Content-Length: %d" % 10**15))
    assert (answer.status, closed) == (413, True), "and not asked for"
    with Raw(dray.ingest) as raw:  # 1 MiB a chunk, until it is refused
        raw.send(head("/v1/batch", "Transfer-Encoding: chunked"))
        sent = 0
        while sent < 64 and not raw.has_bytes() and raw.send(b"100000\r\n" + b"x" * MIB + b"\r\n"):
            sent += 1
        assert raw.answer().status == 413
        assert sent < 64, "it does not read on for ever"
    with dray.client() as c:
        pad = b" " * (most - len(GOOD))
        assert c.post("/v1/track", GOOD + pad).status == 200, "as big as may be"
    sink.wait_ids({"good"})


def bomb(mebibytes):
    """A gzip text of so many MiB: one event that never ends."""
    z = zlib.compressobj(9, zlib.DEFLATED, 31)
    text = z.compress(b'{"batch":[{"userId":"u","x":"')
    for _ in range(mebibytes):
        text += z.compress(b"0" * MIB)
    return text + z.compress(b'"}]}') + z.flush()


@pytest.mark.release
def test_gzip_bombs(make_dray, sink):
    """The release build: what the sanitizers keep back would hide what ingest itself holds."""
    dray = make_dray(conf={"ingest": {"memory": "64MiB"}})
    big = bomb(1000)
    assert len(big) < 1.1 * MIB
    members = gzip.compress(b"0" * MIB) * 500
    lying = big[:-4] + b"\x10\0\0\0"  # "16 bytes"
    pid = dray.pid_of("ingest")
    with dray.client() as c:
        assert c.post("/v1/track", {"userId": "u", "messageId": "first"}, zipped=True).status == 200
        before = procs.rss_bytes(pid)
        most = 0
        for _ in range(10):
            for data in (big, lying, members):
                assert c.post("/v1/batch", data, headers={"Content-Encoding": "gzip"}).status == 413
                most = max(most, procs.rss_bytes(pid))
        for data, status in ((gzip.compress(GOOD)[:-3], 400), (gzip.compress(GOOD)[:-8] + b"\0" * 8, 400), (b"\x1f\x8b", 400),
                             (b"", 400), (os.urandom(5000), 400), (gzip.compress(gzip.compress(GOOD)), 400),
                             (gzip.compress(GOOD), 200)):
            answer = c.post("/v1/track", data, headers={"Content-Encoding": "gzip"})
            assert answer.status == status, "%r: %r" % (data[:20], answer)
    peak = peak_bytes(pid)
    print("figure: gzip bombs of 1000 MiB: ingest %.1f MiB before, %.1f MiB at most" % (before / MIB, peak / MIB))
    assert peak - before < 64 * MIB, "it stays within ingest.memory"
    assert dray.pid_of("ingest") == pid
    sink.wait_ids({"first", "good"})


def peak_bytes(pid):
    """The most memory it ever had."""
    with open("/proc/%d/status" % pid) as f:
        return int(dict(line.split(":", 1) for line in f)["VmHWM"].split()[0]) * 1024


DEEPEST = 62  # levels of one event: 64 with the batch around it, in which it is stored and sent on


def nested(depth, message_id="deep"):
    return '{"userId":"u","messageId":"%s","x":%s1%s}' % (message_id, "[" * (depth - 1), "]" * (depth - 1))


def test_deep_json(dray, sink):
    deep = [b"[" * 10**6, b'{"a":' * 500000, b'{"batch":' + b"[" * 10**6, b'{"batch":[' + b'{"x":' * 500000,
            b"[" * 10**6 + b"]" * 10**6, nested(20000).encode()]
    with dray.client() as c:
        rows = [(path, body) for path in ("/v1/batch", "/v1/track") for body in deep]
        rows += [("/v1/track", nested(DEEPEST + 1)), ("/v1/batch", '{"batch":[%s]}' % nested(DEEPEST + 1))]
        for path, body in rows:
            answer = c.post(path, body)
            assert (answer.status, answer.body) == (400, b"invalid json\n"), "%s %r" % (path, body[:40])
        assert c.post("/v1/track", nested(DEEPEST, "alone")).status == 200
        assert c.post("/v1/batch", '{"batch":[%s]}' % nested(DEEPEST, "in a batch")).status == 200
    sink.wait_ids({"alone", "in a batch"})
    assert sink.seen_ids() == {"alone", "in a batch"}
    assert all(p["restarts"] == 0 for p in dray.processes())


def test_wrong_texts(dray, sink):
    """Not JSON, or not what the API takes: 400 and its sentence, and the connection goes on."""
    rows = [(b"", b"request body is nil\n"), (b"\0", b"invalid json\n"), (b"{", b"invalid json\n"), (b"{}x", b"invalid json\n"),
            (b"\xef\xbb\xbf{}", b"invalid json\n"), (b'{"a":NaN}', b"invalid json\n"), (b"{'a':1}", b"invalid json\n"),
            (b'{"a":"\xff"}', b"invalid json\n"), (b'{"a":"\xed\xa0\x80"}', b"invalid json\n"), (b'{"a":"\n"}', b"invalid json\n"),
            (b'{"a":01}', b"invalid json\n"), (b'{"a":1,}', b"invalid json\n"), (b'{"userId":"u"', b"invalid json\n"),
            (b"{}", b"request neither has anonymousId nor userId\n")]
    with dray.client() as c:
        for body, text in rows:
            answer = c.post("/v1/track", body)
            assert (answer.status, answer.body) == (400, text), "%r: %r" % (body, answer)
            assert answer.headers.get("connection") != "close"
        assert c.post("/v1/batch", b'{"batch":[]}').body == b"empty batch payload\n"
    assert sink.requests == []


SLOW = {"ingest": {"limits": {"header_timeout": "1s", "body_timeout": "2s", "idle_timeout": "3s"}}}


def test_slow_clients(make_dray, sink, ledger):
    """A byte now and then does not hold a connection longer than its time; others do not notice."""
    dray = make_dray(conf=SLOW)
    load = Load(dray, ledger, clients=2, batch=5, pause=0.02).start()
    idle, silent = Raw(dray.ingest), Raw(dray.ingest)
    heads = [Raw(dray.ingest) for _ in range(50)]
    bodies = [Raw(dray.ingest) for _ in range(50)]
    idle.send(request(GOOD))
    assert idle.answer().status == 200
    for raw in bodies:
        raw.send(head("/v1/track", "Content-Length: 1000"))
    started = time.monotonic()
    waiting = heads + bodies
    text = head("/v1/track", LENGTH)
    at = 0
    while waiting:
        assert time.monotonic() - started < 2 * 2.0 + 3, "%d are still there" % len(waiting)
        for raw in list(waiting):
            raw.send(text[at % len(text):at % len(text) + 1] if raw in heads else b"x")
            if raw.has_bytes():
                assert raw.answer().status == 408
                waiting.remove(raw)
        at += 1
        time.sleep(0.03)  # their pace
    for raw in heads + bodies:
        assert raw.is_closed()
    assert silent.is_closed() and silent.buffer == b"", "one that says nothing is closed without a word"
    assert idle.is_closed() and idle.buffer == b""
    for raw in heads + bodies + [idle, silent]:
        raw.close()
    load.stop()
    ledger.ack(["good"])
    ledger.settle()
    assert load.counts == {}, "nobody else was sent away"


def test_a_client_that_does_not_read(make_dray, sink):
    """Thousands of answers that nobody takes: it is read no further, and cut in the end; nobody else waits for it."""
    dray = make_dray(conf=SLOW)
    with Raw(dray.ingest) as deaf:
        deaf.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.socket.settimeout(0.2)
        sent = 0
        try:
            while sent < 200000 and deaf.send(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n" * 100):
                sent += 100
        except TimeoutError:
            pass
        assert sent < 200000, "it is not read for ever"
        with dray.client() as c:
            assert c.post("/v1/track", GOOD).status == 200
        wait_for(lambda: dray.metric("dray_ingest_connections") <= 1, 10, "it is cut")
    sink.wait_ids({"good"})


def raise_descriptors(wanted):
    """The most sockets this process may open now, about as many as wanted."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted and os.geteuid() == 0:
        hard = wanted
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard) if hard != resource.RLIM_INFINITY else wanted, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


@pytest.mark.release
@pytest.mark.limit(180)
def test_10000_half_open_connections(make_dray, sink, ledger):
    """With nothing, half a head, or half a body sent: they cost what they sent and little more, others are served, and
    each ends at its deadline with 408."""
    count = min(10000, raise_descriptors(12000) - 500)
    assert count >= 500, "the limit of descriptors is too low for this test"
    dray = make_dray(conf={"ingest": {"memory": "64MiB", "limits": {"connections": count + 500, "header_timeout": "20s",
                                                                  "body_timeout": "20s"}}})
    pid = dray.pid_of("ingest")
    load = Load(dray, ledger, events=200, clients=2, batch=10).start()
    load.join()
    before = procs.rss_bytes(pid)
    half_head = head("/v1/batch", "Content-Length: 100")[:-10]
    half_body = head("/v1/batch", "Content-Length: 4000000") + b'{"batch":[' + b" " * 500
    host, port = dray.ingest.rsplit(":", 1)
    sockets = []
    try:
        for i in range(count):
            s = socket.create_connection((host, int(port)), timeout=20)
            if i % 4:
                s.sendall(half_head if i % 4 == 1 else half_body)
            sockets.append(s)
        wait_for(lambda: dray.metric("dray_ingest_connections") >= count, 15, "all are open")
        load = Load(dray, ledger, events=1000, clients=4, batch=10, seed="meanwhile").start()
        load.join(20)
        assert load.counts == {}, "others are served as ever"
        assert dray.metric("dray_ingest_connections") >= count, "and all were open meanwhile"
        held = procs.rss_bytes(pid) - before
        print("figure: %d half-open connections: ingest %.1f MiB before, %.1f MiB more, %.1f KiB each" % (
            count, before / MIB, held / MIB, held / 1024 / count))
        assert held < 64 * MIB
        statuses = {}
        for i, s in enumerate(sockets):
            s.settimeout(60)
            try:
                data = s.recv(4096)
            except ConnectionResetError:
                data = b"reset"
            said = data[9:12].decode() if data.startswith(b"HTTP/1.1 ") else data
            statuses[i % 4 and 1, said] = statuses.get((i % 4 and 1, said), 0) + 1
        assert set(statuses) <= {(0, b""), (1, "408")}, statuses
    finally:
        for s in sockets:
            s.close()
    wait_for(lambda: dray.metric("dray_ingest_connections") <= 5, 10, "all are gone")
    ledger.settle()
    assert dray.pid_of("ingest") == pid


def test_more_connections_than_allowed(make_dray, sink):
    dray = make_dray(conf={"ingest": {"limits": {"connections": 20, "header_timeout": "3s"}}})
    held = [Raw(dray.ingest) for _ in range(20)]
    for raw in held:
        raw.send(b"POST /v1/track HTTP/1.1\r\nHost: x\r\n")
    wait_for(lambda: dray.metric("dray_ingest_connections") == 20, 5)
    with Raw(dray.ingest) as more:
        answer = more.answer()
        assert answer.status == 503 and int(answer.headers["retry-after"]) >= 1 and more.is_closed()
    assert dray.get("/readyz").status == 200, "the console has a listener of its own"
    for raw in held:
        assert raw.answer().status == 408
        raw.close()

    def served():
        with Client(dray.ingest, KEY) as c:
            return c.post("/v1/track", GOOD).status == 200
    wait_for(served, 5, "there is room again")
    sink.wait_ids({"good"})


def test_memory_is_bounded_by_bytes(make_dray, sink):
    """Bodies that stay on the way until the budget is used up: new ones are sent away (503), the old ones are finished."""
    dray = make_dray(conf={"ingest": {"memory": "16MiB", "limits": {"body_timeout": "20s"}}})
    body = b'{"userId":"u","messageId":"m-%03d","x":"' + b"x" * 1000000
    held = []
    for i in range(40):
        raw = Raw(dray.ingest)
        raw.send(head("/v1/track", "Content-Length: %d" % (len(body % i) + 2 + 2000000)) + body % i)
        held.append(raw)
    wait_for(lambda: sum(raw.has_bytes() for raw in held) >= 10, 10, "many are sent away")
    away = [raw for raw in held if raw.has_bytes()]
    for raw in away:
        answer = raw.answer()
        assert answer.status == 503 and int(answer.headers["retry-after"]) >= 1
    for raw in held:
        raw.close()

    def served():
        with dray.client() as c:
            return c.post("/v1/track", GOOD).status == 200
    wait_for(served, 10, "there is room again")
    sink.wait_ids({"good"})
    assert sink.seen_ids() == {"good"}
    stays(lambda: all(p["restarts"] == 0 for p in dray.processes()), 0.2)
