"""Arrays to bytes and back: the one format that the book's pages and the kernel's replies share.

An array travels in one of a few codings. A boolean costs one bit, a weight in [0, 1] one byte,
whose code is the square root's (a linear code would lose the small weights of an attention row).
A page carries the frames of a whole grid in one raw deflate stream, which a browser unpacks with
``DecompressionStream``::

    uint32 length of the header, the header as JSON, then every array at a multiple of four bytes
"""

import json
import struct
import zlib
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["Coding", "decode", "digest", "encode", "pack", "unpack"]

Array = NDArray[Any]
Coding = Literal["bits", "uint8", "sqrt8", "float16", "int32"]

_ALIGNMENT = 4


def encode(array: Array, coding: Coding) -> bytes:
    """Return the bytes of an array in a coding.

    Parameters
    ----------
    array : ndarray
        Booleans for ``"bits"``, integers in range for ``"uint8"`` and ``"int32"``, numbers in
        [0, 1] for ``"sqrt8"``, anything that float16 can hold for ``"float16"``.
    coding : {"bits", "uint8", "sqrt8", "float16", "int32"}
        How a number becomes bytes.

    Raises
    ------
    ValueError
        When the coding is unknown, or the array does not fit it.
    """
    flat = np.ascontiguousarray(array).reshape(-1)
    if coding == "bits":
        if flat.dtype != np.bool_:
            raise ValueError(f"array must be bool to travel as bits, got {flat.dtype}")
        return bytes(np.packbits(flat, bitorder="little"))
    if coding == "sqrt8":
        if flat.size and not (flat.min() >= 0 and flat.max() <= 1):
            raise ValueError("array must lie in [0, 1] to travel as sqrt8, got values outside")
        codes: Array = np.rint(255 * np.sqrt(flat.astype(np.float64)))
        return codes.astype(np.uint8).tobytes()
    if coding == "float16":
        with np.errstate(over="ignore"):
            halves = flat.astype("<f2")
        if not np.isfinite(halves).all():
            raise ValueError("array must be finite in float16, got values outside")
        return halves.tobytes()
    if coding in ("uint8", "int32"):
        kind = np.dtype("<i4" if coding == "int32" else "u1")
        info = np.iinfo(kind)
        if flat.dtype.kind not in "iu" or (
            flat.size and (flat.min() < info.min or flat.max() > info.max)
        ):
            raise ValueError(f"array must hold integers that fit {coding}, got {flat.dtype}")
        return flat.astype(kind).tobytes()
    raise ValueError(f"coding must be a known one, got {coding!r}")


def decode(data: bytes, coding: Coding, shape: tuple[int, ...]) -> Array:
    """Return the array that `encode` was given, as far as its coding kept it."""
    size = int(np.prod(shape, dtype=np.int64))
    if coding == "bits":
        bits = np.unpackbits(np.frombuffer(data, np.uint8), count=size, bitorder="little")
        return bits.reshape(shape).astype(bool)
    if coding == "sqrt8":
        roots: Array = np.frombuffer(data, np.uint8).reshape(shape) / np.float32(255)
        return roots * roots
    kind = {"uint8": "u1", "int32": "<i4", "float16": "<f2"}[coding]
    return np.frombuffer(data, kind).reshape(shape)


def digest(data: bytes) -> str:
    """Return the 32-bit FNV-1a hash of some bytes, in hexadecimal.

    The page computes the same over the arrays that it draws from, so that a test can tell that
    it draws what Python computed.
    """
    value = 0x811C9DC5
    for byte in data:
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return f"{value:08x}"


def pack(header: dict[str, Any], arrays: list[tuple[Coding, tuple[int, ...], bytes]]) -> bytes:
    """Return one raw deflate stream that holds a header and encoded arrays."""
    table: list[list[Any]] = []
    offset = 0
    chunks: list[bytes] = []
    for coding, shape, data in arrays:
        table.append([coding, list(shape), offset, len(data)])
        padding = -len(data) % _ALIGNMENT
        chunks.append(data + bytes(padding))
        offset += len(data) + padding
    text = json.dumps({**header, "arrays": table}, ensure_ascii=False, separators=(",", ":"))
    head = text.encode()
    head += b" " * (-len(head) % _ALIGNMENT)
    stream = zlib.compressobj(9, zlib.DEFLATED, -15, 9)
    packed = stream.compress(struct.pack("<I", len(head)) + head + b"".join(chunks))
    return packed + stream.flush()


def unpack(data: bytes) -> tuple[dict[str, Any], list[Array]]:
    """Return the header and the decoded arrays of a stream that `pack` wrote."""
    raw = zlib.decompress(data, -15)
    (length,) = struct.unpack_from("<I", raw)
    start = struct.calcsize("<I") + length
    header = json.loads(raw[struct.calcsize("<I") : start])
    arrays = [
        decode(raw[start + offset : start + offset + size], coding, tuple(shape))
        for coding, shape, offset, size in header["arrays"]
    ]
    return header, arrays
