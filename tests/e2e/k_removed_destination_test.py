"""A destination is taken out of the configuration under load: what was accepted for it stands in Redis, nobody waits."""
from lib.client import Load
from lib.wait import wait_for


def test_a_destination_is_removed_under_load(make_dray, make_sink, sink, ledger):
    other = make_sink()
    both = [{"id": "sink", "url": sink.url}, {"id": "other", "url": other.url}]
    dray = make_dray(conf={"destinations": both})
    load = Load(dray, ledger, clients=8, batch=5).start()
    wait_for(lambda: len(ledger.acked) > 300, 30)
    dray.write_config(dict(dray.conf, destinations=both[:1]))
    assert dray.cli("reload").returncode == 0
    wait_for(lambda: dray.log.records("replaced"), 30)
    drained = wait_for(lambda: dray.log.records("ingest_drained"), 20)
    count = len(ledger.acked)
    wait_for(lambda: len(ledger.acked) > count + 100, 10)
    load.stop()
    ledger.settle(20)
    ledger.check(dray)
    assert drained[0]["batches_left"] == "0"
