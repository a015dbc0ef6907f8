"""What fits: how many KV blocks there are, and how long a sequence may be.

Owns the arithmetic from settings, model and free memory. Refuses what does not fit with the numbers and the
value that would work. Allocates nothing, so it needs no torch.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from headway.config import ConfigError, Settings
from headway.rounding import ceil_div
from headway.spec import ModelSpec

dtype_bytes = 4  # of a weight and of a K or V value: float32
kv_share, kv_cap_bytes = 0.3, 4 << 30  # of free memory, when nobody says


@dataclass(frozen=True, slots=True)
class Facts:
    """What an engine over one model on one machine can do."""

    parameters: int
    vocab: int  # token ids below it exist
    max_model_len: int  # tokens of one sequence, prompt and output
    block_size: int
    blocks: int
    kv_bytes: int
    head: int  # parameters of the output head, which only sampled rows meet
    body: int  # those that every token meets: all but the head and a table of embeddings

    @property
    def kv_tokens(self) -> int:
        return self.blocks * self.block_size


def size_up(settings: Settings, spec: ModelSpec, free_bytes: int) -> Facts:
    """The pool and the context for `free_bytes` of memory, weights not yet loaded. Raises ConfigError."""
    weight_bytes = spec.parameters * dtype_bytes
    if weight_bytes > free_bytes:
        raise ConfigError(
            f"the model's weights take {_mib(weight_bytes)} in float32, and {_mib(free_bytes)} of memory "
            "is free; name a smaller model with MODEL"
        )
    limit = spec.max_positions
    asked = settings.max_model_len
    if asked is not None and asked > limit:
        raise ConfigError(
            f"--max-model-len {asked} is over what the model can do; set --max-model-len {limit}"
        )
    block_bytes = settings.block_size * spec.kv_bytes_per_token(dtype_bytes)
    wanted = ceil_div(asked or limit, settings.block_size)
    blocks = _pool(settings, block_bytes, wanted, free_bytes - weight_bytes)
    fits = min(asked or limit, blocks * settings.block_size)
    if fits == 0 or (asked is not None and fits < asked):
        raise ConfigError(
            f"a sequence of {asked or limit} tokens needs {_mib(wanted * block_bytes)} of KV cache, and "
            f"there is {_mib(blocks * block_bytes)}; set --kv-cache-memory {_mib(wanted * block_bytes)}"
            + (f" or --max-model-len {fits}" if fits else "")
        )
    head = spec.vocab * spec.hidden
    body = spec.parameters - (head if spec.tied else 2 * head)
    kv_bytes = blocks * block_bytes
    return Facts(spec.parameters, spec.vocab, fits, settings.block_size, blocks, kv_bytes, head, body)


def _pool(settings: Settings, block_bytes: int, blocks_per_context: int, free_bytes: int) -> int:
    asked = settings.kv_cache_memory
    if asked is None:
        most = settings.max_num_seqs * blocks_per_context  # no more could ever be in use
        return min(most, int(min(free_bytes * kv_share, kv_cap_bytes)) // block_bytes)
    if asked > free_bytes:
        raise ConfigError(
            f"--kv-cache-memory {_mib(asked)} is over the {_mib(free_bytes)} that the weights leave free; "
            f"set --kv-cache-memory {_mib(int(free_bytes * kv_share))}"
        )
    return asked // block_bytes


def free_memory_bytes(meminfo: Path = Path("/proc/meminfo"), group: Path = Path("/sys/fs/cgroup")) -> int:
    """What this process may still take: of the machine, or of its control group if that has less."""
    try:
        free = _field(meminfo, "MemAvailable:") * 1024
    except (OSError, StopIteration):  # not Linux: half of what is built in
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    try:
        limit, used = (int((group / name).read_text()) for name in ("memory.max", "memory.current"))
        idle = _field(group / "memory.stat", "inactive_file")  # cached files, a model's own among them
    except (OSError, ValueError, StopIteration):  # no group, or one without a limit ("max")
        return free
    return min(free, max(0, limit - used + idle))


def _field(path: Path, name: str) -> int:
    """Raises OSError and StopIteration where there is none."""
    words = (line.split() for line in path.read_text().splitlines())
    return next(int(value) for key, value, *_ in words if key == name)


def _mib(amount: int) -> str:
    return f"{ceil_div(amount, 1 << 20)}MiB"
