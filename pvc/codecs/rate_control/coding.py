"""One frame coded as a control chooses, as often as it likes, and the frames with what is known of those after them."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from pvc.codecs.ahead import hand_over
from pvc.codecs.rate_control.control import Choice, Trial
from pvc.errors import ImportanceError
from pvc.importance import weighted_mask
from pvc.metrics.frame_means import regions
from pvc.metrics.psnr import psnr_db
from pvc.models.ssf import Past, ScaleSpaceFlow

AHEAD = 4
"""Frames that are made ready for a GPU while one is coded: a thread each."""

RECORD_BYTES = 8
"""What a frame's record in the stream has beside its symbols, more or less; the exact size is known when it stands."""


@dataclass
class Frame:
    """A frame uint8 ``[3, H, W]`` and its map q ``[1, H, W]`` or None, as they came; ``left`` frames, itself included.

    ``left`` is None where the end is not in sight; ``before`` is the picture before, and ``after`` the next frame, if
    there is one. ``made`` is what a device needs of it, once it is made or being made.
    """

    picture: Tensor
    q: Tensor | None
    left: int | None
    before: Tensor | None = None
    after: "Frame | None" = None
    made: "Future[_Made] | _Made | None" = None


@dataclass
class _Made:
    """On the device: ``x`` [1, 3, H, W] in [0, 1], padded, ``q`` [1, H, W], not padded, and the motion hint."""

    x: Tensor
    q: Tensor | None
    hint: Tensor | None = None


def upcoming(
    pictures: Iterable[Tensor], maps: Iterator[Tensor] | None, count: int | None, ahead: int
) -> Iterator[Frame]:
    """The frames, read ``ahead`` frames before they are given out.

    Raises:
        ImportanceError: there are fewer maps than pictures.
    """
    waiting: deque[Frame] = deque()
    before = None
    for number, picture in enumerate(pictures):
        q = None if maps is None else next(maps, None)
        if maps is not None and q is None:
            raise ImportanceError(f"the importance map has {number} frames, the clip has more; give one for each")
        frame = Frame(picture, q, None if count is None else count - number, before)
        before = picture
        if waiting:
            waiting[-1].after = frame
        waiting.append(frame)
        if len(waiting) > ahead:
            yield waiting.popleft()
    while waiting:
        waiting[0].left = len(waiting)
        yield waiting.popleft()


class FrameCoder:
    """Codes frames after what :meth:`keep` was told of the frame before.

    Args:
        model: with its ``encode_frame``. device: where it is.
        u_alpha: that the maps were made with: q = (1 - m) u_alpha + m.
        measures: region whose PSNR a trial gets: ``""`` all, ``"_roi"`` where m >= 0.5 (as in the metrics), None none.
        precision: of the model's transforms. rdoq: rounds of its search for better symbols.
    """

    def __init__(
        self,
        model: ScaleSpaceFlow,
        device: torch.device,
        u_alpha: float,
        measures: str | None,
        precision: torch.dtype = torch.float32,
        rdoq: int = 0,
    ):
        self._model, self._device, self._u, self._measures = model, device, u_alpha, measures
        self._precision, self._rdoq = precision, rdoq
        self._past: Past | None = None

    def in_time(self, frames: Iterable[Frame], early: bool = True, hints: bool = True) -> Iterator[Frame]:
        """``frames``; what a GPU needs of them is made by threads; ``early``: up to ``AHEAD`` frames before.

        There the host's part, most of all the motion hint, takes longer than what the GPU does. ``hints``: not all are
        I-frames.
        """
        if self._device.type != "cuda":
            yield from frames
            return
        side, waiting = torch.cuda.Stream(self._device), deque()
        with ThreadPoolExecutor(AHEAD) as pool:
            for frame in frames:
                frame.made = pool.submit(self._on_gpu, frame, side, hints)
                waiting.append(frame)
                if len(waiting) > (AHEAD if early else 0):
                    yield waiting.popleft()
            yield from waiting

    def code(self, frame: Frame, choice: Choice) -> Trial:
        """``frame`` coded by ``choice``; ``coded`` of the trial are its symbols and what the decoder then has."""
        made = self._made(frame, choice.key)
        past, q = None if choice.key else self._past, self._weight(made.q, choice.u_alpha)
        symbols, past = self._model.encode_frame(made.x, choice.beta, q, past, made.hint, self._precision, self._rdoq)
        quality = None if self._measures is None else self._psnr(frame, past)
        return Trial(choice, 8 * (len(symbols) + RECORD_BYTES), quality, (symbols, past))

    def keep(self, frame: Frame, trial: Trial) -> None:
        """The frame stands as ``trial`` coded it."""
        self._past = trial.coded[1]

    def probe(self, frame: Frame, choices: list[Choice]) -> list[Trial]:
        """``frame`` and those after it coded by ``choices`` to see what they cost; nothing of it is kept."""
        trials: list[Trial] = []
        for choice in choices:
            if frame is None:
                break
            trials.append(self.code(frame, choice))
            self.keep(frame, trials[-1])
            frame = frame.after
        self._past = None
        return trials

    def _made(self, frame: Frame, key: bool) -> _Made:
        """What the model needs of ``frame``; the hint as well, if it is not coded as ``key`` frame."""
        if isinstance(frame.made, Future):
            frame.made = frame.made.result()
        if frame.made is None:
            q = None if frame.q is None else frame.q.float().to(self._device)
            frame.made = _Made(self._input(frame.picture, self._device), q)
        if frame.made.hint is None and not key:
            frame.made.hint = self._hint(frame, self._device)
        return frame.made

    def _hint(self, frame: Frame, device: torch.device | str) -> Tensor | None:
        if frame.before is None or not self._model.motion_hint:
            return None
        return self._model.hint(*(self._input(picture, device) for picture in (frame.picture, frame.before)))

    def _on_gpu(self, frame: Frame, side: "torch.cuda.Stream", hint: bool) -> _Made:
        """The same, in a thread: all that the host computes, and the way to the GPU in the stream ``side``."""
        parts = frame.picture, frame.q, self._hint(frame, "cpu") if hint else None
        with torch.cuda.stream(side):
            sent = [None if p is None else p.pin_memory().to(self._device, non_blocking=True) for p in parts]
            made = _Made(self._input(sent[0], self._device), None if sent[1] is None else sent[1].float(), sent[2])
            hand_over((part for part in (made.x, made.q, made.hint) if part is not None), side)
        return made

    def _input(self, picture: Tensor, device: torch.device | str) -> Tensor:
        return self._model.pad(picture[None].to(device).float() / 255)

    def _weight(self, q: Tensor | None, u_alpha: float | None) -> Tensor | None:
        """The map [1, 1, H, W], padded, at another alpha than that with which it was made."""
        if q is None:
            return None
        if u_alpha is not None and self._u < 1:
            q = weighted_mask(((q - self._u) / (1 - self._u)).clamp(0, 1), u_alpha)
        return self._model.pad(q[None])

    def _psnr(self, frame: Frame, past: Past) -> float | None:
        """PSNR of what will be decoded, in the measured region; None where the frame has none of it."""
        height, width = frame.picture.shape[1:]
        decoded = (past.reference[0, :, :height, :width] * 255).round().to(torch.uint8).cpu()
        squared = (frame.picture.int() - decoded.int()).square().sum(0)
        roi = None if frame.q is None else (frame.q - self._u).ge((1 - self._u) / 2)
        found = {name: values for name, values in regions("", squared, roi, threshold=0.5)}
        inside = found.get(self._measures)
        return None if inside is None else psnr_db(int(inside.sum(dtype=torch.int64)) / (3 * len(inside)))
