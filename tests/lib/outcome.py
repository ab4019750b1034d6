"""What a destination and a queue must look like when everything went well."""
import json

from lib import jobs
from lib.events import event_text, raw_elements
from lib.wait import wait_for


def members(text):
    """The text between the braces of a JSON object."""
    text = text.strip()
    assert text[0] == "{" and text[-1] == "}"
    return text[1:-1]


def assert_unchanged(sink, sent):
    """Each sent event came once, its bytes as they were sent; only members were added around them."""
    wanted = {e["messageId"]: members(event_text(e)) for e in sent}
    for request in sink.taken():
        for raw in raw_elements(request.body.decode()):
            event = json.loads(raw, strict=False)
            assert wanted.pop(event["messageId"]) in raw, "changed: %s" % raw
            assert event["receivedAt"]
    assert not wanted


def wait_settled(dray, queue="sink", seconds=10):
    """Nothing waits, is in hand or delayed; no lock is held."""
    def settled():
        c = dray.queue_counts(queue)
        assert c["wait"] == c["active"] == c["delayed"] == c["paused"] == 0, c
        return jobs.locks(dray.redis(), queue, dray.prefix) == []
    wait_for(settled, seconds, "the queue is empty, no lock is held")


def pids(dray):
    """{(kind, slot): pid}"""
    return {(p["kind"], p["slot"]): p["pid"] for p in dray.processes()}
