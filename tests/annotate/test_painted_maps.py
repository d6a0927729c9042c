"""What strokes paint, and the files that maps are kept in."""

import numpy as np
import pytest
import torch

from pvc.annotate.flow_bin import read_flow, steps, write_flow
from pvc.annotate.maps import at_clip_size, from_wire, moved, paint, read_values, strokes_that_stand, write_values
from pvc.errors import DataError, ImportanceError
from pvc.importance.compose import normalise
from pvc.importance.flow import Farneback
from pvc.video import read_map
from tests.annotate.painting import FPS, moving_clip, stroke

SHAPE = T, H, W = 50, 20, 30


def still(count=T - 1):
    """Flow of a picture that stands still."""
    return [(np.zeros((H, W), np.int16), np.zeros((H, W), np.int16), np.full((H, W), 255, np.uint8))] * count


def right(cells, count=T - 1):
    """Flow of a picture that goes right by so many cells a frame."""
    x, y, confidence = still(1)[0]
    return [(x - np.int16(64 * cells), y, confidence)] * count


def raised(values):
    """Levels above the cells that nobody touched."""
    return values.astype(int) - int(np.median(values))


def test_without_strokes_all_is_127():
    assert (paint([], still(), SHAPE) == 127).all()


def test_a_dab_is_strongest_in_its_middle_and_ends_at_its_radius():
    values = raised(paint([stroke(15.5, 10.5, radius=5)], still(), SHAPE))[0]
    assert values[10, 15] == values.max() == pytest.approx(60, abs=1)
    assert values[10, 15] > values[10, 17] > values[10, 19] > 0
    assert values[10, 21] == 0
    assert (values[:, 11:20] == values[:, 19:10:-1]).all()


def test_the_eraser_takes_as_much_away_and_a_stroke_adds_at_most_twice_its_strength():
    erased = raised(paint([stroke(15.5, 10.5, tool="eraser")], still(), SHAPE))
    assert erased[0, 10, 15] == pytest.approx(-60, abs=1)
    back_and_forth = stroke(10, 10)
    back_and_forth["points"] = [[10 + 8 * (t % 2), 10, t] for t in range(20)]
    assert raised(paint([back_and_forth], still(), SHAPE)).max() == pytest.approx(120, abs=1)


def test_strokes_fade_over_the_next_40_frames_and_touch_none_before():
    values = raised(paint([stroke(15.5, 10.5, frame=5)], still(), SHAPE))[:, 10, 15]
    assert (values[:5] == 0).all()
    assert values[5:46] == pytest.approx([60 * (1 - k / 40) for k in range(41)], abs=1)
    assert (values[45:] == 0).all()


def test_strokes_go_with_the_flow_and_end_at_a_cut():
    flow = right(0.5)
    values = raised(paint([stroke(8.5, 10.5)], flow, SHAPE))
    assert [int(values[t, 10].argmax()) for t in (0, 4, 10, 20)] == [8, 10, 13, 18]
    x, y, confidence = flow[9]
    flow[9] = (x, y, confidence * 0)
    cut = raised(paint([stroke(8.5, 10.5)], flow, SHAPE))
    assert cut[9].max() > 30
    assert (cut[10:] == 0).all()


def test_flow_of_the_real_algorithm_carries_a_mark_with_a_moving_thing(tmp_path):
    frames = moving_clip()
    write_flow(tmp_path / "flow.bin", len(frames) - 1, (24, 40), steps(frames, Farneback(), (24, 40)))
    flow = read_flow(tmp_path / "flow.bin")
    mark = np.zeros((24, 40))
    mark[10:14, 8:12] = 1
    for step in flow[:12]:
        mark = moved(mark, step)
    assert (mark.sum(0) * np.arange(40)).sum() / mark.sum() == pytest.approx(9.5 + 12 * 0.5, abs=1)


def test_a_cut_between_scenes_has_no_confidence():
    generator = torch.Generator().manual_seed(0)
    one, other = (torch.randint(0, 256, (3, 96, 160), generator=generator, dtype=torch.uint8) for _ in range(2))
    (_, _, same), (_, _, cut) = steps([one, one, other], Farneback(), (24, 40))
    assert (same == 255).all()
    assert (cut == 0).all()


def test_undo_redo_and_clear_stand_as_they_were_done():
    a, b, c = (stroke(x, 5) for x in (3, 9, 15))
    undo, redo, clear = ({"kind": kind} for kind in ("undo", "redo", "clear"))
    for log, expected in (
        ([a, b, undo], [a]),
        ([a, undo, redo, b], [a, b]),
        ([a, undo, b, redo], [b]),  # a new stroke forgets what was undone
        ([a, b, clear], []),
        ([a, b, clear, undo, c], [a, b, c]),
        ([a, clear, b], [b]),
        ([undo, redo, a], [a]),
    ):
        assert strokes_that_stand(log) == expected
        assert (paint(log, still(), SHAPE) == paint(expected, still(), SHAPE)).all()


def test_the_mean_of_the_clip_stays_127_however_much_is_painted():
    many = [stroke(x, y, frame=t, radius=9) for x in (5, 15, 25) for y in (5, 15) for t in (0, 20, 40)]
    values = paint(many, still(), SHAPE)
    assert values.mean() == pytest.approx(127, abs=0.6)  # whole numbers
    assert values.min() < 100
    mild = paint(many[:2], still(), SHAPE)
    q = torch.from_numpy(mild.astype(np.float32) / 255)[:, None]
    again = torch.stack(list(normalise(iter(q), over="clip")))
    assert float((again - q).abs().max()) < 0.6 / 255


def test_a_stroke_outside_of_the_clip_is_an_error():
    with pytest.raises(ImportanceError, match="frame 50"):
        paint([stroke(3, 3, frame=50)], still(), SHAPE)


def test_maps_come_back_from_their_files_as_they_were(tmp_path):
    values = paint([stroke(10, 10)], still(), SHAPE)
    write_values(tmp_path / "map.mkv", values, FPS)
    assert (read_values(tmp_path / "map.mkv", SHAPE) == values).all()
    assert (read_map(tmp_path / "map.mkv")[:, 0] * 255 == torch.from_numpy(values)).all()
    with pytest.raises(ImportanceError, match="are needed"):
        read_values(tmp_path / "map.mkv", (T, H, W + 1))


def test_the_wire_takes_exactly_the_bytes_of_the_map():
    data = bytes(range(24))
    assert from_wire(data, (2, 3, 4))[1, 0, 2] == 14
    for wrong in (data[:-1], data + b"x", b""):
        with pytest.raises(ImportanceError, match="2 frames of 4x3"):
            from_wire(wrong, (2, 3, 4))


def test_maps_are_stretched_over_the_whole_clip():
    plane = np.full((10, 20), 127, np.uint8)
    plane[:, 10:] = 200
    large = at_clip_size(plane, (39, 80))
    assert large.shape == (39, 80)
    assert (large[:, :36] == 127).all()
    assert (large[:, 44:] == 200).all()


def test_a_flow_file_that_is_cut_short_is_said(tmp_path):
    write_flow(tmp_path / "flow.bin", 3, (H, W), still(3))
    data = (tmp_path / "flow.bin").read_bytes()
    for broken in (data[:-1], b"", b"PVCF", b"x" * len(data)):
        (tmp_path / "flow.bin").write_bytes(broken)
        with pytest.raises(DataError, match="prepare the clip again"):
            read_flow(tmp_path / "flow.bin")
    with pytest.raises(DataError, match="prepare the clip again"):
        read_flow(tmp_path / "none.bin")
