"""The oracle: every id answered 2xx is delivered, or stands in Redis, or in the quarantine."""
import json
import re

from lib import quarantine

MESSAGE_ID = re.compile(rb'"messageId"\s*:\s*"((?:[^"\\]|\\.)*)"')


class Ledger:
    """acked: ids of requests answered 2xx; tried: all that were sent, acknowledged or not."""

    def __init__(self, *sinks):
        self.sinks = list(sinks)
        self.acked, self.tried = set(), set()
        self.checked = False

    def ack(self, ids):
        ids = list(ids)
        self.tried.update(ids)
        self.acked.update(ids)

    def delivered(self, sink=None):
        """Ids that every sink (or this one) has answered 2xx for."""
        return set.intersection(*(set(s.ids()) for s in ([sink] if sink else self.sinks))) if self.sinks else set()

    def duplicates(self):
        """{messageId: times} of what a sink took more than once."""
        return {i: n for s in self.sinks for i, n in s.ids().items() if n > 1}

    def quarantined(self, dray):
        """Ids of the events in records of the quarantine."""
        return {json.loads(b'"' + m + b'"') for r in quarantine.read(dray.quarantine_dir)
                for m in MESSAGE_ID.findall(r.data)}

    def settle(self, seconds=20, but=()):
        """Waits until everything acknowledged was delivered to every sink. but: ids that need not come (what the
        test knows to be in the quarantine)."""
        for s in self.sinks:
            s.wait_ids(self.acked - set(but), seconds)

    def account(self, dray):
        """Where everything acknowledged is: {"acked", "delivered", "redis", "quarantined", "lost": [...]}."""
        delivered = self.delivered()
        rest = self.acked - delivered
        held = dray.held_message_ids() if rest else {}
        aside = self.quarantined(dray) if rest else set()
        lost = sorted(rest - held.keys() - aside)
        return {"acked": len(self.acked), "delivered": len(self.acked & delivered),
                "redis": len(rest & held.keys()), "quarantined": len(rest & aside),
                "duplicates": len(self.duplicates()), "lost": lost}

    def check(self, dray):
        """Fails when an acknowledged event is nowhere, or when something came that nobody sent."""
        self.checked = True
        result = self.account(dray)
        assert not result["lost"], "%d of %d acknowledged events are lost, first: %s; %s" % (
            len(result["lost"]), len(self.acked), result["lost"][:3],
            {k: v for k, v in result.items() if k != "lost"})
        strange = set().union(*(s.ids().keys() for s in self.sinks)) - self.tried if self.tried else set()
        assert not strange, "%d events came that nobody sent: %s" % (len(strange), sorted(strange)[:3])
        return result
