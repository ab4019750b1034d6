"""What people get wrong: one clear line each, with the place and what to do, and the documented exit code."""
import os
import re
import shutil
import socket
import stat

import pytest

from lib.logs import parse_line
from lib.wait import wait_for


def said(result):
    """The first line on stderr; everything is shown when an assertion fails."""
    print(result.stderr)
    assert result.stdout == ""
    return result.stderr.splitlines()[0]


def critical(result):
    """The critical lines of the log."""
    print(result.stderr)
    return [r for r in map(parse_line, (line for line in result.stderr.splitlines() if line.startswith("ts=")))
            if r["level"] == "crit"]


@pytest.mark.parametrize("verb", ["run", "check"])
def test_unknown_key(make_dray, verb):
    dray = make_dray(start=False)
    with open(dray.config_path, "a") as f:
        f.write("deliverry:\n  concurrency: 1\n")
    line = len(open(dray.config_path).read().splitlines()) - 1
    result = dray.cli(verb)
    assert result.returncode == 78
    first = said(result)
    assert "%s:%d:1" % (dray.config_path, line) in first and "deliverry" in first
    assert "delivery" in result.stderr.replace("deliverry", ""), "did you mean"


@pytest.mark.parametrize("verb", ["run", "check"])
@pytest.mark.parametrize("text, column", [
    ("sources: [{ id: web, write_key: k }\n", None),   # never closed
    ("node:\n\tname: x\n", None),                      # a tab
    ("node: &a { name: x }\n", 1),                     # anchors are not taken
    ("node:\n  name: a\n  name: b\n", 1),              # twice the same key
], ids=["open", "tab", "anchor", "twice"])
def test_bad_yaml(make_dray, verb, text, column):
    dray = make_dray(start=False)
    with open(dray.config_path, "w") as f:
        f.write(text)
    result = dray.cli(verb)
    assert result.returncode == 78
    assert re.search(re.escape(dray.config_path) + r":\d+:\d+", said(result))


def test_wrong_value(make_dray):
    dray = make_dray(conf={"delivery": {"timeout": "fast"}}, start=False)
    result = dray.cli("run")
    assert result.returncode == 78
    assert re.search(re.escape(dray.config_path) + r":\d+:\d+: .*timeout", said(result))


def test_port_in_use(make_dray):
    dray = make_dray(start=False)
    host, port = dray.ingest.split(":")
    with socket.create_server((host, int(port))):
        result = dray.cli("run")
    assert result.returncode == 77
    lines = critical(result)
    assert len(lines) == 1 and lines[0]["event"] == "listen_failed"
    assert lines[0]["key"] == "ingest.listeners" and lines[0]["address"] == dray.ingest and lines[0]["remedy"]


def test_no_redis_server(make_dray):
    dray = make_dray(conf={"redis": {"managed": {"binary": "no-such-redis-server"}}}, start=False)
    result = dray.cli("run")
    assert result.returncode == 127
    lines = critical(result)
    assert any("no-such-redis-server" in str(r) for r in lines)
    assert any(r.get("remedy") for r in lines)


@pytest.mark.expects("redis_unfit")
def test_a_redis_that_begins_to_evict(make_dray, make_redis, sink):
    """Once dray runs it is waited for, like one that is away, by new processes too."""
    server = make_redis()
    dray = make_dray(conf={"redis": {"mode": "standalone", "url": server.url}})
    server.client().config_set("maxmemory-policy", "allkeys-lru")
    for number in (0, 1):
        dray.kill("delivery", number)
    wait_for(lambda: dray.get("/readyz").status == 503 and len(dray.log.records("redis_unfit")) == 2, 10)
    wait_for(lambda: dray.status()["alarms"], 10)
    page = dray.cli("status")
    assert page.returncode == 0 and "alarm: redis: " in page.stdout
    assert [c for c in dray.get("/readyz?verbose").json()["checks"] if c["name"] == "redis"][0]["ok"] is False
    server.client().config_set("maxmemory-policy", "noeviction")
    wait_for(lambda: dray.get("/readyz").status == 200, 30)
    wait_for(lambda: dray.status()["alarms"] == [], 30)
    with dray.client() as c:
        assert c.post("/v1/track", {"userId": "u", "event": "E", "messageId": "m1"}).status == 200
    wait_for(lambda: "m1" in sink.ids(), 10)


def as_nobody(dray):
    """Gives the instance's folder to nobody and puts the program where nobody can reach it."""
    shutil.copy(dray.binary, os.path.join(dray.dir, "dray"))
    dray.binary = os.path.join(dray.dir, "dray")
    for path in (dray.dir, dray.config_path):
        shutil.chown(path, "nobody", "nogroup")
    os.chmod(dray.dir, 0o755)


def test_unreadable_secret_as_an_ordinary_user(make_dray):
    dray = make_dray(start=False)
    secret = os.path.join(dray.dir, "key")
    with open(secret, "w") as f:
        f.write("hush")
    os.chmod(secret, stat.S_IRUSR if os.geteuid() == 0 else 0)
    dray.write_config({"sources": [{"id": "web", "write_key": "${file:%s}" % secret}]})
    user = None
    if os.geteuid() == 0:
        as_nobody(dray)
        user = "nobody"
    result = dray.cli("run", user=user)
    assert result.returncode == 77
    first = said(result)
    assert re.search(re.escape(dray.config_path) + r":\d+:\d+", first) and secret in first
    assert "ermission" in result.stderr


def test_second_instance(dray):
    result = dray.cli("run")
    assert result.returncode == 75
    lines = critical(result)
    assert len(lines) == 1 and lines[0]["event"] == "already_running"
    assert lines[0]["remedy"]
    assert lines[0]["owner_pid"] == str(dray.pid) and "owner_pid=%d " % dray.pid in said(result)
    assert dray.get("/livez").status == 200, "the first is not disturbed"


def test_unknown_verb_and_option(make_dray):
    dray = make_dray(start=False)
    for words in (["rnu"], ["run", "--no-such-option"], ["status", "-o", "xml"], ["run", "one", "two"]):
        result = dray.run_verb(*words)
        assert result.returncode == 64, words
        assert result.stderr and result.stdout == ""


def test_nobody_is_there_to_ask(make_dray):
    dray = make_dray(start=False)
    result = dray.cli("status")
    assert result.returncode == 3, "LSB: not running"
    assert result.stderr.count("\n") == 1
