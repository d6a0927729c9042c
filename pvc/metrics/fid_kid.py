"""FID (Heusel et al. 2017) and KID (Binkowski et al. 2018) between the patches of two clips."""

import functools
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import piq
import torch
import torchvision
from piq.feature_extractors import fid_inception
from torch import Tensor, nn

from pvc.errors import ConfigError
from pvc.metrics.base import Scores, check_pair, too_small
from pvc.metrics.frame_means import region_names
from pvc.metrics.weights import WeightsMetric
from pvc.weights import fill, load_weights, on_device

FILE = fid_inception.FID_WEIGHTS_URL.rsplit("/", 1)[1]
_BATCH = 16  # patches at a time


@dataclass(frozen=True)
class FidKid(WeightsMetric):
    """``fid`` and ``kid``, each with ``_roi`` and ``_bg``: how far the decoded patches are from the original ones.

    Patches are squares on a grid; the last of a row or column ends at the frame's edge, so every pixel is in one.
    Their features are the 2048 of FID's own Inception, scaled to 299x299 as is usual. A patch belongs to the ROI where
    at least half of its pixels do. FID depends on the number of patches, which is in the notes: compare codecs on the
    same clips, not clips with each other or with values from elsewhere. KID is unbiased and may be below 0.

    Args:
        patch: Side of a patch in pixels.
        stride: From one patch to the next.
        max_patches: Of a clip with more, a random choice of this many counts, the same for every codec.
        min_patches: Below this there is a reason instead of a value.
        threshold: Pixels whose importance is at least this are ROI.
        weights: Name or path of the Inception weights; None is the name of pytorch-fid and piq.
        weights_dir: Folder to look for the file in first.
        device: Where the network runs.
    """

    patch: int = 128
    stride: int = 128
    max_patches: int = 2048
    min_patches: int = 16
    threshold: float = 0.5
    weights: str | None = None
    weights_dir: str | None = None
    device: str = "cpu"
    libraries = ("piq", "torch", "torchvision")
    names = region_names("fid") + region_names("kid")

    def __post_init__(self) -> None:
        if min(self.patch, self.stride) < 1 or not 2 <= self.min_patches <= self.max_patches:
            raise ConfigError(
                f"metric fid_kid: patch={self.patch} and stride={self.stride} must be at least 1, "
                f"2 <= min_patches={self.min_patches} <= max_patches={self.max_patches}"
            )

    @property
    def files(self) -> tuple[str, ...]:
        """The Inception weights."""
        return (self.weights or FILE,)

    def _start(self, *paths: Path) -> "_Patches":
        return _Patches(self, load_inception(*paths, self.device))


class _Patch(NamedTuple):
    reference: Tensor  # [2048]
    decoded: Tensor  # [2048]
    roi: bool | None  # None: the clip has no mask


@dataclass
class _Patches:
    """Accumulator: the features of a bounded random choice of patches (algorithm R, with a fixed seed)."""

    family: FidKid
    network: nn.Module
    chosen: dict[int, _Patch] = field(default_factory=dict)
    seen: int = 0
    reason: str | None = None
    chance: random.Random = field(default_factory=lambda: random.Random(0))

    def add(self, reference: Tensor, decoded: Tensor, importance: Tensor | None) -> None:
        check_pair(reference, decoded, importance)
        self.reason = too_small(reference, self.family.patch)
        for t in range(0 if self.reason else len(reference)):
            self._frame(reference[t], decoded[t], None if importance is None else importance[t, 0])

    def _frame(self, reference: Tensor, decoded: Tensor, importance: Tensor | None) -> None:
        size = self.family.patch
        rows, columns = (grid(n, size, self.family.stride) for n in reference.shape[-2:])
        places: dict[int, tuple[slice, slice]] = {}
        for y in rows:
            for x in columns:
                slot = self.seen if self.seen < self.family.max_patches else self.chance.randint(0, self.seen)
                self.seen += 1
                if slot < self.family.max_patches:
                    places[slot] = slice(y, y + size), slice(x, x + size)
        slots = list(places)
        for start in range(0, len(slots), _BATCH):
            part = slots[start : start + _BATCH]
            features = [self._features(torch.stack([f[:, *places[s]] for s in part])) for f in (reference, decoded)]
            for slot, a, b in zip(part, *features, strict=True):
                m = None if importance is None else importance[places[slot]] >= self.family.threshold
                self.chosen[slot] = _Patch(a, b, None if m is None else bool(m.double().mean() >= 0.5))

    @torch.inference_mode()
    def _features(self, patches: Tensor) -> Tensor:
        """``[n, 2048]`` of uint8 ``[n, 3, P, P]``."""
        (features,) = self.network(patches.to(self.family.device).float() / 255)
        return features.flatten(1).cpu()

    def scores(self) -> Scores:
        out, patches = Scores(), [self.chosen[slot] for slot in sorted(self.chosen)]
        for which, fid, kid in zip((None, True, False), *map(region_names, ("fid", "kid")), strict=True):
            own = [p for p in patches if which is None or p.roi is which]
            if reason := self._fault(which, len(own), patches):
                out.unavailable |= {fid: reason, kid: reason}
                continue
            pair = [torch.stack(side).double() for side in ([p.reference for p in own], [p.decoded for p in own])]
            with torch.random.fork_rng(devices=[]):  # piq shuffles, which changes nothing here
                out.values |= {fid: frechet_distance(*pair), kid: float(piq.KID()(*pair))}
            size, chosen = self.family.patch, f" chosen of {self.seen}" if self.seen > len(patches) else ""
            out.notes |= dict.fromkeys((fid, kid), f"from {len(own)} patches of {size}x{size}{chosen}")
        return out

    def close(self) -> None:
        self.chosen.clear()

    def _fault(self, which: bool | None, count: int, patches: list[_Patch]) -> str | None:
        if self.reason:
            return self.reason
        if which is not None and patches and patches[0].roi is None:
            return "the sequence has no mask"
        if count < self.family.min_patches:
            where = {None: "", True: " in the ROI", False: " in the background"}[which]
            return f"{count} patches{where} are too few; {self.family.min_patches} are needed (min_patches)"
        return None


def grid(length: int, size: int, stride: int) -> list[int]:
    """Where patches of ``size`` start along a side of ``length`` >= ``size`` pixels; the last ends at its end."""
    return sorted({*range(0, length - size, stride), length - size})


def frechet_distance(one: Tensor, two: Tensor) -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) of two sets of features (float64 ``[n, D]``).

    With the centred features A and B, divided by the root of n - 1, C1 = A'A and C2 = B'B, and the trace of the root is
    the sum of the singular values of AB'. That is exact however few patches there are. piq's FID iterates for the root
    of a D x D matrix, which converges slowly where fewer than D patches leave it singular: minutes for D = 2048.
    """
    means = [x.mean(0) for x in (one, two)]
    a, b = ((x - m) / (len(x) - 1) ** 0.5 for x, m in zip((one, two), means, strict=True))
    # The same singular values from smaller matrices, where there are more patches than features.
    ra, rb = (torch.linalg.qr(x, mode="r").R if len(x) > x.shape[1] else x for x in (a, b))
    root = torch.linalg.svdvals(ra @ rb.T).sum()
    distance = (means[0] - means[1]).square().sum() + a.square().sum() + b.square().sum() - 2 * root
    return max(0.0, float(distance))


class OfflineInception(fid_inception.InceptionV3):
    """piq's Inception over a given network, where piq's own constructor would download its weights."""

    def __init__(self, inception: nn.Module):
        self.fid_inception_v3 = lambda: inception  # what piq's constructor asks for its network
        super().__init__()


@functools.cache
def load_inception(path: Path, device: str) -> OfflineInception:
    """FID's Inception on ``device``. Raises ``MissingWeights`` where the file is damaged or of something else."""
    return on_device(OfflineInception(fill(inception_blocks(), load_weights(path), path)).eval(), device)


def inception_blocks() -> nn.Module:
    """FID's variant of Inception v3 without weights: torchvision's, with the pooling of piq's blocks."""
    with torch.random.fork_rng(devices=[]):
        network = torchvision.models.inception_v3(weights=None, num_classes=1008, aux_logits=False, init_weights=False)
        for name, features in {"5b": 32, "5c": 64, "5d": 64}.items():
            channels = getattr(network, f"Mixed_{name}").branch1x1.conv.in_channels
            setattr(network, f"Mixed_{name}", fid_inception.FIDInceptionA(channels, features))
        for name, width in {"6b": 128, "6c": 160, "6d": 160, "6e": 192}.items():
            setattr(network, f"Mixed_{name}", fid_inception.FIDInceptionC(768, width))
        network.Mixed_7b = fid_inception.FIDInceptionE1(1280)
        network.Mixed_7c = fid_inception.FIDInceptionE2(2048)
    return network
