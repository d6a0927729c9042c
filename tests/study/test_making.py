"""Studies out of files: what is copied, what is coded anew, what is refused."""

import json
from fractions import Fraction

import av
import pytest
import torch

from pvc.errors import ConfigError, PvcError, VideoError
from pvc.study import sanity
from pvc.study.encodes import from_file, from_folders
from pvc.study.make import make
from pvc.study.plan import Study
from pvc.video import probe, read_clip, write_clip
from tests.study.conftest import VIDEOS, settings, write_encodes


def packets(path) -> list[bytes]:
    """What is coded, without the container."""
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def two(tmp_path, **second):
    return [("a", write_encodes(tmp_path / "a")), ("b", write_encodes(tmp_path / "b", **second))]


def test_what_browsers_play_is_copied_bit_for_bit(made):
    study = Study.load(made)
    assert [pair.video for pair in study.tests] == sorted(VIDEOS)
    assert study.codecs == ("importance", "baseline") and study.baseline == "baseline"
    for pair in study.tests:
        for side, folder in zip(pair.sides, "ab"):
            source = made.parent / folder / f"{pair.video}.mp4"
            assert packets(made / "videos" / side.file) == packets(source)
            assert side.kbps == pytest.approx(8 * sum(map(len, packets(source))) * 25 / 15 / 1000)


def test_sanity_pairs_are_made_obviously_worse(made):
    study = Study.load(made)
    assert len(study.sanity) == 3
    for pair in study.sanity:
        good, bad = (from_file(made / "videos" / side.file) for side in pair.sides)
        assert pair.better == "good" and [side.codec for side in pair.sides] == ["good", "bad"]
        assert sanity.psnr(good, bad) <= 22.5
        assert (bad.width, bad.height, bad.fps, bad.frames) == (96, 64, 25, 15)


def test_if_one_encode_of_a_video_is_not_playable_all_of_them_are_coded_anew(tmp_path):
    made = make(
        tmp_path / "s", from_folders(two(tmp_path, seed=1, suffix=".mkv")), settings("sanity.count=0"), title="t"
    )
    for pair in made.tests:
        for side, folder, suffix in zip(pair.sides, "ab", (".mp4", ".mkv")):
            source, target = tmp_path / folder / f"{pair.video}{suffix}", tmp_path / "s" / "videos" / side.file
            assert packets(source) != packets(target)
            assert probe(target).pix_fmt == "yuv420p" and probe(target).frames == 15
            error = (read_clip(source).float() - read_clip(target).float()) ** 2
            assert -10 * torch.log10(error.mean() / 255**2) > 33  # 4:2:0 alone costs this moving noise so much
    assert "the rate of b is not known" in made.notes[0]


def test_rates_that_differ_are_said(tmp_path):
    folders = two(tmp_path, options={"crf": "40"})
    made = make(tmp_path / "s", from_folders(folders), settings("sanity.count=0"), title="t")
    assert len(made.notes) == 3 and "kbit/s, +" in made.notes[0] and "of b's" in made.notes[0]


def test_three_codecs_make_every_pair(tmp_path):
    folders = [(name, write_encodes(tmp_path / name, seed, videos=["v"])) for seed, name in enumerate("abc")]
    made = make(tmp_path / "s", from_folders(folders), settings("sanity.count=1"), title="t")
    pairs = [[side.codec for side in pair.sides] for pair in made.tests]
    assert pairs == [["a", "b"], ["a", "c"], ["b", "c"]]
    assert len(list((tmp_path / "s" / "videos").iterdir())) == 4  # each encode once, and one that is worse


def test_odd_sizes_become_even(tmp_path):
    clip = torch.randint(0, 255, (3, 3, 33, 47), dtype=torch.uint8)
    for name in "ab":
        (tmp_path / name).mkdir()
        write_clip(tmp_path / name / "v.mkv", clip, Fraction(25))
    encodes = from_folders([(name, tmp_path / name) for name in "ab"])
    made = make(tmp_path / "s", encodes, settings("sanity.count=0"), title="t")
    assert (made.tests[0].width, made.tests[0].height) == (48, 34)
    assert probe(tmp_path / "s" / "videos" / "001.mp4").width == 48


@pytest.mark.parametrize(
    ("second", "says"),
    [
        ({"frames": 12}, "a has 15 frames and b 12"),
        ({"videos": ["one", "two"]}, "has no encode of three"),
        ({"videos": [*VIDEOS, "four"]}, "has no encode of four"),
    ],
)
def test_pairs_that_do_not_match_are_refused(tmp_path, second, says):
    with pytest.raises(PvcError, match=says):
        make(tmp_path / "s", from_folders(two(tmp_path, **second)), settings(), title="t")
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("sanity.count=4", "sanity.count=4 needs as many videos"),
        ("sanity.crf=20", "outside"),
        ("rules.unfinished=maybe", "neither exclude nor include"),
        ("per_participant=0", "per_participant=0 lies outside"),
        ("per_participant=1.5", "no whole number"),
    ],
)
def test_settings_out_of_range_are_refused_and_leave_nothing(tmp_path, override, says):
    with pytest.raises(ConfigError, match=says):
        make(tmp_path / "s", from_folders(two(tmp_path)), settings(override), title="t")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_a_damaged_file_leaves_nothing_behind(tmp_path):
    folders = two(tmp_path)
    broken = tmp_path / "b" / "two.mp4"
    broken.write_bytes(broken.read_bytes()[:700])
    with pytest.raises(VideoError, match=r"two\.mp4"):
        make(tmp_path / "s", from_folders(folders), settings(), title="t")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_a_study_that_was_tampered_with_is_one_line(made, tmp_path):
    for change in ({"format": 9}, {"rules": {"unknown": 1}}, {"pairs": [{}]}, {"codecs": None}):
        found = json.loads((made / "study.json").read_text()) | change
        (tmp_path / "study.json").write_text(json.dumps(found))
        with pytest.raises(ConfigError, match=r"study\.json"):
            Study.load(tmp_path)
