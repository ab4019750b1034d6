"""A Redis that dray does not run itself (redis.mode: standalone): over TCP and unix socket, with password, ACL user, own
database; what is not fit for use is refused in one clear line, without a restart, until it is."""
import pytest

from lib.client import Load
from lib.outcome import pids, wait_settled
from lib.wait import stays, wait_for


def outside(url, **keys):
    return {"redis": {"mode": "standalone", "url": url, "reconnect": {"max": "300ms"}, **keys}}


def works(dray, sink, ledger, events=200):
    Load(dray, ledger, events=events, clients=4, seed="works-%d" % len(ledger.acked)).start().join()
    ledger.settle()
    wait_settled(dray)
    assert ledger.duplicates() == {} and dray.queue_counts()["completed"] > 0
    assert not [p for p in dray.processes() if p["kind"] == "program"], "no Redis of its own"


def test_tcp(make_dray, make_redis, sink, ledger):
    server = make_redis(port=True)
    dray = make_dray(conf=outside(server.tcp_url))
    works(dray, sink, ledger)
    assert not dray.log.records(level="warn")
    assert dray.metric("dray_redis_unsafe") == 0


def test_queue_ls_by_the_socket_alone(make_dray, make_redis, sink, ledger):
    """Without the file the instance itself tells where its Redis is."""
    dray = make_dray(conf=outside(make_redis(requirepass="secret").url, password="secret"))
    works(dray, sink, ledger)
    answer = dray.run_verb("queue", "-s", dray.control_path, "ls", "-o", "json")
    assert answer.returncode == 0 and '"sink"' in answer.stdout, answer.stderr


def test_host_name(make_dray, make_redis, sink, ledger):
    server = make_redis(port=True, host="127.0.0.1")
    works(make_dray(conf=outside("redis://localhost:%d" % server.port)), sink, ledger)


def test_password_in_the_url(make_dray, make_redis, sink, ledger):
    server = make_redis(port=True, requirepass="p@ss:w/rd")
    dray = make_dray(conf=outside("redis://:p%%40ss%%3Aw%%2Frd@127.0.0.1:%d/0" % server.port))
    works(dray, sink, ledger)
    everything = dray.log.text() + dray.cli("status", "-o", "json").stdout
    assert "p@ss" not in everything and "p%40ss" not in everything, "the password is told to nobody"


def test_password_as_a_key(make_dray, make_redis, sink, ledger):
    server = make_redis(port=True, requirepass="secret-word")
    dray = make_dray(conf=outside(server.tcp_url, password="${env:REDIS_PASSWORD}"), start=False,
                     env={"REDIS_PASSWORD": "secret-word"})
    dray.start()
    dray.conf["redis"]["password"] = "secret-word"  # for the test's own client
    works(dray, sink, ledger)
    for p in dray.processes():
        with open("/proc/%d/cmdline" % p["pid"], "rb") as f:
            assert b"secret-word" not in f.read()
    assert "secret-word" not in dray.log.text()


def test_acl_user_and_database(make_dray, make_redis, sink, ledger):
    """A user with no more rights than needed: its own keys, no dangerous commands but those that are used."""
    server = make_redis(port=True)
    server.client().execute_command(
        "ACL", "SETUSER", "dray", "on", ">pw", "~{dray}:*", "&*", "+@all", "-@admin", "-@dangerous", "+info",
        "+client|id", "+client|setname", "+client|kill", "+client|list")
    dray = make_dray(conf=outside("redis://127.0.0.1:%d/3" % server.port, username="dray", password="pw"))
    works(dray, sink, ledger)
    assert server.client(db=0).dbsize() == 0 and server.client(db=3).dbsize() > 0
    old = dray.kill("delivery", 0)
    dray.wait_replaced("delivery", 0, old)
    works(dray, sink, ledger)
    assert not dray.log.records("redis_down", kind="delivery", slot="1")


def test_unix_socket_and_database(make_dray, make_redis, sink, ledger):
    server = make_redis()
    dray = make_dray(conf=outside("unix://%s?db=5" % server.socket))
    works(dray, sink, ledger)
    assert server.client(db=0).dbsize() == 0 and server.client(db=5).dbsize() > 0
    told = dray.cli("queue", "ls")
    assert told.returncode == 0 and "sink" in told.stdout


def unfit(make_dray, server, conf, words, make_fit, sink, ledger):
    """Never used, never restarted for; one clear line; taken into use once it is fit."""
    dray = make_dray(conf=conf, start=False)
    dray.expect("redis_unfit")
    dray.start(wait=False)
    crit = wait_for(lambda: dray.log.records("redis_unfit", level="crit"), 15)
    assert all(w in crit[0]["why"] for w in words), crit[0]
    wait_for(lambda: dray.processes("ingest", "up"), 15)
    before = pids(dray)
    assert dray.get("/livez").status == 200 and dray.get("/readyz").status == 503
    assert dray.metric("dray_redis_connected", role="delivery") == 0
    stays(lambda: pids(dray) == before, 1.5, "nobody is restarted for it")
    assert len(dray.log.records("redis_unfit", level="crit")) <= len(dray.processes("delivery")), "told once each"
    assert server.dbsize() == 0, "nothing was put into it"
    make_fit()
    wait_for(lambda: dray.get("/readyz").status == 200, 4, "taken into use")
    works(dray, sink, ledger)
    assert pids(dray) == before


def test_an_evicting_redis(make_dray, make_redis, sink, ledger):
    server = make_redis(maxmemory="64mb", maxmemory_policy="allkeys-lru")
    r = server.client()
    unfit(make_dray, r, outside(server.url), ("maxmemory-policy", "allkeys-lru", "noeviction"),
          lambda: r.config_set("maxmemory-policy", "noeviction"), sink, ledger)


def test_a_wrong_password(make_dray, make_redis, sink, ledger):
    server = make_redis(requirepass="right")
    r = server.client()
    unfit(make_dray, r, outside(server.url, password="wrong"), ("user or password",),
          lambda: r.config_set("requirepass", "wrong"), sink, ledger)


def test_no_password(make_dray, make_redis, sink, ledger):
    server = make_redis(requirepass="right")
    r = server.client()
    unfit(make_dray, r, outside(server.url), ("NOAUTH",), lambda: r.config_set("requirepass", ""), sink, ledger)


def test_a_replica(make_dray, make_redis, sink, ledger):
    server = make_redis()
    r = server.client()
    r.replicaof("127.0.0.1", "1")
    unfit(make_dray, r, outside(server.url), ("replica", "master"), lambda: r.replicaof("NO", "ONE"), sink, ledger)


@pytest.mark.parametrize("save", ["", "3600 1"])
def test_without_aof(make_dray, make_redis, sink, ledger, save):
    """Used, and warned of: snapshots alone lose what came since the last one."""
    server = make_redis(appendonly="no", save=save)
    dray = make_dray(conf=outside(server.url))
    works(dray, sink, ledger)
    warned = dray.log.records("redis_without_aof", level="warn")
    assert len(warned) == 1 and "appendonly" in warned[0]["remedy"]
    wait_for(lambda: dray.metric("dray_redis_unsafe", check="aof") == 1, 5)
