"""A program of its own: decodes one picture that somebody sent, where it can harm nobody.

    python picture_process.py take|scale   < picture   > answer

Decoders of pictures have had their defects, and a file of a few kilobytes can unfold to gigabytes. So the server never
decodes: this does, once, with limits on memory, time and output that it sets on itself before it reads a byte. What it
writes is a line of JSON and behind it PNGs that were made anew, without metadata and whatever else hung on the file.

`take` answers {"bytes": n} and the picture, or {"problem": word, ...} when it is none that is taken. `scale` takes
what `take` answered and answers {"bytes": {"20": n, ...}} and the picture in each of SIZES, in that order. It imports
nothing of the store: it is run by its path, and needs nothing but Pillow.
"""

from __future__ import annotations

import errno
import io
import json
import os
import resource
import sys
from typing import TYPE_CHECKING, Any, BinaryIO, Final

if TYPE_CHECKING:
    from PIL.Image import Image

MEMORY_BYTES: Final = 512 * 2**20
CPU_SECONDS: Final = 5
ANSWER_BYTES: Final = 16 * 2**20
OPEN_FILES: Final = 64

FULL: Final = 75
"""The exit code when there is no room for the answer."""

FORMATS: Final = ("PNG", "JPEG", "GIF", "WEBP")
MIN_SIDE: Final = 256
MAX_SIDE: Final = 1024
SIZES: Final = (20, 32, 36, 48, 52, 64, 80, 96, 120)


class Refused(Exception):
    """The picture is not taken; the arguments say why."""

    def __init__(self, problem: str, **more: Any) -> None:
        super().__init__(problem)
        self.answer = {"problem": problem, **more}


def limit_myself() -> None:
    """From here on this process can neither grow, nor run, nor write without end."""
    for what, most in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_CPU, CPU_SECONDS),
        (resource.RLIMIT_FSIZE, ANSWER_BYTES),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(what)
        allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (allowed, allowed))


def take(source: BinaryIO, target: BinaryIO) -> None:
    """Write the picture anew, upright, in RGB or RGBA. Raises Refused."""
    try:
        made = _made_anew(source)
    except MemoryError:
        raise Refused("memory") from None
    except Refused:
        raise
    except Exception as error:  # decoders raise what they like
        raise Refused("undecodable") from error
    answer(target, {"bytes": len(made)}, made)


def scale(source: BinaryIO, target: BinaryIO) -> None:
    """Write the picture in all sizes."""
    from PIL import Image, PngImagePlugin  # noqa: F401 - registers the format

    with Image.open(source, formats=["PNG"]) as image:
        image.load()
        made = {size: _png(image.resize((size, size), Image.Resampling.LANCZOS)) for size in SIZES}
    answer(target, {"bytes": {str(size): len(data) for size, data in made.items()}}, *made.values())


def answer(target: BinaryIO, head: dict[str, Any], *bodies: bytes) -> None:
    """Write an answer."""
    target.write(json.dumps(head).encode() + b"\n")
    target.writelines(bodies)
    target.flush()


def _made_anew(source: BinaryIO) -> bytes:
    from PIL import (  # noqa: F401 - formats are registered by being imported
        GifImagePlugin,
        Image,
        ImageOps,
        JpegImagePlugin,
        PngImagePlugin,
        UnidentifiedImageError,
        WebPImagePlugin,
    )

    Image.MAX_IMAGE_PIXELS = None  # the limit below is a thousandth of its own, and tells the size
    try:
        opened = Image.open(source, formats=list(FORMATS))
    except UnidentifiedImageError:
        raise Refused("format") from None
    with opened:
        _check_size(opened)
        if opened.format in ("PNG", "WEBP") and getattr(opened, "is_animated", False):
            raise Refused("animated")
        opened.load()  # of an animated GIF the first frame
        _check_size(opened)
        return _png(_plain(_upright(opened, ImageOps)))


def _check_size(image: Image) -> None:
    width, height = image.size
    if width != height or not MIN_SIDE <= width <= MAX_SIDE:
        raise Refused("size", width=width, height=height)


def _upright(image: Image, operations: Any) -> Image:
    """The picture turned as its camera was held. What cannot be read of that is as if it were not there."""
    try:
        turned: Image = operations.exif_transpose(image)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - the picture itself is right
        return image
    return turned


def _plain(image: Image) -> Image:
    """The picture in eight bits a channel, with an alpha channel where it has transparency, and nothing beside."""
    if image.mode.startswith("I"):  # grey of 16 bits: the upper eight of them
        image = image.point(lambda value: value / 256).convert("L")
    plain = image.convert("RGBA" if image.has_transparency_data else "RGB")
    plain.info.clear()  # a colour profile would be written otherwise
    return plain


def _png(image: Image) -> bytes:
    data = io.BytesIO()
    image.save(data, "PNG")
    return data.getvalue()


def main() -> None:
    """Do the task that the command line names."""
    limit_myself()
    try:
        _work()
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        os._exit(FULL)  # what is in the buffer cannot be written at a usual end either


def _work() -> None:
    source, target = sys.stdin.buffer, sys.stdout.buffer
    if sys.argv[1] == "scale":
        scale(source, target)
        return
    try:
        take(source, target)
    except Refused as refused:
        answer(target, refused.answer)


if __name__ == "__main__":
    main()
