"""Training crops and validation clips with the base layer's pictures and the saliency map beside the source."""

from collections.abc import Sequence as List
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from pvc.data.base_layer import SALIENCY, BaseLayer, qp_track
from pvc.data.crops import CropDataset
from pvc.data.identity import Digests
from pvc.data.module import ClipDataModule
from pvc.data.sequence import Box, Sequence
from pvc.errors import ConfigError, DataError

_COMPARED = 256
"""Clips whose frames are compared with what was coded; of a larger set so many, evenly spread."""


@dataclass
class LayeredSequence(Sequence):
    """A clip and its base layer at one QP: frames are ``[T, 6, H, W]``, source before base; the mask is the saliency.

    As one sequence they are cut, flipped and reversed alike.
    """

    source: Sequence
    cache: BaseLayer
    qp: int

    @property
    def has_mask(self) -> bool:
        return True

    def _read(self, start: int, count: int, box: Box | None, step: int) -> Tensor:
        base = self._track(qp_track(self.qp), start, count, box, step)
        return torch.cat([self.source.read(start, count, box, step), base], dim=1)

    def _read_mask(self, start: int, count: int, box: Box | None, step: int) -> Tensor:
        return self._track(SALIENCY, start, count, box, step).float() / 255

    def _track(self, track: str, start: int, count: int, box: Box | None, step: int) -> Tensor:
        part = self.cache.load(self.name, track)[start : start + count * step : step]
        return torch.from_numpy(np.array(part if box is None else box.cut(part)))


def layered(cache: BaseLayer, sequences: List[Sequence], qps: List[int], base: str) -> list[list[LayeredSequence]]:
    """Each of ``sequences`` at each of ``qps``, from ``cache``.

    Raises:
        DataError: the cache is of another base codec, lacks a QP or clips, or holds other clips under their names.
    """
    made_by = cache.made_by
    if made_by["base"] != base:
        raise DataError(
            f"{cache.folder} was coded by {made_by['base']} and this run asks for {base}; give another "
            f"data.base_cache, or model.base={made_by['base']}"
        )
    if unknown := [qp for qp in qps if qp not in made_by["qp"]]:
        raise DataError(
            f"{cache.folder} has qp {_list(made_by['qp'])} and not {_list(unknown)}; add it by pvc data base with "
            f"qp=[{_list(unknown)}] and the same out, or change model.qps"
        )
    found, missing, digests = [], [], Digests()
    compared = {*np.linspace(0, len(sequences) - 1, min(_COMPARED, len(sequences))).round().astype(int).tolist()}
    for i, s in enumerate(sequences):
        infos = [cache.info(s.name, track) for track in (SALIENCY, *map(qp_track, qps))]
        if None in infos:
            missing.append(s.name)
            continue
        frames, _, *size = infos[0]["shape"]
        if lengths := {info["shape"][0] for info in infos} - {frames}:
            raise DataError(
                f"{cache.folder}: the tracks of {s.name} have {frames} and {lengths.pop()} frames; delete its folder "
                "there and run pvc data base again with the same settings"
            )
        other = size != [s.height, s.width] or frames > s.frames
        if other or (i in compared and not all(digests.fit(info["source"], s, frames) for info in infos)):
            raise DataError(
                f"{cache.folder} holds another clip under the name {s.name} than {s.dataset} has; run pvc data base "
                "again with this data set and the same out"
            )
        own = (s.dataset, s.name, frames, s.height, s.width, s.fps, s, cache)
        found.append([LayeredSequence(*own, qp) for qp in qps])
    if missing:
        raise DataError(
            f"{cache.folder} is incomplete: it lacks {len(missing)} of {len(sequences)} clips at qp {_list(qps)}, "
            f"such as {missing[0]}; run pvc data base again with the same settings, which goes on where it stopped"
        )
    return found


def split(item: dict[str, Any], qp: int) -> dict[str, Any]:
    """An item of layered frames -> ``frames``, ``base``, ``saliency`` and ``qp`` by name."""
    both, saliency = item.pop("frames"), item.pop("roi")
    frames, base = both.split(3, dim=1)
    return {"frames": frames.contiguous(), "base": base.contiguous(), "saliency": saliency, "qp": qp, **item}


class LayeredCrops(CropDataset):
    """:class:`~pvc.data.crops.CropDataset` of clips with their base layer; one QP is drawn for each sample.

    An item is ``{"frames": uint8 [T, 3, c, c], "base": the same, "saliency": float32 [T, 1, c, c], "qp": int}``.

    Args:
        sequences: each clip at each QP. settings: of ``CropDataset``; maps are the saliency.
    """

    def __init__(self, sequences: List[List[LayeredSequence]], **settings: Any) -> None:
        self._at = {one[0].name: one for one in sequences}
        super().__init__([one[0] for one in sequences], **settings | {"roi": "mask"})

    def _usable(self, s: LayeredSequence) -> bool:
        if s.frames < self.frames <= s.source.frames:
            raise DataError(
                f"{s.cache.folder} has {s.frames} frames of {s.name} and a sample needs {self.frames}; run pvc data "
                "base with more frames, or give fewer data.frames"
            )
        return super()._usable(s)

    def _sample(self, sequence: Sequence, rng: np.random.Generator) -> dict[str, Tensor]:
        drawn = self._at[sequence.name][rng.integers(len(self._at[sequence.name]))]
        return split(super()._sample(drawn, rng), drawn.qp)


class LayeredClips(Dataset):
    """The first frames of each clip at each QP, whole; items as those of :class:`LayeredCrops`, with ``"name"``.

    ``"base_bpp"``, where the cache knows it, is the rate of the base layer's whole stream, in bits per pixel.
    """

    def __init__(self, sequences: List[List[LayeredSequence]], frames: int | None) -> None:
        self.sequences, self.frames = [s for one in sequences for s in one], frames

    def __len__(self) -> int:
        return len(self.sequences)

    def __getitem__(self, index: int) -> dict[str, Any]:
        s = self.sequences[index]
        count = min(s.frames, self.frames or s.frames)
        item = {"frames": s.read(0, count), "roi": s.read_mask(0, count), "name": s.name}
        track = s.cache.info(s.name, qp_track(s.qp))
        if track and "bits" in track:
            item["base_bpp"] = track["bits"] / (s.frames * s.height * s.width)
        return split(item, s.qp)


class BaseLayerDataModule(ClipDataModule):
    """Data of any source with a base layer: batches have ``"base"``, ``"saliency"`` and ``"qp"`` beside ``"frames"``.

    Args:
        source, root: see :class:`~pvc.data.module.ClipDataModule`.
        base_cache: what ``pvc data base`` has written.
        base: name of the codec that must have coded it.
        qp: its QPs that are trained.
        roi, perlin: not used; the importance map is the saliency.
        settings: of :class:`~pvc.data.module.ClipDataModule`.
    """

    def __init__(
        self, source, root=None, *, base_cache: str | Path, base: str, qp: List[int], roi=None, perlin=None, **settings
    ):
        super().__init__(source, root, roi="mask", **settings)
        if not (qp := list(qp)) or any(not isinstance(v, int) for v in qp):
            raise ConfigError(f"data.qp={qp} must be a list of whole numbers, such as [29,32,35,38]")
        self.cache, self.base, self.qp = BaseLayer(base_cache), base, qp

    def setup(self, stage: str | None = None) -> None:
        """See :class:`~pvc.data.module.ClipDataModule`.

        Raises:
            DataError: the cache does not fit, see :func:`layered`.
        """
        source = self.source()
        if stage in (None, "fit") and self.train_set is None:
            sequences = layered(self.cache, source.train(), self.qp, self.base)
            self.train_set = LayeredCrops(sequences, seed=self.seed, on_error=self.on_error, **self._crops)
        if self.val_set is None:
            self.val_set = LayeredClips(layered(self.cache, source.val(), self.qp, self.base), self.val_frames)


def _list(qps: List[int]) -> str:
    return ",".join(map(str, qps))
