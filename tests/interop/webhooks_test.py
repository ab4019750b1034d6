"""The signatures of Standard Webhooks as the reference package for Node verifies them; ed25519 as openssl does."""
import base64
import json
import os
import subprocess

import pytest

from lib.wait import wait_for
from proc.delivery_test import batch_id, config, drain, event

NEW = "whsec_" + base64.b64encode(os.urandom(32)).decode()
OLD = "whsec_" + base64.b64encode(os.urandom(24)).decode()


@pytest.fixture
def verify(packages):
    def run(requests, secret):
        text = json.dumps([{"secret": secret, "headers": q.headers, "body": q.raw.decode()} for q in requests])
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "webhooks_verify.js")
        done = subprocess.run(["node", script, packages], input=text, capture_output=True, text=True, timeout=20)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)
    return run


def test_the_reference_package_verifies(fake_master, make_redis, sink, verify, tmp_path):
    key, raw = tmp_path / "key.pem", tmp_path / "key.der"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", key], check=True)
    subprocess.run(["openssl", "pkey", "-in", key, "-outform", "DER", "-out", raw], check=True)
    seed = raw.read_bytes()[-32:]
    for payload, bodies in (("batch", 1), ("event", 3), ("ndjson", 1)):
        sink.requests.clear()
        conf = config(make_redis().url, sink.url)
        conf["destinations"][0].update(payload=payload, signing={
            "scheme": "standard-webhooks", "secrets": [NEW, OLD, "whsk_" + base64.b64encode(seed).decode()]})
        worker = fake_master("delivery", conf).start()
        worker.expect("READY")
        link = worker.link()
        link.send_batch(batch_id(1), ['{"messageId":"ü.1","v":"é\\u0000"}', event(2), event(3)])
        wait_for(lambda: len(sink.requests) == bodies, 10)
        drain(worker, link)
        if payload != "ndjson":  # the package also reads the body as JSON
            for secret in (NEW, OLD):
                assert verify(sink.requests, secret) == [True] * bodies
            assert all("No matching signature" in e for e in verify(sink.requests, "whsec_" + base64.b64encode(b"x" * 24).decode()))
        for q in sink.requests:
            v1, v1_old, v1a = q.headers["webhook-signature"].split(" ")
            assert v1.startswith("v1,") and v1_old.startswith("v1,") and v1a.startswith("v1a,")
            message, signature = tmp_path / "message", tmp_path / "signature"
            message.write_bytes(("%s.%s." % (q.headers["webhook-id"], q.headers["webhook-timestamp"])).encode() + q.raw)
            signature.write_bytes(base64.b64decode(v1a[4:]))
            done = subprocess.run(["openssl", "pkeyutl", "-verify", "-inkey", key, "-rawin", "-in", message, "-sigfile", signature],
                                  capture_output=True, text=True)
            assert done.returncode == 0, done.stdout + done.stderr
