"""Programs of the configuration beside the rest of dray: TLS to Redis by stunnel4, shown, restarted, changed at reload, in
the order of start and stop."""
import os
import signal
import socket
import subprocess

import pytest

from lib import procs
from lib.client import Load
from lib.wait import stays, wait_for

SLEEP = ["sleep", "1000"]


def program(dray, name):
    """What status tells: the process of this name."""
    return next((p for p in dray.processes("program") if p.get("name") == name), None)


def is_ready(dray, name):
    p = program(dray, name)
    return p is not None and p.get("program", {}).get("ready") and p


def pid(dray, name):
    """The program's own, not its keeper's."""
    return wait_for(lambda: is_ready(dray, name), 20, "%s is ready" % name)["program"]["pid"]


# ---- TLS to Redis

def certificates(folder):
    """A CA of our own, and a server's certificate for 127.0.0.1."""
    def openssl(*words):
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True, stdin=subprocess.DEVNULL)
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=test CA",
            "-keyout", "ca.key", "-out", "ca.pem")
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=redis.test", "-addext",
            "subjectAltName=DNS:redis.test", "-keyout", "server.key", "-out", "server.csr")
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
            "-copy_extensions", "copy", "-out", "server.pem")


def free_port(host):
    with socket.socket() as s:
        s.bind((host, 0))
        return s.getsockname()[1]


@pytest.fixture
def tls_redis(make_redis, tmp_path):
    """A redis-server that takes TLS alone (and a unix socket, for the test), and its port."""
    folder = str(tmp_path)
    certificates(folder)
    port = free_port("127.0.0.1")
    server = make_redis(tls_port=port, tls_cert_file=folder + "/server.pem", tls_key_file=folder + "/server.key",
                        tls_ca_cert_file=folder + "/ca.pem", tls_auth_clients="no")
    server.tls_port, server.folder = port, folder
    return server


def tunnel(server, dray_port, host="redis.test"):
    path = os.path.join(server.folder, "stunnel.conf")
    with open(path, "w") as f:
        f.write("foreground = yes\npid =\nsyslog = no\ndebug = 4\n[redis]\nclient = yes\naccept = 127.0.0.1:%d\n"
                "connect = 127.0.0.1:%d\nCAfile = %s/ca.pem\nverifyChain = yes\ncheckHost = %s\nTIMEOUTclose = 0\n"
                % (dray_port, server.tls_port, server.folder, host))
    return {"redis": {"mode": "standalone", "url": "redis://127.0.0.1:%d/0" % dray_port, "reconnect": {"max": "200ms"}},
            "programs": [{"id": "redis-tls", "command": ["stunnel4", path], "stop_timeout": "2s",
                          "ready": {"type": "tcp", "address": "127.0.0.1:%d" % dray_port}}]}


@pytest.mark.limit(180)
def test_redis_by_tls_and_the_tunnel_killed_under_load(make_dray, tls_redis, sink, ledger):
    dray = make_dray(conf=tunnel(tls_redis, free_port("127.0.0.1")))
    load = Load(dray, ledger, events=3000, clients=4).start()
    for n in range(5):
        wait_for(lambda: len(ledger.acked) > 300 * (n + 1), 60)
        os.kill(pid(dray, "redis-tls"), signal.SIGKILL)
        wait_for(lambda: program(dray, "redis-tls")["program"]["restarts"] == n + 1, 20, "the tunnel is back")
    load.join()
    ledger.settle()
    assert tls_redis.client().info("clients")["connected_clients"] > 1


def test_a_server_of_another_name_is_not_trusted(make_dray, tls_redis, sink):
    dray = make_dray(conf=tunnel(tls_redis, free_port("127.0.0.1"), host="other.test"), start=False)
    dray.start(wait=False)
    wait_for(lambda: [r for r in dray.log.records("program_output") if "CERT" in r["text"] or "certificate" in r["text"]], 20,
             "stunnel refuses the certificate")
    stays(lambda: not dray.status()["ready"], 1, "not ready")


# ---- shown, restarted, required

def test_status_and_restart_by_name(make_dray, sink):
    dray = make_dray(conf={"programs": [{"id": "a", "command": SLEEP}, {"id": "b", "command": SLEEP}]})
    assert program(dray, "redis")["slot"] == 0
    a, b = pid(dray, "a"), pid(dray, "b")
    assert b and dray.cli("restart", "program", "a").returncode == 0
    wait_for(lambda: pid(dray, "a") != a, 20, "a is another")
    assert pid(dray, "b") == b
    gone = dray.cli("restart", "program", "c")
    assert gone.returncode == 3 and "there is no program" in gone.stderr


def test_the_host_is_ready_only_with_its_required_programs(make_dray, sink):
    dray = make_dray(start=False)
    go = os.path.join(dray.dir, "go")
    dray.write_config({"programs": [
        {"id": "needed", "command": SLEEP, "ready": {"type": "command", "command": ["test", "-e", go], "interval": "20ms"},
         "health": {"interval": "100ms", "failures": 2}},
        {"id": "extra", "command": ["sh", "-c", "exit 1"], "required": False}],
        "master": {"restart": {"min": "1s", "max": "1s"}}})
    dray.start(wait=False)
    wait_for(lambda: os.path.exists(dray.control_path) and program(dray, "needed"), 20)
    stays(lambda: not dray.status()["ready"] and not dray.processes("delivery")[0]["pid"], 0.5, "delivery waits")
    open(go, "w").close()
    wait_for(lambda: dray.status()["ready"], 20, "ready, whatever the other does")
    os.unlink(go)
    wait_for(lambda: not dray.status()["ready"], 20, "not ready without it")
    assert any("needed" in alarm for alarm in dray.status()["alarms"])
    open(go, "w").close()
    wait_for(lambda: dray.status()["ready"], 20, "ready again")


# ---- reload

def reload(dray):
    wait_for(lambda: dray.cli("reload").returncode == 0, 30, "a reload is taken")


def test_reload_concerns_only_what_differs(make_dray, sink):
    dray = make_dray(conf={"programs": [{"id": name, "command": SLEEP} for name in "abc"]})
    a, b, c = (pid(dray, name) for name in "abc")
    redis = dray.redis_pid()
    # a goes, b is changed, c stays though it stands elsewhere, d is new
    dray.write_config({"programs": [{"id": "d", "command": SLEEP}, {"id": "c", "command": SLEEP},
                                    {"id": "b", "command": ["sleep", "2000"]}]})
    reload(dray)
    wait_for(lambda: program(dray, "a") is None and is_ready(dray, "d") and pid(dray, "b") != b, 30, "reloaded")
    assert pid(dray, "c") == c and dray.redis_pid() == redis
    wait_for(lambda: not procs.alive(a) and not procs.alive(b), 10)
    dray.write_config({"programs": []})
    reload(dray)
    wait_for(lambda: [p["name"] for p in dray.processes("program")] == ["redis"], 30, "all gone")
    assert not procs.alive(c)


# ---- the end

def test_programs_stop_last_and_none_is_left(make_dray, sink, ledger):
    dray = make_dray(conf={"programs": [{"id": "a", "command": ["sh", "-c", "setsid sleep 1000 & exec sleep 1000"]}]})
    a = pid(dray, "a")
    dray.stop()
    assert not procs.alive(a)
    ended = [r["child_kind"] for r in dray.log.records("child_ended")]
    assert ended.index("program") > max(i for i, kind in enumerate(ended) if kind in ("ingest", "delivery"))


def test_master_killed_leaves_no_program(make_dray, sink):
    dray = make_dray(conf={"programs": [{"id": "a", "command": SLEEP}]})
    a = pid(dray, "a")
    dray.kill_master()

    def over():
        procs.reap_adopted(set())
        return not procs.alive(a)
    wait_for(over, 22, "the program is gone")
    dray.expect_exit(0)
    dray.start()
    assert pid(dray, "a") != a
