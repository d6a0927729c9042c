"""Maps from files: DAVIS' object numbers, grey pictures and clips, and what does not fit."""

import numpy as np
import pytest
import torch
from PIL import Image

from pvc.errors import DataError, ImportanceError, VideoError
from pvc.importance.registry import load_source
from pvc.video import write_map

FRAMES = torch.zeros(2, 3, 4, 6, dtype=torch.uint8)
NUMBERS = np.array([[0, 0, 1, 1, 2, 255]] * 4, np.uint8)


def maps(path, frames=FRAMES, **settings):
    return list(load_source("annotation", path=str(path), **settings).maps(iter(frames)))


def first_row(path, **settings):
    return maps(path, **settings)[0][0, 0].tolist()


@pytest.fixture
def davis(tmp_path):
    """A folder of two PNGs with a palette, as DAVIS 2017 has them."""
    palette = [0, 0, 0, 128, 0, 0, 0, 128, 0] + [7, 8, 9] * 253
    for i in range(2):
        image = Image.fromarray(np.roll(NUMBERS, i, axis=1), "P")
        image.putpalette(palette)
        image.save(tmp_path / f"{i:05d}.png")
    return tmp_path


def test_objects_of_a_palette_are_chosen_by_number(davis):
    assert first_row(davis) == [0, 0, 1, 1, 1, 0]
    assert first_row(davis, objects=[2]) == [0, 0, 0, 0, 1, 0]
    assert first_row(davis, objects=[1, 2]) == [0, 0, 1, 1, 1, 0]
    assert first_row(davis, objects={1: 1.0, 2: 0.25}) == [0, 0, 1, 1, 0.25, 0]
    assert maps(davis, objects=[1])[1][0, 0].tolist() == [0, 0, 0, 1, 1, 0]


def test_one_unnumbered_object_is_number_1(tmp_path):
    for i in range(2):
        Image.fromarray((NUMBERS == 1).astype(np.uint8) * 255).save(tmp_path / f"{i}.png")
    assert first_row(tmp_path) == first_row(tmp_path, objects=[1]) == [0, 0, 1, 1, 0, 0]
    with pytest.raises(ImportanceError, match="none of the objects"):
        maps(tmp_path, objects=[2])


@pytest.mark.parametrize("name", ["map.mkv", "maps"])
def test_a_grey_map_is_taken_by_its_values(tmp_path, name):
    values = torch.rand(2, 1, 4, 6, generator=torch.Generator().manual_seed(0))
    write_map(tmp_path / name, values, 25)
    assert torch.equal(torch.stack(maps(tmp_path / name)), (values * 255).round() / 255)


def test_a_clip_of_object_numbers(tmp_path):
    write_map(tmp_path / "numbers.mkv", torch.from_numpy(NUMBERS / 255.0).float().expand(2, 1, 4, 6), 25)
    assert first_row(tmp_path / "numbers.mkv", objects={2: 0.5}) == [0, 0, 0, 0, 0.5, 0]


def test_another_size_is_an_error_unless_asked_for(tmp_path):
    half = torch.zeros(2, 1, 2, 3)
    half[..., 2] = 1
    write_map(tmp_path / "half.mkv", half, 25)
    with pytest.raises(ImportanceError, match=r"half\.mkv is 3x2 but the clip is 6x4; fit it by resize=true"):
        maps(tmp_path / "half.mkv")
    fitted = maps(tmp_path / "half.mkv", resize=True)[0]
    assert fitted.shape == (1, 4, 6) and fitted[0, :, -1].min() == 1 and fitted[0, :, 0].max() == 0
    write_map(tmp_path / "large.mkv", torch.full((2, 1, 40, 60), 0.4), 25)
    assert maps(tmp_path / "large.mkv", resize=True)[1].sub(0.4).abs().max() < 1e-6


def test_another_length_is_an_error_unless_asked_for(tmp_path):
    three = torch.tensor([0.0, 0.2, 1.0]).view(3, 1, 1, 1).expand(3, 1, 4, 6)
    write_map(tmp_path / "three.mkv", three, 25)
    with pytest.raises(ImportanceError, match=r"three\.mkv has more maps than the clip has frames"):
        maps(tmp_path / "three.mkv")
    assert len(maps(tmp_path / "three.mkv", length="cut")) == 2
    five = FRAMES[:1].expand(5, -1, -1, -1)
    for length in ("exact", "cut"):
        with pytest.raises(ImportanceError, match="has 3 maps but the clip has more frames"):
            maps(tmp_path / "three.mkv", five, length=length)
    repeated = maps(tmp_path / "three.mkv", five, length="repeat")
    assert [round(float(q.mean()), 3) for q in repeated] == [0, 0.2, 1, 1, 1]


def test_one_picture_can_stay_for_the_whole_clip(tmp_path):
    Image.new("L", (6, 4), 51).save(tmp_path / "one.png")
    assert [q.mean().item() for q in maps(tmp_path / "one.png", length="repeat")] == pytest.approx([0.2, 0.2])


def test_transparency_is_no_importance(tmp_path):
    Image.new("LA", (6, 4), (255, 128)).save(tmp_path / "a.png")
    with pytest.raises(VideoError, match=r"a\.png: a map must not be transparent"):
        maps(tmp_path / "a.png", length="repeat")
    Image.new("RGBA", (6, 4), (51, 51, 51, 255)).save(tmp_path / "b.png")  # says nothing: it is opaque
    assert maps(tmp_path / "b.png", length="repeat")[0].mean().item() == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("name", "error", "says"),
    [
        ("nothing.mkv", VideoError, "no such file"),
        ("empty", VideoError, "no PNG or JPEG"),
        ("colours.png", VideoError, "must be grey"),
        ("broken.png", VideoError, "not a readable picture"),
    ],
)
def test_files_that_are_no_maps_are_named(tmp_path, name, error, says):
    (tmp_path / "empty").mkdir()
    Image.new("RGB", (6, 4), (255, 0, 0)).save(tmp_path / "colours.png")
    (tmp_path / "broken.png").write_bytes(b"not a picture")
    with pytest.raises(error, match=says):
        maps(tmp_path / name, length="repeat")
    if name == "broken.png":
        with pytest.raises(DataError, match="cannot read the annotation"):
            maps(tmp_path / name, objects=[1])


def test_what_is_in_the_files_is_recorded_and_not_where_they_are(davis, tmp_path):
    first = load_source("annotation", path=str(davis)).meta
    assert str(tmp_path) not in str(first)
    Image.new("L", (6, 4), 9).save(davis / "00000.png")
    assert load_source("annotation", path=str(davis)).meta != first


def test_objects_that_no_frame_has_are_an_error(davis):
    with pytest.raises(ImportanceError, match="none of the objects"):
        maps(davis, objects=[77])
