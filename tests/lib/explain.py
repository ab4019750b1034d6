"""Why did an event come twice? There are two reasons, and each leaves a trace: a delivery process or Redis went away between
doing and recording, then the same batch (the same key) came again after that; or a client never heard an answer and sent
the event again, then it came in another batch, and the client knows.

    deaths = Deaths()
    deaths.note("delivery", pid)       somebody went away now: died, was stopped, lost its connection
    counts = explain(sinks, loads, deaths)        fails on a duplicate without a reason
"""
import time

SLACK = 0.2  # s; our clock is read a little after the fact


class Deaths:
    def __init__(self):
        self.all = []  # (when, kind)

    def note(self, kind, _pid=0):
        self.all.append((time.monotonic(), kind))

    def between(self, kinds, begin, end):
        return any(begin - SLACK <= at <= end + SLACK and kind in kinds for at, kind in self.all)


def explain(sinks, loads, deaths, kinds=("delivery", "redis", "program", "master")):
    """{"again": the same batch again, "sent again": by a client}, in events."""
    retried = set().union(*(load.retried for load in loads))
    counts = {"again": 0, "sent again": 0}
    for sink in sinks:
        came = {}
        for r in sink.taken():
            for i in r.ids():
                came.setdefault(i, []).append(r)
        for i, requests in came.items():
            if len(requests) == 1:
                continue
            by_key = {}
            for r in requests:
                assert r.key, "a batch without an id"
                by_key.setdefault(r.key, []).append(r)
            for key, same in by_key.items():
                for first, second in zip(same, same[1:]):
                    assert deaths.between(kinds, first.at, second.at), \
                        "batch %s came twice, at %.3f and %.3f, and nobody died between" % (key, first.at, second.at)
                    counts["again"] += 1
            if len(by_key) > 1:
                assert i in retried, "event %s came in batches %s, and its client sent it once" % (i, sorted(by_key))
                counts["sent again"] += len(by_key) - 1
    return counts
