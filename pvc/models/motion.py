"""A classical motion estimate that the encoder of a tiny model starts from; the decoder never needs it."""

import cv2
import numpy as np
import torch
from torch import Tensor

from pvc.constants import constant

_LUMA = 0.299, 0.587, 0.114


def motion_hints(frames: Tensor) -> Tensor:
    """:func:`estimate_flow` of each frame of ``frames`` [N, T, 3, H, W] from the one before, [N, T - 1, 2, H, W]."""
    n, t = frames.shape[:2]
    if t == 1:
        return frames.new_zeros(n, 0, 2, *frames.shape[-2:])
    return estimate_flow(frames[:, 1:].flatten(0, 1), frames[:, :-1].flatten(0, 1)).unflatten(0, (n, t - 1))


def estimate_flow(current: Tensor, reference: Tensor) -> Tensor:
    """Backward flow by dense inverse search (Kroeger et al., ECCV 2016; OpenCV's DISOpticalFlow).

    Args:
        current, reference: [N, 3, H, W] RGB in [0, 1].

    Returns:
        [N, 2, H, W] float32, in pixels, x first: pixel p of ``current`` is found at p + flow(p) in ``reference``.
    """
    if min(current.shape[-2:]) < 16:  # DIS needs a few of its 8x8 patches
        return torch.zeros(len(current), 2, *current.shape[-2:], device=current.device)
    luma = constant(_LUMA, current.float()).view(3, 1, 1)
    grey = [((f.detach().float() * luma).sum(1) * 255).round().byte() for f in (current, reference)]
    grey = torch.stack(grey).cpu().numpy()  # bytes of both at once: what leaves a GPU is waited for
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    flows = [dis.calc(c, r, None) for c, r in zip(*grey, strict=True)]
    return torch.from_numpy(np.stack(flows)).permute(0, 3, 1, 2).to(current.device)
