"""From a token's spelling in the vocabulary to the bytes of text it stands for.

These two spellings cover every family we serve; one that is neither is refused where the model is loaded.
"""

import re


def byte_alphabet() -> dict[str, int]:
    """GPT-2's alphabet: a printable character for each of the 256 bytes.

    Printable Latin-1 characters stand for themselves; the other bytes, in order, are U+0100 and up.
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = (byte for byte in range(256) if byte not in printable)
    alphabet = {chr(byte): byte for byte in printable}
    alphabet.update({chr(0x100 + i): byte for i, byte in enumerate(others)})
    return alphabet


_alphabet = byte_alphabet()
_byte_piece = re.compile(r"<0x([0-9A-Fa-f]{2})>")


def byte_level_bytes(token: str) -> bytes:
    """A token that uses any character outside the alphabet is text as it stands, as added tokens may be."""
    try:
        return bytes([_alphabet[character] for character in token])
    except KeyError:
        return token.encode()


def sentencepiece_bytes(token: str) -> bytes:
    """U+2581 is a space, `<0xAB>` is that byte, all else is itself."""
    if match := _byte_piece.fullmatch(token):
        return bytes([int(match[1], 16)])
    return token.replace("\u2581", " ").encode()
