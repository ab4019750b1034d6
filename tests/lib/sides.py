"""The same queue in two prefixes, for the comparison of what Bull and dray do to it (interop/bull_verbs_test.py)."""
import itertools
import json
import re

import pytest
from lib.bull import Pipe, Refused

BULL, DRAY = "{bull}", "{dray}"
TIME = re.compile(r"\b1[5-9]\d{11}(\.\d+)?\b")


class Driver(Pipe):
    """dray's library behind queue_driver."""

    def verb(self, verb, **what):
        return self.ask(verb=verb, **what)


class Sides:
    """seed() does the same to both with Bull; bull acts on its side, dray on its own; compare() at the end."""

    def __init__(self, redis, bulls, driver):
        self.redis, self.bull, self.seeder, self.driver = redis, bulls[0], bulls[1], driver
        self.pubsub = redis.pubsub()
        self.pubsub.psubscribe(BULL + ":q:*", DRAY + ":q:*")

    def each(self, *choices):
        """Each combination of the choices, on an empty server."""
        for combination in itertools.product(*choices):
            self.redis.flushall()
            self._heard()
            print("case:", *combination)
            yield combination if len(choices) > 1 else combination[0]

    def seed(self, what):
        return [what(self.bull), what(self.seeder)]

    def raw(self, command, key, *args):
        for prefix in (BULL, DRAY):
            self.redis.execute_command(command, prefix + ":q:" + key, *[a.replace("PREFIX", prefix) if isinstance(a, str)
                                                                        else a for a in args])

    def begin(self):
        """What was published so far belongs to the seed."""
        self._heard()

    def dray(self, verb, **what):
        return self.driver.verb(verb, **what)

    def refused(self, verb, status, call, match):
        """Both refuse."""
        with pytest.raises(Refused, match=match):
            call()
        answer = self.dray(**verb)
        assert answer["status"] == status and answer["why"], answer

    def _heard(self):
        self.redis.publish(DRAY + ":q:END", "")
        heard = {BULL: [], DRAY: []}
        while True:
            message = self.pubsub.get_message(timeout=10)
            assert message is not None, "no marker came"
            if message["type"] != "pmessage":
                continue
            channel, payload = message["channel"].decode(), message["data"].decode()
            prefix, _, name = channel.partition(":q:")
            if name == "END":
                return heard[BULL], heard[DRAY]
            heard[prefix].append((re.sub(r"@.*", "@token", name), TIME.sub("T", payload)))

    def keys(self, prefix):
        base = prefix + ":q:"
        found = {}
        for key in self.redis.scan_iter(match=base.replace("{", "\\{") + "*"):
            name = key.decode()[len(base):]
            if not name.startswith("dray:"):
                found[name] = self.value(key, name, prefix)
        return found

    def value(self, key, name, prefix):
        kind = self.redis.type(key).decode()
        if kind == "string":
            text = self.redis.get(key).decode()
            return (kind, "token" if name.endswith(":lock") else TIME.sub("T", text), self.redis.pttl(key) > 0)
        if kind == "list":
            return (kind, [v.decode() for v in self.redis.lrange(key, 0, -1)])
        if kind == "set":
            return (kind, sorted(v.decode() for v in self.redis.smembers(key)))
        if kind == "zset":
            return (kind, [(m.decode(), score(s)) for m, s in self.redis.zrange(key, 0, -1, withscores=True)])
        return (kind, {f.decode(): field(f.decode(), v.decode()).replace(prefix, "PREFIX")
                       for f, v in self.redis.hgetall(key).items()})

    def compare(self, bull_leaves=None, dray_leaves=None, heard=True):
        """The two sides are the same; bull_leaves and dray_leaves: what a side has that the other has not, by key."""
        bull, dray = self.keys(BULL), self.keys(DRAY)
        for side, leaves in ((bull, bull_leaves), (dray, dray_leaves)):
            for name, value in (leaves or {}).items():
                assert name in side, "%s is not left" % name
                if value is not None:
                    assert side[name] == value
                del side[name]
        assert dray == bull
        by_bull, by_dray = self._heard()
        if heard:
            assert by_dray == by_bull
        return by_bull, by_dray


def score(value):
    if value > 2 ** 50:
        return ("T", int(value) % 4096)
    return "T" if value > 1.5e12 else value


def field(name, text):
    if name == "opts":
        text = json.dumps(json.loads(text), sort_keys=True)
    if name == "stacktrace":
        text = json.dumps([line.splitlines()[0] for line in json.loads(text)])
    return TIME.sub("T", text)
