import pytest
import torch

from pvc.data import CropDataset
from pvc.data.clips import ClipFolder
from pvc.errors import ConfigError, DataError, PvcError


@pytest.fixture
def sequences(clip_folder, tmp_path):
    return ClipFolder(clip_folder, cache=tmp_path / "cache").eval()


def test_an_item(sequences):
    item = CropDataset(sequences, crop=32)[0]
    assert set(item) == {"frames", "roi", "index"}
    assert item["frames"].shape == (3, 3, 32, 32) and item["frames"].dtype == torch.uint8
    assert item["roi"].shape == (3, 1, 32, 32) and item["roi"].dtype == torch.float32


def test_a_sample_depends_on_seed_and_index_alone(sequences):
    a, b, other = (CropDataset(sequences, crop=32, seed=s) for s in (1, 1, 2))
    backwards = [a[i] for i in reversed(range(20))][::-1]
    for i in range(20):
        assert all(torch.equal(b[i][k], backwards[i][k]) for k in ("frames", "roi"))
    assert not all(torch.equal(a[i]["frames"], other[i]["frames"]) for i in range(20))


def test_every_pass_has_all_sequences_in_another_order(sequences):
    data = CropDataset(sequences, crop=32)
    n = len(data)
    passes = [[data._order(i) for i in range(p * n, (p + 1) * n)] for p in range(3)]
    assert all(sorted(p) == sorted(passes[0]) and set(p) == set(range(6)) for p in passes)
    assert passes[0] != passes[1] != passes[2]


def test_a_crop_comes_from_its_clip_in_time_order(sequences):
    data = CropDataset(sequences[:1], crop=32, flip_horizontal=0, reverse=0)
    clip, frames = sequences[0].read(), data[3]["frames"]
    windows = clip.unfold(0, 3, 1).unfold(2, 32, 1).unfold(3, 32, 1)  # every place a sample can come from
    assert any(
        torch.equal(windows[t, :, y, x].permute(1, 0, 2, 3), frames)
        for t in range(4) for y in range(17) for x in range(33)
    )  # fmt: skip


def test_flips_and_time_reversal(sequences):
    still = dict(crop=48, flip_horizontal=0.0, flip_vertical=0.0, reverse=0.0)
    plain = CropDataset(sequences, **still)[5]["frames"]
    for key, dim in (("flip_horizontal", -1), ("flip_vertical", -2), ("reverse", 0)):
        assert torch.equal(CropDataset(sequences, **{**still, key: 1.0})[5]["frames"], plain.flip(dim))


def test_stride(sequences):
    data = CropDataset(sequences[:1], crop=48, stride=(2, 2), flip_horizontal=0, reverse=0)
    clip = sequences[0].read()
    frames = data[0]["frames"]
    start = next(t for t in range(2) for x in range(17) if torch.equal(clip[t, :, :, x : x + 48], frames[0]))
    x = next(x for x in range(17) if torch.equal(clip[start, :, :, x : x + 48], frames[0]))
    assert torch.equal(frames, clip[start : start + 5 : 2, :, :, x : x + 48])


def test_a_clip_smaller_than_the_crop_is_enlarged(sequences):
    item = CropDataset(sequences[:2], crop=64, roi="mask")[0]
    assert item["frames"].shape == (3, 3, 64, 64)
    assert item["roi"].shape == (3, 1, 64, 64) and set(item["roi"].unique().tolist()) <= {0.0, 1.0}


def test_the_true_mask_moves_with_the_frames(clip_folder, tmp_path):
    """Where a clip is white in its mask and black elsewhere, crops of both must agree after any flip."""
    from fractions import Fraction

    from pvc.video import read_map, write_clip

    mask = read_map(clip_folder / "a.mask.mkv")
    write_clip(clip_folder / "a.mkv", (mask * 255).byte().expand(-1, 3, -1, -1), Fraction(25))
    (a,) = ClipFolder(clip_folder, only=["a"], cache=tmp_path).eval()
    data = CropDataset([a], crop=32, roi="mask", flip_vertical=0.5)
    inside = [((item := data[i])["frames"][:, :1] > 127).float().sub(item["roi"]).abs().max() for i in range(8)]
    assert max(inside) == 0


def test_masks_are_asked_for_where_there_are_none(sequences):
    with pytest.raises(DataError, match="clips/c has no mask"):
        CropDataset(sequences, roi="mask")
    data = CropDataset(sequences, crop=32, roi="mask", on_error="skip")
    assert [s.name for s in data.sequences] == ["a", "b"] and data.skipped == 4
    assert CropDataset(sequences, crop=32, roi="mixed")[0]["roi"].shape == (3, 1, 32, 32)


def test_a_sequence_that_is_too_short(sequences):
    with pytest.raises(DataError, match="clips/a has 6 frames and a sample needs 7"):
        CropDataset(sequences, frames=7)


def test_a_file_that_breaks_during_training(vimeo_folder):
    from pvc.data.vimeo90k import Vimeo90k

    (vimeo_folder / "sequences/00001/0002/im4.png").write_bytes(b"broken")
    (vimeo_folder / "sequences/00002/0001/im4.png").unlink()
    with pytest.raises(PvcError, match=r"im4\.png"):
        data = CropDataset(Vimeo90k(vimeo_folder).train(), crop=32, frames=7)
        [data[i] for i in range(len(data))]
    data = CropDataset(Vimeo90k(vimeo_folder).train(), crop=32, frames=7, on_error="skip")
    first = [data[i]["frames"] for i in range(len(data))]
    assert data.skipped >= 2
    assert all(torch.equal(data[i]["frames"], f) for i, f in enumerate(first))


def test_nothing_but_broken_files(vimeo_folder):
    from pvc.data.vimeo90k import Vimeo90k

    for file in vimeo_folder.rglob("im4.png"):
        file.write_bytes(b"broken")
    data = CropDataset(Vimeo90k(vimeo_folder).train(), crop=32, frames=7, on_error="skip")
    with pytest.raises(DataError, match="broken sequences in a row"):
        data[0]


@pytest.mark.parametrize("wrong", [{"crop": 0}, {"frames": 0}, {"stride": (2, 1)}, {"roi": "saliency"}])
def test_arguments(sequences, wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        CropDataset(sequences, **wrong)


def test_no_sequences():
    with pytest.raises(DataError, match="no sequence"):
        CropDataset([])
