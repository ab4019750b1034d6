"""Mode and number of partitions stand in Redis: who is configured otherwise does not start, and they change only when
nothing waits and nobody works."""
from lib.order import OrderedLoad, inversions
from lib.wait import wait_for


def conf(url, partitions, **redis):
    return {"queue": {"ordering": "key", "partitions": partitions} if partitions else {},
            "redis": {"mode": "standalone", "url": url, "managed": None, **redis}}


def repartition(dray):
    answer = dray.cli("queue", "repartition", "sink")
    return answer.returncode, answer.stdout + answer.stderr


def test_the_number_of_partitions_changes_only_at_rest(make_dray, make_redis, sink, ledger):
    server = make_redis(port=True)
    r = server.client()
    old = make_dray(conf=conf(server.tcp_url, 4))
    OrderedLoad(lambda: [old], ledger, 100, users=20, clients=2).start().join()
    ledger.settle(30)
    new = make_dray(conf=conf(server.tcp_url, 2), start=False)

    # who is configured otherwise says so and works on nothing
    new.expect("queue_protocol", "slot_failed")
    new.expect_exit(78)
    new.start(wait=False)
    crit = wait_for(lambda: new.log.records("queue_protocol"), 20)[0]
    assert "2 partitions" in crit["why"] and "key with 4" in crit["why"] and "repartition sink" in crit["why"]
    assert new.wait_exit() == 78
    assert r.get("{dray}:sink:dray:proto") == b"1,key,4"

    code, said = repartition(new)
    assert code == 75 and "delivery processes are connected" in said
    r.execute_command("ACL", "SETUSER", "blind", "on", ">pw", "~*", "&*", "+@all", "-client|list")
    blind = make_dray(conf=conf(server.tcp_url, 2, username="blind", password="pw"), start=False)
    code, said = repartition(blind)
    assert code != 0 and "CLIENT LIST" in said, "who cannot see whether somebody works must not change anything: " + said
    assert r.get("{dray}:sink:dray:proto") == b"1,key,4"

    assert old.stop() == 0
    r.hset("{dray:sink:3}:sink:left", mapping={"data": "{}", "opts": "{}"})
    r.lpush("{dray:sink:3}:sink:wait", "left")
    code, said = repartition(new)
    assert code == 75 and "it holds 1 jobs" in said
    r.delete("{dray:sink:3}:sink:wait", "{dray:sink:3}:sink:left")
    assert repartition(new)[0] == 0
    assert r.get("{dray}:sink:dray:proto") == b"1,key,2"

    third = make_dray(conf=conf(server.tcp_url, 2))
    load = OrderedLoad(lambda: [third], ledger, 100, users=20, clients=2, seed="later").start().join()
    ledger.settle(30)
    sink.requests[:] = [q for q in sink.requests if all(i in load.sent for i in q.ids())]
    assert inversions(sink, load) == []
