"""A destination that asks for a client certificate, through the whole of dray, confined as in service: the files are the
master's, a reload renews them, and dray check speaks of them."""
import os
import shutil

from lib.certs import Authority
from lib.wait import wait_for
from lib.wire import TlsSink


def event(n):
    return {"userId": "u", "event": "E", "messageId": "m-%d" % n}


def test_a_reload_renews_the_client_certificate(make_dray, tmp_path, ledger):
    ca, others = Authority(tmp_path), Authority(tmp_path, "others")
    cert, key = tmp_path / "client.pem", tmp_path / "client.key"

    def put(authority, name):
        made = authority.issue(name, "client.example")
        shutil.copy(made[0], cert)
        shutil.copy(made[1], key)
        os.chmod(key, 0o600)
    put(ca, "first")
    with TlsSink(*ca.issue("server", "127.0.0.1"), client_ca=ca.cert) as s:
        dray = make_dray(conf={"destinations": [{
            "id": "sink", "url": "https://127.0.0.1:%d/in" % s.port, "payload": "event", "headers": {"X-Secret": "hush"},
            "tls": {"ca": ca.cert, "cert": str(cert), "key": str(key)}}]})
        client = dray.client()
        assert client.post("/v1/track", event(1)).status == 200
        wait_for(lambda: len(s.requests) == 1, 10)
        assert s.requests[0][2] == "first" and "X-Secret: hush" in s.requests[0][0]
        put(ca, "second")
        assert dray.cli("reload", seconds=60).returncode == 0
        assert client.post("/v1/track", event(2)).status == 200
        wait_for(lambda: len(s.requests) == 2, 20)
        assert s.requests[1][2] == "second"
        put(others, "stranger")
        shutil.copy(ca.issue("third", "x")[1], key)
        refused = dray.cli("reload", seconds=60)
        assert refused.returncode != 0 and "is not the key of the first certificate" in refused.stdout + refused.stderr
        shown = dray.cli("check", "-o", "json")
        assert "PRIVATE" not in shown.stdout + shown.stderr and "hush" not in shown.stdout + shown.stderr
        assert not dray.log.records("syscall_denied")
        dray.stop()
