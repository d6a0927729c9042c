"""A tiny model that is trained goes on with more latents, or with motion of another kind, from where it has come to."""

import logging

import torch
from torch import Tensor

from pvc.entropy.conditional import scale_to_level
from pvc.models.patch import dct_frequencies, image_deviation

log = logging.getLogger(__name__)

# Where motion goes in, along this dimension, in pixels or in symbols; in the branch of the residual it is last.
_TAKEN_IN_PIXELS = {
    "motion.decoder.up.0.weight": 1,
    "residual.decoder.linear.weight": 0,
    "residual.decoder.up.0.weight": 1,
}
_TAKEN_IN_SYMBOLS = {
    "motion.prior.encoder.0.weight": 1,
    "motion.prior.context_mean.0.weight": 1,
    "motion.prior.context_scale.0.weight": 1,
    "residual.prior.context_scale.0.weight": 1,
}
# Networks whose last layer tells motion or its spread, and whether it does so in symbols.
_TOLD = {
    "motion.encoder.body.": False,
    "motion.prior.mean.": True,
    "motion.prior.context_mean.": True,
    "motion.prior.scale_head.": False,
}
# What of motion's branch is as it is made.
_MADE = ("motion.gain.", "motion.encoder.linear.", "motion.decoder.linear.")


def widened(
    source: dict[str, Tensor], target: dict[str, Tensor], before: tuple[int, int], now: tuple[int, int]
) -> None:
    """Make tensors of ``source`` as large as those of ``target``, in place, for more picture latents.

    The symbols that there were in I-frames, and their bits, stay as they are. New latents are functions of the DCT, as
    ``target`` has them; their gain and what they spread like is told by the nearest frequency that there was, and they
    tell nothing yet. Nothing is changed where ``now`` has not more of each colour, or not as many of motion.

    Args:
        source, target: states of the same keys. before, now: latents of pictures and of motion of either.
    """
    (old, motion), (new, same) = before, now
    if motion != same or old // 8 > new // 8 or old - 2 * (old // 8) > new - 2 * (new // 8) or old == new:
        return
    log.warning("goes on with %d latents of pictures in place of %d; model.latent=%d keeps them", new, old, old)
    kept, motions = _places(old, new), torch.arange(motion)
    # by sizes: latents; those and motion; those of two frames and motion (``ScaleSpaceFlow._residual_context``)
    places = {(old, new): kept}
    places[old + motion, new + motion] = torch.cat((kept, new + motions))
    places[2 * old + motion, 2 * new + motion] = torch.cat((kept, new + kept, 2 * new + motions))
    nearest, offset = _nearest(old, new)
    for key, wide in target.items():
        narrow = source[key]
        sizes = list(zip(narrow.shape, wide.shape))
        if (
            narrow.dim() != wide.dim()
            or any(a != b and (a, b) not in places for a, b in sizes)
            or narrow.shape == wide.shape
        ):
            continue
        if ".gain." in key or ".scale_head." in key:
            made = narrow.index_select([a != b for a, b in sizes].index(True), nearest)
            if key.endswith("bias"):
                made = made + offset
        else:
            made = wide.clone() if key.endswith("linear.weight") else torch.zeros_like(wide)
        at = [torch.arange(a) if a == b else places[a, b] for a, b in sizes]
        made[torch.meshgrid(*at, indexing="ij")] = narrow.to(made.dtype)
        source[key] = made


def with_motion_of_quarters(source: dict[str, Tensor], target: dict[str, Tensor], motion: int, now: int) -> None:
    """Make tensors of ``source`` those of a model in which each quarter of a block has a motion, in place.

    Each quarter takes the part that its block had; what was told beside mean motion is left out.

    Args:
        source, target: states of the same keys. motion, now: latents of motion in either, ``now`` >= 8.
    """
    kept = f"model.fine_motion=false model.motion_latent={motion}"
    log.warning("goes on with a motion for each 8x8 pixels in place of 16x16; %s keeps these", kept)
    finer = (target["motion.gain.log"][0] - source["motion.gain.log"][0]).exp().item()

    def shared(x: Tensor, dim: int, factor: float) -> Tensor:
        """The first two of ``motion`` inputs or outputs for all quarters; none beside them."""
        parts = factor * x.narrow(dim, 0, 2).repeat_interleave(4, dim)
        rest = x.narrow(dim, 0, 1).expand(*[now - 8 if d == dim else -1 for d in range(x.dim())])
        return torch.cat((parts, torch.zeros_like(rest)), dim=dim)

    for taken, factor in ((_TAKEN_IN_PIXELS, 1 / 4), (_TAKEN_IN_SYMBOLS, 1 / 4 / finer)):
        for key, dim in taken.items():
            if key in source:
                others = source[key].shape[dim] - motion
                kept, moved = source[key].split((others, motion), dim)
                source[key] = torch.cat((kept, shared(moved, dim, factor)), dim=dim)
    for network, in_symbols in _TOLD.items():
        last = max(int(key[len(network) :].split(".")[0]) for key in source if key.startswith(network))
        for key in (f"{network}{last}.weight", f"{network}{last}.bias"):
            source[key] = shared(source[key], 0, finer if in_symbols else 1)
    source |= {key: tensor.clone() for key, tensor in target.items() if key.startswith(_MADE)}


def _places(old: int, new: int) -> Tensor:
    """Of ``old`` latents among ``new``: of each colour the lowest frequencies, see ``pvc.models.patch.image_basis``."""
    few, many = torch.arange(old // 8), new // 8
    return torch.cat((torch.arange(old - 2 * len(few)), new - 2 * many + few, new - many + few))


def _nearest(old: int, new: int) -> tuple[Tensor, Tensor]:
    """For each of ``new`` latents, which of ``old`` is nearest in frequency, and how many levels more it spreads."""
    starts, levels = [], [scale_to_level(image_deviation(n, n // 8, 1.0)) for n in (old, new)]
    first = 0
    for few, many in ((old - 2 * (old // 8), new - 2 * (new // 8)), *[(old // 8, new // 8)] * 2):
        there, wanted = (torch.tensor(dct_frequencies(n), dtype=torch.float64) for n in (few, many))
        starts.append(first + torch.cdist(wanted, there).argmin(1))
        first += few
    nearest = torch.cat(starts)
    return nearest, levels[1] - levels[0][nearest]
