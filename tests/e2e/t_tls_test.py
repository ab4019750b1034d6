"""TLS at the door: python's ssl, curl and openssl as clients; renewal by reload; plain HTTP at the wrong port."""
import http.client
import os
import shutil
import socket
import ssl
import subprocess
import time

import pytest

from lib.certs import Authority
from lib.client import basic
from lib.events import batch_body, make_events
from lib.wait import wait_for


@pytest.fixture
def ca(tmp_path):
    return Authority(tmp_path)


def address_of(dray, port=8443):
    return dray.host, port


@pytest.fixture
def secure(make_dray, ca):
    """An instance with a TLS listener besides the plain one."""
    def make(start=True, processes=1, client_ca=None, **tls):
        host_cert = ca.issue("server", "localhost")
        dray = make_dray(start=False)
        keys = dict({"cert": host_cert[0], "key": host_cert[1]}, **tls)
        if client_ca:
            keys["client_ca"] = client_ca
        dray.write_config({"ingest": {"listeners": [{"id": "public", "address": dray.ingest},
                                                    {"id": "tls", "address": dray.host + ":8443", "tls": keys}]},
                           "master": {"processes": {"ingest": processes}}})
        if start:
            dray.start()
        return dray
    return make


def context(ca, version=None, client=None):
    c = ssl.create_default_context(cafile=ca.cert)
    c.set_alpn_protocols(["http/1.1"])
    if version:
        c.minimum_version = c.maximum_version = version
    if client:
        c.load_cert_chain(*client)
    return c


def connect(dray, c, session=None):
    raw = socket.create_connection(address_of(dray), 20)
    return c.wrap_socket(raw, server_hostname="localhost", session=session)


def ask(sock, text):
    sock.sendall(text.encode() if isinstance(text, str) else text)
    answer = b""
    while b"\r\n\r\n" not in answer:
        data = sock.recv(65536)
        if not data:
            break
        answer += data
    return answer


def handshakes(dray, result):
    return dray.metric("dray_ingest_tls_handshakes_total", listener="tls", result=result)


def post(dray, ca, events):
    connection = http.client.HTTPSConnection(*address_of(dray), timeout=20, context=context(ca))
    connection.sock = connect(dray, context(ca))
    connection.request("POST", "/v1/batch", batch_body(events), {"Authorization": basic(dray.key)})
    return connection.getresponse()


def test_events_over_tls(secure, ca, ledger):
    dray = secure()
    events = list(make_events(2000, 10, "tls", 200))
    ledger.tried.update(e["messageId"] for e in events)
    connection = http.client.HTTPSConnection(*address_of(dray), timeout=20)
    connection.sock = connect(dray, context(ca))
    assert connection.sock.selected_alpn_protocol() == "http/1.1"
    for i in range(0, 2000, 500):  # bodies of many records
        connection.request("POST", "/v1/batch", batch_body(events[i:i + 500]), {"Authorization": basic(dray.key)})
        assert connection.getresponse().read() == b"ok"
        ledger.ack([e["messageId"] for e in events[i:i + 500]])
    ledger.settle()
    # Requests that arrive in one record are answered one after the other, and so are those of one byte a record.
    with connect(dray, context(ca)) as s:
        s.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n" * 40)
        got = b""
        while got.count(b"HTTP/1.1 200") < 40:
            got += s.recv(65536)
        for byte in b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n":
            s.sendall(bytes([byte]))
        assert s.recv(65536).startswith(b"HTTP/1.1 200")
    wait_for(lambda: handshakes(dray, "full") == 2, 10)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_sessions_are_resumed(secure, ca, version):
    dray = secure()
    c = context(ca, version)
    first = connect(dray, c)
    assert b" 200 " in ask(first, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
    session = first.session
    first.close()
    second = connect(dray, c, session)
    assert second.session_reused and b" 200 " in ask(second, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
    session = second.session
    second.close()
    if version == ssl.TLSVersion.TLSv1_3:  # also by a process that has never seen it
        dray.wait_replaced("ingest", 0, dray.kill("ingest", 0))
        third = connect(dray, c, session)
        assert third.session_reused
        third.close()
    wait_for(lambda: handshakes(dray, "resumed") >= 1, 10)


def test_renewed_by_reload(secure, ca, tmp_path):
    cert, key = str(tmp_path / "live.pem"), str(tmp_path / "live.key")
    for source, path in zip(ca.issue("old", "localhost"), (cert, key)):
        shutil.copy(source, path)
    dray = secure(cert=cert, key=key)
    pid = dray.pid_of("ingest")
    before = connect(dray, context(ca))
    assert dict(x[0] for x in before.getpeercert()["subject"])["commonName"] == "old"
    # A key that does not fit changes nothing.
    shutil.copy(ca.issue("other", "localhost")[1], key)
    refused = dray.cli("reload")
    assert refused.returncode == 78 and "is not the key of the certificate" in refused.stderr + refused.stdout
    assert dict(x[0] for x in connect(dray, context(ca)).getpeercert()["subject"])["commonName"] == "old"
    for source, path in zip(ca.issue("new", "localhost"), (cert, key)):
        shutil.copy(source, path)
    assert dray.cli("reload").returncode == 0
    wait_for(lambda: dict(x[0] for x in connect(dray, context(ca)).getpeercert()["subject"])["commonName"] == "new", 10)
    assert b" 200 " in ask(before, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n"), "an open connection goes on"
    assert dray.pid_of("ingest") == pid, "without another process"
    with open(key) as f:
        secret = f.read().split("\n")[1]
    shown = dray.cli("check", "--print").stdout + open(dray.config_path).read()
    assert secret not in shown and secret not in open(dray.log.path).read()


def test_clients_with_certificates(secure, ca, tmp_path):
    clients = Authority(tmp_path, "clients")
    dray = secure(client_ca=clients.cert)
    with connect(dray, context(ca, client=clients.issue("alice"))) as s:
        assert b" 200 " in ask(s, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
    for client in (None, ca.issue("mallory")):
        with pytest.raises(OSError):
            with connect(dray, context(ca, client=client)) as s:
                assert ask(s, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n") == b"", "TLS 1.3 tells by an alert"
                raise OSError
    wait_for(lambda: handshakes(dray, "certificate") == 2, 10)


def test_plain_http_at_the_tls_port(secure, ca):
    dray = secure(min_version="1.3")
    with socket.create_connection(address_of(dray), 20) as s:
        answer = ask(s, "POST /v1/batch HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello")
        while True:
            data = s.recv(65536)
            answer += data
            if not data:
                break
    assert answer.startswith(b"HTTP/1.1 400 ") and b"Connection: close" in answer and b"https" in answer
    # and TLS at the plain one: an end at once, not a time-out
    host, port = dray.ingest.split(":")
    with socket.create_connection((host, int(port)), 20) as raw:
        with pytest.raises(ssl.SSLError):
            context(ca).wrap_socket(raw, server_hostname="localhost")
    with pytest.raises(ssl.SSLError):
        connect(dray, context(ca, ssl.TLSVersion.TLSv1_2))
    c = context(ca)
    c.set_alpn_protocols(["h2"])
    with pytest.raises(ssl.SSLError):
        connect(dray, c)
    with socket.create_connection(address_of(dray), 20) as s:
        s.sendall(b"\x16\x03\x01\x02")
        s.shutdown(socket.SHUT_WR)
        while s.recv(4096):
            pass
    wait_for(lambda: (handshakes(dray, "plain_http"), handshakes(dray, "failed")) == (1, 3), 10)


def test_a_handshake_has_its_own_time(secure, ca, make_dray):
    dray = secure(start=False)
    dray.write_config(dict(dray.conf, ingest=dict(dray.conf["ingest"], limits={"handshake_timeout": "300ms"})))
    dray.start()
    mute, half = (socket.create_connection(address_of(dray), 20) for _ in range(2))
    half.sendall(b"\x16\x03\x01\x02\x00\x01")
    assert mute.recv(100) == b"" and half.recv(100) == b""
    with connect(dray, context(ca)) as s:
        time.sleep(0.6)
        assert b" 200 " in ask(s, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n"), "only the handshake's"
    wait_for(lambda: handshakes(dray, "timeout") == 2, 10)


@pytest.mark.release
def test_curl_and_openssl(secure, ca):
    dray = secure(processes=2)
    host, port = address_of(dray)
    if shutil.which("curl") is None:
        print("figure: curl is not installed")
    else:
        done = subprocess.run(["curl", "-sS", "--cacert", ca.cert, "--resolve", "localhost:%d:%s" % (port, host), "-u",
                               dray.key + ":", "--data-binary", batch_body(list(make_events(3, 1, "curl", 0))),
                               "-w", " %{http_code} %{http_version}", "https://localhost:%d/v1/batch" % port],
                              capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (0, "ok 200 1.1"), done.stderr
    done = subprocess.run(["openssl", "s_client", "-connect", "%s:%d" % (host, port), "-servername", "localhost",
                           "-CAfile", ca.cert, "-verify_return_error", "-alpn", "http/1.1", "-quiet", "-ign_eof"],
                          input="GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", capture_output=True,
                          text=True, timeout=20)
    assert "200 OK" in done.stdout, done.stderr
