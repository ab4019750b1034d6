"""dray quarantine: what could not be taken is looked at, released, saved, removed; beside a running dray and without one."""
import json

import pytest

from lib.wait import wait_for


def good(i):
    return {"type": "track", "event": "e", "userId": "u", "messageId": "good-%d" % i}


def nobody(i):
    return {"type": "track", "event": "e", "messageId": "nobody-%d" % i}


def fill(dray, ledger, n=1):
    """n times a request with a good event and five bad ones."""
    with dray.client() as c:
        for i in range(n):
            body = '{"batch":[%s,null,%s,{"userId":"u","x":"%s"},"\\u0007",[1]]}' % (
                json.dumps(good(i)), json.dumps(nobody(i)), "b" * 33000)
            answer = c.post("/v1/batch", body)
            assert answer.status == 200 and b"1 taken, 5 quarantined" in answer.body, answer
            ledger.ack(["good-%d" % i])
    ledger.settle()


def ls(dray, *words):
    r = dray.cli("quarantine", "ls", *words, "-o", "json")
    assert r.returncode == 0, r.stderr
    return json.loads(r.stdout)


def verb(dray, *words, code=0):
    r = dray.cli("quarantine", *words)
    assert r.returncode == code, (r.returncode, r.stdout, r.stderr)
    return r


def test_look(dray, sink, ledger):
    fill(dray, ledger)
    rows = ls(dray)
    assert [r["reason"] for r in rows] == ["not_object", "no_user", "too_big", "not_object", "not_object"]
    assert {r["source"] for r in rows} == {"web"} or len({r["source"] for r in rows}) == 1
    assert ls(dray, "--reason", "no_user") == [rows[1]] and ls(dray, "--source", "nobody") == []
    assert len(ls(dray, "--limit", "2")) == 2 and len(ls(dray, "--since", "1h")) == 5
    shown = verb(dray, "show", rows[1]["place"]).stdout
    assert json.dumps(nobody(0)) in shown and "neither has anonymousId nor userId" in shown
    assert verb(dray, "show", rows[2]["place"], "--raw").stdout == '{"userId":"u","x":"%s"}' % ("b" * 33000)
    assert json.loads(verb(dray, "show", rows[0]["place"], "-o", "json").stdout)["text"] == "null"
    assert "PLACE" in verb(dray, "ls").stdout
    verb(dray, "show", "ingest.0/00000001/7", code=1)
    verb(dray, "show", "nonsense", code=64)
    verb(dray, "rm", code=64)
    for reason, n in (("not_object", 3), ("no_user", 1), ("too_big", 1)):
        wait_for(lambda: dray.metric("dray_quarantine_records_total", reason=reason) == n, 5, "they are counted")


def test_remove_beside_the_writer(dray, sink, ledger):
    fill(dray, ledger)
    rows = ls(dray)
    assert "2 records" not in verb(dray, "rm", "--reason", "too_big", "--dry-run").stdout
    verb(dray, "rm", "--reason", "too_big", code=1)  # nobody is there to ask
    assert len(ls(dray)) == 5
    assert "removed 1 record" in verb(dray, "rm", "--reason", "too_big", "-y").stdout
    verb(dray, "rm", rows[0]["place"], "-y")
    assert [r["place"] for r in ls(dray)] == [r["place"] for r in rows if r not in (rows[0], rows[2])]
    fill(dray, ledger, 2)  # the writer goes on behind them
    assert len(ls(dray)) == 13
    answer = json.loads(verb(dray, "rm", "--all", "--yes", "-o", "json").stdout)
    assert answer["records"] == 13 and ls(dray) == []
    old = dray.kill("ingest", 0)
    dray.wait_replaced("ingest", 0, old)
    fill(dray, ledger, 1)
    assert len(ls(dray)) == 5, "what is removed stays so when the writer starts again"


def test_release(make_dray, sink, ledger):
    dray = make_dray()
    fill(dray, ledger, 2)
    dray.write_config({"ingest": {"limits": {"event": "64KiB"}}})
    assert dray.cli("reload").returncode == 0
    r = verb(dray, "release", "--reason", "too_big", "-y")
    assert "released 2 records" in r.stdout
    wait_for(lambda: sum("x" in e for e in sink.events()) == 2, 10, "they are delivered now")
    assert ls(dray, "--reason", "too_big") == []
    r = verb(dray, "release", "--reason", "no_user", "-y", code=1)
    assert "stay" in r.stdout and "neither has anonymousId" in r.stderr
    assert len(ls(dray)) == 8
    ledger.tried.update(i for i in sink.ids())


def test_save_and_without_a_running_dray(dray, sink, ledger, tmp_path):
    fill(dray, ledger)
    assert dray.stop() == 0
    assert len(ls(dray)) == 5
    r = verb(dray, "release", "--all", "-y", code=4)
    assert len(ls(dray)) == 5, "nobody took them: %r" % r.stderr
    out = tmp_path / "aside.jsonl"
    assert "saved 5" in verb(dray, "release", "--all", "--to", str(out), "-y").stdout
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [x["text"] for x in lines][:2] == ["null", json.dumps(nobody(0))] and ls(dray) == []
    assert list((out.parent).iterdir()) == [out]
