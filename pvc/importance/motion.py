"""What moves otherwise than the camera: flow between two frames, less the motion that one affine model explains."""

import cv2
import numpy as np
from numpy.typing import NDArray

from pvc.importance.flow import grid, unrelated

_NOISE = 4.0  # grey levels between two frames of a thing that did not move


def fast_flow(frame: NDArray, other: NDArray) -> NDArray | None:
    """Dense optical flow (DIS, Kroeger et al., ECCV 2016), None between frames that show different scenes.

    Args:
        frame, other: luma uint8 ``[H, W]``.

    Returns:
        float32 ``[H, W, 2]``, x first, in pixels: ``frame(p)`` is ``other(p + flow(p))``.
    """
    found = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST).calc(frame, other, None)
    return None if unrelated(frame, other, found) else found


def own_motion(frame: NDArray, other: NDArray, flow: NDArray) -> NDArray:
    """How far each place moves against the camera, in pixels of ``frame``, as far as the frames show it.

    Where moving ``other`` with the camera already gives ``frame``, as on a plain wall or in snow, a flow of its own is
    the estimator's guess: it counts by the share ``d / (d + noise)``, with d the local difference in grey levels.

    Args:
        frame, other: luma uint8 ``[H, W]``.
        flow: of ``frame`` to ``other`` on a coarser grid, ``[h, w, 2]``, but in pixels of ``frame``.

    Returns:
        float32 ``[h, w]``.
    """
    (height, width), (h, w) = frame.shape, flow.shape[:2]
    place = grid(h, w) * np.float32([width / w, height / h])
    camera = camera_motion(place, flow)
    own = flow - cv2.transform(place, camera)
    still = camera + np.float32([[1, 0, 0], [0, 1, 0]])
    moved = cv2.warpAffine(
        other, still, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
    )
    unexplained = cv2.resize(cv2.blur(cv2.absdiff(frame, moved).astype(np.float32), (9, 9)), (w, h))
    return cv2.magnitude(own[..., 0], own[..., 1]) * (unexplained / (unexplained + _NOISE))


def camera_motion(place: NDArray, flow: NDArray, rounds: int = 4, stride: int = 2) -> NDArray:
    """The affine function ``[2, 3]`` of ``place`` (``[h, w, 2]``) that most of the flow ``[h, w, 2]`` follows.

    It is fitted to every ``stride``-th vector by iteratively reweighted least squares, in which vectors far off the
    last fit, against the median distance, count less (Geman-McClure).
    """
    v = flow[::stride, ::stride].reshape(-1, 2)
    a = cv2.convertPointsToHomogeneous(np.ascontiguousarray(place[::stride, ::stride]).reshape(-1, 2))[:, 0]
    scale = np.float32([*1 / (np.ptp(place, axis=(0, 1)) + 1), 1])
    a, weight = a * scale, np.ones((len(v), 1), np.float32)
    for _ in range(rounds):
        model = np.linalg.solve((a * weight).T @ a + 1e-3 * np.eye(3, dtype=np.float32), (a * weight).T @ v)
        apart = v - a @ model
        distance = cv2.magnitude(apart[:, 0], apart[:, 1])
        weight = 1 / (1 + (distance / (np.median(distance) + 1e-3)) ** 2) ** 2
    return (model * scale[:, None]).T.astype(np.float32)
