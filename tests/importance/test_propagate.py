"""Propagated importance moves as the picture moves, fades as it is said, and does not smear."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from pvc.cli import main
from pvc.errors import ConfigError, ImportanceError
from pvc.importance.flow import CUT, STEPS, Farneback
from pvc.importance.flow_file import FlowFile
from pvc.importance.keyframes import between_keyframes, in_reach
from pvc.importance.propagate import Decay, propagate, warp
from pvc.importance.registry import load_source
from pvc.video import read_clip, read_map, write_clip

HEIGHT, WIDTH = 96, 128
FOREVER = Decay(40, 1.0)


def _texture(seed: int, grain: float = 3.0) -> np.ndarray:
    """uint8 ``[2 H, 2 W, 3]``: coloured noise of blobs, so that there is something to follow."""
    noise = np.random.default_rng(seed).normal(size=(2 * HEIGHT, 2 * WIDTH, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), grain)
    return (128 + 50 * smooth / smooth.std()).clip(0, 255).astype(np.uint8)


def _translation(frames: int, dx: int, dy: int) -> torch.Tensor:
    """uint8 ``[T, 3, H, W]``: a texture that moves by ``dx``, ``dy`` pixels a frame."""
    texture = _texture(0)
    y, x = HEIGHT // 2, WIDTH // 2
    crops = [texture[y - t * dy : y - t * dy + HEIGHT, x - t * dx : x - t * dx + WIDTH] for t in range(frames)]
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2)


def _square(x: int, y: int, side: int = 24) -> torch.Tensor:
    q = torch.zeros(1, HEIGHT, WIDTH)
    q[0, y : y + side, x : x + side] = 1
    return q


def _passing(frames: int, speed: int = 4) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """A reddish square that passes over a still greenish background, and where it is."""
    back, front = _texture(1) // 2, _texture(2) // 2
    back[..., 1] += 100
    front[..., 0] += 120
    clip, masks = [], []
    for t in range(frames):
        x, picture = 10 + speed * t, back[:HEIGHT, :WIDTH].copy()
        picture[30:60, x : x + 30] = front[:30, :30]
        clip.append(torch.from_numpy(picture).permute(2, 0, 1))
        masks.append(_square(x, 30, 30))
    return torch.stack(clip), masks


def _iou(a: torch.Tensor, b: torch.Tensor) -> float:
    a, b = a >= 0.5, b >= 0.5
    return float((a & b).sum() / (a | b).sum())


@pytest.mark.parametrize(("dx", "dy"), [(2, 0), (0, -1), (-3, 2)])
def test_a_map_moves_by_the_motion(dx, dy):
    flows = list(Farneback().flows(_translation(7, dx, dy)))
    for k, q in enumerate(propagate(_square(52, 36), flows, FOREVER), start=1):
        assert _iou(q, _square(52 + k * dx, 36 + k * dy)) > 0.9


def test_the_flow_of_a_translation_is_the_translation():
    (flow,) = Farneback().flows(_translation(2, 3, 1))
    assert flow.dtype == np.int16 and flow.shape == (2, HEIGHT, WIDTH)
    inner = flow[:, 24:-24, 24:-24] / STEPS
    assert np.allclose(np.median(inner, axis=(1, 2)), (-3, -1), atol=0.1)  # to where it was


def test_a_still_picture_leaves_maps_as_they_are():
    clip = _translation(2, 0, 0)
    q = _square(52, 36)
    assert (next(propagate(q, Farneback().flows(clip), FOREVER)) - q).abs().max() < 0.05


@pytest.mark.parametrize("gaussian", [True, False])
def test_background_that_comes_out_from_behind_is_not_smeared(gaussian):
    clip, masks = _passing(13)
    flows = {check: list(Farneback(check=check, gaussian=gaussian).flows(clip)) for check in (True, False)}
    last = {check: list(propagate(masks[0], flows[check], FOREVER))[-1] for check in flows}
    behind = {check: float((q * (1 - masks[-1])).sum()) for check, q in last.items()}
    assert behind[True] < 0.3 * behind[False]
    assert _iou(last[True], masks[-1]) > max(0.75, _iou(last[False], masks[-1]))


def test_flow_of_smaller_frames_moves_maps_of_full_size():
    (flow,) = Farneback(lines=48).flows(_translation(2, 4, 2))
    assert flow.shape == (2, 48, 64)
    assert _iou(warp(_square(52, 36), flow), _square(56, 38)) > 0.85


def test_a_cut_ends_it():
    clip = torch.cat([_translation(2, 1, 0), torch.from_numpy(_texture(9)[:HEIGHT, :WIDTH]).permute(2, 0, 1)[None]])
    first, cut = Farneback().flows(clip)
    assert (first != CUT).all() and (cut == CUT).all()
    _, after = propagate(_square(40, 40), [first, cut], FOREVER, rest=0.25)
    assert torch.equal(after, torch.full_like(after, 0.25))


@pytest.mark.parametrize(
    ("decay", "expected"), [(0.5, [0.5, 0.25, 0.125]), ("linear", [0.75, 0.5, 0.25]), (1.0, [1] * 3)]
)
@pytest.mark.parametrize("rest", [0.0, 0.4])
def test_decay_is_exact(decay, expected, rest):
    still = np.zeros((2, HEIGHT, WIDTH), np.int16)
    maps = list(propagate(torch.ones(1, HEIGHT, WIDTH), [still] * 3, Decay(4, decay), rest))
    assert [float(q.min()) for q in maps] == pytest.approx([rest + (1 - rest) * w for w in expected])
    assert all(torch.equal(q, q[:, :1, :1].expand_as(q)) for q in maps)


def test_it_reaches_40_frames_and_the_end_of_a_shorter_clip():
    still = np.zeros((2, 4, 4), np.int16)
    assert len(list(propagate(torch.ones(1, 4, 4), [still] * 60))) == 40
    assert len(list(propagate(torch.ones(1, 4, 4), [still] * 7))) == 7
    assert [Decay().weight(k) for k in (0, 10, 40, 41)] == [1, 0.75, 0, 0]
    assert [Decay(40, 0.9).weight(k) for k in (40, 41)] == [0.9**40, 0]


def test_a_stroke_may_erase():
    still = np.zeros((2, 4, 4), np.int16)
    (q,) = propagate(torch.full((1, 4, 4), -0.5), [still], Decay(2))
    assert torch.equal(q, torch.full_like(q, -0.25))


def test_keyframes_fill_the_frames_after_them():
    still, full = np.zeros((2, 4, 4), np.int16), torch.ones(1, 4, 4)
    maps = list(between_keyframes({2: full, 6: 0.5 * full}, [still] * 9, Decay(3, 0.5), rest=0.0))
    assert [float(q.mean()) for q in maps] == [0, 0, 1, 0.5, 0.25, 0.125, 0.5, 0.25, 0.125, 0.0625]
    reach = [in_reach(t, {2, 6}, Decay(3, 0.5)) for t in range(11)]
    assert reach == [t in (3, 4, 5, 7, 8, 9) for t in range(11)]


def test_stored_flow_is_what_it_was_in_any_order(tmp_path):
    flows = list(Farneback().flows(_passing(5)[0]))
    flows.append(np.full_like(flows[0], CUT))
    FlowFile.write(tmp_path / "flow.npz", iter(flows))
    stored = FlowFile(tmp_path / "flow.npz")
    assert len(stored) == 5
    for t in (3, 0, 4, 1, 2):
        assert np.array_equal(stored[t], flows[t])
    assert (tmp_path / "flow.npz").stat().st_size < 0.5 * sum(flow.nbytes for flow in flows)
    expected, got = (list(propagate(_square(10, 30), f, FOREVER)) for f in (flows, stored))
    assert len(got) == 5 and torch.equal(torch.stack(got), torch.stack(expected))


def test_an_interrupted_flow_file_leaves_the_old_one(tmp_path):
    def broken():
        yield np.zeros((2, 4, 4), np.int16)
        raise ImportanceError("no more frames")

    (tmp_path / "flow.npz").write_bytes(b"before")
    with pytest.raises(ImportanceError, match="no more frames"):
        FlowFile.write(tmp_path / "flow.npz", broken())
    assert (tmp_path / "flow.npz").read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [tmp_path / "flow.npz"]


def test_a_damaged_flow_file_is_an_error_that_names_it(tmp_path):
    file = tmp_path / "flow.npz"
    FlowFile.write(file, Farneback().flows(_translation(3, 2, 0)))
    whole = bytearray(file.read_bytes())
    for content in (b"", b"no flow", bytes(whole[: len(whole) // 2])):
        file.write_bytes(content)
        with pytest.raises(ImportanceError, match=r"flow\.npz"):
            FlowFile(file)
    whole[200:232] = bytes(32)
    file.write_bytes(whole)
    with pytest.raises(ImportanceError, match=r"flow\.npz: flow 0 is damaged"):
        FlowFile(file)[0]
    with pytest.raises(ImportanceError, match="nothing"):
        FlowFile(tmp_path / "nothing.npz")


@pytest.fixture
def drawn(tmp_path, monkeypatch) -> torch.Tensor:
    """``clip.mkv``, and ``drawn/`` with maps of its frames 0 and 6."""
    monkeypatch.chdir(tmp_path)
    clip, masks = _passing(9)
    write_clip("clip.mkv", clip, 25)
    Path("drawn").mkdir()
    for t in (0, 6):
        Image.fromarray((masks[t][0] * 255).byte().numpy()).save(f"drawn/map_{t:05d}.png")
    return torch.stack(masks)


def test_the_command_fills_a_clip_from_drawn_frames(drawn):
    command = ["importance", "clip.mkv", "-o", "map.mkv", "--source", "propagated", "--set", "path=drawn", "decay=1.0"]
    main(command)
    maps = read_map("map.mkv")
    assert maps.shape == drawn.shape
    assert torch.equal(maps[0], drawn[0]) and torch.equal(maps[6], drawn[6])
    assert min(_iou(q, mask) for q, mask in zip(maps, drawn, strict=True)) > 0.75


def test_frames_out_of_reach_and_before_the_first_map_rest(drawn):
    Path("drawn/map_00000.png").rename("drawn/map_00002.png")
    source = load_source("propagated", path="drawn", frames=2, rest=0.2)
    frames = iter(_passing(9)[0])
    maps = torch.stack(list(source.maps(frames)))
    rest = [float(q.min()) == pytest.approx(0.2) == float(q.max()) for q in maps]
    assert rest == [True, True, False, False, True, True, False, False, True]


def test_the_source_reads_one_frame_ahead(drawn):
    taken = []
    maps = load_source("propagated", path="drawn").maps(taken.append(t) or f for t, f in enumerate(_passing(9)[0]))
    for t in range(9):
        next(maps)
        assert len(taken) == t + 1
    assert list(load_source("propagated", path="drawn").maps(iter(()))) == []


def test_the_record_tells_maps_of_other_frames_apart(drawn):
    before = load_source("propagated", path="drawn").meta
    Path("drawn/map_00006.png").rename("drawn/map_00007.png")
    after = load_source("propagated", path="drawn").meta
    assert before["keyframes"] == [0, 6] and after["keyframes"] == [0, 7]
    assert before["flow"]["winsize"] == 15 and before["sha256"] == after["sha256"]


def test_pictures_that_do_not_fit_are_errors(drawn):
    clip = _passing(5)[0]
    with pytest.raises(ImportanceError, match="map of frame 6 but the clip has 5 frames"):
        list(load_source("propagated", path="drawn").maps(clip))
    assert len(list(load_source("propagated", path="drawn", length="cut").maps(clip))) == 5
    with pytest.raises(ImportanceError, match="128x96 but the clip is 64x48"):
        list(load_source("propagated", path="drawn").maps(clip[..., ::2, ::2]))
    Path("drawn/other6.png").write_bytes(Path("drawn/map_00006.png").read_bytes())
    with pytest.raises(ImportanceError, match="several maps of frame 6"):
        list(load_source("propagated", path="drawn").maps(clip))
    Path("drawn/other6.png").rename("drawn/other.png")
    with pytest.raises(ImportanceError, match="no frame number"):
        list(load_source("propagated", path="drawn").maps(clip))
    with pytest.raises(ImportanceError, match="folder of pictures"):
        list(load_source("propagated", path="clip.mkv").maps(clip))


@pytest.mark.parametrize(
    "wrong", [{"frames": 0}, {"decay": 0}, {"decay": 1.5}, {"decay": "slow"}, {"rest": 2}, {"flow": {"lines": 2}}]
)
def test_settings_out_of_range_are_errors_that_name_them(wrong, drawn):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        load_source("propagated", path="drawn", **wrong)


def test_frames_that_change_size_are_an_error():
    with pytest.raises(ImportanceError, match="frame 1"):
        list(Farneback().flows([torch.zeros(3, 32, 32, dtype=torch.uint8), torch.zeros(3, 32, 48, dtype=torch.uint8)]))


def test_propagation_follows_a_real_scene_better_than_a_still_mask(shared_clips):
    scene = shared_clips / "train" / "davis-flamingo"
    clip, masks = read_clip(f"{scene}.mp4", 0, 11), read_map(f"{scene}.mask.mkv", 0, 11)
    first = (masks[0] >= 0.5).float()
    *_, last = propagate(first, Farneback(lines=128).flows(clip), FOREVER)
    assert _iou(last, masks[10]) > _iou(first, masks[10]) + 0.2
