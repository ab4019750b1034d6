"""Requests of real SDKs, recorded from their npm packages (fixtures/sdk-http), replayed header for header."""
import glob
import gzip
import json
import os

import pytest

from lib.client import Client

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fixtures", "sdk-http")
FILES = sorted(os.path.basename(p)[:-len(".jsonl")] for p in glob.glob(os.path.join(FOLDER, "*.jsonl")))
NOT_REPLAYED = ("host", "content-length", "connection", "transfer-encoding")


def requests(name):
    with open(os.path.join(FOLDER, name + ".jsonl"), encoding="utf-8") as f:
        return [json.loads(line) for line in f]


@pytest.fixture
def instance(make_dray, sink):
    return make_dray(conf={"sources": [{"id": "sdk", "write_key": "WRITEKEY123"}]})


def assert_holds(event, sent, where):
    """Every field as sent (the write key apart); what was added stands beside it."""
    for name, value in sent.items():
        assert event.get(name) == value, "%s: %s differs" % (where, name)


def test_every_recorded_sdk(instance, sink, ledger):
    assert len(FILES) >= 10
    sent = {}
    for name in FILES:
        with Client(instance.ingest, key=None) as c:
            for r in requests(name):
                body = r["body"].encode()
                headers = {k: v for k, v in r["headers"].items() if k.lower() not in NOT_REPLAYED}
                if headers.get("Content-Encoding") == "gzip":
                    body = gzip.compress(body)
                answer = c.request(r["method"], r["path"], body, headers)
                assert answer.status == 200, "%s: %r" % (name, answer)
                for event in json.loads(r["body"])["batch"]:
                    sent[event["messageId"]] = (name, event)
                    ledger.ack([event["messageId"]])
    ledger.settle()
    assert ledger.duplicates() == {}
    for event in sink.events():
        name, original = sent.pop(event["messageId"])
        assert_holds(event, original, name)
        assert event["receivedAt"]
    assert not sent
    assert all(b"WRITEKEY123" not in r.body for r in sink.requests)
