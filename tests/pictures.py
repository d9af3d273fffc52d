"""Pictures for tests: good ones of every kind, and those that are not what they say."""

from __future__ import annotations

import functools
import io
import random
import struct
import zlib
from typing import Any

from PIL import Image

Colour = tuple[int, ...]

RED: Colour = (200, 30, 30)
BLUE: Colour = (30, 30, 200)


def picture(format_: str = "PNG", size: int | tuple[int, int] = 256, *, colour: Colour = RED, **options: Any) -> bytes:
    """A picture of one colour; RGBA when the colour has four channels."""
    side = (size, size) if isinstance(size, int) else size
    return encoded(Image.new("RGBA" if len(colour) == 4 else "RGB", side, colour), format_, **options)


def encoded(image: Image.Image, format_: str, **options: Any) -> bytes:
    data = io.BytesIO()
    image.save(data, format_, **options)
    return data.getvalue()


def noise(side: int, *, mode: str = "RGBA") -> bytes:
    """A PNG that hardly gets smaller."""
    return encoded(Image.frombytes(mode, (side, side), random.Random(1).randbytes(side * side * len(mode))), "PNG")


def moving(format_: str) -> bytes:
    """A picture of two frames, the first of them red."""
    frames = [Image.new("RGB", (256, 256), colour) for colour in (RED, BLUE)]
    return encoded(frames[0], format_, save_all=True, append_images=frames[1:])


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def is_about(found: Any, colour: Colour) -> bool:
    """Whether a pixel has the colour, give or take what a lossy format takes."""
    return all(abs(a - b) <= 8 for a, b in zip(found, colour, strict=True))


def png(width: int, height: int, data: bytes, *, more: bytes = b"") -> bytes:
    """A PNG in grey whose header says anything; `data` is what unfolds to its pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + more + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def riff(kind: bytes, data: bytes) -> bytes:
    return kind + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)


@functools.lru_cache
def zeros(count: int) -> bytes:
    """So many zeros, deflated to a thousandth."""
    packer = zlib.compressobj(9)
    return b"".join(packer.compress(bytes(2**20)) for _ in range(count // 2**20)) + packer.flush()


BOMBS = (
    "PNG of 8,000 a side",
    "PNG of 50,000 a side",
    "PNG with a text of 64 MiB",
    "PNG with a profile of 256 MiB",
    "GIF of 65,535 a side",
    "GIF whose frame is larger than it",
    "WEBP of 16,384 a side",
    "JPEG of 65,500 a side",
)


@functools.lru_cache
def bomb(name: str) -> bytes:
    """A small file that unfolds to much, or asks for much."""
    match name.split(" "):
        case ["PNG", "of", "8,000", *_]:
            return encoded(Image.new("1", (8000, 8000)), "PNG")
        case ["PNG", "of", *_]:
            return png(50_000, 50_000, zeros(2**20))
        case ["PNG", "with", "a", "text", *_]:
            return png(256, 256, zeros(2**20), more=chunk(b"zTXt", b"a\0\0" + zeros(2**26)))
        case ["PNG", *_]:
            return png(256, 256, zeros(2**20), more=chunk(b"iCCP", b"a\0\0" + zeros(2**28)))
        case ["GIF", where, *_]:
            gif = picture("GIF")
            # The size of the screen, or that of the frame, which stands 5 bytes behind the start of its descriptor.
            place = 6 if where == "of" else gif.rindex(b"\x2c") + 5
            return gif[:place] + struct.pack("<HH", 65_535, 65_535) + gif[place + 4 :]
        case ["WEBP", *_]:
            canvas = riff(b"VP8X", b"\x02\0\0\0" + b"\xff\x3f\x00" * 2) + riff(b"ANIM", bytes(6))
            frame = bytes(6) + b"\xff\0\0" * 2 + bytes(4) + picture("WEBP", lossless=True)[12:]
            body = b"WEBP" + canvas + riff(b"ANMF", frame)
            return riff(b"RIFF", body)
        case _:
            jpeg = bytearray(picture("JPEG"))
            place = jpeg.index(b"\xff\xc0")
            jpeg[place + 5 : place + 9] = struct.pack(">HH", 65_500, 65_500)
            return bytes(jpeg)
