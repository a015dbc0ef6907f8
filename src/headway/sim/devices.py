"""Devices as their makers state them, by name or from a user's file.

Peaks only: which share of them an engine reaches stands in `fits.py`. Prices are placeholders, typical of a
rented device as of `prices_as_of` and nobody's offer; `replace(device, dollars_per_hour=...)` puts one's own
in their place, as `headway plan --price` does.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import yaml

prices_as_of = "November 2026"


@dataclass(frozen=True, slots=True)
class Device:
    """Rates are dense. Links count both directions, as data sheets do. None: the device has no such thing."""

    flop_s: float  # 16-bit arithmetic
    bytes_s: float  # of memory
    memory_bytes: float
    name: str = "own"
    family: str = "ampere"  # whose fits it takes
    fp8_flop_s: float | None = None
    fp4_flop_s: float | None = None
    nvlink_bytes_s: float | None = None  # or another maker's fabric
    nvlink_gpus: int = 8  # how many that joins; two: a bridge over a pair of cards
    pcie_bytes_s: float = 64e9
    dollars_per_hour: float = 0.0


# From data sheets: name, family, 16-bit, fp8 and fp4 TFLOP/s; GB; GB/s of memory, of NVLink, and how many
# that joins; GB/s of PCIe; $/h. Only A100s and H100s were measured (`fits.py`); others take a family.
_table: tuple[tuple[str, str, float, float, float, float, float, float, int, float, float], ...] = (
    ("A100-40", "ampere", 312, 0, 0, 40, 1555, 600, 8, 64, 1.2),
    ("A100-80", "ampere", 312, 0, 0, 80, 2039, 600, 8, 64, 1.8),
    ("A100-80-PCIe", "ampere", 312, 0, 0, 80, 1935, 600, 2, 64, 1.5),
    ("A40", "ampere", 149.7, 0, 0, 48, 696, 112, 2, 64, 0.8),
    ("A10", "ampere", 125, 0, 0, 24, 600, 0, 0, 64, 0.7),
    ("A10G", "ampere", 70, 0, 0, 24, 600, 0, 0, 64, 0.9),
    ("H100", "hopper", 989, 1979, 0, 80, 3350, 900, 8, 128, 3.0),
    ("H100-PCIe", "hopper", 756, 1513, 0, 80, 2000, 600, 2, 128, 2.5),
    ("H200", "hopper", 989, 1979, 0, 141, 4800, 900, 8, 128, 4.0),
    ("B200", "hopper", 2250, 4500, 9000, 180, 7700, 1800, 8, 128, 5.0),
    ("L4", "ampere", 121, 242, 0, 24, 300, 0, 0, 64, 0.6),
    ("L40S", "ampere", 362, 733, 0, 48, 864, 0, 0, 64, 1.2),
    ("MI300X", "hopper", 1307, 2615, 0, 192, 5300, 896, 8, 128, 3.0),
    ("RTX4090", "ampere", 165, 330, 0, 24, 1008, 0, 0, 64, 0.4),
)
DEVICES = {
    name: Device(
        tera * 1e12,
        memory * 1e9,
        gb * 1e9,
        name,
        family,
        fp8 * 1e12 or None,
        fp4 * 1e12 or None,
        link * 1e9 or None,
        joined,
        pcie * 1e9,
        price,
    )
    for name, family, tera, fp8, fp4, gb, memory, link, joined, pcie, price in _table
}
A100_40, A100_80 = DEVICES["A100-40"], DEVICES["A100-80"]

# What each key of a user's file is multiplied by.
_units = {
    "tflops": ("flop_s", 1e12),
    "fp8_tflops": ("fp8_flop_s", 1e12),
    "fp4_tflops": ("fp4_flop_s", 1e12),
    "gb": ("memory_bytes", 1e9),
    "gb_s": ("bytes_s", 1e9),
    "nvlink_gb_s": ("nvlink_bytes_s", 1e9),
    "nvlink_gpus": ("nvlink_gpus", 1),
    "pcie_gb_s": ("pcie_bytes_s", 1e9),
    "dollars_per_hour": ("dollars_per_hour", 1),
}


class BadDevice(ValueError):
    """A device that cannot be had; the message names it, or file, device and field."""


def device(name: str, own: Path | None = None) -> Device:
    """By name, upper or lower case, a user's own first. Raises BadDevice naming those that there are."""
    known = DEVICES | (read_devices(own) if own else {})
    for known_name, found in reversed(known.items()):
        if known_name.lower() == name.lower():
            return found
    raise BadDevice(f"device {name!r} is not known; known: {', '.join(known)}")


def read_devices(path: Path) -> dict[str, Device]:
    """A user's devices, YAML or JSON: a mapping from names to what `_units` names, with `family` beside it.

    `tflops`, `gb` and `gb_s` must be there. Raises BadDevice.
    """
    try:
        text = path.read_text()
        content = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except OSError as error:
        raise BadDevice(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, yaml.YAMLError) as error:
        raise BadDevice(f"{path}: not readable: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict) or not content:
        raise BadDevice(f"{path}: holds no mapping from names to devices")
    return {str(name): _device(str(name), values, f"{path}: {name}") for name, values in content.items()}


def _device(name: str, values: object, where: str) -> Device:
    if not isinstance(values, dict):
        raise BadDevice(f"{where}: is no mapping of fields")
    for key in ("tflops", "gb", "gb_s"):
        if key not in values:
            raise BadDevice(f"{where}: {key}: is missing")
    numbers: dict[str, float] = {}
    for key, value in values.items():
        if key == "family":
            continue
        if key not in _units:
            raise BadDevice(f"{where}: {key}: no such field; there are family, {', '.join(_units)}")
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e9:
            raise BadDevice(f"{where}: {key}: {value!r} is not a number above 0")
        field, unit = _units[key]
        numbers[field] = value * unit
    joined = int(numbers.pop("nvlink_gpus", 8))
    return Device(**numbers, name=name, family=str(values.get("family", "ampere")), nvlink_gpus=joined)
