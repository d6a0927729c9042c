"""PNG pictures: every kind as PIL reads it, damaged ones by their name, and no more of them than a sample needs."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, PngImagePlugin

from pvc.data import Box, CropDataset
from pvc.data.vimeo90k import Vimeo90k
from pvc.errors import VideoError
from pvc.video import images
from pvc.video.images import decode_png, read_rgb


def picture(mode: str = "RGB") -> Image.Image:
    noise = np.random.default_rng(3).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    if mode == "I;16":
        return Image.fromarray(noise[..., 0].astype(np.uint16) * 251)
    return Image.fromarray(noise).convert(mode)


def png(mode: str = "RGB", **how: object) -> bytes:
    file = io.BytesIO()
    picture(mode).save(file, "PNG", **how)
    return file.getvalue()


@pytest.fixture
def opened(monkeypatch) -> list[str]:
    """Names of the PNG files that were read since the test began."""
    names, read = [], Path.read_bytes

    def counted(path: Path) -> bytes:
        names.append(path.name)
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", counted)
    again = images._open
    monkeypatch.setattr(images, "_open", lambda path, load=True: names.append(path.name) or again(path, load))
    return names


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "I;16", "transparent", "gamma"])
def test_every_kind_is_what_pil_makes_of_it(mode, tmp_path):
    gamma = PngImagePlugin.PngInfo()
    gamma.add(b"gAMA", (45455).to_bytes(4, "big"))
    how = {"transparent": {"transparency": (0, 0, 0)}, "gamma": {"pnginfo": gamma}}.get(mode, {})
    file = tmp_path / "a.png"
    file.write_bytes(png(mode if mode in Image.MODES or mode == "I;16" else "RGB", **how))
    with Image.open(file) as image:
        expected = np.array(image.convert("RGB"))
        if image.mode.startswith("I"):  # which PIL itself clips instead of rounding
            expected = (np.asarray(image) / 65535 * 255 + 0.5).astype(np.uint8)[..., None].repeat(3, 2)
    assert np.array_equal(read_rgb(file).permute(1, 2, 0).numpy(), expected)
    assert read_rgb(file).is_contiguous()


def test_the_fast_decoder_takes_ordinary_pictures_and_no_others():
    assert np.array_equal(decode_png(png()), np.array(picture()))
    assert all(decode_png(png(mode)) is None for mode in ("RGBA", "L", "P", "I;16"))
    data = png()
    assert decode_png(b"") is None and decode_png(data[:100]) is None and decode_png(b"\xff\xd8\xff" + data) is None
    huge = bytearray(data)
    huge[16:24] = (2**31 - 1).to_bytes(4, "big") * 2
    assert decode_png(bytes(huge)) is None


def test_damage_is_never_overlooked():
    data, rng, decoded = png(), np.random.default_rng(0), 0
    for _ in range(300):
        broken = bytearray(data)
        broken[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
        pixels = decode_png(bytes(broken))
        decoded += pixels is not None
        assert pixels is None or np.array_equal(pixels, np.array(picture()))
    assert decoded < 30  # what was changed is covered by a checksum


def test_a_damaged_file_is_named(tmp_path):
    file = tmp_path / "im3.png"
    for content in (b"", b"no picture", png()[:200]):
        file.write_bytes(content)
        with pytest.raises(VideoError, match=r"im3\.png"):
            read_rgb(file)
    file.unlink()
    with pytest.raises(VideoError, match=r"im3\.png"):
        read_rgb(file)


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_a_sample_of_three_frames_reads_three_files(vimeo_folder, opened, stride):
    data = CropDataset(Vimeo90k(vimeo_folder).train(), crop=32, stride=(stride, stride), reverse=0)
    for i in range(12):
        opened.clear()
        data[i]
        numbers = [int(name[2]) for name in opened]
        assert len(numbers) == 3 and np.diff(numbers).tolist() == [stride, stride]


def test_frames_apart_and_a_window_are_those_of_the_whole(vimeo_folder):
    one = Vimeo90k(vimeo_folder).train()[0]
    whole = one.read()
    assert torch.equal(one.read(1, 3, step=2), whole[1::2])
    assert torch.equal(one.read(0, step=3, box=Box(3, 5, 20, 30)), whole[::3, :, 3:23, 5:35])
    assert one.png(2) == (vimeo_folder / "sequences/00001/0001/im3.png").read_bytes()
