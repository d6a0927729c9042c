from fractions import Fraction

import pytest
import torch

from pvc.data.clips import ClipFolder, find_clips
from pvc.data.sequence import Box
from pvc.errors import ConfigError, DataError, ImportanceError, PvcError
from pvc.video import read_clip, write_clip, write_map


def names(sequences):
    return [s.name for s in sequences]


@pytest.fixture
def folder(clip_folder, tmp_path):
    return lambda **kw: ClipFolder(clip_folder, **{"cache": tmp_path / "cache", **kw})


def test_cached_frames_are_those_of_the_file(folder, clip_folder):
    (a, *_), (b, *_) = folder().train(), folder(cache=None).train()
    whole = read_clip(clip_folder / "a.mkv")
    assert (a.frames, a.height, a.width, a.fps) == (6, 48, 64, Fraction(25))
    for sequence in (a, b):
        assert torch.equal(sequence.read(), whole)
        assert torch.equal(sequence.read(2, 3), whole[2:5])
        assert torch.equal(sequence.read(1, 2, Box(3, 5, 20, 30)), whole[1:3, :, 3:23, 5:35])
        assert sequence.read_mask(1, 2, Box(3, 5, 20, 30)).shape == (2, 1, 20, 30)
    assert torch.equal(a.read_mask(), b.read_mask())
    assert set(a.read_mask().unique().tolist()) == {0.0, 1.0}


def test_a_clip_without_a_mask(folder):
    c = folder().train()[2]
    assert not c.has_mask and c.read_mask() is None


def test_reading_past_the_end_names_the_clip(folder):
    with pytest.raises(DataError, match="clips/a has frames 0 to 5"):
        folder().train()[0].read(4, 3)


def test_a_folder_of_frames_is_a_clip(folder):
    assert folder(only=["e", "f"], fps=50).eval()[1].fps == 50


def test_a_changed_clip_is_decoded_again(folder, clip_folder):
    before = folder().train()[0].read()
    write_clip(clip_folder / "a.mkv", 255 - before, Fraction(25))
    assert torch.equal(folder().train()[0].read(), 255 - before)


def test_a_cache_entry_that_was_cut_is_made_again(folder, tmp_path):
    expected = folder().train()[0].read()
    for file in (tmp_path / "cache").rglob("a-*.u8"):
        file.write_bytes(file.read_bytes()[:100])
    assert torch.equal(folder().train()[0].read(), expected)


def test_a_cache_that_cannot_be_written_says_so(folder, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"data\.source\.cache"):
        folder(cache=tmp_path / "file").train()


def test_the_cache_has_a_limit(folder):
    with pytest.raises(DataError, match="cache_gb"):
        folder(cache_gb=1e-5).train()


def test_validation_scenes_by_name(folder):
    source = folder(val=["b", "d"])
    assert names(source.val()) == ["b", "d"] and names(source.train()) == ["a", "c", "e", "f"]


def test_unknown_validation_scenes_are_an_error_that_names_them(folder):
    with pytest.raises(DataError, match=r"data\.source\.val .*: x, y"):
        folder(val=["a", "x", "y"])


def test_default_validation_scenes_are_used_where_they_exist(folder):
    assert names(folder(default_val=["c", "elsewhere"]).val()) == ["c"]


def test_a_folder_with_none_of_the_default_scenes_holds_out_its_last_tenth(folder):
    source = folder(default_val=["elsewhere"])
    assert names(source.val()) == ["f"] and names(source.train()) == ["a", "b", "c", "d", "e"]
    assert names(folder(val=2).val()) == ["e", "f"]


def test_parts_of_one_source_video_stay_on_one_side(clip_folder, tmp_path):
    (clip_folder / "d.mkv").rename(clip_folder / "z-0.mkv")
    (clip_folder / "e.mkv").rename(clip_folder / "z-1.mkv")
    assert names(ClipFolder(clip_folder, val=1, cache=tmp_path).val()) == ["z-0", "z-1"]


def test_all_clips_are_for_evaluation(folder):
    assert names(folder().eval()) == list("abcdef")


@pytest.mark.parametrize(("frames", "height"), [(5, 48), (6, 40)])
@pytest.mark.parametrize("cached", [True, False])
def test_a_mask_of_another_size_or_length(folder, clip_folder, frames, height, cached):
    write_map(clip_folder / "a.mask.mkv", torch.zeros(frames, 1, height, 64), Fraction(25))
    with pytest.raises(ImportanceError, match=rf"a.mask.mkv is 64x{height} with {frames} .*a.mkv is 64x48 with 6"):
        source = folder()
        source.train() if cached else source.eval()


def test_a_broken_clip_is_named_or_skipped(folder, clip_folder):
    (clip_folder / "b.mkv").write_bytes(b"this is not a video")
    with pytest.raises(PvcError, match=r"b\.mkv"):
        folder().train()
    source = folder(on_error="skip")
    assert names(source.train()) == ["a", "c", "d", "e"]
    assert len(source.skipped) == 1 and "b.mkv" in source.skipped[0]


def test_layouts_of_other_sources_are_told_apart(davis_folder, vimeo_folder, clip_folder, tmp_path):
    with pytest.raises(DataError, match="data=davis"):
        find_clips(davis_folder)
    with pytest.raises(DataError, match="data=vimeo90k"):
        find_clips(vimeo_folder)
    with pytest.raises(DataError, match="folder above"):
        find_clips(clip_folder / "f")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="has no clips"):
        find_clips(tmp_path / "empty")


def test_two_clips_of_one_name_and_a_mask_without_a_clip(clip_folder):
    (clip_folder / "g.mask.mkv").write_bytes((clip_folder / "a.mask.mkv").read_bytes())
    with pytest.raises(DataError, match=r"g\.mask\.mkv"):
        find_clips(clip_folder)
    (clip_folder / "a.mp4").write_bytes(b"")
    with pytest.raises(DataError, match="same name"):
        find_clips(clip_folder)


def test_arguments(tmp_path):
    with pytest.raises(DataError, match="not a folder"):
        ClipFolder(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="on_error"):
        ClipFolder(tmp_path, on_error="ignore")


def test_a_stream_gives_the_frames_of_the_whole_clip_one_by_one(folder):
    for sequence in (*folder().eval(), *folder().train()):
        assert torch.equal(torch.stack(list(sequence.stream())), sequence.read())
        assert torch.equal(torch.stack(list(sequence.stream(2))), sequence.read(0, 2))
        if sequence.has_mask:
            assert torch.equal(torch.stack(list(sequence.stream_mask())), sequence.read_mask())
        else:
            assert sequence.stream_mask() is None


def test_a_stream_of_a_changed_file_is_an_error(folder, clip_folder):
    a = folder().eval()[0]
    clip = a.read()
    write_clip(clip_folder / "a.mkv", clip[:4], Fraction(25))
    with pytest.raises(DataError, match="4 frames where 6 were expected"):
        list(a.stream())
    write_clip(clip_folder / "a.mkv", clip[..., :32], Fraction(25))
    with pytest.raises(DataError, match="frames are 32x48"):
        next(a.stream())
