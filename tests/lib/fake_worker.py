"""The receiving half of a link to a real ingest, in the test's hands."""
import json
import os
import select
import time

from lib.fake_master import Reader, message


class Worker:
    """The receiving half of a link."""

    def __init__(self, master, slot=0, generation=1, credit=4):
        link = master.link("delivery", role=0, peer_slot=slot, peer_generation=generation)
        self.batch_fd, self.ack_fd, self.generation = link.batch_fd, link.ack_fd, generation
        self.reader, self.seen, self.is_ended = Reader(), [], False
        if credit:
            self.credit(credit)

    def send(self, name, *fields):
        os.write(self.ack_fd, message(name, self.generation, *fields))

    def credit(self, batches):
        self.send("CREDIT", batches, 8 << 20)

    def stored(self, batch):
        self.send("STORED", batch.fields[0], False)

    def pump(self, seconds):
        if select.select([self.batch_fd], [], [], seconds)[0]:
            data = os.read(self.batch_fd, 1 << 20)
            self.is_ended = not data
            self.seen += self.reader.feed(data)

    def expect(self, name="EVENTS", seconds=10):
        deadline = time.monotonic() + seconds
        while not self.seen:
            assert time.monotonic() < deadline and not self.is_ended, "no %s" % name
            self.pump(0.1)
        m = self.seen.pop(0)
        assert m.name == name, m
        return m

    def nothing(self, seconds=0.3):
        self.pump(seconds)
        return not self.seen

    def die(self):
        os.close(self.batch_fd)
        os.close(self.ack_fd)


def events_of(batch):
    return [json.loads(e) for e in next(f for f in batch.fields if isinstance(f, list))]  # flags may stand in front
