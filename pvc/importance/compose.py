"""Importance maps out of importance maps: what stands between a source of maps and who spends bits by them.

Each function takes streams of maps (float32 ``[1, H, W]`` in [0, 1], one a frame) and gives one, frame by frame, so
that memory does not grow with the clip. Arguments are checked when it is called, maps as they come. As steps of a
configuration (:mod:`pvc.importance.composite`) they go by their names, one after the other::

    - dilate: {radius: 8}
    - smooth: {radius: 2}
    - normalise: {over: clip}

:func:`maximum` and :func:`mean` take several streams, one for each source; all must be of the same size and length.
"""

import tempfile
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest

import cv2
import numpy as np
import torch
from skimage.morphology import disk
from torch import Tensor

from pvc.errors import ConfigError, ImportanceError

Maps = Iterable[Tensor]

NEUTRAL = 127 / 255
"""Mean of a map as the annotation tool keeps it (Pergament et al., 2022, section III.B)."""
_TOP = 65535  # maps are counted, and kept on disk, in steps of 1 / 65535


def maximum(*streams: Maps) -> Iterator[Tensor]:
    """The most important of the streams' values at each pixel.

    Raises:
        ConfigError: no stream. ImportanceError: streams of different sizes or lengths.
    """
    return (torch.stack(maps).amax(0) for maps in _together(streams))


def mean(*streams: Maps, weights: Sequence[float] | None = None) -> Iterator[Tensor]:
    """The weighted mean of the streams at each pixel.

    Args:
        weights: one number >= 0 for each stream, not all 0; they need not sum to 1. None weighs all alike.

    Raises:
        ConfigError: no stream, or weights that do not fit. ImportanceError: streams of different sizes or lengths.
    """
    w = torch.as_tensor([1.0] * len(streams) if weights is None else list(weights), dtype=torch.float64)
    if len(w) != len(streams) or not bool((w >= 0).all()) or not 0 < float(w.sum()) < float("inf"):
        raise ConfigError(f"weights={weights} for {len(streams)} streams of maps; give each a number >= 0, not all 0")
    shares = (w / w.sum()).float().view(-1, 1, 1, 1)
    # Shares may sum to a hair more than 1.
    return ((torch.stack(maps) * shares).sum(0).clamp(0, 1) for maps in _together(streams))


def threshold(maps: Maps, level: float = 0.5) -> Iterator[Tensor]:
    """1 where the map is at least ``level``, else 0.

    Raises:
        ConfigError: ``level`` lies outside (0, 1].
    """
    if not 0 < level <= 1:
        raise ConfigError(f"threshold: level={level} lies outside (0, 1]")
    return ((q >= level).float() for q in maps)


def dilate(maps: Maps, radius: int) -> Iterator[Tensor]:
    """The largest value within ``radius`` pixels (a disk, 0: the map itself), so that a region gets a margin.

    Raises:
        ConfigError: ``radius`` is no whole number >= 0.
    """
    _whole("dilate: radius", radius)
    element = disk(radius)
    return (torch.from_numpy(cv2.dilate(q[0].numpy(), element))[None] for q in maps)


def smooth(maps: Maps, decay: float = 0.0, radius: int = 0) -> Iterator[Tensor]:
    """Maps without flicker, smoothed over time.

    Args:
        decay: share of the past in the exponential mean ``s_t = decay s_(t-1) + (1 - decay) q_t`` with ``s_0 = q_0``,
            in [0, 1). It needs no later frame; half of a change has arrived after ln(0.5) / ln(decay) frames.
        radius: frames on either side of the plain mean over ``2 radius + 1`` frames, which is taken of the result; at
            both ends of the clip of those that are there. It is that many frames ahead.

    Raises:
        ConfigError: an argument out of range.
    """
    if not 0 <= decay < 1:
        raise ConfigError(f"smooth: decay={decay} lies outside [0, 1)")
    _whole("smooth: radius", radius)
    return _windowed(_exponential(maps, decay), radius)


def normalise(maps: Maps, mean: float = NEUTRAL, over: str = "frame") -> Iterator[Tensor]:
    """Maps of a given mean: ``q + c``, clipped to [0, 1], with the c that gives it (to within 1e-5).

    So whoever marks everything marks nothing: what counts is more or less importance than elsewhere. The annotation
    paper (section III.B) does not say how its tool gets to the mean; the tool's published code multiplies and then
    clips, which misses the mean by what it clips and has no result for a map of zeros. Adding keeps the differences
    between pixels, which are what delta-QP coding goes by, has a result for every map (one that is equal everywhere,
    all 0 and all 1 too, becomes ``mean`` everywhere), and changes nothing that has the mean already.

    Args:
        mean: in (0, 1); 127 / 255 is the annotation tool's.
        over: ``frame``: each frame gets the mean by a c of its own, as the maps come. ``clip``: the clip as a whole
            gets it by one c, as in the annotation tool, so that one frame can be more important than another. The
            maps then all come in before the first goes out; they wait in a temporary file (2 bytes a pixel, in steps
            of 1 / 65535), not in memory.

    Raises:
        ConfigError: an argument out of range.
    """
    if not 0 < mean < 1:
        raise ConfigError(f"normalise: mean={mean} lies outside (0, 1)")
    if over not in ("frame", "clip"):
        raise ConfigError(f"normalise: over={over!r} is unknown; use frame or clip")
    if over == "clip":
        return _normalised_clip(maps, mean)
    return ((q + _shift(_histogram(_steps(q)), mean)).clamp(0, 1) for q in maps)


def _normalised_clip(maps: Maps, mean: float) -> Iterator[Tensor]:
    with tempfile.TemporaryFile(prefix="pvc-maps-") as spool:
        counts, shapes = np.zeros(_TOP + 1, np.int64), []
        for q in maps:
            steps = _steps(q)
            counts += _histogram(steps)
            shapes.append(tuple(q.shape))
            spool.write(steps.data)
        spool.seek(0)
        shift = _shift(counts, mean) if shapes else 0.0
        for shape in shapes:
            steps = np.frombuffer(spool.read(2 * int(np.prod(shape))), np.uint16)
            yield (torch.from_numpy(steps.astype(np.float32)).view(shape) / _TOP + shift).clamp(0, 1)


def _steps(q: Tensor) -> np.ndarray:
    return (q * _TOP).round().numpy().astype(np.uint16)


def _histogram(steps: np.ndarray) -> np.ndarray:
    return np.bincount(steps.ravel(), minlength=_TOP + 1)


def _shift(counts: np.ndarray, mean: float) -> float:
    """The c for which values of these counts have the mean when ``q + c`` is clipped to [0, 1], by bisection."""
    values = np.linspace(0, 1, _TOP + 1)
    unchanged = np.dot(counts, values) / counts.sum()
    if abs(unchanged - mean) < 0.5 / _TOP:
        return 0.0
    low, high = -1.0, 1.0  # means 0 and 1
    for _ in range(30):
        c = (low + high) / 2
        below = np.dot(counts, (values + c).clip(0, 1)) < mean * counts.sum()
        low, high = (c, high) if below else (low, c)
    return (low + high) / 2


def _exponential(maps: Maps, decay: float) -> Iterator[Tensor]:
    past = None
    for q in maps:
        past = q if past is None else torch.lerp(q, past, decay)
        yield past


def _windowed(maps: Maps, radius: int) -> Iterator[Tensor]:
    window: deque[Tensor] = deque(maxlen=2 * radius + 1)
    ahead = 0  # frames in the window after the one whose turn it is
    for q in maps:
        window.append(q)
        if ahead == radius:
            yield _mean_of(window)
        else:
            ahead += 1
    # The clip is over: each further frame has one fewer after it, and as many before it as there were.
    for after in range(ahead - 1, -1, -1):
        yield _mean_of(list(window)[-(after + 1 + radius) :])


def _mean_of(maps: Sequence[Tensor]) -> Tensor:
    return maps[0] if len(maps) == 1 else torch.stack(tuple(maps)).mean(0).clamp(0, 1)


def _together(streams: Sequence[Maps]) -> Iterator[tuple[Tensor, ...]]:
    """The streams' maps frame by frame."""
    if not streams:
        raise ConfigError("there are no importance maps to combine; name at least one source")
    return _zipped(streams)


def _zipped(streams: Sequence[Maps]) -> Iterator[tuple[Tensor, ...]]:
    for t, maps in enumerate(zip_longest(*streams)):
        for i, q in enumerate(maps):
            if q is None:
                raise ImportanceError(f"stream {i + 1} of the maps to combine ends after {t} frames, others do not")
            if q.shape != maps[0].shape:
                (_, h, w), (_, height, width) = q.shape, maps[0].shape
                raise ImportanceError(
                    f"map {i + 1} of those to combine is {w}x{h} in frame {t}, the first one {width}x{height}"
                )
        yield maps


def _whole(name: str, value: int) -> None:
    if isinstance(value, bool) or value != int(value) or value < 0:
        raise ConfigError(f"{name}={value} is no whole number from 0")
