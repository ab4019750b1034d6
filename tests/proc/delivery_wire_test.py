"""What stands between the delivery worker and a destination: TLS, HTTP/2, proxies, refused addresses, hostile answers."""
import json
import os
import subprocess
import time

import pytest

from lib.certs import Authority
from lib.wait import wait_for
from lib.wire import Bytes, Proxy, TlsSink
from proc.delivery_test import batch_id, config, drain, event, key

LIB = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("certs"))


def text(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


@pytest.fixture
def start(fake_master, make_redis):
    def go(url, delivery=None, delay="50ms", **keys):
        redis = make_redis()
        conf = config(redis.url, url, delivery=delivery or {}, queue={"backoff": {"delay": delay}})
        conf["destinations"][0].update(keys)
        worker = fake_master("delivery", conf).start()
        worker.expect("READY")
        return worker, worker.link(), redis.client()
    return go


def completed(r, n):
    return lambda: r.zcard(key("completed")) == n


def reason(r, n=1):
    return wait_for(lambda: r.hget(key(batch_id(n)), "failedReason"), 10).decode()


# ---- TLS

def test_mutual_tls(start, ca):
    cert, server_key = ca.issue("server", "127.0.0.1")
    ours, our_key = ca.issue("dray-client", "client.example")
    with TlsSink(cert, server_key, client_ca=ca.cert) as s:
        url = "https://127.0.0.1:%d/in" % s.port
        worker, link, r = start(url, tls={"ca": text(ca.cert), "cert": text(ours), "key": text(our_key)})
        for n in range(3):
            link.send_batch(batch_id(n), [event(n)])
        wait_for(completed(r, 3), 10)
        assert [q[2] for q in s.requests] == ["dray-client"] * 3
        drain(worker, link)
        assert "PRIVATE KEY" not in worker.log()


def test_tls_is_verified(start, ca, tmp_path):
    cert, server_key = ca.issue("server", "other.example")
    stranger = Authority(tmp_path, "stranger")
    with TlsSink(cert, server_key) as s:
        url = "https://127.0.0.1:%d/in" % s.port
        for n, tls in enumerate([{}, {"ca": text(stranger.cert)}, {"ca": text(ca.cert)}]):
            worker, link, r = start(url, tls=tls)
            link.send_batch(batch_id(1), [event(1)])
            assert reason(r).startswith("no answer (tls): "), "an unknown authority, the wrong one, the wrong name"
            drain(worker, link)
        worker, link, r = start(url, tls={"ca": text(ca.cert), "server_name": "other.example"})
        link.send_batch(batch_id(1), [event(1)])
        wait_for(completed(r, 1), 10)
        assert "Host: 127.0.0.1:%d\r\n" % s.port in s.requests[0][0] and s.requests[0][0].startswith("POST /in HTTP/1.1")
        assert len(s.requests) == 1
        drain(worker, link)


# ---- HTTP/2

class H2:
    def __init__(self, *args):
        self.process = subprocess.Popen(["node", os.path.join(LIB, "h2_server.js"), *args], stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())

    def read(self, n):
        return [json.loads(self.process.stdout.readline()) for _ in range(n)]

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def post_ten(link, r):
    for n in range(10):
        link.send_batch(batch_id(n), [event(n)])
        link.expect("STORED")
    wait_for(completed(r, 10), 10)


def test_http2_over_tls(start, ca):
    cert, server_key = ca.issue("server", "127.0.0.1")
    with H2(cert, server_key) as s:
        url = "https://127.0.0.1:%d/in" % s.port
        for http2, version in (("true", "2.0"), ("false", "1.1")):
            worker, link, r = start(url, tls={"ca": text(ca.cert)}, http2=http2, payload="ndjson")
            post_ten(link, r)
            got = s.read(10)
            assert {q["version"] for q in got} == {version}
            assert sorted(q["body"] for q in got) == [event(n) + "\n" for n in range(10)]
            if http2 == "true":
                assert got[-1]["sessions"] == 1, "one connection for all"
            drain(worker, link)


def test_http2_without_asking(start):
    with H2() as s:
        worker, link, r = start("http://127.0.0.1:%d/in" % s.port, delivery={"http2": "prior_knowledge"})
        post_ten(link, r)
        got = s.read(10)
        assert {q["version"] for q in got} == {"2.0"} and {q["headers"]["idempotency-key"] for q in got} == {batch_id(n) for n in range(10)}
        drain(worker, link)


# ---- proxies

@pytest.mark.parametrize("kind,scheme", [("http", "http"), ("socks5", "socks5h")])
def test_proxies(start, sink, kind, scheme, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    to = sink.url.split("/")[2].split(":")
    with Proxy(kind, "ann", "pass", to=(to[0], int(to[1]))) as p:
        worker, link, r = start("http://no.such.host.invalid:8123/in", proxy="%s://127.0.0.1:%d" % (scheme, p.port),
                                proxy_username="ann", proxy_password="pass", auth={"type": "bearer", "token": "T0KEN"})
        link.send_batch(batch_id(1), [event(1)])
        wait_for(completed(r, 1), 10)
        assert p.asked == ["no.such.host.invalid:8123"], "the name is the proxy's to look up"
        assert "T0KEN" not in "".join(p.heads) and sink.requests[0].headers["authorization"] == "Bearer T0KEN"
        assert sink.requests[0].path == "/in"
        drain(worker, link)


def test_a_proxy_that_refuses(start):
    with Proxy("http", refuse=b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n") as p:
        worker, link, r = start("https://hooks.example.com/in", delivery={"proxy": "http://127.0.0.1:%d" % p.port})
        link.send_batch(batch_id(1), [event(1)])
        assert reason(r).startswith("no answer (connect): ")
        drain(worker, link)


def test_the_environment_names_no_proxy(start, sink, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    worker, link, r = start(sink.url)
    link.send_batch(batch_id(1), [event(1)])
    wait_for(completed(r, 1), 10)
    drain(worker, link)


# ---- addresses

@pytest.mark.parametrize("host", ["localhost", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]"])
def test_refused_addresses(start, host):
    with Bytes(lambda c, head, body: c.sendall(OK)) as s:
        worker, link, r = start("http://%s:%d/" % (host, s.port), delivery={"egress": {"deny": ["private"]}})
        link.send_batch(batch_id(1), [event(1)])
        assert reason(r) == "no answer (denied): the address of its host may not be connected to"
        assert s.connections == 0
        drain(worker, link)


def test_allowed_addresses(start):
    with Bytes(lambda c, head, body: c.sendall(OK)) as s:
        worker, link, r = start("http://localhost:%d/" % s.port, delivery={"egress": {"deny": ["private"], "allow": ["127.0.0.1"]}})
        for n in range(2):
            link.send_batch(batch_id(n), [event(n)])
        wait_for(completed(r, 2), 10)
        drain(worker, link)


# ---- time, and hostile answers

def test_the_first_byte_has_its_time(start):
    def slow(c, head, body):
        time.sleep(0.15 if b"m-2" in body else 5)
        c.sendall(OK)
    with Bytes(slow) as s:
        worker, link, r = start("http://127.0.0.1:%d/" % s.port, first_byte_timeout="600ms", timeout="15s", delay="10s")
        begun = time.monotonic()
        link.send_batch(batch_id(1), [event(1)])
        link.send_batch(batch_id(2), [event(2)])
        wait_for(completed(r, 1), 5)
        assert reason(r) == "no answer (timeout): the answer did not begin within 600 ms"
        assert 0.55 < time.monotonic() - begun < 2.5
        drain(worker, link)


def endless(head):
    def answer(c, _head, _body):
        c.sendall(head)
        while True:
            c.sendall(b"x" * 8192)
    return answer


def trickle(c, head, body):
    c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while True:
        c.sendall(b"x")
        time.sleep(0.1)


def interim(c, head, body):
    while True:
        c.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n" * 100)


def many_headers(c, head, body):
    c.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        c.sendall(b"X-Filler: %s\r\n" % (b"y" * 1000))


def redirect(c, head, body):
    c.sendall(b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/latest\r\nContent-Length: 0\r\n\r\n")


BOMB = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("answer,outcome", [
    (endless(b"HTTP/1.1 200 OK\r\n\r\n"), "completed"),
    (endless(b"HTTP/1.1 503 No\r\nContent-Length: 99999999999\r\n\r\n"), "the destination answered 503"),
    (endless(b"HTTP/1.1 200 OK\r\nX: "), "no answer ("),
    (trickle, "no answer (timeout)"),
    (interim, "no answer (protocol): the answer's header lines are longer than 64 KiB"),
    (many_headers, "no answer (protocol): the answer's header lines are longer than 64 KiB"),
    (lambda c, h, b: c.sendall(BOMB + b"3e8\r\n" + b"\x1f\x8b" + b"\0" * 998 + b"\r\n0\r\n\r\n"), "completed"),
    (lambda c, h, b: c.sendall(b"220 smtp ready\r\n"), "no answer (protocol)"),
    (lambda c, h, b: c.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), "no answer ("),
    (redirect, "the destination answered 302 (redirects are not followed)"),
], ids=["endless", "endless-503", "one-long-header", "trickle", "interim-flood", "header-flood", "gzip", "no-http", "bad-chunk", "redirect"])
def test_hostile_answers(start, answer, outcome):
    with Bytes(answer) as s:
        worker, link, r = start("http://127.0.0.1:%d/" % s.port, timeout="1500ms", delay="10s")
        link.send_batch(batch_id(1), [event(1)])
        if outcome == "completed":
            wait_for(completed(r, 1), 10)
            assert len(r.hget(key(batch_id(1)), "returnvalue")) < 20000
        else:
            assert reason(r).startswith(outcome)
        drain(worker, link)
