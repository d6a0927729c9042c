"""Which decoder reads a PNG fastest: ``python benchmarks/png_decoders.py [FOLDER OF VIMEO-90K]``.

All that are installed take turns in one process with one thread; CPU time, best of several rounds; and whether the
pixels are PIL's. For comparison it also tries imagecodecs, pyspng and OpenImageIO, which pvc does not need: install
them into a folder of their own (``pip install --no-deps --target``) and name that in ``PYTHONPATH``.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import imageio.v3
import numpy as np
import torch
import torchvision.io
from data_pipeline import make_vimeo
from numpy.typing import NDArray
from PIL import Image

from pvc.video.images import decode_png

Decode = Callable[[Path], NDArray[np.uint8]]
ROUNDS, WINDOW = 7, (64, 192)  # the rows of a crop of 128 in the middle


def decoders() -> dict[str, Decode]:
    """By name: a file as RGB ``[H, W, 3]``."""

    def pyav(file: Path) -> NDArray[np.uint8]:
        decoder = av.CodecContext.create("png", "r")
        decoder.thread_count = 1
        (frame,) = decoder.decode(av.Packet(file.read_bytes())) or decoder.decode(None)
        return frame.to_ndarray(format="rgb24")

    def torchvision_png(file: Path) -> NDArray[np.uint8]:
        return torchvision.io.decode_png(torchvision.io.read_file(str(file))).permute(1, 2, 0).numpy()

    found: dict[str, Decode] = {
        "PIL": lambda file: np.array(Image.open(file).convert("RGB")),
        "imageio": imageio.v3.imread,
        "torchvision.io": torchvision_png,
        "OpenCV": lambda file: cv2.imread(str(file), cv2.IMREAD_COLOR_RGB),
        "OpenCV, as it comes (BGR)": lambda file: cv2.imread(str(file)),
        "PyAV (FFmpeg)": pyav,
        "kornia_rs, as in pvc": lambda file: decode_png(file.read_bytes()),
    }
    try:
        import imagecodecs

        found["imagecodecs, libpng"] = lambda file: imagecodecs.png_decode(file.read_bytes())
        found["imagecodecs, libspng"] = lambda file: imagecodecs.spng_decode(file.read_bytes())
    except ImportError:
        pass
    try:
        import pyspng

        found["pyspng"] = lambda file: pyspng.load(file.read_bytes())
    except ImportError:
        pass
    try:
        import OpenImageIO as oiio

        oiio.attribute("threads", 1)

        def part(file: Path, rows: tuple[int, int] | None = None) -> NDArray[np.uint8]:
            image = oiio.ImageInput.open(str(file))
            first, last = rows or (0, image.spec().height)
            pixels = image.read_scanlines(0, 0, first, last, 0, 0, 3, oiio.UINT8)
            image.close()
            return pixels

        found["OpenImageIO"] = part
        found[f"OpenImageIO, rows {WINDOW[0]} to {WINDOW[1]} only"] = lambda file: part(file, WINDOW)
    except ImportError:
        pass
    return found


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        vimeo = Path(sys.argv[1]) if len(sys.argv) > 1 else make_vimeo(Path(folder, "vimeo"))
        files = sorted(vimeo.glob("sequences/*/*/im*.png"))[::2][:48]
        ways = decoders()
        best = dict.fromkeys(ways, float("inf"))
        for _ in range(ROUNDS):
            for name, decode in ways.items():
                start = time.process_time()
                for file in files:
                    decode(file)
                best[name] = min(best[name], (time.process_time() - start) / len(files))
        print(
            f"| decoder ({len(files)} files) | ms a picture | PIL's time / this | pixels |\n| --- | --- | --- | --- |"
        )
        for name in sorted(best, key=best.get):
            same = [compare(ways[name](file), ways["PIL"](file)) for file in files]
            print(f"| {name} | {best[name] * 1e3:.2f} | {best['PIL'] / best[name]:.1f} | {', '.join({*same})} |")


def compare(one: NDArray, pil: NDArray) -> str:
    """In words."""
    if len(one) < len(pil):
        pil = pil[WINDOW[0] : WINDOW[1]]
    return "equal" if np.array_equal(one, pil) else "equal in BGR" if np.array_equal(one[..., ::-1], pil) else "others"


if __name__ == "__main__":
    main()
