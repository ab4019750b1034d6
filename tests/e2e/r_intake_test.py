"""The intake as its operators see it: what is counted for each source, a beacon and a pixel all the way to the sink."""
import json

from lib.client import Client
from lib.wait import wait_for

SOURCES = [{"id": "web", "write_key": "test-key"}, {"id": "slow", "write_key": "SLOW", "rate_limit": "4/h"},
           {"id": "off", "write_key": "OFF", "enabled": False}]


def rejected(dray):
    found = {}
    for name, value in dray.metrics().items():
        if name.startswith("dray_ingest_rejected_total{"):
            labels = dict(part.split("=") for part in name.split("{")[1].rstrip("}").split(","))
            found[labels["source"].strip('"'), labels["reason"].strip('"')] = value
    return found


def test_counted_by_source_and_reason(make_dray, sink, ledger):
    dray = make_dray(conf={"sources": SOURCES})
    user = {"userId": "u", "event": "E", "messageId": "counted-1"}
    with Client(dray.ingest) as c:
        def post(path, body, key="test-key", **headers):
            return c.post(path, body if isinstance(body, bytes) else json.dumps(body), key=key, headers=headers).status

        asked = [post("/v1/batch", {"batch": [user, None]}), post("/v1/track", b"{"), post("/v1/track", {}),
                 post("/v1/track", user, key=""), post("/v1/track", user, key="NO"), post("/v1/track", user, key="OFF"),
                 post("/v1/batch", b""), post("/v1/batch", {"batch": []}), post("/v1/batch", b"x", **{"Content-Encoding": "gzip"}),
                 post("/v1/batch", b"x", **{"Content-Encoding": "zstd"}), post("/nothing", b"x"),
                 post("/v1/batch", {"batch": [dict(user, messageId="counted-2")] * 5}, key="SLOW"),
                 post("/v1/track", user, key="SLOW")]
        assert asked == [200, 400, 400, 401, 401, 404, 400, 400, 400, 415, 404, 200, 429]
        assert c.get("/v1/batch").status == 405
        assert c.get("/pixel/v1/track?writeKey=test-key&userId=u&event=").status == 200
        assert c.get("/pixel/v1/track?writeKey=test-key&userId=u&event=seen&messageId=pixel-1").status == 200
        assert c.post("/beacon/v1/batch?writeKey=test-key", json.dumps({"batch": [dict(user, messageId="beacon-1")]}), key="",
                      headers={"Content-Type": "text/plain", "Origin": "https://x.example"}).status == 200
    wanted = {("web", r): 1 for r in ("invalid_json", "no_user", "no_body", "empty_batch", "broken_gzip", "encoding",
                                      "bad_pixel")}
    wanted.update({("", r): 1 for r in ("no_key", "unknown_key", "not_found", "method")})
    wanted.update({("off", "disabled"): 1, ("slow", "rate_limit"): 1})
    wait_for(lambda: rejected(dray) == wanted, 10, "every refusal by its reason")
    wait_for(lambda: {"counted-1", "pixel-1", "beacon-1"} <= sink.ids().keys(), 10)
    assert dray.metric("dray_ingest_events_total", source="web", outcome="accepted") == 3
    assert dray.metric("dray_ingest_events_total", source="slow", outcome="accepted") == 5
    assert dray.metric("dray_ingest_events_total", source="web", outcome="quarantined") == 1
    assert dray.metric("dray_ingest_backpressure_total", reason="rate_limit") == 1
