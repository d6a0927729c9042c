"""Importance maps: one value in [0, 1] per pixel and frame, float32 ``[T, 1, H, W]``."""

from pvc.importance.maps import (
    ALPHA_MAX,
    alpha_from_u,
    check_map,
    distortion_weight,
    u_from_alpha,
    weighted_mask,
)
from pvc.importance.perlin import PerlinSettings, perlin_mask

__all__ = [
    "ALPHA_MAX",
    "PerlinSettings",
    "alpha_from_u",
    "check_map",
    "distortion_weight",
    "perlin_mask",
    "u_from_alpha",
    "weighted_mask",
]
