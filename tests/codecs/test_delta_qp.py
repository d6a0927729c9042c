"""Maps as quantiser offsets of blocks, and as side data of FFmpeg's frames."""

import math

import av
import numpy as np
import pytest
import torch

from pvc.codecs.delta_qp import BLOCK, DeltaQp, attach, read_back
from pvc.errors import ConfigError, ImportanceError
from pvc.importance import distortion_weight, u_from_alpha, weighted_mask


def _left(height=48, width=64) -> torch.Tensor:
    mask = torch.zeros(1, height, width)
    mask[..., : width // 2] = 1
    return mask


@pytest.mark.parametrize("alpha", [1, 8, 26.5, 60])
def test_offsets_of_any_alpha_lie_around_0_unclipped_and_3_log2_alpha_apart(alpha):
    dqp = DeltaQp().blocks(weighted_mask(_left(), u_from_alpha(alpha)), alpha)
    assert dqp.shape == (3, 4)
    assert (dqp[:, :2] == -dqp[:, 2:]).all()
    assert abs(dqp).max() < 10
    assert dqp[0, 3] - dqp[0, 0] == pytest.approx(3 * math.log2(alpha), abs=0.1)


def test_centred_at_the_roi_the_background_is_clipped_at_10():
    dqp = DeltaQp(centre="roi").blocks(weighted_mask(_left(), u_from_alpha(26.5)), 26.5)
    assert dqp[0].tolist() == [0, 0, 10, 10]
    assert DeltaQp(centre="roi", limit=20).blocks(weighted_mask(_left(), 0.2), 26.5)[0, 3] == pytest.approx(14.2)


def test_linear_rule_is_10_to_minus_10_and_neutral_at_127_and_128():
    q = torch.tensor([0, 64, 127, 128, 255]).div(255).repeat_interleave(BLOCK).expand(1, BLOCK, -1)
    assert DeltaQp(rule="linear").blocks(q, 60).tolist() == [pytest.approx([10, 5, 0, 0, -10], abs=0.05)]


def test_a_block_takes_the_mean_of_its_weights_or_its_most_important_pixel():
    q = torch.zeros(1, 16, 32)
    q[:, :4, :16] = 1  # a quarter of the first block
    mean = DeltaQp(centre="roi", limit=20).blocks(q, 60)
    largest = DeltaQp(centre="roi", limit=20, pool="max").blocks(q, 60)
    assert mean[0, 0] == pytest.approx(-3 * math.log2(distortion_weight(q[..., :16]).mean()), abs=0.05)
    assert largest[0, 0] == 0
    assert mean[0, 1] == largest[0, 1] == pytest.approx(17.7)


@pytest.mark.parametrize("size", [(1, 1), (17, 33), (47, 63)])
@pytest.mark.parametrize("pool", ["mean", "max"])
def test_blocks_at_the_edge_go_by_the_pixels_that_are_there(size, pool):
    q = torch.zeros(1, *size)
    q[:, -1:, -1:] = 1
    dqp = DeltaQp(rule="linear", pool=pool).blocks(q, 60)
    assert dqp.shape == (-(-size[0] // 16), -(-size[1] // 16))
    there = (size[0] - 1) % 16 + 1, (size[1] - 1) % 16 + 1
    value = 1 if pool == "max" else 1 / (there[0] * there[1])
    assert dqp[-1, -1] == pytest.approx(10 - 20 * value, abs=0.05)


@pytest.mark.parametrize("size", [(48, 64), (34, 50), (2, 2)])
def test_side_data_survives_a_read_back(size):
    frame = av.VideoFrame(size[1], size[0], "yuv420p")
    shape = (-(-size[0] // 16), -(-size[1] // 16))
    dqp = np.random.default_rng(0).integers(-2, 3, shape) / np.float32(0.7)
    attach(frame, dqp)
    assert read_back(frame) == pytest.approx(dqp, abs=0.05)


def test_equal_neighbours_are_one_region():
    frame = av.VideoFrame(64, 48, "yuv420p")
    attach(frame, DeltaQp().blocks(_left(), 60))
    (data,) = frame.side_data
    assert len(bytes(data)) == 3 * 2 * 28  # three rows of two regions


def test_a_frame_without_offsets_has_none():
    assert read_back(av.VideoFrame(64, 48, "yuv420p")) is None


def test_offsets_that_do_not_fit_are_refused():
    frame = av.VideoFrame(64, 48, "yuv420p")
    for dqp, says in (
        (np.zeros((3, 5)), r"64x48.*\[3, 4\]"),
        (np.full((3, 4), np.nan), "nan"),
        (np.full((3, 4), 52.0), "52"),
    ):
        with pytest.raises(ImportanceError, match=says):
            attach(frame, dqp)
    assert read_back(frame) is None


@pytest.mark.parametrize("argument", [{"rule": "cubic"}, {"centre": "left"}, {"pool": "min"}, {"limit": 0}])
def test_unknown_settings_are_errors_that_name_them(argument):
    with pytest.raises(ConfigError, match=f"delta_qp.{next(iter(argument))}"):
        DeltaQp(**argument)
