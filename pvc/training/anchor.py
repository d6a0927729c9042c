"""What an ordinary codec makes of the validation clips: the curve that a training run is compared with."""

import hashlib
import json
import logging
import os
import uuid
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import platformdirs
from torch import Tensor

from pvc.codecs.base import Codec, Point
from pvc.codecs.registry import codec_names, load_codec
from pvc.errors import ConfigError
from pvc.metrics.psnr import Psnr

log = logging.getLogger(__name__)


class Anchor:
    """Codes clips at several operating points, once: results are kept by the content of the clip.

    A clip is one group of pictures, as it is in validation. Rates are the bytes of real streams, which are decoded
    before PSNR is measured.

    Args:
        codec: name of a codec of ``configs/codec`` that has a crf or QP.
        points: its crf or QP values.
        cache: folder; ``"auto"`` is the platform's cache folder for pvc (``~/.cache/pvc`` on Linux), None keeps none.

    Raises:
        ConfigError: there is no such codec, or a value is out of its range.
    """

    def __init__(self, codec: str, points: Sequence[float], cache: str | Path | None = "auto"):
        if codec not in codec_names():
            raise ConfigError(f"page.anchor={codec} is no codec; give one of {', '.join(codec_names())}, or null")
        self.name = codec
        self._codecs: dict[int, Codec] = {}
        base = platformdirs.user_cache_path("pvc") if cache == "auto" else cache and Path(cache).expanduser()
        self._folder = base and base / "anchors"
        self.points: list[Point] = self._codec(1).points({"crf": list(points), "qp": list(points), "u_alpha": [1.0]})

    @property
    def labels(self) -> list[str]:
        """What to call the points."""
        return [", ".join(f"{k} {v:g}" for k, v in p.items() if k != "alpha") for p in self.points]

    def measure(self, clip: Tensor, roi: Tensor, fps: Fraction) -> list[dict[str, float]]:
        """``bpp``, ``psnr``, ``psnr_roi``, ``psnr_bg`` of a clip at each point, as validation measures them.

        Args:
            clip: uint8 ``[T, 3, H, W]``. roi: its mask ``[T, 1, H, W]``. fps: frames a second.
        """
        codec = self._codec(len(clip))
        made_by = json.dumps([codec.meta, [*clip.shape], str(fps), Psnr().identity], sort_keys=True)
        digest = hashlib.sha256(made_by.encode())
        for part in (clip, roi >= Psnr().threshold):
            digest.update(part.contiguous().numpy().tobytes())
        file = self._folder and self._folder / f"{self.name}-{digest.hexdigest()[:32]}.json"
        known = _read(file)
        if missing := [p for p in self.points if _key(p) not in known]:
            for point in missing:
                known[_key(point)] = self._code(codec, clip, roi, fps, point)
            self._write(file, known)
        return [known[_key(point)] for point in self.points]

    def _code(self, codec: Codec, clip: Tensor, roi: Tensor, fps: Fraction, point: Point) -> dict[str, float]:
        stream = codec.encode(clip, point, fps=fps)
        values = Psnr()(clip, codec.decode(stream), roi).values
        return {"bpp": 8 * len(stream) / clip[:, 0].numel(), **values}

    def _codec(self, gop: int) -> Codec:
        if gop not in self._codecs:
            self._codecs[gop] = load_codec(self.name, gop=gop)
        return self._codecs[gop]

    def _write(self, file: Path | None, known: dict[str, Any]) -> None:
        if file is None:
            return
        part = file.with_name(f".{file.name}.{uuid.uuid4().hex}.partial")  # other runs may write the same
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(json.dumps(known))
            os.replace(part, file)
        except OSError as error:  # a run is not to end for want of a cache
            log.warning("the anchor's values cannot be kept in %s (%s); each run will code them", file.parent, error)
            self._folder = None


def _key(point: Point) -> str:
    return json.dumps(point, sort_keys=True)


def _read(file: Path | None) -> dict[str, Any]:
    try:
        return json.loads(file.read_text()) if file is not None else {}
    except (OSError, json.JSONDecodeError):
        return {}
