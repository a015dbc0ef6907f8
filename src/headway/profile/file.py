"""A profile's file: JSON, in a version of its own, checked to the last field when it is read.

Owns the format, and that what is wrong is named by file and field. What a profile means, others know.
"""

from itertools import pairwise
from pathlib import Path
from typing import Annotated

import msgspec

from headway.core.forecast import Profile
from headway.core.types import Slice
from headway.profile.cost import ROW_KNOTS, TOKEN_KNOTS, Factors

VERSION = 2
file_bytes = 4 << 20  # the largest that is read
most_items = 4096  # of any list in it

Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 40)]
Some = Annotated[int, msgspec.Meta(ge=1, le=1 << 40)]
Seconds = Annotated[float, msgspec.Meta(ge=0.0, le=1e6)]
Positive = Annotated[float, msgspec.Meta(gt=0.0, le=1e24)]
Words = Annotated[str, msgspec.Meta(min_length=1, max_length=300)]


class BadProfile(Exception):
    """A profile that cannot be used; the message is one line: file, field, what is wrong with it."""


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of the file: every field has to be there, and no other may."""


class Made(_Part, frozen=True):
    date: Words  # UTC
    headway: Words  # its version
    commit: str  # "": not known
    seconds: Seconds  # that measuring took
    quiet: bool  # others left the machine alone
    disturbed: Seconds  # the share of visits to batches that were, and so do not count


class Machine(_Part, frozen=True):
    """What of a machine a step's time follows from."""

    cpu: Words
    cores: Some
    threads: Some  # of the model's arithmetic
    kernels: Words


class Model(_Part, frozen=True):
    """Two models of the same dimensions take the same time, whatever they are called."""

    name: Words
    dimensions: dict[str, int | float | str | bool]
    parameters: Some


class Peaks(_Part, frozen=True):
    """What the machine does at most, as measured: what MBU and MFU are shares of."""

    copied_bytes_s: Positive  # read and written, both counted
    flop_s: Positive  # of a large float32 matrix product


class Host(_Part, frozen=True):
    """What passes between two steps: commit, publish, plan."""

    step_s: Seconds
    sequence_s: Seconds


class Served(_Part, frozen=True):
    """What a client on the same machine waits for beside steps, when `headway serve` answers it."""

    request_s: Seconds  # from sending until the scheduler has it, and of the first token back
    prompt_token_s: Seconds
    step_s: Seconds  # between two steps: the host's share, and what sending tokens takes from the next step
    sequence_s: Seconds


class Room(_Part, frozen=True):
    """What a server had there that was told nothing about memory."""

    kv_tokens: Some
    max_model_len: Some


class Forecast(_Part, frozen=True):
    """What `core.forecast` begins with."""

    knots: tuple[Some, ...]
    base_s: Positive
    token_s: tuple[Positive, ...]
    sequence_s: Positive
    context_s: Positive
    pair_s: Positive

    def as_profile(self) -> Profile:
        return Profile(self.knots, self.base_s, self.token_s, self.sequence_s, self.context_s, self.pair_s)


class Cost(_Part, frozen=True):
    """The factors of `profile/cost.py`, and the knots that they were fitted with."""

    token_knots: tuple[Some, ...]
    row_knots: tuple[Some, ...]
    factors: Factors
    noise: tuple[Positive, ...]  # evenly spaced quantiles of a run's time / the median of its like


class Group(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Slices of a batch that are alike."""

    sequences: Some
    start: Count
    count: Some
    samples: bool


class MeasuredStep(_Part, frozen=True):
    kind: Words  # decode, prefill or mixed
    groups: tuple[Group, ...]
    seconds: Positive  # the median of its runs
    spread: Seconds  # between the runs' quartiles, as a share of it
    runs: Some
    held_out: bool  # not fitted


class Errors(_Part, frozen=True):
    """Of |fitted / measured - 1|, over held-out steps."""

    kind: Words
    steps: Some
    median: Seconds
    p95: Seconds


class Calibration(_Part, frozen=True):
    """Everything that a profile says."""

    version: int
    made: Made
    machine: Machine
    model: Model
    peaks: Peaks
    host: Host
    served: Served
    room: Room
    cost: Cost
    forecast: Forecast
    errors: tuple[Errors, ...]
    steps: tuple[MeasuredStep, ...]


def slices_of(groups: tuple[Group, ...]) -> list[Slice]:
    """Those of a batch that is made of these, with ids from 0 on."""
    each = [group for group in groups for _ in range(group.sequences)]
    return [Slice(id, group.start, group.count, group.samples) for id, group in enumerate(each)]


def write_profile(calibration: Calibration, path: Path) -> None:
    """Whole or not at all. Raises BadProfile where it cannot be put there."""
    text = msgspec.json.format(msgspec.json.encode(calibration), indent=1)
    scratch = path.with_name(path.name + ".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch.write_bytes(text + b"\n")
        scratch.replace(path)
    except OSError as error:
        raise BadProfile(f"{path}: {error.strerror}") from error


def read_profile(path: Path) -> Calibration:
    """Raises BadProfile."""
    try:
        with path.open("rb") as file:
            data = file.read(file_bytes + 1)
    except OSError as error:
        raise BadProfile(f"{path}: {error.strerror}") from error
    if len(data) > file_bytes:
        raise BadProfile(f"{path}: larger than {file_bytes:,} bytes; no profile")
    _check_version(data, path)
    try:
        found = msgspec.json.decode(data, type=Calibration)
    except (msgspec.ValidationError, RecursionError) as error:
        raise BadProfile(f"{path}: {_field_first(str(error))}") from error
    wrong = _wrong(found)
    if wrong is not None:
        raise BadProfile(f"{path}: {wrong}")
    return found


def _check_version(data: bytes, path: Path) -> None:
    """Before anything else of it is looked at: another version has other fields."""
    try:
        found = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadProfile(f"{path}: not JSON: {error}") from error
    version = found.get("version") if isinstance(found, dict) else None
    if type(version) is not int:
        raise BadProfile(f"{path}: version: missing; no profile of `headway calibrate`")
    if version != VERSION:
        words = f"it is {version}, and this Headway reads {VERSION}; calibrate again"
        raise BadProfile(f"{path}: version: {words}")


def _field_first(message: str) -> str:
    """As msgspec says it, the place in front: "what - at `$.a.b`"."""
    what, _, where = message.partition(" - at `")
    field = where.rstrip("`").removeprefix("$").removeprefix(".")
    return f"{field}: {what}" if field else what


def _wrong(found: Calibration) -> str | None:
    """What a type cannot say."""
    cost, forecast = found.cost, found.forecast
    if (cost.token_knots, cost.row_knots) != (TOKEN_KNOTS, ROW_KNOTS):
        return "cost.token_knots: other knots than this Headway's; calibrate again"
    if len(cost.factors.token_s) != len(TOKEN_KNOTS) or len(cost.factors.row_s) != len(ROW_KNOTS):
        return "cost.factors: as many seconds are needed as there are knots"
    flat = (v for part in cost.factors for v in (part if isinstance(part, tuple) else (part,)))
    if min(flat) < 0.0:
        return "cost.factors: seconds below 0"
    if cost.factors.base_s <= 0.0:
        return "cost.factors: a step has to take some time"
    if not cost.noise or list(cost.noise) != sorted(cost.noise):
        return "cost.noise: quantiles have to rise"
    if not forecast.knots or any(low >= high for low, high in pairwise(forecast.knots)):
        return "forecast.knots: they have to rise"
    if len(forecast.token_s) != len(forecast.knots) + 1:
        return "forecast.token_s: as many seconds are needed as there are knots, and one"
    if max(len(found.steps), len(cost.noise), len(forecast.knots)) > most_items:
        return f"steps: more than {most_items:,}"
    return None
