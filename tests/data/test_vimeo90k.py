import pytest
import torch

from pvc.data import CropDataset
from pvc.data.vimeo90k import Vimeo90k
from pvc.errors import DataError
from pvc.video import read_clip


def test_lists_and_frames(vimeo_folder):
    source = Vimeo90k(vimeo_folder, val=1)
    assert [s.name for s in source.train()] == ["00001/0001", "00001/0002", "00001/0003", "00002/0001"]
    assert [s.name for s in source.eval()] == ["00002/0002", "00002/0003"] and len(source.val()) == 1
    sequence = source.train()[1]
    assert torch.equal(sequence.read(), read_clip(vimeo_folder / "sequences/00001/0002"))
    assert (sequence.frames, sequence.height, sequence.width) == (7, 48, 64) and not sequence.has_mask


def test_a_list_that_is_missing_or_empty(vimeo_folder):
    (vimeo_folder / "sep_testlist.txt").write_text("\n")
    with pytest.raises(DataError, match=r"sep_testlist\.txt is empty"):
        Vimeo90k(vimeo_folder).val()
    (vimeo_folder / "sep_trainlist.txt").unlink()
    with pytest.raises(DataError, match=r"sep_trainlist\.txt"):
        Vimeo90k(vimeo_folder).train()


def test_another_layout(clip_folder):
    with pytest.raises(DataError, match="sequences"):
        Vimeo90k(clip_folder)


def test_a_frame_of_another_size_names_itself(vimeo_folder):
    from PIL import Image

    Image.new("RGB", (10, 12)).save(vimeo_folder / "sequences/00001/0002/im3.png")
    with pytest.raises(DataError, match=r"im3\.png is 10x12"):
        Vimeo90k(vimeo_folder).train()[1].read()


def test_real_septuplets(shared_clips):
    source = Vimeo90k(shared_clips / "vimeo_septuplet")
    assert len(source.train()) == 12 and len(source.val()) == 4
    item = CropDataset(source.train())[0]
    assert item["frames"].shape == (3, 3, 256, 256)
