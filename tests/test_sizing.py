"""What fits: the KV pool and the context, from settings, model and free memory."""

from dataclasses import replace
from pathlib import Path

import pytest

from headway.config import ConfigError, Settings
from headway.sizing import free_memory_bytes, size_up
from headway.spec import ModelSpec, Rope

mib, gib = 1 << 20, 1 << 30
# 4 KiB of K and V per token in float32, so that a block of 16 tokens takes 64 KiB.
spec = ModelSpec(
    family="llama",
    layers=2,
    hidden=256,
    heads=4,
    kv_heads=4,
    head_dim=64,
    ffn=512,
    vocab=1000,
    max_positions=2048,
    norm_eps=1e-5,
    ropes=(Rope(10_000.0),) * 2,
    windows=(None,) * 2,
    attention_scale=0.125,
    tied=True,
)
weight_bytes = 4 * spec.parameters


def test_the_pool_is_a_share_of_what_the_weights_leave_free() -> None:
    facts = size_up(Settings(), spec, weight_bytes + 100 * mib)
    assert facts.blocks == int(0.3 * 100 * mib) // (64 << 10)
    assert facts.kv_bytes == facts.blocks * (64 << 10)


def test_the_pool_is_capped_however_much_is_free() -> None:
    large = replace(spec, max_positions=1 << 20)
    assert size_up(Settings(), large, 1000 * gib).kv_bytes == 4 * gib


def test_the_pool_is_no_larger_than_all_running_sequences_could_use() -> None:
    facts = size_up(Settings(max_num_seqs=3), spec, 100 * gib)
    assert facts.kv_tokens == 3 * 2048


def test_a_size_that_was_asked_for_is_kept() -> None:
    assert size_up(Settings(kv_cache_memory=64 * mib), spec, gib).kv_tokens == 64 * mib // 4096


def test_the_context_is_the_models_unless_asked_for_less() -> None:
    assert size_up(Settings(), spec, gib).max_model_len == 2048
    assert size_up(Settings(max_model_len=100), spec, gib).max_model_len == 100


def test_a_context_that_nobody_asked_for_shrinks_to_the_pool() -> None:
    facts = size_up(Settings(kv_cache_memory=1 * mib), spec, gib)
    assert (facts.blocks, facts.max_model_len) == (16, 256)


@pytest.mark.parametrize(
    ("settings", "free_bytes", "message"),
    [
        (Settings(), weight_bytes - 1, "name a smaller model with MODEL"),
        (Settings(max_model_len=2049), gib, "set --max-model-len 2048"),
        (
            Settings(max_model_len=257, kv_cache_memory=mib),
            gib,
            "set --kv-cache-memory 2MiB or --max-model-len 256",
        ),
        (Settings(kv_cache_memory=60_000), gib, "set --kv-cache-memory 8MiB"),
        (Settings(kv_cache_memory=2 * gib), weight_bytes + gib, "set --kv-cache-memory 308MiB"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_value_that_would(
    settings: Settings, free_bytes: int, message: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        size_up(settings, spec, free_bytes)
    assert str(refused.value).endswith(message)


def control_group(folder: Path, limit: str, used: int, idle: int) -> Path:
    """The files of one, as the kernel writes them."""
    folder.mkdir()
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 5\nfile 9\ninactive_file {idle}\nactive_file 3\n")
    return folder


@pytest.mark.parametrize(
    ("limit", "used", "idle", "free_mib"),
    [
        ("max", 100 * mib, 0, 800),  # the group has no limit: the machine's
        (str(900 * mib), 50 * mib, 0, 800),  # the machine has less than the group
        (str(500 * mib), 100 * mib, 0, 400),
        (str(500 * mib), 400 * mib, 300 * mib, 400),  # cached files that nobody uses give way
        (str(500 * mib), 600 * mib, 0, 0),
    ],
)
def test_free_is_what_machine_and_control_group_leave(
    tmp_path: Path, limit: str, used: int, idle: int, free_mib: int
) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text(f"MemTotal: 1000000 kB\nMemAvailable: {800 * 1024} kB\n")
    assert free_memory_bytes(meminfo, control_group(tmp_path / "group", limit, used, idle)) == free_mib * mib


def test_without_a_control_group_the_machine_s_free_memory_counts(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemAvailable: 1024 kB\n")
    assert free_memory_bytes(meminfo, tmp_path / "absent") == mib


def test_this_machine_has_some_memory_free() -> None:
    assert free_memory_bytes() > mib
