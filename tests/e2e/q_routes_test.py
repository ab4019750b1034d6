"""Routes with real destinations: each has a queue and a fate of its own, a reload sends events other ways, numbers tell it."""
import json
import threading
import time

from lib.events import make_events
from lib.wait import wait_for


def events(n, seed, **more):
    return [{**e, **more} for e in make_events(n, seed=seed)]


def ids(made):
    return {e["messageId"] for e in made}


def post(dray, made, size=20):
    with dray.client() as c:
        for at in range(0, len(made), size):
            assert c.batch(made[at:at + size]).status == 200


def test_each_destination_has_its_own_fate(make_dray, make_sink):
    """One hangs, one is down, one queue is paused: the fourth goes on, and every request is answered at once."""
    sinks = {name: make_sink() for name in ("good", "hangs", "down", "paused")}
    dray = make_dray(sink=sinks["good"], conf={
        "destinations": [{"id": name, "url": s.url} for name, s in sinks.items()],
        "master": {"processes": {"delivery": 1}},
        "queue": {"backoff": {"delay": "1s", "max": "1s", "jitter": 0}},
        "routes": [{"id": "all", "to": ["good", "hangs", "down"]}, {"id": "also", "match": {"type": "*"}, "to": ["paused"]}]})
    sinks["hangs"].behave(hang=True)
    sinks["down"].down()
    assert dray.cli("queue", "pause", "paused").returncode == 0
    sent = set()
    for seed in range(10):
        made = events(100, seed, type="track")
        before = time.monotonic()
        post(dray, made)
        sent |= ids(made)
        sinks["good"].wait_ids(sent, 10)
        assert time.monotonic() - before < 10
    assert sinks["paused"].ids() == {} and dray.queue_counts("paused")["paused"] > 0
    assert dray.cli("queue", "resume", "paused").returncode == 0
    sinks["paused"].wait_ids(sent, 20)
    sinks["down"].up()
    sinks["down"].wait_ids(sent, 30)
    sinks["hangs"].behave()
    sinks["hangs"].release()
    sinks["hangs"].wait_ids(sent, 30)
    for s in sinks.values():
        assert set(s.ids()) == sent
    assert dray.metric("dray_routed_events_total", route="all") == 3 * len(sent)
    assert dray.metric("dray_routed_events_total", dest="paused") == len(sent)
    assert [(r["route"], r["destination"], r["events"]) for r in dray.status()["routes"]] == [
        ("all", "good", len(sent)), ("all", "hangs", len(sent)), ("all", "down", len(sent)), ("also", "paused", len(sent))]
    assert dray.status()["ingest"]["unrouted_events"] == 0
    assert "ROUTE" in dray.cli("status").stdout


def test_reload_while_events_come(make_dray, make_sink, sink):
    """Events before the answer of the reload go the old way, after it the new one; none is lost between."""
    other = make_sink()
    rare = {"id": "rare", "match": {"event": "what nobody sends"}, "to": ["one", "two"]}
    old = [rare, {"id": "r", "match": {"where": "userId exists or anonymousId exists"}, "to": ["one"]}]
    dray = make_dray(conf={"destinations": [{"id": "one", "url": sink.url}, {"id": "two", "url": other.url}], "routes": old})
    pids = sorted(p["pid"] for p in dray.processes("ingest"))
    over, sent = threading.Event(), set()

    def load():
        seed = 100
        while not over.is_set():
            made = events(10, seed)
            seed += 1
            post(dray, made)
            sent.update(ids(made))

    t = threading.Thread(target=load)
    t.start()
    wait_for(lambda: len(sink.ids()) > 50, 20)
    dray.write_config({"destinations": [{"id": "one", "url": sink.url}, {"id": "two", "url": other.url}],
                       "routes": [rare, {"id": "r", "to": ["two"]}]})
    assert dray.cli("reload").returncode == 0
    after = events(40, 999)
    post(dray, after)
    wait_for(lambda: len(other.ids()) > 100, 20)
    over.set()
    t.join()
    wait_for(lambda: set(sink.ids()) | set(other.ids()) == sent | ids(after), 20)
    assert ids(after) <= set(other.ids()) and not ids(after) & set(sink.ids())
    assert not set(sink.ids()) & set(other.ids())
    assert sorted(p["pid"] for p in dray.processes("ingest")) == pids, "live: no process was replaced"


def test_check_and_route_tell(make_dray):
    dray = make_dray(start=False, conf={
        "destinations": [{"id": "a", "url": "http://127.0.0.1:9/"}, {"id": "b", "url": "http://127.0.0.1:9/"}],
        "routes": [{"id": "orders", "match": {"event": "Order *", "where": ["properties.amount gte 10"]}, "to": ["a"]},
                   {"id": "half", "sample": 0.5, "to": ["b"]}]})
    dray.write_config()
    said = dray.run_verb("check", "-c", dray.config_path)
    assert said.returncode == 0
    assert "route orders  every source, event Order *, where (properties.amount gte 10) -> a\n" in said.stdout
    assert "route half    every source, 50 % of users -> b\nunrouted: drop\n" in said.stdout
    text = "\n".join(json.dumps(e) for e in (
        {"userId": "u", "event": "Order x", "properties": {"amount": 10}},
        {"userId": "u", "event": "Order x", "properties": {"amount": 9}}, {"event": "Order x"}))
    told = dray.run_verb("route", "-c", dray.config_path, "-o", "json", input=text)
    assert told.returncode == 0, told
    first, second, third = json.loads(told.stdout)
    assert "a" in first["destinations"] and "a" not in second["destinations"] and third["fault"] == "no_user"
    assert [r["wants"] for r in first["routes"]][0] and not second["routes"][0]["wants"]
    assert second["routes"][0]["why"] == "match.where: properties.amount gte 10"
    plain = dray.run_verb("route", "-c", dray.config_path, input=text)
    assert '2: without type "Order x" of ' in plain.stdout and "match.where: properties.amount gte 10" in plain.stdout
    wrong = dray.run_verb("route", "-c", dray.config_path, input='{"a":1}\n{,}')
    assert wrong.returncode == 1 and "line 2: not JSON" in wrong.stderr
    assert dray.run_verb("route", "-c", dray.config_path, "--source", "nobody", input="").returncode == 64
    assert dray.run_verb("route", "-c", dray.config_path, "/nonexistent").returncode == 74
