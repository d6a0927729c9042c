"""The cache of base layers: tracks whole or not at all, cut and flipped with the source; a cache that does not fit."""

import hashlib
import json
from fractions import Fraction

import numpy as np
import pytest
import torch

from pvc.data.base_layer import SALIENCY, BaseLayer, qp_track
from pvc.data.clips import ClipFolder
from pvc.data.identity import source_digest
from pvc.data.layered import BaseLayerDataModule, LayeredClips, LayeredCrops, layered
from pvc.errors import ConfigError, DataError
from pvc.video import write_clip, write_map
from tests.data.conftest import noise_clip, square_mask

MADE_BY = {"base": "x264-cpvc", "codec": {"preset": "a"}, "gop": 32, "frames": 5, "saliency": None}


def fill(cache: BaseLayer, sequences, qps=(29, 38), frames=5) -> None:
    """A base layer in which every value tells of the source's: frame + qp; the saliency is the first colour."""
    for s in sequences:
        about = {"source": source_digest(s, frames)}
        clip = s.read(0, frames)
        for qp in qps:
            cache.store(s.name, qp_track(qp), clip + qp, shape=[*clip.shape], bits=800, **about)
        cache.store(s.name, SALIENCY, clip[:, :1], shape=[frames, 1, s.height, s.width], **about)


@pytest.fixture
def sequences(clip_folder, tmp_path):
    return ClipFolder(clip_folder, cache=tmp_path / "frames").eval()


@pytest.fixture
def cache(sequences, tmp_path) -> BaseLayer:
    made = BaseLayer(tmp_path / "base")
    made.folder.mkdir()
    made.begin({**MADE_BY, "qp": [29, 38]})
    fill(made, sequences)
    return made


def test_base_and_saliency_are_cut_flipped_and_reversed_with_the_source(cache, sequences):
    settings = {"frames": 3, "crop": 32, "stride": (1, 2), "flip_vertical": 0.5}
    crops = LayeredCrops(layered(cache, sequences, [29, 38], "x264-cpvc"), **settings)
    seen = set()
    for i in range(40):
        item = crops[i]
        assert torch.equal(item["base"], item["frames"] + item["qp"])  # uint8: both wrap around
        assert torch.equal((item["saliency"] * 255).round().byte(), item["frames"][:, :1])
        assert item["frames"].shape == (3, 3, 32, 32) and item["saliency"].shape == (3, 1, 32, 32)
        seen.add(item["qp"])
    assert seen == {29, 38}


def test_a_sample_depends_on_seed_and_index_alone(cache, sequences):
    a, b = (LayeredCrops(layered(cache, sequences, [29, 38], "x264-cpvc"), crop=32, seed=3) for _ in range(2))
    backwards = [a[i] for i in reversed(range(12))][::-1]
    assert all(torch.equal(b[i]["base"], backwards[i]["base"]) for i in range(12))


def test_no_frame_beyond_those_that_were_coded_is_drawn(cache, sequences):
    (one,) = layered(cache, sequences[:1], [29], "x264-cpvc")
    assert one[0].frames == 5 < sequences[0].frames
    whole = LayeredClips([one], frames=None)[0]
    assert len(whole["frames"]) == len(whole["base"]) == 5 and whole["name"] == sequences[0].name


def test_a_batch_for_training_and_one_for_validation(clip_folder, cache, tmp_path):
    def source(root, on_error):
        return ClipFolder(root, val=["f"], cache=tmp_path / "frames", on_error=on_error)

    settings = {"batch_size": 4, "frames": 2, "crop": 32, "workers": 0, "val_frames": 3}
    data = BaseLayerDataModule(source, clip_folder, base_cache=cache.folder, base="x264-cpvc", qp=[29, 38], **settings)
    data.setup()
    data.trainer = None
    batch = next(iter(data.train_dataloader()))
    assert batch["base"].shape == (4, 2, 3, 32, 32) and batch["base"].dtype == torch.uint8
    assert batch["saliency"].dtype == torch.float32 and batch["qp"].shape == (4,)
    found = [(b["name"], b["qp"], b["base"].shape[1]) for b in data.val_dataloader()]
    assert found == [(["f"], [29], 3), (["f"], [38], 3)]


def test_a_track_that_is_not_whole_is_not_there(cache, sequences):
    name = sequences[0].name
    file = cache.folder / "clips" / name / "qp29.u8"
    file.write_bytes(file.read_bytes()[:-1])
    assert cache.info(name, "qp29") is None
    with pytest.raises(DataError, match=f"lacks 1 of 6 clips at qp 29,38, such as {name}; run pvc data base again"):
        layered(cache, sequences, [29, 38], "x264-cpvc")


def test_frames_that_do_not_fit_leave_nothing_behind(cache):
    frames = [torch.zeros(3, 4, 4, dtype=torch.uint8)] * 2
    with pytest.raises(DataError, match="2 frames where the clip has 3"):
        cache.store("new", "qp29", iter(frames), shape=[3, 3, 4, 4])
    with pytest.raises(DataError, match=r"\[3, 4, 4\], not \[3, 4, 8\]"):
        cache.store("new", "qp29", iter(frames), shape=[2, 3, 4, 8])
    assert cache.info("new", "qp29") is None and not list((cache.folder / "clips" / "new").iterdir())


def test_a_cache_of_another_codec_or_qp_is_refused(cache, sequences):
    with pytest.raises(DataError, match="coded by x264-cpvc and this run asks for vvenc-cpvc"):
        layered(cache, sequences, [29], "vvenc-cpvc")
    with pytest.raises(DataError, match="has qp 29,38 and not 32; add it by pvc data base"):
        layered(cache, sequences, [29, 32], "x264-cpvc")
    with pytest.raises(DataError, match="is no cache of base layers; make it by pvc data base"):
        layered(BaseLayer(cache.folder / "clips"), sequences, [29], "x264-cpvc")


def test_a_cache_of_other_clips_is_refused(cache, clip_folder, tmp_path):
    write_clip(clip_folder / "a.mkv", noise_clip(77), Fraction(25))
    (clip_folder / "a.mask.mkv").unlink()
    changed = ClipFolder(clip_folder, cache=tmp_path / "frames").eval()
    with pytest.raises(DataError, match="another clip under the name a"):
        layered(cache, changed, [29, 38], "x264-cpvc")


def test_a_clip_that_differs_in_its_last_frame_only_is_refused(cache, clip_folder, tmp_path):
    clip = noise_clip(0)
    clip[4] = 255 - clip[4]  # the last of the five that were coded
    (clip_folder / "a.mkv").unlink()
    write_clip(clip_folder / "a.mkv", clip, Fraction(25))
    changed = ClipFolder(clip_folder, cache=tmp_path / "frames").eval()
    with pytest.raises(DataError, match="another clip under the name a"):
        layered(cache, changed, [29, 38], "x264-cpvc")


def test_frames_that_were_not_coded_do_not_count(cache, clip_folder, tmp_path):
    clip = noise_clip(0)
    clip[5] = 255 - clip[5]
    (clip_folder / "a.mkv").unlink()
    write_clip(clip_folder / "a.mkv", clip, Fraction(25))
    assert layered(cache, ClipFolder(clip_folder, cache=tmp_path / "frames").eval(), [29, 38], "x264-cpvc")


def test_masks_that_became_the_saliency_are_compared_as_well(cache, clip_folder, tmp_path):
    (a,) = ClipFolder(clip_folder, only=["a"], cache=tmp_path / "frames").eval()
    mask = a.read_mask(0, 5)
    about = {"shape": [*mask.shape], "source": source_digest(a, 5, mask=True)}
    cache.store("a", SALIENCY, (mask * 255).round().byte(), **about)
    assert layered(cache, [a], [29], "x264-cpvc")
    write_map(clip_folder / "a.mask.mkv", 1 - square_mask(), Fraction(25))
    (other,) = ClipFolder(clip_folder, only=["a"], cache=tmp_path / "frames").eval()
    with pytest.raises(DataError, match="another clip under the name a"):
        layered(cache, [other], [29], "x264-cpvc")


def test_a_cache_that_knows_the_first_frame_only_is_still_read(cache, sequences, clip_folder, tmp_path):
    for s in sequences:
        first = hashlib.sha256(s.read(0, 1).numpy().tobytes()).hexdigest()[:16]
        for track in (SALIENCY, qp_track(29), qp_track(38)):
            file = cache.folder / "clips" / s.name / f"{track}.json"
            file.write_text(json.dumps({**json.loads(file.read_text()), "source": first}))
    assert len(layered(cache, sequences, [29, 38], "x264-cpvc")) == 6
    write_clip(clip_folder / "c.mkv", noise_clip(77), Fraction(25))
    with pytest.raises(DataError, match="another clip under the name c"):
        layered(cache, ClipFolder(clip_folder, cache=tmp_path / "frames").eval(), [29, 38], "x264-cpvc")


def test_tracks_of_different_lengths_are_named(cache, sequences):
    s = sequences[0]
    cache.store(s.name, qp_track(38), s.read(0, 3), shape=[3, *s.read(0, 1).shape[1:]], source=source_digest(s, 3))
    with pytest.raises(DataError, match=f"the tracks of {s.name} have 5 and 3 frames; delete its folder"):
        layered(cache, sequences, [29, 38], "x264-cpvc")


def test_a_cache_shorter_than_a_sample_is_not_taken_for_a_short_clip(cache, sequences):
    with pytest.raises(DataError, match="has 5 frames of a and a sample needs 6; run pvc data base with more frames"):
        LayeredCrops(layered(cache, sequences, [29], "x264-cpvc"), frames=6, crop=16, seed=0, on_error="raise")


def test_qps_may_be_added_and_nothing_else_changed(cache):
    cache.begin({**MADE_BY, "qp": [32]})
    assert cache.made_by["qp"] == [29, 32, 38]
    with pytest.raises(ConfigError, match=r"another gop \(32, not 8\)"):
        cache.begin({**MADE_BY, "gop": 8, "qp": [32]})
    assert cache.made_by["gop"] == 32


def test_a_list_of_qps_that_is_none_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"data\.qp"):
        BaseLayerDataModule(None, base_cache=tmp_path, base="x264-cpvc", qp=[])


def test_what_a_killed_process_left_is_swept_away(cache):
    part = cache.folder / "clips" / "a" / ".qp29.u8.123.part"
    part.write_bytes(np.zeros(10, np.uint8))
    cache.sweep()
    assert not part.exists() and cache.info("a", "qp29")
