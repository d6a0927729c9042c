"""Training samples: a few frames, a square crop, random flips and time reversal, and an importance map."""

import logging
from collections.abc import Sequence as List

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate
from torch.utils.data import Dataset

from pvc.data.sequence import Box, Sequence
from pvc.errors import ConfigError, DataError, PvcError
from pvc.importance import PerlinSettings, perlin_mask

log = logging.getLogger(__name__)

_ATTEMPTS = 50  # other sequences tried in place of a broken one


class CropDataset(Dataset):
    """Random crops of sequences, as a function of ``(seed, index)`` and nothing else.

    The index is the sample's number since the beginning of the training, not within an epoch: each pass over the data
    is another order, and a run that is resumed at sample n goes on with the samples it would have seen.

    Args:
        sequences: what to draw from. A sequence comes ``frames // T`` times in a pass, so all frames weigh the same.
        frames: T, frames a sample.
        crop: size of the square crop in pixels; a smaller clip is cropped as large as it is and enlarged.
        stride: smallest and largest distance between the frames of a sample.
        flip_horizontal, flip_vertical, reverse: probability of each.
        roi: ``"perlin"`` random, ``"mask"`` the true ones, ``"mixed"`` true ones at even odds where there are any.
        perlin: ranges of the random maps.
        seed: of everything.
        on_error: ``"raise"``, or ``"skip"``: count a broken sequence in :attr:`skipped` and draw another.
        samples_per_epoch: length of an epoch (a pass over the data without it).

    An item is ``{"frames": uint8 [T, 3, crop, crop], "roi": float32 [T, 1, crop, crop], "index": int}``.

    Raises:
        DataError: no sequences, one with fewer than T frames, or one without a mask where masks are asked for.
    """

    def __init__(
        self,
        sequences: List[Sequence],
        *,
        frames: int = 3,
        crop: int = 256,
        stride: tuple[int, int] = (1, 1),
        flip_horizontal: float = 0.5,
        flip_vertical: float = 0.0,
        reverse: float = 0.5,
        roi: str = "perlin",
        perlin: PerlinSettings | None = None,
        seed: int = 0,
        on_error: str = "raise",
        samples_per_epoch: int | None = None,
    ) -> None:
        if frames < 1 or crop < 1 or not 1 <= stride[0] <= stride[1]:
            raise ConfigError(
                f"frames = {frames}, crop = {crop}, stride = {list(stride)}: must be 1 or more, low first"
            )
        if roi not in ("perlin", "mask", "mixed"):
            raise ConfigError(f"roi = {roi!r}: must be perlin, mask or mixed")
        self.frames, self.crop, self.stride = frames, crop, tuple(stride)
        self.flips = (flip_horizontal, flip_vertical, reverse)
        self.roi, self.perlin, self.seed, self.on_error = roi, perlin or PerlinSettings(), seed, on_error
        # Shared memory, so that workers count in the same place.
        self._skipped = torch.zeros(1, dtype=torch.int64).share_memory_()
        self.sequences = [s for s in sequences if self._usable(s)]
        if not self.sequences:
            raise DataError("there is no sequence to train on")
        counts = [max(1, s.frames // frames) for s in self.sequences]
        self._entries = np.repeat(np.arange(len(counts)), counts)
        self._pass: tuple[int, np.ndarray] = (-1, self._entries)
        self.samples_per_epoch = samples_per_epoch or len(self._entries)

    @property
    def skipped(self) -> int:
        """How many sequences and samples were left out since the beginning, in all workers together."""
        return int(self._skipped)

    def __len__(self) -> int:
        return self.samples_per_epoch

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        for attempt in range(_ATTEMPTS):
            rng = np.random.default_rng([self.seed, index, attempt])
            # The first choice follows the pass; in place of a broken sequence comes any other.
            entry = self._order(index) if attempt == 0 else rng.choice(self._entries)
            sequence = self.sequences[entry]
            try:
                return {**self._sample(sequence, rng), "index": index}
            except PvcError as error:
                if self.on_error == "raise":
                    raise
                self._skip(str(error))
        raise DataError(f"{_ATTEMPTS} broken sequences in a row; the last is {sequence.dataset}/{sequence.name}")

    def _sample(self, sequence: Sequence, rng: np.random.Generator) -> dict[str, Tensor]:
        longest = (sequence.frames - 1) // max(1, self.frames - 1)
        stride = min(int(rng.integers(self.stride[0], self.stride[1] + 1)), longest) if self.frames > 1 else 1
        span = (self.frames - 1) * stride + 1
        start = int(rng.integers(sequence.frames - span + 1))
        side = min(self.crop, sequence.height, sequence.width)
        top, left = (int(rng.integers(size - side + 1)) for size in (sequence.height, sequence.width))
        box = Box(top, left, side, side)
        draws = rng.uniform(size=4)
        true_mask = self.roi == "mask" or (self.roi == "mixed" and sequence.has_mask and draws[3] < 0.5)
        dims = [d for d, p, u in zip((-1, -2, 0), self.flips, draws, strict=False) if u < p]

        frames = sequence.read(start, self.frames, box, stride).flip(dims)
        if side != self.crop:
            frames = interpolate(frames.float(), (self.crop, self.crop), mode="bicubic", antialias=True)
            frames = frames.round().clamp(0, 255).to(torch.uint8)
        if not true_mask:
            return {"frames": frames, "roi": perlin_mask((self.frames, self.crop, self.crop), rng, self.perlin)}
        mask = sequence.read_mask(start, self.frames, box, stride).flip(dims)
        return {"frames": frames, "roi": interpolate(mask, (self.crop, self.crop), mode="nearest-exact")}

    def _order(self, index: int) -> int:
        number, place = divmod(index, len(self._entries))
        if self._pass[0] != number:
            self._pass = (number, np.random.default_rng([self.seed, number]).permutation(self._entries))
        return int(self._pass[1][place])

    def _usable(self, s: Sequence) -> bool:
        problem = None
        if s.frames < self.frames:
            problem = f"{s.dataset}/{s.name} has {s.frames} frames and a sample needs {self.frames}"
        elif self.roi == "mask" and not s.has_mask:
            problem = f"{s.dataset}/{s.name} has no mask; use roi=perlin or roi=mixed"
        if problem and self.on_error == "raise":
            raise DataError(f"{problem}; leave it out, or let on_error=skip do so")
        if problem:
            self._skip(problem)
        return problem is None

    def _skip(self, message: str) -> None:
        self._skipped += 1
        log.warning("skipped: %s", message)
