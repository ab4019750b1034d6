"""Back-pressure from end to end: a queue that grows, a Redis that fills, clients that try to eat the memory."""
import base64
import socket
import threading
import time

import pytest

from lib.events import batch_body, make_events
from lib.procs import rss_bytes as rss
from lib.wait import wait_for


def sent_away(answer, status):
    assert answer.status == status, answer
    assert 5 <= int(answer.headers["retry-after"]) <= 120, answer.headers
    return True


def test_a_queue_that_grows(make_dray, sink, ledger):
    dray = make_dray(conf={"ingest": {"backpressure": {"queue_depth": 30, "resume_at": 0.5}, "flush_at": 1}})
    sink.down()
    with dray.client() as c:
        def send():
            events = list(make_events(5, 5, "deep%d" % time.monotonic_ns(), 0))
            ledger.tried.update(e["messageId"] for e in events)
            answer = c.post("/v1/batch", batch_body(events))
            if answer.status == 200:
                ledger.ack([e["messageId"] for e in events])
            return answer

        def refused():
            answer = send()
            time.sleep(0.05)
            return answer if answer.status != 200 else None
        sent_away(wait_for(refused, 30), 429)
        assert dray.metric("dray_ingest_backpressure_total", reason="queue_depth") >= 0
        wait_for(lambda: dray.metric("dray_ingest_pressure", reason="queue_depth") == 1, 10)
        wait_for(lambda: any("queue_depth of sink" in (p["doing"] or "") for p in dray.processes("ingest")), 10)
        sink.up()
        wait_for(lambda: send().status == 200, 60)
        wait_for(lambda: dray.metric("dray_ingest_pressure", reason="queue_depth") == 0, 10)
    ledger.settle()
    assert dray.log.records("backpressure_on", reason="queue_depth") and dray.log.records("backpressure_off")


def test_a_redis_that_fills(make_dray, make_redis, sink, ledger):
    redis = make_redis(maxmemory="16mb", maxmemory_policy="noeviction", appendonly="yes")
    dray = make_dray(conf={"redis": {"mode": "standalone", "url": redis.url}, "queue": {"keep_completed": {"count": 5}}, "spool": {"enabled": False},
                           "ingest": {"backpressure": {"redis_memory": 0.5}}})
    sink.down()
    refused = None
    with dray.client() as c:
        for i in range(400):
            events = list(make_events(40, 5, "fill%d" % i, 2000))
            ledger.tried.update(e["messageId"] for e in events)
            answer = c.post("/v1/batch", batch_body(events))
            if answer.status != 200:
                refused = answer
                break
            ledger.ack([e["messageId"] for e in events])
            time.sleep(0.05)
        sent_away(refused, 429)
        assert refused.body == b"the store is nearly full\n"
        assert dray.metric("dray_redis_errors_total", reason="OOM") == 0, "long before Redis refuses"
        sink.up()
        again = list(make_events(1, 1, "again", 0))
        ledger.tried.update(e["messageId"] for e in again)
        wait_for(lambda: c.post("/v1/batch", batch_body(again)).status == 200, 60)
        ledger.ack([e["messageId"] for e in again])
    ledger.settle()


@pytest.mark.release
def test_memory_is_bounded(make_dray, sink, ledger):
    """2,000 connections that send a byte now and then, and giant bodies at once: the process stays within its memory, and who
    behaves is served or told to come again."""
    limit = 32 << 20
    dray = make_dray(conf={"ingest": {"memory": limit, "limits": {"body_timeout": "3s", "header_timeout": "3s"}}})
    pid = dray.pid_of("ingest")
    before = rss(pid)
    host, port = dray.ingest.split(":")
    key = base64.b64encode((dray.key + ":").encode()).decode()
    head = "POST /v1/batch HTTP/1.1\r\nHost: x\r\nAuthorization: Basic %s\r\nContent-Length: 4000000\r\n\r\n" % key
    slow = []
    for i in range(2000):
        s = socket.create_connection((host, int(port)), 20)
        s.sendall(head[:60 + i % 60].encode() if i % 2 else head.encode() + b"{" * 2000)
        slow.append(s)
    ending, statuses, most = threading.Event(), [], [0]

    def giant():
        while not ending.is_set():
            try:
                with socket.create_connection((host, int(port)), 20) as s:
                    s.sendall(head.encode())
                    piece = b'{"batch":[' + b" " * 60000
                    for _ in range(66):
                        s.sendall(piece)
                    statuses.append(s.recv(4096)[9:12])
            except OSError:
                statuses.append(None)
    giants = [threading.Thread(target=giant, daemon=True) for _ in range(24)]
    for t in giants:
        t.start()
    served = 0
    until = time.monotonic() + 6
    with dray.client(timeout=20) as c:
        while time.monotonic() < until:
            try:
                answer = c.post("/v1/batch", batch_body(list(make_events(1, 1, "good%d" % served, 0))))
                assert answer.status in (200, 408, 503)
                served += answer.status == 200
            except OSError:
                pass
            most[0] = max(most[0], rss(pid))
            time.sleep(0.02)
    ending.set()
    for t in giants:
        t.join(30)
    for s in slow:
        s.close()
    print("figure: RSS %d MiB before, %d MiB at most; %d served meanwhile; %d giants" % (
        before >> 20, most[0] >> 20, served, len(statuses)))
    assert most[0] - before < 2 * limit, "memory is bounded by ingest.memory"
    assert dray.pid_of("ingest") == pid
    with dray.client() as c:
        wait_for(lambda: c.post("/v1/batch", batch_body(list(make_events(1, 1, "end", 0)))).status == 200, 20)
