"""F32: a batch at which the worker dies each time: after three deaths it is in the quarantine, its sender has a 2xx; everything
else flows on."""
import json
import threading

import pytest

from lib import quarantine
from lib.client import Load
from lib.events import batch_body, make_events
from lib.hooks import Hooks
from lib.wait import wait_for

POISON = "poison-7f3a"


def poison(n):
    """Three events, one of which no worker survives."""
    events = list(make_events(3, seed="poison-%d" % n))
    events[1].setdefault("context", {})["poison"] = POISON
    return events


def poisoned(dray):
    return [r for r in quarantine.read(dray.quarantine_dir) if r.reason == "poison"]


def ids_of(records):
    return {e["messageId"] for r in records for e in json.loads(r.data)["batch"]}


@pytest.mark.expects("batch_poison", "degraded")
@pytest.mark.parametrize("spool", [False, True], ids=["", "spool"])
@pytest.mark.parametrize("senders", [1, 3])
def test_three_deaths(make_dray, sink, ledger, senders, spool):
    """With a spool: while the only worker is dead it goes there, with the deaths it has seen, and the rest of them follow."""
    dray = make_dray(conf={"master": {"restart": {"min": "20ms", "max": "200ms"},
                                      "processes": {"spool": 1, "delivery": 1} if spool else {"spool": 0}},
                           "spool": {"after": "10ms"}, "ingest": {"ack_timeout": "30s"}}, start=False)
    hooks = Hooks(dray)
    dray.start()
    dray.fd_baseline()
    hooks.arm("batch_arrived", "abort", text=POISON, keep=True)
    load = Load(dray, ledger, clients=4, batch=10, pause=0.02).start()
    wait_for(lambda: len(ledger.acked) > 50, 20)
    answers = []

    def send(events):
        with dray.client(timeout=40) as c:
            answers.append(c.batch(events).status)
        ledger.ack(e["messageId"] for e in events)
    batches = [poison(n) for n in range(senders)]
    for events in batches:
        ledger.tried.update(e["messageId"] for e in events)
    threads = [threading.Thread(target=send, args=(events,), daemon=True) for events in batches]
    for t in threads:
        t.start()
    for t in threads:
        t.join(40)
    assert answers == [200] * senders, "it is in the quarantine: to send it again would help nobody"

    wanted = {e["messageId"] for events in batches for e in events if "poison" in e["context"]}
    if spool:  # its sender is answered when it is on disk
        wait_for(lambda: wanted <= ids_of(poisoned(dray)), 20, "the poison in the quarantine")
        wait_for(lambda: dray.status()["spool"]["batches"] == 0, 20, "an empty spool")
        assert dray.log.records("batch_poison", kind="spool"), "it was in the spool"
    records = poisoned(dray)
    ids = ids_of(records)
    assert wanted <= ids
    assert all(POISON.encode() in r.data for r in records), "a good batch was set aside"
    crits = dray.log.records("batch_poison")
    assert {r["batch"] for r in crits} == {r.head["id"] for r in records}
    assert all(r["deaths"] == "3" for r in crits)
    deaths = dray.log.records("child_died", child_kind="delivery", signal="SIGABRT")
    # Poison that travels together dies together: three deaths are enough for one, three each are the most.
    assert 3 <= len(deaths) <= 3 * senders
    if senders == 1:
        assert len(deaths) == 3 and len(records) == 1
    assert len(dray.log.records("child_died")) == len(deaths), "nobody else has died"

    count = len(ledger.acked)
    wait_for(lambda: len(ledger.acked) > count + 100, 20, "others flow")
    load.stop()
    dray.wait_all_up()
    sink.wait_ids(ledger.acked - ids, 20)
    assert ledger.check(dray)["quarantined"] == len(ids)
    assert not set(sink.ids()) & ids
    dray.check_fds()
