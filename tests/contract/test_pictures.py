"""Taking pictures in: what is taken, what is not, and that this process needs no memory for either."""

from __future__ import annotations

import random
import resource
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from PIL import Image

from store.errors import AvatarInvalid
from store.organizations import picture_process, pictures
from store.organizations.picture_process import SIZES
from store.organizations.pictures import Pictures, nearest_size
from tests.pictures import BLUE, BOMBS, RED, bomb, encoded, is_about, moving, noise, opened, picture, png, zeros


def taken(data: bytes) -> bytes:
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as target:
        source.write(data)
        Pictures().take(source, target)
        target.seek(0)
        return target.read()


def problem(data: bytes) -> str:
    with pytest.raises(AvatarInvalid) as refused:
        taken(data)
    return refused.value.metadata["problem"]


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "GIF", "WEBP"])
@pytest.mark.parametrize("side", [256, 1024])
def test_every_format_is_taken_and_made_anew_as_png(format_: str, side: int) -> None:
    made = opened(taken(picture(format_, side)))
    assert (made.format, made.mode, made.size) == ("PNG", "RGB", (side, side))
    assert is_about(made.getpixel((side // 2, side // 2)), RED)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_kind_of_pixels_is_taken(mode: str) -> None:
    image = Image.new("I;16", (256, 256), 40_000) if mode == "I;16" else Image.new("RGBA", (256, 256), RED)
    made = opened(taken(encoded(image.convert(mode) if mode != "I;16" else image, "PNG")))
    assert made.mode in ("RGB", "RGBA")
    if mode == "I;16":
        assert is_about(made.getpixel((0, 0)), (156, 156, 156))


@pytest.mark.parametrize("format_", ["PNG", "GIF", "WEBP"])
def test_transparency_is_kept(format_: str) -> None:
    image = Image.new("RGBA", (256, 256), (*RED, 255))
    image.paste((0, 0, 0, 0), (0, 0, 128, 128))
    made = opened(taken(encoded(image, format_)))
    assert made.mode == "RGBA"
    pixels = [made.getpixel(place) for place in ((10, 10), (200, 200))]
    assert [pixel[3] for pixel in pixels if isinstance(pixel, tuple)] == [0, 255]


def test_a_picture_in_the_colours_of_printers_is_taken() -> None:
    assert opened(taken(encoded(Image.new("CMYK", (256, 256)), "JPEG"))).mode == "RGB"


def test_metadata_and_whatever_else_hangs_on_the_file_is_dropped() -> None:
    exif = Image.Exif()
    exif[0x010E] = "where I live"
    sent = (
        picture("JPEG", exif=exif, icc_profile=b"a profile of mine", comment=b"a comment of mine") + b"PK\x03\x04 a zip"
    )
    kept = taken(sent)
    for secret in (b"where I live", b"of mine", b"a zip"):
        assert secret in sent
        assert secret not in kept
    assert opened(kept).info == {}


def test_a_picture_is_turned_as_its_camera_was_held() -> None:
    image = Image.new("RGB", (256, 256), RED)
    image.paste(BLUE, (0, 0, 256, 128))  # the upper half; turned by 90 degrees clockwise, the right half
    exif = Image.Exif()
    exif[0x0112] = 6
    made = opened(taken(encoded(image, "JPEG", exif=exif, quality=95)))
    assert is_about(made.getpixel((10, 128)), RED)
    assert is_about(made.getpixel((245, 128)), BLUE)


def test_damaged_metadata_takes_nothing_from_the_picture() -> None:
    assert opened(taken(picture("JPEG", exif=b"Exif\0\0MM\0*\0\0\xff\xff" + bytes(40)))).size == (256, 256)


def test_of_a_moving_gif_the_first_frame_is_taken() -> None:
    assert is_about(opened(taken(moving("GIF"))).getpixel((9, 9)), RED)


@pytest.mark.parametrize("format_", ["PNG", "WEBP"])
def test_other_moving_pictures_are_refused(format_: str) -> None:
    assert problem(moving(format_)).startswith("moves")


@pytest.mark.parametrize("size", [(255, 255), (1025, 1025), (256, 257), (1024, 256)])
def test_what_is_not_square_too_small_or_too_large_is_refused(size: tuple[int, int]) -> None:
    assert problem(picture("PNG", size)).startswith(f"is {size[0]} by {size[1]} pixels")


@pytest.mark.parametrize("format_", ["BMP", "TIFF", "ICO", "PPM", "EPS", "PDF"])
def test_other_formats_are_refused_whatever_their_sizes(format_: str) -> None:
    assert problem(picture(format_)) == "is no PNG, JPEG, GIF or WEBP"


@pytest.mark.parametrize("data", [b"x", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"<svg xmlns='http://www.w3.org/2000/svg'/>"])
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    assert problem(data) in ("is no PNG, JPEG, GIF or WEBP", "is damaged, or not finished")


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "GIF", "WEBP"])
def test_the_first_half_of_a_picture_is_refused(format_: str) -> None:
    image = opened(noise(256, mode="RGB"))
    whole = encoded(image, format_)
    assert taken(whole)
    assert problem(whole[: len(whole) // 2]) in ("is no PNG, JPEG, GIF or WEBP", "is damaged, or not finished")


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused(name: str) -> None:
    assert problem(bomb(name))


def test_nothing_is_decoded_before_its_size_is_known_to_be_right(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "program.py"
    program.write_text(Path(picture_process.__file__).read_text().replace("opened.load()", "raise MemoryError"))
    monkeypatch.setattr(pictures, "_PROGRAM", program)
    assert problem(picture("PNG", 256)).startswith("needs too much memory")
    for name in ("PNG of 8,000 a side", "GIF of 65,535 a side", "JPEG of 65,500 a side"):
        assert problem(bomb(name)).startswith("is ")
    assert problem(moving("WEBP")).startswith("moves")


def test_what_would_unfold_behind_the_last_pixel_never_does() -> None:
    assert opened(taken(png(512, 512, zeros(2**28)))).size == (512, 512)


def test_bombs_and_large_pictures_need_no_memory_of_this_process() -> None:
    large = noise(1024)
    taken(large)
    for name in BOMBS:
        bomb(name)  # making them takes memory, taking them in does not
    before = _resident_bytes()
    for data in (*map(bomb, BOMBS), png(512, 512, zeros(2**28)), *[large] * 3):
        with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as target, suppress(AvatarInvalid):
            source.write(data)
            Pictures().take(source, target)
    assert _resident_bytes() - before < 8 * 2**20


def test_a_decoder_that_never_ends_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("import time; time.sleep(1000)")
    monkeypatch.setattr(pictures, "_PROGRAM", program)
    monkeypatch.setattr(pictures, "WAIT_SECONDS", 0.2)
    assert problem(picture()) == "takes too long to be decoded"


def test_a_decoder_that_works_on_and_on_ends_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    source = Path(picture_process.__file__).read_text().replace("CPU_SECONDS: Final = 5", "CPU_SECONDS: Final = 1")
    program.write_text(source.replace("    opened.load()", "    while True: pass"))
    monkeypatch.setattr(pictures, "_PROGRAM", program)
    assert problem(picture()) == "takes too long to be decoded"


def test_a_decoder_that_wants_too_much_memory_ends_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(Path(picture_process.__file__).read_text().replace("opened.load()", "bytearray(2**30)"))
    monkeypatch.setattr(pictures, "_PROGRAM", program)
    assert problem(picture()) == "needs too much memory to be decoded"


def test_a_decoder_that_crashes_refuses_the_picture(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    monkeypatch.setattr(pictures, "_PROGRAM", program)
    assert problem(picture()) == "is damaged, or not finished"


def test_a_decoder_that_is_not_there_is_a_defect_and_no_fault_of_the_picture(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(pictures, "_PROGRAM", tmp_path / "nothing.py")
    with pytest.raises(RuntimeError, match=r"nothing\.py"):
        taken(picture())


def test_the_decoder_gets_nothing_of_our_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RELEASES_BOOTSTRAP_TOKEN", "very secret")
    program = tmp_path / "program.py"
    program.write_text(
        "import os, json; v = dict(os.environ); print(json.dumps({'problem': 'size', 'height': 0,"
        " 'width': int('RELEASES_BOOTSTRAP_TOKEN' in v)}))"
    )
    monkeypatch.setattr(pictures, "_PROGRAM", program)
    assert problem(picture()).startswith("is 0 by 0")


def test_every_size_is_a_square_of_the_picture() -> None:
    kept = taken(picture("PNG", 512))
    makers = Pictures()
    for side in SIZES:
        made = opened(makers.scaled(b"one", side, lambda: [kept]))
        assert (made.format, made.size) == ("PNG", (side, side))
        assert is_about(made.getpixel((side // 2, side // 2)), RED)


def test_a_picture_is_scaled_once_however_many_ask_at_once() -> None:
    kept = taken(picture())
    makers = Pictures()
    reads: list[int] = []

    def read() -> list[bytes]:
        reads.append(1)
        return [kept]

    threads = [threading.Thread(target=makers.scaled, args=(b"one", side, read)) for side in SIZES]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 <= len(reads) <= pictures.AT_ONCE  # those that had a turn already look no second time


def test_the_cache_forgets_what_was_not_asked_for_the_longest() -> None:
    kept = taken(noise(256))
    one = Pictures()
    one.scaled(b"0", 20, lambda: [kept])
    size = one._cached_bytes
    makers = Pictures(cache_bytes=2 * size)
    reads: list[bytes] = []

    def ask(uid: bytes) -> None:
        def read() -> list[bytes]:
            reads.append(uid)
            return [kept]

        makers.scaled(uid, 20, read)

    for uid in (b"0", b"1", b"0", b"2", b"0", b"1"):
        ask(uid)
    assert reads == [b"0", b"1", b"2", b"1"]
    assert makers._cached_bytes <= 2 * size


@pytest.mark.parametrize(
    ("asked", "got"), [(0, 120), (1, 20), (20, 20), (26, 32), (25, 20), (33, 32), (58, 64), (100, 96), (2**31 - 1, 120)]
)
def test_the_nearest_size_is_chosen_and_of_two_the_larger(asked: int, got: int) -> None:
    assert nearest_size(asked) == got


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "GIF", "WEBP"])
def test_damaged_pictures_are_taken_or_refused_and_never_a_defect(format_: str) -> None:
    rng = random.Random(format_)
    whole = encoded(opened(noise(256, mode="RGB")).resize((256, 256)), format_)
    for _ in range(6):
        damaged = bytearray(whole)
        for _ in range(rng.randint(1, 20)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as target:
            source.write(damaged)
            with suppress(AvatarInvalid):
                Pictures().take(source, target)


def test_a_picture_that_unfolds_to_less_than_it_says_is_refused() -> None:
    assert problem(png(256, 256, zeros(2**20)[:20]))


def _resident_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()
