import pytest

from pvc.data.davis import Davis
from pvc.errors import ConfigError, DataError, ImportanceError


def test_all_objects_make_one_roi(davis_folder):
    (goat,) = Davis(davis_folder).val()
    mask = goat.read_mask(1, 2)
    assert goat.name == "goat" and goat.fps == 24 and mask.shape == (2, 1, 48, 64)
    assert mask[0].sum() == 8 * 8 + 10 * 20 and mask[0, 0, 5, 5] == 1 and mask[0, 0, 25, 30] == 1


def test_chosen_objects(davis_folder):
    assert Davis(davis_folder, objects=[2]).val()[0].read_mask()[0].sum() == 10 * 20
    assert Davis(davis_folder, objects=[1, 2]).val()[0].read_mask()[0].sum() == 8 * 8 + 10 * 20
    with pytest.raises(DataError, match=r"goat.*none of the objects \[3\]"):
        Davis(davis_folder, objects=[3]).val()


def test_lists_of_both_years(davis_folder):
    assert [s.name for s in Davis(davis_folder, year=2016).val()] == ["swan", "goat"]
    assert [s.name for s in Davis(davis_folder, year=2017).train()] == ["swan"]
    with pytest.raises(DataError, match=r"ImageSets/2016/train\.txt or ImageSets/480p/train\.txt"):
        Davis(davis_folder, year=2016).train()


def test_lists_of_pairs(davis_folder):
    folder = davis_folder / "ImageSets" / "480p"
    folder.mkdir()
    frames = [f"480p/{name}/0000{i}" for name in ("goat", "swan") for i in (0, 1)]
    (folder / "train.txt").write_text("".join(f"/JPEGImages/{f}.jpg /Annotations/{f}.png\n" for f in frames))
    assert [s.name for s in Davis(davis_folder, year=2016).train()] == ["goat", "swan"]


def test_a_missing_sequence_is_named_or_skipped(davis_folder):
    (davis_folder / "ImageSets" / "2017" / "val.txt").write_text("goat\ncow\n")
    with pytest.raises(DataError, match="cow"):
        Davis(davis_folder).val()
    source = Davis(davis_folder, on_error="skip")
    assert len(source.val()) == 1 and len(source.skipped) == 1


def test_a_missing_annotation(davis_folder):
    (davis_folder / "Annotations/480p/goat/00003.png").unlink()
    with pytest.raises(ImportanceError, match=r"goat has 3 annotations but .*goat has 4 frames"):
        Davis(davis_folder).val()


def test_the_first_annotation_alone_is_no_mask(davis_folder):
    for i in (1, 2, 3):
        (davis_folder / f"Annotations/480p/goat/0000{i}.png").unlink()
    assert not Davis(davis_folder).val()[0].has_mask


def test_a_broken_annotation_is_named(davis_folder):
    (davis_folder / "Annotations/480p/goat/00002.png").write_bytes(b"broken")
    with pytest.raises(DataError, match=r"goat/00002\.png"):
        Davis(davis_folder).val()[0].read_mask()


def test_arguments(davis_folder, clip_folder):
    with pytest.raises(ConfigError, match="year"):
        Davis(davis_folder, year=2018)
    with pytest.raises(DataError, match="there are: 480p"):
        Davis(davis_folder, resolution="1080p")
    with pytest.raises(DataError, match="no JPEGImages"):
        Davis(clip_folder)


def test_the_real_validation_part(shared_clips):
    sequences = Davis(shared_clips / "davis").val()
    assert len(sequences) == 10 and all(s.frames == 36 and s.has_mask for s in sequences)
    swan = next(s for s in sequences if s.name == "blackswan")
    assert (swan.height, swan.width) == (480, 854) and 0.05 < swan.read_mask(0, 1).mean() < 0.5
