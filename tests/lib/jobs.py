"""What stands in Redis: Bull 4's keys, read with a plain client."""
import json
import re

PENDING_LISTS = ("wait", "paused", "active")
PENDING_ZSETS = ("delayed", "failed", "priority")
MESSAGE_ID = re.compile(rb'"messageId"\s*:\s*"((?:[^"\\]|\\.)*)"')


def queues(r, prefix="{dray}"):
    """Names of the queues below the prefix."""
    found = set()
    for key in r.scan_iter(match=glob_escape(prefix) + ":*", count=1000):
        parts = key.decode("utf-8", "replace")[len(prefix) + 1:].split(":")
        if len(parts) >= 2:
            found.add(parts[0])
    return sorted(found)


def glob_escape(text):
    return re.sub(r"([\[\]*?\\^])", r"\\\1", text)


def counts(r, queue, prefix="{dray}"):
    """{state: number of jobs}"""
    base = "%s:%s:" % (prefix, queue)
    result = {s: r.llen(base + s) for s in PENDING_LISTS}
    result.update({s: r.zcard(base + s) for s in ("delayed", "completed", "failed")})
    return result


def job_ids(r, queue, state, prefix="{dray}"):
    key = "%s:%s:%s" % (prefix, queue, state)
    found = r.lrange(key, 0, -1) if state in PENDING_LISTS else r.zrange(key, 0, -1)
    return [i.decode() for i in found]


def job(r, queue, job_id, prefix="{dray}"):
    """The job's hash as text, data parsed under "data"; {} when there is none."""
    value = {k.decode(): v.decode("utf-8", "replace")
             for k, v in r.hgetall("%s:%s:%s" % (prefix, queue, job_id)).items()}
    if "data" in value:
        value["data"] = json.loads(value["data"], strict=False)
    return value


def locks(r, queue, prefix="{dray}"):
    """Keys of the locks held."""
    return [k.decode() for k in r.scan_iter(match="%s:%s:*:lock" % (glob_escape(prefix), queue), count=1000)]


def partitions(r, prefix="{dray}"):
    """The prefixes of the partitions of queues ordered by key: {dray:NAME:n}."""
    match = glob_escape(prefix[:-1]) + ":*}:*" if prefix.endswith("}") else glob_escape(prefix) + ":*:*:*"
    end = "}" if prefix.endswith("}") else ""
    found = set()
    for key in r.scan_iter(match=match, count=1000):
        m = re.match(r"%s:[^:}]+:\d+%s(?=:)" % (re.escape(prefix[:-1] if end else prefix), end), key.decode("utf-8", "replace"))
        if m:
            found.add(m.group(0))
    return sorted(found)


def held_message_ids(r, prefix="{dray}"):
    """{messageId: "queue/state"} of everything that is still to be delivered or was put aside as failed, partitions
    included."""
    found = {}
    for p in [prefix] + partitions(r, prefix):
        for queue in queues(r, p):
            for state in PENDING_LISTS + PENDING_ZSETS:
                for job_id in job_ids(r, queue, state, p):
                    data = r.hget("%s:%s:%s" % (p, queue, job_id), "data")
                    for raw in MESSAGE_ID.findall(data or b""):
                        found[json.loads(b'"' + raw + b'"')] = "%s/%s" % (queue, state)
    return found
