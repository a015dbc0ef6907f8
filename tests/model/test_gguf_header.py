"""A GGUF header is believed only as far as the file reaches; what claims more is refused by name."""

import struct
from pathlib import Path

import pytest

from headway.spec import BadModel
from headway.spec.gguf_file import read_gguf
from tests.model.gguf_writing import write_gguf
from tests.models import tiny


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def header(tensors: int = 0, entries: int = 0, version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, entries)


def tensor_info(name: str, shape: tuple[int, ...], kind: int = 0, offset: int = 0) -> bytes:
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


HOSTILE: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "not a GGUF file"),
    "another format": (b"PK\x03\x04" * 20, "does not begin with 'GGUF'"),
    "version of another byte order": (header(version=3 << 24), "GGUF version 50331648"),
    "2^63 tensors": (header(tensors=1 << 63), "claims 9,223,372,036,854,775,808 tensors"),
    "2^63 entries": (header(entries=1 << 63), "claims 9,223,372,036,854,775,808 metadata entries"),
    "more tensors than bytes": (header(tensors=1_000), "ends inside its header"),
    "key of 2^63 bytes": (header(entries=1) + struct.pack("<Q", 1 << 63), "a metadata key claims"),
    "value of 2^63 bytes": (
        header(entries=1) + text("a") + struct.pack("<IQ", 8, 1 << 63),
        "ends inside its header",
    ),
    "array of 2^63 numbers": (
        header(entries=1) + text("a") + struct.pack("<IIQ", 9, 4, 1 << 63),
        "claims 9,223,372,036,854,775,808 elements in 'a'",
    ),
    "array longer than the file": (
        header(entries=1) + text("a") + struct.pack("<IIQ", 9, 4, 1 << 20),
        "ends inside its header",
    ),
    "array of texts longer than the file": (
        header(entries=1) + text("a") + struct.pack("<IIQ", 9, 8, 1 << 20),
        "ends inside its header",
    ),
    "array of arrays": (
        header(entries=1) + text("a") + struct.pack("<IIQ", 9, 9, 1 << 20),
        "an array of the unsupported type 9",
    ),
    "key twice": (header(entries=2) + (text("a") + struct.pack("<IB", 0, 1)) * 2, "'a' appears twice"),
    "text that is no text": (
        header(entries=1) + text("a") + struct.pack("<IQ", 8, 2) + b"\xff\xfe",
        "is not UTF-8",
    ),
    "alignment of zero": (
        header(entries=1) + text("general.alignment") + struct.pack("<II", 4, 0),
        "general.alignment is 0",
    ),
    "tensor of 2^32 dimensions": (
        header(tensors=1) + text("t") + struct.pack("<I", (1 << 32) - 1),
        "has 4294967295 dimensions",
    ),
    "tensor of 2^126 numbers": (
        header(tensors=1) + tensor_info("t", (1 << 63, 1 << 63)) + bytes(64),
        "of a file of",
    ),
    "tensor of no size": (header(tensors=1) + tensor_info("t", (0, 4)) + bytes(64), "whole blocks of 1"),
    "broken block": (header(tensors=1) + tensor_info("t", (33,), 8) + bytes(64), "whole blocks of 32"),
    "unknown block type": (header(tensors=1) + tensor_info("t", (32,), 99) + bytes(64), "block type 99"),
    "block type not read": (header(tensors=1) + tensor_info("t", (256,), 16) + bytes(64), "type IQ2_XXS"),
    "offset of 2^63": (
        header(tensors=1) + tensor_info("t", (4,), offset=1 << 63) + bytes(64),
        "reaches byte 9,223,372,036,854,775,",
    ),
    "overlap": (
        header(tensors=2) + tensor_info("t", (16,)) + tensor_info("u", (16,), offset=32) + bytes(256),
        "'u' overlaps",
    ),
    "tensor twice": (
        header(tensors=2) + tensor_info("t", (8,)) + tensor_info("t", (8,), offset=32) + bytes(256),
        "'t' appears twice",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_header_is_refused_by_file_and_reason(tmp_path: Path, case: str) -> None:
    data, reason = HOSTILE[case]
    path = tmp_path / "model.gguf"
    path.write_bytes(data)

    with pytest.raises(BadModel, match=reason) as refusal:
        read_gguf(path)

    assert refusal.value.path == path


def test_a_file_cut_anywhere_in_its_header_is_refused(tmp_path: Path) -> None:
    whole = tmp_path / "whole.gguf"
    write_gguf(tiny.build("llama"), whole)
    data = whole.read_bytes()
    end = min(tensor.offset for tensor in read_gguf(whole).tensors.values())
    path = tmp_path / "cut.gguf"
    for size in range(0, end, 97):
        path.write_bytes(data[:size])
        with pytest.raises(BadModel):
            read_gguf(path)
