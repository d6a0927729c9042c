"""One frame coded as a control chooses, as often as it likes, and the frames with what is known of those after them."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from pvc.codecs.rate_control.control import Choice, Trial
from pvc.errors import ImportanceError
from pvc.importance import weighted_mask
from pvc.metrics.frame_means import regions
from pvc.metrics.psnr import psnr_db
from pvc.models.ssf import Past, ScaleSpaceFlow

RECORD_BYTES = 8
"""What a frame's record in the stream has beside its symbols, more or less; the exact size is known when it stands."""


@dataclass
class Frame:
    """A frame uint8 ``[3, H, W]`` and its map q ``[1, H, W]`` or None, as they came; ``left`` frames, itself included.

    ``left`` is None where the end is not in sight; ``after`` is the next frame, if there is one.
    """

    picture: Tensor
    q: Tensor | None
    left: int | None
    after: "Frame | None" = None


def upcoming(
    pictures: Iterable[Tensor], maps: Iterator[Tensor] | None, count: int | None, ahead: int
) -> Iterator[Frame]:
    """The frames, read ``ahead`` frames before they are given out.

    Raises:
        ImportanceError: there are fewer maps than pictures.
    """
    waiting: deque[Frame] = deque()
    for number, picture in enumerate(pictures):
        q = None if maps is None else next(maps, None)
        if maps is not None and q is None:
            raise ImportanceError(f"the importance map has {number} frames, the clip has more; give one for each")
        frame = Frame(picture, q, None if count is None else count - number)
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
        self._previous: Tensor | None = None
        self._made: tuple[Frame, Tensor] | None = None

    def code(self, frame: Frame, choice: Choice) -> Trial:
        """``frame`` coded by ``choice``; ``coded`` of the trial are its symbols and what the decoder then has."""
        x, q = self._input(frame), self._map(frame, choice.u_alpha)
        past = None if choice.key else self._past
        symbols, past = self._model.encode_frame(x, choice.beta, q, past, self._previous, self._precision, self._rdoq)
        quality = None if self._measures is None else self._psnr(frame, past)
        return Trial(choice, 8 * (len(symbols) + RECORD_BYTES), quality, (symbols, past))

    def keep(self, frame: Frame, trial: Trial) -> None:
        """The frame stands as ``trial`` coded it."""
        self._past, self._previous = trial.coded[1], self._input(frame)

    def probe(self, frame: Frame, choices: list[Choice]) -> list[Trial]:
        """``frame`` and those after it coded by ``choices`` to see what they cost; nothing of it is kept."""
        trials: list[Trial] = []
        for choice in choices:
            if frame is None:
                break
            trials.append(self.code(frame, choice))
            self.keep(frame, trials[-1])
            frame = frame.after
        self._past = self._previous = None
        return trials

    def _input(self, frame: Frame) -> Tensor:
        if self._made is None or self._made[0] is not frame:
            self._made = frame, self._model.pad(frame.picture[None].to(self._device).float() / 255)
        return self._made[1]

    def _map(self, frame: Frame, u_alpha: float | None) -> Tensor | None:
        if frame.q is None:
            return None
        q = frame.q.float()
        if u_alpha is not None and self._u < 1:
            q = weighted_mask(((q - self._u) / (1 - self._u)).clamp(0, 1), u_alpha)
        return self._model.pad(q[None].to(self._device))

    def _psnr(self, frame: Frame, past: Past) -> float | None:
        """PSNR of what will be decoded, in the measured region; None where the frame has none of it."""
        height, width = frame.picture.shape[1:]
        decoded = (past.reference[0, :, :height, :width] * 255).round().to(torch.uint8).cpu()
        squared = (frame.picture.int() - decoded.int()).square().sum(0)
        roi = None if frame.q is None else (frame.q - self._u).ge((1 - self._u) / 2)
        found = {name: values for name, values in regions("", squared, roi, threshold=0.5)}
        inside = found.get(self._measures)
        return None if inside is None else psnr_db(int(inside.sum(dtype=torch.int64)) / (3 * len(inside)))
