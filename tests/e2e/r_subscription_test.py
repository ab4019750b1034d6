"""A channel of Redis as a source of events: what is published there goes the way of a request."""
import json

from lib import quarantine
from lib.events import event_text, make_events
from lib.wait import wait_for

HEAR = {"subscriptions": [{"id": "bus", "source": "web", "channel": "events"}]}


def listeners(redis, channel="events"):
    return dict(redis.pubsub_numsub(channel)).get(channel.encode(), 0)


def test_published_events_are_delivered(make_dray, sink, ledger):
    dray = make_dray(conf={"subscriptions": [{"id": "bus", "source": "web", "channel": "events"},
                                             {"id": "all", "source": "web", "pattern": "shop:*"}]})
    redis = dray.redis()
    wait_for(lambda: listeners(redis) == 1 and redis.pubsub_numpat() == 1, 10)
    one, two, three, four, five, six = list(make_events(6, seed="bus"))
    redis.publish("events", event_text(one))
    redis.publish("events", "[%s,%s]" % (event_text(two), event_text(three)))
    redis.publish("events", '{"batch":[%s], "sentAt": "x"}' % event_text(four))
    redis.publish("shop:7", event_text(five))
    redis.publish("elsewhere", event_text(six))
    redis.publish("events", "[]")
    redis.publish("events", '{"batch":')
    redis.publish("events", "17")
    wanted = {e["messageId"] for e in (one, two, three, four, five)}
    sink.wait_ids(wanted, 10)
    wait_for(lambda: len(quarantine.read(dray.quarantine_dir)) == 2, 10, "what is no event is kept")
    assert {json.loads(r.data) for r in quarantine.read(dray.quarantine_dir)} == {'{"batch":', "17"}
    assert sink.seen_ids() == wanted
    wait_for(lambda: dray.metric("dray_subscription_messages_total", outcome="taken") == 7, 5)
    assert dray.metric("dray_ingest_events_total", source="web", outcome="accepted") == 5
    ledger.checked = True


def test_reconnects_and_waits_for_intake(make_dray, make_redis, sink, ledger):
    """The Redis of the channel is another one; it goes and comes. Intake goes and comes: what was heard is not lost."""
    bus = make_redis(port=True)
    dray = make_dray(conf={"subscriptions": [{**HEAR["subscriptions"][0], "url": bus.tcp_url}]})
    wait_for(lambda: listeners(bus.client()) == 1, 10)
    bus.kill()
    bus.start()
    wait_for(lambda: listeners(bus.client()) == 1, 15)
    old = dray.kill("ingest")
    events = list(make_events(30, seed="meanwhile"))
    for e in events:
        bus.client().publish("events", event_text(e))
    dray.wait_replaced("ingest", 0, old)
    sink.wait_ids({e["messageId"] for e in events}, 20)
    ledger.checked = True


def test_one_of_the_fleet_listens(make_dray, make_redis, sink, ledger):
    redis = make_redis()
    conf = {**HEAR, "redis": {"mode": "standalone", "url": redis.url, "managed": None}}
    first = make_dray(conf=conf, name="first")
    wait_for(lambda: listeners(redis.client()) == 1, 10)
    second = make_dray(conf=conf, name="second")
    wait_for(lambda: second.metric("dray_redis_connected", role="delivery") > 0, 10)
    events = list(make_events(20, seed="fleet"))
    for e in events[:10]:
        assert redis.client().publish("events", event_text(e)) == 1
    sink.wait_ids({e["messageId"] for e in events[:10]}, 10)
    assert first.stop() == 0
    wait_for(lambda: listeners(redis.client()) == 1, 15, "the other takes over")
    for e in events[10:]:
        assert redis.client().publish("events", event_text(e)) == 1
    sink.wait_ids({e["messageId"] for e in events}, 10)
    assert len(sink.ids()) == 20, "each was taken once"
    ledger.checked = True


def test_without_redis_of_its_own(make_dray, make_redis, sink, ledger):
    bus = make_redis()
    dray = make_dray(conf={"redis": {"mode": "none", "managed": None},
                           "subscriptions": [{**HEAR["subscriptions"][0], "url": bus.url}]})
    wait_for(lambda: listeners(bus.client()) == 1, 10)
    event = next(make_events(1, seed="none"))
    bus.client().publish("events", event_text(event))
    sink.wait_ids({event["messageId"]}, 10)
    assert dray.stop() == 0
    ledger.checked = True


def test_faults_of_the_configuration(make_dray, sink):
    dray = make_dray(conf={"subscriptions": [{"id": "a", "source": "nobody"},
                                             {"id": "a", "source": "web", "channel": "x", "pattern": "y"}]}, start=False)
    r = dray.cli("check")
    assert r.returncode == 78
    for text in ("subscriptions[a].source: there is no source", "subscriptions[a].channel: must be given",
                 "another subscription has the same id", "exclude each other"):
        assert text in r.stderr, r.stderr
