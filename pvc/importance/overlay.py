"""Maps to look at: heat colours over the frame."""

import cv2
import numpy as np
import torch
from torch import Tensor

_OPACITY = 0.6  # of the colours where q = 1
_OUTLINE = (255, 255, 255)
COLUMNS, CELL = 4, 480
"""Of a sheet: pictures beside each other, and the largest width of one in pixels."""


def overlay(frame: Tensor, q: Tensor, level: float = 0.5, neutral: float = 0.0) -> Tensor:
    """The frame under its map: from blue (little) to red, as far as it counts, and a white line where q is ``level``.

    Args:
        frame: uint8 RGB ``[3, H, W]``.
        q: float32 ``[1, H, W]`` in [0, 1].
        neutral: Where q says nothing, in [0, 1]: there the frame shows as it is, and colour grows away from it.

    Returns:
        uint8 RGB ``[3, H, W]``.
    """
    picture, value = frame.permute(1, 2, 0).numpy(), q[0].numpy()
    heat = cv2.cvtColor(cv2.applyColorMap(np.rint(value * 255).astype(np.uint8), cv2.COLORMAP_TURBO), cv2.COLOR_BGR2RGB)
    share = _OPACITY * np.abs(value - neutral)[..., None] / max(neutral, 1 - neutral)
    mixed = np.ascontiguousarray(np.rint(picture * (1 - share) + heat * share), np.uint8)
    lines, _ = cv2.findContours((value >= level).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(mixed, lines, -1, _OUTLINE, max(1, round(min(value.shape) / 360)))
    return torch.from_numpy(mixed).permute(2, 0, 1).contiguous()


def sheet(pictures: list[Tensor]) -> Tensor:
    """Pictures uint8 ``[3, H, W]`` of one size beside and below each other, at most :data:`CELL` wide each."""
    height, width = pictures[0].shape[1:]
    shrink = min(1, CELL / width)
    size = max(1, round(width * shrink)), max(1, round(height * shrink))
    cells = [cv2.resize(p.permute(1, 2, 0).numpy(), size, interpolation=cv2.INTER_AREA) for p in pictures]
    columns = min(COLUMNS, len(cells))
    cells += [np.full_like(cells[0], 255)] * (-len(cells) % columns)
    rows = [np.concatenate(cells[i : i + columns], axis=1) for i in range(0, len(cells), columns)]
    return torch.from_numpy(np.concatenate(rows)).permute(2, 0, 1).contiguous()
