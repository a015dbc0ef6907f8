"""Where one sequence's time went. Owns the sums; every nanosecond since arrival is in exactly one of them."""

from headway.core.types import Shares


def to_ns(seconds: float) -> int:
    return round(seconds * 1e9)


class Account:
    """Booked up to `until_ns`, from arrival on without a hole."""

    __slots__ = ("decode", "host", "interference", "preemption", "prefill", "queue", "until_ns")

    def __init__(self, arrival_s: float, now: float) -> None:
        """Until it reached the scheduler its time is the host's: reading, tokenizing, the bridge."""
        self.until_ns = to_ns(max(arrival_s, now))
        self.host = self.until_ns - to_ns(arrival_s)
        self.queue = self.prefill = self.interference = self.decode = self.preemption = 0

    def pause(self, until_ns: int, *, lost: bool, between_steps: bool) -> None:
        """It did not run: its blocks were lost, or the host was between two of its steps, or it queued."""
        gap = max(0, until_ns - self.until_ns)
        self.until_ns += gap
        if lost:
            self.preemption += gap
        elif between_steps:
            self.host += gap
        else:
            self.queue += gap

    def step(self, until_ns: int, own_share: float, *, lost: bool, prompt: bool) -> None:
        """It ran. `own_share`, 0 to 1: as much of the step as it would have taken without others' prompts."""
        whole, self.until_ns = until_ns - self.until_ns, until_ns
        own = whole if lost or own_share >= 1.0 else int(whole * own_share)
        self.interference += whole - own
        if lost:
            self.preemption += own
        elif prompt:
            self.prefill += own
        else:
            self.decode += own

    def shares(self) -> Shares:
        return Shares(self.queue, self.prefill, self.interference, self.decode, self.preemption, self.host)
