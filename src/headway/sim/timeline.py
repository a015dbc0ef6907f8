"""How an engine stood in the course of a run, in a bounded number of points however long it is."""

from dataclasses import dataclass

from headway.core.types import Stepped

most_points = 512


@dataclass(frozen=True, slots=True)
class Point:
    """Means over some steps that follow each other."""

    at_s: float  # the end of the last of them
    steps: int
    step_s: float
    tokens: float
    sequences: float
    waiting: float
    kv_used: float  # share of the blocks

    def and_point(self, later: "Point") -> "Point":
        steps = self.steps + later.steps
        mine, its = self.steps / steps, later.steps / steps
        return Point(
            later.at_s,
            steps,
            mine * self.step_s + its * later.step_s,
            mine * self.tokens + its * later.tokens,
            mine * self.sequences + its * later.sequences,
            mine * self.waiting + its * later.waiting,
            mine * self.kv_used + its * later.kv_used,
        )


class Timeline:
    """Each point stands for as many steps as the others, but the last; when there are too many points, two
    become one.
    """

    def __init__(self, most: int = most_points) -> None:
        self._most = most
        self._stride = 1  # steps of a point
        self._points: list[Point] = []
        self._steps = 0  # of the point in the making
        self._sums = (0.0, 0.0, 0.0, 0.0, 0.0)
        self._at_s = 0.0

    def add(self, frame: Stepped) -> None:
        step_s, tokens, sequences, waiting, used = self._sums
        share = frame.blocks_used / (frame.blocks_used + frame.blocks_free + frame.blocks_cached)
        self._sums = (
            step_s + frame.step_s,
            tokens + frame.tokens,
            sequences + frame.sequences,
            waiting + frame.waiting,
            used + share,
        )
        self._at_s = frame.at_s
        self._steps += 1
        if self._steps == self._stride:
            self._points.append(self._made())
            self._steps, self._sums = 0, (0.0, 0.0, 0.0, 0.0, 0.0)
            if len(self._points) >= self._most:
                pairs = zip(self._points[::2], self._points[1::2], strict=True)
                self._points = [first.and_point(second) for first, second in pairs]
                self._stride *= 2

    def _made(self) -> Point:
        return Point(self._at_s, self._steps, *(total / self._steps for total in self._sums))

    def points(self) -> list[Point]:
        return [*self._points, self._made()] if self._steps else list(self._points)
