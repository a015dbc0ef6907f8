"""Which classes pay when not all promises can be kept at the present rate.

Owns the verdict, by what was kept of late. A class that no load would satisfy is another matter: its own
target is the reason, and that is told apart (`Stepped.infeasible`).
"""

from collections.abc import Collection, Mapping
from math import inf

from headway.core.slo import ServiceClass
from headway.metrics.promises import Kept

pays_below, recovered_above = 0.95, 0.97  # attainment of late
least_requests = 20  # of late: fewer are no reason to say so
looked_every_s = 1.0


class Paying:
    """`names`: who pays, the lightest first, since theirs are the promises that are given up first."""

    def __init__(self) -> None:
        self.names: tuple[str, ...] = ()
        self._looked_s = -inf

    def look(
        self,
        classes: Mapping[str, ServiceClass],
        kept: Mapping[str, Kept],
        infeasible: Collection[tuple[str, str]],
        now_s: float,
    ) -> None:
        """Once a second; between two looks nothing changes."""
        if now_s < self._looked_s + looked_every_s:
            return
        self._looked_s = now_s
        hopeless = {name for name, _ in infeasible}
        promised = [c for c in classes.values() if any(c.targets) and c.name not in hopeless]
        paying = [c for c in promised if self._pays(c.name, kept[c.name], now_s)]
        self.names = tuple(c.name for c in sorted(paying, key=lambda c: (-c.level, c.weight, c.name)))

    def _pays(self, name: str, kept: Kept, now_s: float) -> bool:
        paid, share = name in self.names, kept.of_late(now_s)
        if share.attainment is None or (share.requests < least_requests and not paid):
            return False
        return share.attainment < (recovered_above if paid else pays_below)
