"""CompressAI's ``ssf2020``, the scale-space flow of Agustsson et al. (CVPR 2020), as a peer of pvc's own models.

Its strings travel in the ``.pvc`` container with the quality in place of beta, so that headers and checksums count as
they do for pvc's models. A frame's data are its strings (y and z of a key frame; of others those of the motion, then of
the residual), after the lengths of all but the last (3 bytes each, little-endian).
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from compressai.models.video import ScaleSpaceFlow
from compressai.ops import compute_padding
from compressai.zoo.pretrained import load_pretrained
from compressai.zoo.video import model_urls
from torch import Tensor
from torch.nn import functional

from pvc.codecs.base import ClipCoding, Point, numbers
from pvc.entropy.container import Header
from pvc.entropy.reader import StreamReader
from pvc.entropy.writer import StreamWriter
from pvc.errors import BitstreamError, ConfigError, ImportanceError, MissingWeights, VideoError
from pvc.versions import versions
from pvc.weights import find_weights, load_weights, sha256

MODEL = "ssf2020"
MULTIPLE = 128  # frames are padded to it: four halvings to the latents, three to the hyper-latents
_PUBLISHED = {quality: Path(url).name for quality, url in model_urls[MODEL]["mse"].items()}


class Ssf2020(ClipCoding):
    """``ssf2020`` with the weights of CompressAI's model zoo (``point = {"quality": ...}``, 1 to 9).

    The network is the library's as it is: flow in normalised coordinates, references that are not clamped. Frames are
    padded by black around them, as in the library's own evaluation. Its scale networks compute in floating point, so a
    stream may not decode on another device than the one that wrote it.

    Args:
        name: What the codec is called in tables; with random weights ``-random`` is added.
        gop: Frames from one key frame to the next.
        weights: ``published``; ``random`` (untrained, for tests); or files of other weights by quality.
        weights_dir: Folder of the files; without it ``$PVC_WEIGHTS`` and torch's download cache are searched.
        device: Where the network runs.

    Raises:
        ConfigError: an argument is out of range.
        MissingWeights: a file that ``weights`` names is not there. Published files are looked for when they are used.
    """

    supports_importance = False

    def __init__(
        self,
        name: str,
        gop: int = 12,
        weights: str | Mapping[int, str] = "published",
        weights_dir: str | None = None,
        device: str = "cpu",
    ):
        if not 1 <= gop <= 65535:
            raise ConfigError(f"gop={gop} is out of range; give 1 (all key frames) to 65535")
        if isinstance(weights, str) and weights not in ("published", "random"):
            raise ConfigError(f"codec {name}: weights={weights!r}; give published, random, or files by quality")
        self._random = weights == "random"
        self.name = f"{name}-random" if self._random and not name.endswith("-random") else name
        self.gop, self.device = gop, torch.device(device)
        self._weights_dir = weights_dir
        self._files = _PUBLISHED if isinstance(weights, str) else {int(q): str(file) for q, file in weights.items()}
        self._loaded: tuple[int, ScaleSpaceFlow, str] | None = None  # one at a time: they are large
        said: Any = weights
        if not isinstance(weights, str):
            said = {str(quality): sha256(find_weights(file, weights_dir)) for quality, file in self._files.items()}
        elif weights == "published":
            said = {str(quality): file for quality, file in _PUBLISHED.items()}  # names carry hashes, which are checked
        self.meta: dict[str, Any] = {
            "model": MODEL,
            "libraries": versions("compressai", "torch"),
            "weights": said,
            "gop": gop,
            "device": str(self.device),
            "bits": ".pvc container with header and checksums",
        }

    def points(self, settings: Mapping[str, Any]) -> list[Point]:
        """One point for each quality in ``settings["quality"]``, or for all that there are where that is not given."""
        if settings.get("quality") is None:
            return [{"quality": float(quality)} for quality in self._files]
        return [{"quality": float(quality)} for quality in self._qualities(settings)]

    def encode_frames(
        self,
        frames: Iterable[Tensor],
        point: Mapping[str, float],
        importance: Iterator[Tensor] | None = None,
        *,
        fps: Fraction,
        count: int,
        size: tuple[int, int],
    ) -> Iterator[bytes]:
        """The header, one chunk for each frame, and the end (uint8 RGB ``[3, H, W]``), at ``point["quality"]``.

        Raises:
            ConfigError: no quality in ``point`` or one that there is not, or frames too large.
            ImportanceError: an importance map is given.
            MissingWeights: the quality's weights are not there, or are others.
            VideoError: a frame is not uint8 RGB of ``size``.
        """
        if importance is not None:
            raise ImportanceError(f"codec {self.name} takes no importance map; encode with alpha = 1")
        (quality,) = self._qualities(point)
        model, mark = self._model(quality)
        rate = str(Fraction(fps).limit_denominator(2**32 - 1))
        writer = StreamWriter(Header(f"{MODEL}-{quality}", mark, size[1], size[0], rate, self.gop, count))
        yield writer.header()
        padding, _ = compute_padding(*size, min_div=MULTIPLE)
        reference = None
        for t, frame in enumerate(frames):
            if frame.dtype != torch.uint8 or frame.shape != (3, *size):
                got = f"{frame.dtype} {list(frame.shape)}"
                raise VideoError(f"codec {self.name} needs uint8 frames {[3, *size]}, but frame {t} is {got}")
            key = t % self.gop == 0
            x = functional.pad(frame[None].to(self.device).float() / 255, padding)
            strings, reference = _encode(model, x, None if key else reference)
            yield writer.frame(key, quality, _pack(strings))
        yield writer.end()

    def decode_frames(self, data: bytes) -> Iterator[Tensor]:
        """Frames uint8 ``[3, H, W]`` one by one; all whole frames come before the error of a damaged one.

        Raises:
            BitstreamError: damaged, cut short, or written by another codec or with other weights.
            MissingWeights: the quality's weights are not there.
        """
        stream = StreamReader(data)
        header = stream.header
        size = header.height, header.width
        padding, crop = compute_padding(*size, min_div=MULTIPLE)
        padded = size[0] + padding[2] + padding[3], size[1] + padding[0] + padding[1]
        shape = padded[0] // MULTIPLE, padded[1] // MULTIPLE
        reference = None
        for frame in stream.frames():
            model, mark = self._model_of(header, frame.beta_code)
            if header.fingerprint != mark:
                raise BitstreamError(
                    f"the stream was written with other weights of {header.model} ({header.fingerprint}) than those "
                    f"of {self.name} ({mark}); decode it with the former"
                )
            strings = _unpack(frame.data, 2 if frame.key else 4)
            reference = _decode(model, strings, shape, None if frame.key else reference)
            yield (functional.pad(reference, crop)[0].clamp(0, 1) * 255).round().to(torch.uint8).cpu()

    def _qualities(self, settings: Mapping[str, Any]) -> list[int]:
        qualities = numbers(settings, "quality", 1, 9)
        for quality in qualities:
            if quality not in self._files:
                have = ", ".join(map(str, self._files))
                raise ConfigError(f"quality={quality:g}: {self.name} has weights of quality {have}")
        return [int(quality) for quality in qualities]

    def _model_of(self, header: Header, quality: int) -> tuple[ScaleSpaceFlow, str]:
        if header.model != f"{MODEL}-{quality}" or quality not in self._files:
            raise BitstreamError(f"the stream was written by {header.model}, not by {self.name}; decode it with that")
        return self._model(quality)

    def _model(self, quality: int) -> tuple[ScaleSpaceFlow, str]:
        """Network and fingerprint (16 hexadecimal digits) of a quality, ready to code."""
        if self._loaded is None or self._loaded[0] != quality:
            self._loaded = None
            if self._random:
                model, mark = _untrained(quality), hashlib.sha256(f"random {MODEL} {quality}".encode()).hexdigest()
            else:
                model, mark = _trained(find_weights(self._files[quality], self._weights_dir))
            model.update(force=True)  # the coder's tables; without it there are none, or those of older weights
            self._loaded = quality, model.to(self.device).eval(), mark[:16]
        return self._loaded[1:]


def _untrained(quality: int) -> ScaleSpaceFlow:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(quality)
        return ScaleSpaceFlow()


def _trained(path: Path) -> tuple[ScaleSpaceFlow, str]:
    """Network and SHA-256 of a file of the model zoo, or of a checkpoint of CompressAI's training script."""
    found = sha256(path)
    named = re.search(r"-([0-9a-f]{8})\.pth\.tar$", path.name)
    if named and not found.startswith(named[1]):
        raise MissingWeights(
            f"weights file {path.name} is not what its name says (SHA-256 {found[:8]}..., not {named[1]}...); "
            "replace it by a whole copy"
        )
    state = load_weights(path)
    model = ScaleSpaceFlow()
    try:
        model.load_state_dict(load_pretrained(state.get("state_dict", state)))
    except (RuntimeError, AttributeError, TypeError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise MissingWeights(f"weights file {path.name} is not of {MODEL} ({reason}); give one that is") from error
    return model, found


@torch.inference_mode()
def _encode(model: ScaleSpaceFlow, x: Tensor, reference: Tensor | None) -> tuple[list[bytes], Tensor]:
    """Strings and reconstruction ``[1, 3, H, W]`` of ``x``, a key frame where there is no reference."""
    if reference is None:
        reconstruction, out = model.encode_keyframe(x)
        parts = [out["strings"]]
    else:
        reconstruction, out = model.encode_inter(x, reference)
        parts = [out["strings"]["motion"], out["strings"]["residual"]]
    return [string for part in parts for (string,) in part], reconstruction


@torch.inference_mode()
def _decode(model: ScaleSpaceFlow, strings: list[bytes], shape: tuple[int, int], reference: Tensor | None) -> Tensor:
    """Inverse of :func:`_encode`; ``shape`` is that of the hyper-latents."""
    parts = [[string] for string in strings]
    if reference is None:
        return model.decode_keyframe(parts, shape)
    both = {"motion": parts[:2], "residual": parts[2:]}
    return model.decode_inter(reference, both, {"motion": shape, "residual": shape})


def _pack(strings: list[bytes]) -> bytes:
    return b"".join([*(len(string).to_bytes(3, "little") for string in strings[:-1]), *strings])


def _unpack(data: bytes, count: int) -> list[bytes]:
    lengths = [int.from_bytes(data[3 * i : 3 * i + 3], "little") for i in range(count - 1)]
    strings, position = [], 3 * (count - 1)
    for length in lengths:
        strings.append(data[position : position + length])
        position += length
    return [*strings, data[position:]]
