"""kill -9, again and again, on any process but the master.

    storm = Storm(dray, per_second=5, seconds=60)
    storm.run()               returns when it is over; prints how many kills landed
    storm.check()             fails when under 80 % did: a storm in which all stand in back-off proves nothing
"""
import os
import random
import signal
import time
from collections import Counter


class Storm:
    def __init__(self, dray, per_second=5, seconds=10, targets=("delivery", "ingest", "console", "program", "redis"),
                 seed=1, signals=(signal.SIGKILL,)):
        self.dray, self.per_second, self.seconds, self.targets = dray, per_second, seconds, targets
        self.random = random.Random(seed)
        self.signals = signals
        self.tried = 0
        self.landed = Counter()

    def living(self):
        """{kind: pids} of what can be hit now."""
        found = {}
        for p in self.dray.processes():
            if p["kind"] in self.targets and p["pid"]:
                found.setdefault(p["kind"], []).append(p["pid"])
        if "redis" in self.targets:
            try:
                found["redis"] = [self.dray.redis_pid()]
            except LookupError:
                pass
        return found

    def strike(self):
        """One signal to one living process; the kind is drawn first, so that the few are hit as often as the many."""
        self.tried += 1
        living = self.living()
        if not living:
            return
        kind = self.random.choice(sorted(living))
        try:
            os.kill(self.random.choice(living[kind]), self.random.choice(self.signals))
            self.landed[kind] += 1
        except ProcessLookupError:
            pass

    def run(self):
        start = time.monotonic()
        for i in range(int(self.per_second * self.seconds)):
            time.sleep(max(0.0, start + i / self.per_second - time.monotonic()))
            self.strike()
        print("figure: %d kills tried, %d landed: %s" % (self.tried, sum(self.landed.values()), dict(self.landed)))
        return self

    def check(self, share=0.8):
        landed = sum(self.landed.values())
        assert landed >= share * self.tried, "only %d of %d kills landed: %s" % (landed, self.tried, dict(self.landed))
        missing = set(self.targets) - self.landed.keys()
        assert not missing, "never hit: %s" % missing
