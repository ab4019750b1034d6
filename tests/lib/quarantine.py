"""Reads the quarantine as it stands on disk: segments of CRC32C'd records (common/segment/segment_file.h)."""
import glob
import json
import os
import struct

MAGIC = b"\xd7SEG"
REMOVED = b"\xd7DEL"  # by `dray quarantine rm` or release
HEAD = struct.Struct("<4sIQI")

_table = []
for _n in range(256):
    _c = _n
    for _ in range(8):
        _c = _c >> 1 ^ (0x82F63B78 if _c & 1 else 0)
    _table.append(_c)


def crc32c(data, crc=0):
    crc ^= 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _table[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


class Record:
    """head: {"ts", "reason", "source", "queue", "id", "bytes"}; data: the raw bytes."""

    def __init__(self, wall_ms, payload):
        self.wall_ms = wall_ms
        line, self.data = payload.split(b"\n", 1)
        self.head = json.loads(line)
        assert self.head["bytes"] == len(self.data), "a record's length does not match: %r" % self.head

    @property
    def reason(self):
        return self.head["reason"]

    def __repr__(self):
        return "<%s %r>" % (self.head, self.data[:80])


def read_file(path):
    with open(path, "rb") as f:
        text = f.read()
    at, found = 0, []
    while at + HEAD.size <= len(text):
        magic, length, wall_ms, crc = HEAD.unpack_from(text, at)
        payload = text[at + HEAD.size:at + HEAD.size + length]
        if magic not in (MAGIC, REMOVED) or len(payload) < length or \
                crc32c(payload, crc32c(MAGIC + text[at + 4:at + 16])) != crc:
            break  # a torn tail; the writer cuts it off when it starts again
        if magic == MAGIC:
            found.append(Record(wall_ms, payload))
        at += HEAD.size + length
    return found


def read(root):
    """All records of every folder below the quarantine's root, in the order of the files."""
    return [r for path in sorted(glob.glob(os.path.join(root, "*", "*.seg"))) for r in read_file(path)]
