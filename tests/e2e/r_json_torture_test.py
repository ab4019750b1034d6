"""JSON torture: every body of lib/json_cases.py is answered as the table says; what is taken arrives byte by byte, what is
set aside stands in the quarantine byte by byte, and the process lives."""
import re

from lib import quarantine
from lib.json_cases import BODIES, EVENTS, INVALID, OK, VALID
from lib.wait import wait_for

CASES = len(VALID) + len(INVALID) + len(EVENTS) + len(BODIES)


def body_of(i, value):
    return b'{"batch":[{"userId":"u","messageId":"v-%d","p":%s}]}' % (i, value)


def arrived(sink):
    return b"".join(r.body for r in sink.taken())


def test_there_are_enough():
    assert CASES >= 300 and len(set(VALID)) == len(VALID) and len(set(INVALID)) == len(INVALID)
    print("figure: %d bodies: %d values right, %d wrong, %d events, %d whole" % (
        CASES, len(VALID), len(INVALID), len(EVENTS), len(BODIES)))


def test_values(dray, sink, ledger):
    pid = dray.pid_of("ingest")
    ledger.tried.add("inner")  # stands inside a value
    wrong = []
    with dray.client() as c:
        for i, value in enumerate(VALID):
            a = c.post("/v1/batch", body_of(i, value))
            if a.status != 200:
                wrong.append((value[:60], a))
            ledger.ack(["v-%d" % i])
        for value in INVALID:
            a = c.post("/v1/batch", body_of(9999, value))
            if a.status != 400 or a.body.strip() != b"invalid json":
                wrong.append((value[:60], a))
    assert not wrong, "%d of %d: %s" % (len(wrong), CASES, wrong[:20])
    wait_for(lambda: len({m for m in re.findall(rb'"messageId":"(v-\d+)"', arrived(sink))}) == len(VALID), 20)
    text = arrived(sink)
    for i, value in enumerate(VALID):
        assert b'"messageId":"v-%d","p":%s' % (i, value.rstrip(b" \t\r\n")) in text, "changed on its way: %r" % value[:60]
    assert b"v-9999" not in text and dray.pid_of("ingest") == pid
    assert quarantine.read(dray.quarantine_dir) == []
    wait_for(lambda: dray.metric("dray_ingest_events_total", outcome="accepted") == len(VALID), 5)


def test_events_and_bodies(dray, sink, ledger):
    wrong, reasons, taken = [], [], 0
    with dray.client() as c:
        for i, (event, expected) in enumerate(EVENTS):
            a = c.post("/v1/batch", '{"batch":[%s,{"userId":"u","messageId":"e-%d"}]}' % (event, i))
            ledger.ack(["e-%d" % i])
            taken += 2 if expected == OK else 1
            told = b"" if expected == OK else b"1 quarantined: " + expected.encode()
            if a.status != 200 or told not in a.body or (expected == OK and b"quarantined" in a.body):
                wrong.append((event[:60], expected, a))
            if expected != OK:
                reasons.append((expected, event.encode()))
        for i, (body, status, says) in enumerate(BODIES):
            a = c.post("/v1/batch", body.replace("%s", "b-%d" % i).encode())
            taken += status == 200
            if status == 200:
                ledger.ack(["b-%d" % i])
            if a.status != status or says.encode() not in a.body:
                wrong.append((body[:60], status, says, a))
    assert not wrong, wrong[:20]
    ledger.tried.update(sink.ids())
    assert [(r.reason, r.data) for r in quarantine.read(dray.quarantine_dir)] == reasons
    ledger.sinks and wait_for(lambda: sum(len(r.events()) for r in sink.taken()) == taken, 20, "all that was taken arrives")
    ledger.tried.update(sink.ids())
    wait_for(lambda: dray.metric("dray_ingest_events_total", outcome="accepted") == taken, 5)
    wait_for(lambda: dray.metric("dray_ingest_events_total", outcome="quarantined") == len(reasons), 5)
    for reason in {r for r, _ in reasons}:
        n = sum(r == reason for r, _ in reasons)
        wait_for(lambda: dray.metric("dray_quarantine_records_total", reason=reason) == n, 5)
