"""Customer events in the shape of the Segment tracking specification; the same ones for the same seed.

Every event carries seq (0, 1, 2 ... per user, in the order made) and n (0, 1, 2 ... over the run) in its properties (in
traits, for identify and group), so that a receiver can tell what is missing, came twice, or out of order.
Run as a program it prints them: events.py [--events N] [--users N] [--seed N] [--batch N] [--pad BYTES]."""
import argparse
import json
import random
import sys
import uuid

NAMES = ["Product Viewed", "Product Added", "Order Completed", "Cart Viewed", "Signed Up",
         "Article Read", "Video Paused", "Søk utført", "注文完了", "Cart \"quoted\" \\ slash"]
PAGES = ["/", "/pricing", "/docs/start?utm_source=mail&utm_medium=x", "/blog/été", "/カタログ"]
KINDS = ["track"] * 6 + ["page"] * 2 + ["identify", "screen", "group", "alias"]


def _context(rng):
    return {
        "library": {"name": "analytics-next", "version": "1.%d.%d" % (rng.randrange(90), rng.randrange(9))},
        "ip": "203.0.113.%d" % rng.randrange(256),
        "locale": rng.choice(["en-US", "nb-NO", "ja-JP", "pt-BR"]),
        "userAgent": "Mozilla/5.0 (X11; Linux x86_64) Chrome/%d.0 Safari/537.36" % rng.randrange(90, 150),
        "page": {"path": rng.choice(PAGES), "referrer": "https://example.org/?q=%d" % rng.randrange(10**6),
                 "title": "Home — %d" % rng.randrange(10**4), "url": "https://shop.example.com" + rng.choice(PAGES)},
        "timezone": rng.choice(["Europe/Oslo", "Asia/Tokyo", "America/Sao_Paulo"]),
        "screen": {"width": rng.choice([1280, 1920, 390]), "height": 844, "density": 2.5},
        "campaign": {"name": "c%d" % rng.randrange(50), "source": "mail"},
    }


def _properties(rng, n, seq, pad):
    value = {"n": n, "seq": seq, "price": round(rng.random() * 1e3, 2), "big": rng.randrange(2**53),
             "tiny": rng.random() * 1e-9, "flag": rng.random() < 0.5, "none": None,
             "tags": ["t%d" % rng.randrange(99) for _ in range(rng.randrange(4))],
             "nested": {"a": {"b": {"c": [1, 2, {"d": "é\u0000🚀"}]}}}}
    if pad:
        value["pad"] = "x" * rng.randrange(2 * pad)
    return value


def make_events(count, users=50, seed=1, pad=0):
    """Yields dicts; messageId is msg-SEED-NNNNNNNNN."""
    rng = random.Random(seed)
    seqs = {}
    for n in range(count):
        user = "user-%06d" % rng.randrange(users)
        seq = seqs.get(user, 0)
        seqs[user] = seq + 1
        kind = rng.choice(KINDS)
        stamp = "2026-11-%02dT%02d:%02d:%02d.%03dZ" % (rng.randrange(1, 29), rng.randrange(24), rng.randrange(60),
                                                     rng.randrange(60), rng.randrange(1000))
        event = {"type": kind, "userId": user, "anonymousId": str(uuid.UUID(int=rng.getrandbits(128), version=4)),
                 "messageId": "msg-%s-%09d" % (seed, n), "timestamp": stamp, "context": _context(rng),
                 "integrations": {"All": True}}
        if kind == "track":
            event["event"] = rng.choice(NAMES)
        if kind in ("page", "screen"):
            event["name"] = rng.choice(NAMES)
        if kind == "group":
            event["groupId"] = "g%d" % rng.randrange(99)
        if kind == "alias":
            event["previousId"] = event["anonymousId"]
        event["traits" if kind in ("identify", "group") else "properties"] = _properties(rng, n, seq, pad)
        yield event


def event_text(event):
    """JSON text of one event; every second one with \\u escapes, so that both forms travel."""
    return json.dumps(event, ensure_ascii=event["messageId"][-1] in "13579", separators=(",", ":"))


def batch_body(events):
    """The body of POST /v1/batch, events as event_text makes them."""
    return ('{"batch":[%s],"sentAt":"%s"}' % (",".join(map(event_text, events)), events[-1]["timestamp"])).encode()


def raw_elements(text, key="batch"):
    """The elements of the top-level array `key` of a JSON object as they stand in the text, byte for byte."""
    decoder = json.JSONDecoder(strict=False)
    at = _skip(text, 0) + 1
    while text[at:at + 1] != "}":
        at = _skip(text, at)
        name, at = decoder.raw_decode(text, at)
        at = _skip(text, _skip(text, at) + 1)
        if name == key:
            found, at = [], _skip(text, at + 1)
            while text[at] != "]":
                _, end = decoder.raw_decode(text, at)
                found.append(text[at:end])
                at = _skip(text, end)
                if text[at] == ",":
                    at = _skip(text, at + 1)
            return found
        _, at = decoder.raw_decode(text, at)
        at = _skip(text, at)
        if text[at] == ",":
            at += 1
    raise KeyError(key)


def _skip(text, at):
    while text[at] in " \t\r\n":
        at += 1
    return at


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("events", 1000), ("users", 50), ("seed", 1), ("batch", 0), ("pad", 0)):
        parser.add_argument("--" + name, type=int, default=default)
    args = parser.parse_args()
    held = []
    for event in make_events(args.events, args.users, args.seed, args.pad):
        if not args.batch:
            print(event_text(event))
            continue
        held.append(event)
        if len(held) == args.batch:
            print(batch_body(held).decode())
            held = []
    if held:
        print(batch_body(held).decode())


if __name__ == "__main__":
    sys.exit(main())
