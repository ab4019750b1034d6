"""The npm packages of RudderStack's SDK with their queue in Redis, each in a node process of its own."""
import json
import os

from lib.bull import INTEROP, Pipe

FIXTURES = os.path.join(INTEROP, "fixtures", "redis-jobs.jsonl")


class Sdk(Pipe):
    """version: 3.0.13, 2.1.11 or 1.1.5; options: the SDK's. It works on its queue unless work is false."""

    def __init__(self, folder, version, url, key, socket, queue=None, work=False, **options):
        super().__init__("sdk_pipe.js", folder, version, url, key, socket, json.dumps(options))
        self.ask(start=dict({"isMultiProcessor": True}, **(queue or {})))
        if not work:
            self.work(False)

    def work(self, on):
        self.ask(work=on)

    def send(self, *calls):
        """calls: (type, message). Returns when Redis has the jobs: the messages as JSON."""
        return self.ask(send=calls)


def fixtures():
    """Jobs that the SDKs wrote: [{sdk, key, hash}]"""
    with open(FIXTURES, encoding="utf-8") as f:
        return [json.loads(line) for line in f]


def plant(r, base, job_id, fields):
    """A job as its hash is, waiting."""
    r.hset(base + job_id, mapping=fields)
    r.lpush(base + "wait", job_id)
