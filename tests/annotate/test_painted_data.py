"""What was painted: exported, averaged, compared between people, and thrown out by rule."""

import csv
import json
from fractions import Fraction

import numpy as np
import pytest

from pvc.annotate.agreement import agreement, average
from pvc.annotate.average import encode_mean, means
from pvc.annotate.export import export
from pvc.annotate.flow_bin import read_flow
from pvc.annotate.maps import at_clip_size, paint, read_values
from pvc.annotate.prepare import prepare
from pvc.annotate.records import open_collection, read_painted
from pvc.annotate.validate import flags
from pvc.cli import main
from pvc.data.clips import ClipFolder
from pvc.errors import ConfigError, DataError
from pvc.video import probe, read_clip, read_map
from tests.annotate.painting import ON_DISK, Collection, clips_folder, small_settings, stroke

RULES = dict(small_settings().validate)
CORNER = [stroke(34, 4, 0, to=(36, 5)), stroke(34, 4, 6), stroke(33, 5, 12), stroke(33, 5, 18)]


@pytest.fixture(scope="module")
def collected(tmp_path_factory):
    """Two clips; three people of whom two work well, and what the rules are for."""
    folder = clips_folder(tmp_path_factory.mktemp("collected") / "clips", "disk", "other")
    clips = prepare(folder, folder / "annotations", small_settings(), jobs=1)
    collection = Collection(folder / "annotations", clips)
    for name in ("ann", "bob", "eve"):
        collection.participant(name)
    collection.paint("s-ann", "ann", "disk", ON_DISK)
    collection.paint("s-bob", "bob", "disk", [*ON_DISK, stroke(11, 13, 3)])
    collection.paint("s-one-frame", "eve", "disk", [stroke(5, 5, 0), stroke(30, 20, 0)], seconds=60)
    collection.paint("s-ann-2", "ann", "other", CORNER)
    collection.paint("s-bob-open", "bob", "other", CORNER, finished=False)
    collection.paint("s-waited", "eve", "other", CORNER, at=1_700_000_001.0)
    return collection


@pytest.fixture(scope="module")
def painted(collected):
    return read_painted(collected.work, collected.sessions)


@pytest.fixture(scope="module")
def exported(painted, tmp_path_factory):
    out = tmp_path_factory.mktemp("exported") / "out"
    return out, export(painted, out, RULES)


def by_id(painted, name):
    return next(one for one in painted if one.id == name)


def files_of(folder):
    return sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_everything_that_was_collected_is_exported(exported, painted):
    out, numbers = exported
    assert numbers == {
        "clips": 2, "sessions": 6, "counted": 3, "flagged": 3, "maps": 21, "strokes": 21, "encodes": 6,
    }  # fmt: skip
    lines = [json.loads(line) for line in (out / "strokes.jsonl").read_text().splitlines()]
    assert len(lines) == 21
    assert {(line["session"], line["seq"]) for line in lines} == {
        (one.id, seq) for one in painted for seq in range(1, len(one.log) + 1)
    }
    assert len(table(out / "encodes.csv")) == 6
    assert len(table(out / "maps.csv")) == 21
    assert {row["participant"]: row["counted"] for row in table(out / "participants.csv")} == {
        "ann": "2", "bob": "1", "eve": "0",
    }  # fmt: skip
    assert "worker" not in (out / "participants.csv").read_text()
    assert len(list(out.glob("maps/*/*.mkv"))) == 21
    assert json.loads((out / "clips.json").read_text())["disk"]["frames"] == 24
    for name in ("disk", "other"):
        assert probe(out / "baseline" / f"{name}.mp4").frames == 24


def test_the_log_alone_gives_the_exported_map_back(exported, collected):
    out, _ = exported
    clip = collected.clips["disk"]
    log = [json.loads(line) for line in (out / "strokes.jsonl").read_text().splitlines()]
    values = paint([item for item in log if item["session"] == "s-bob"], read_flow(clip.folder / "flow.bin"), clip.grid)
    q = read_map(out / "annotators" / "bob" / "disk.mask.mkv")
    large = np.stack([at_clip_size(plane, (clip.height, clip.width)) for plane in values])
    assert ((q[:, 0] * 255).round().numpy() == large).all()


def test_the_loaders_of_training_and_evaluation_read_the_export(exported, collected):
    out, _ = exported
    for folder in (out / "average", out / "annotators" / "ann"):
        sequences = {s.name: s for s in ClipFolder(folder, cache=None).eval()}
        assert set(sequences) == {"disk", "other"}
        for sequence in sequences.values():
            assert sequence.has_mask
            assert (sequence.frames, sequence.height, sequence.width) == (24, 96, 160)
            assert sequence.fps == Fraction(24)
    clip = read_clip(out / "average" / "disk.mkv")
    assert (clip == read_clip(collected.clips["disk"].folder / "source.mkv")).all()


def test_pvc_eval_codes_and_measures_by_the_average_map(exported, tmp_path):
    out, _ = exported
    asked = ["codecs=[x264-annotation]", "bitrate=[150]", "u_alpha=[0]", "metrics=[psnr]", "frames=12", "anchor=null"]
    main(["eval", "data=clips", f"data.root={out / 'average'}", *asked, f"out={tmp_path / 'run'}"])
    records = [json.loads(line) for line in (tmp_path / "run" / "results.jsonl").read_text().splitlines()]
    assert {r["sequence"] for r in records} == {"disk", "other"}
    for record in records:
        assert record["metrics"]["psnr_roi"] > record["metrics"]["psnr_bg"]


def test_an_export_takes_its_place_whole_and_replaces_nothing(painted, exported, tmp_path, monkeypatch):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "mine").write_text("mine")
    with pytest.raises(DataError, match="is there already"):
        export(painted, tmp_path / "there", RULES)
    with pytest.raises(DataError, match="make it first"):
        export(painted, tmp_path / "no" / "out", RULES)

    def stop(share):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(painted, tmp_path / "new", RULES, step=stop)
    assert [f.name for f in tmp_path.iterdir()] == ["there"]


def test_recruiters_names_are_exported_when_asked_for(painted, tmp_path):
    export(painted, tmp_path / "out", RULES, workers=True)
    workers = {row["worker"] for row in table(tmp_path / "out" / "participants.csv")}
    assert workers == {"worker-ann", "worker-bob", "worker-eve"}


@pytest.mark.parametrize(
    ("session", "rule"),
    [("s-ann", None), ("s-one-frame", "min_frames"), ("s-bob-open", "finished"), ("s-waited", "min_active")],
)
def test_sessions_are_flagged_by_the_rule_that_they_break(painted, session, rule):
    one = by_id(painted, session)
    found = flags(one, one.values(), RULES)
    assert [flag.partition(":")[0] for flag in found] == ([rule] if rule else [])
    assert flags(one, one.values(), {**RULES, rule: None} if rule else RULES) == []


def test_who_painted_nothing_or_next_to_nothing_is_flagged(collected, painted):
    from dataclasses import replace

    one = by_id(painted, "s-ann")
    nothing = replace(one, log=[], received=[], maps=[])
    names = {flag.partition(":")[0] for flag in flags(nothing, nothing.values(), RULES)}
    assert names == {"min_strokes", "min_frames", "min_painted", "min_active"}
    undone = replace(one, log=[*one.log, {"kind": "clear"}], received=[*one.received, one.received[-1]])
    assert "min_strokes" in flags(undone, undone.values(), RULES)[0]
    dot = np.full(one.clip.grid, 127, np.uint8)
    dot[0, 3:6, 3:6] = 180
    assert [f.partition(":")[0] for f in flags(one, dot, RULES)] == ["min_painted"]
    with pytest.raises(ConfigError, match=r"validate\.luck is no rule"):
        flags(one, dot, {"luck": 1})


def test_the_average_is_of_those_who_count(painted):
    mean = means(painted, RULES)["disk"]
    both = [by_id(painted, name).values() for name in ("s-ann", "s-bob")]
    assert mean.people == 2
    assert np.abs(mean.values - np.mean(both, axis=0)).max() <= 0.5
    with pytest.raises(DataError, match="none of 6 sessions counts"):
        means(painted, {**RULES, "min_strokes": 1000})


def test_the_clip_coded_by_the_mean_map_is_better_where_people_painted(painted, tmp_path):
    for folder in ("painted", "baseline"):
        (tmp_path / folder).mkdir()
    result = encode_mean(means(painted, RULES)["disk"], tmp_path / "painted", tmp_path / "baseline", lambda share: None)
    assert result.kbps == pytest.approx(result.target_kbps, rel=0.02)
    assert result.gain_painted > 0.5 > 0 > result.gain_elsewhere
    assert files_of(tmp_path) == ["baseline/disk.mp4", "painted/disk.mp4"]


def test_agreement_is_the_correlation_of_maps():
    generator = np.random.default_rng(0)
    noise = [generator.integers(0, 256, (6, 20, 30)).astype(np.uint8) for _ in range(4)]
    same = agreement([noise[0]] * 3)
    assert same.mean_leave_one_out == pytest.approx(1)
    assert same.mean_pairwise == pytest.approx(1)
    unrelated = agreement(noise)
    assert abs(unrelated.mean_pairwise) < 0.05
    assert agreement([noise[0], 255 - noise[0]]).mean_pairwise == pytest.approx(-1)
    one, other = noise[0].ravel(), noise[1].ravel()
    assert unrelated.pairwise[0, 1] == pytest.approx(np.corrcoef(one, other)[0, 1], abs=1e-6)
    rest = np.mean([m.ravel() for m in noise[1:]], axis=0)
    assert unrelated.leave_one_out[0] == pytest.approx(np.corrcoef(one, rest)[0, 1], abs=1e-6)


def test_correlations_are_exact_over_the_millions_of_cells_of_a_clip():
    one = np.full((100, 113, 200), 127, np.uint8)
    one[:40, 30:60, 50:90] = np.arange(140, 180, dtype=np.uint8)
    found = agreement([one, one])
    assert found.pairwise == pytest.approx(1, abs=1e-6)
    assert found.leave_one_out == pytest.approx([1, 1], abs=1e-6)


def test_leave_one_out_is_above_pairwise_when_people_agree_but_for_chance():
    generator = np.random.default_rng(1)
    truth = generator.normal(0, 20, (6, 20, 30))
    maps = [np.clip(127 + truth + generator.normal(0, 20, truth.shape), 0, 255).astype(np.uint8) for _ in range(8)]
    found = agreement(maps)
    assert found.mean_pairwise == pytest.approx(0.5, abs=0.05)  # 20^2 / (20^2 + 20^2)
    assert found.mean_leave_one_out == pytest.approx((0.5 / (0.5 + 0.5 / 7)) ** 0.5 * 0.5**0.5, abs=0.05)


def test_a_map_without_differences_has_no_agreement():
    flat, some = np.full((2, 3, 4), 127, np.uint8), np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    found = agreement([flat, some, some])
    assert found.leave_one_out[0] is None
    assert found.mean_pairwise == pytest.approx(1)
    assert agreement([some]).mean_leave_one_out is None
    assert (average([flat, some]) == np.floor((flat + some.astype(float)) / 2 + 0.5)).all()


def test_a_folder_without_a_collection_is_said(tmp_path, collected):
    with pytest.raises(DataError, match=r"holds no annotate\.sqlite"):
        open_collection(tmp_path)
    with pytest.raises(DataError, match="did you mean"):
        open_collection(collected.work.parent)


class TestCommand:
    def test_validate_prints_who_does_not_count_and_why(self, collected, capsys, tmp_path):
        main(["annotate", "validate", str(collected.work), "--csv", str(tmp_path / "s.csv")])
        said = capsys.readouterr().out
        assert "s-one-frame (disk, participant eve): min_frames: strokes in 1 frame, not 2" in said
        assert said.endswith("3 of 6 sessions count\n")
        assert len(table(tmp_path / "s.csv")) == 6
        main(["annotate", "validate", str(collected.work), "--set", "validate.min_frames=null"])
        assert capsys.readouterr().out.endswith("4 of 6 sessions count\n")

    def test_agreement_prints_both_measures_and_writes_everyones(self, collected, capsys, tmp_path):
        main(["annotate", "agreement", str(collected.work), "--json", str(tmp_path / "a.json")])
        said = capsys.readouterr().out
        found = json.loads((tmp_path / "a.json").read_text())
        assert list(found) == ["disk"]  # the other clip has one session that counts
        assert found["disk"]["participants"] == ["ann", "bob"]
        assert f"disk: 2, {found['disk']['mean_leave_one_out']:.3f}, {found['disk']['mean_pairwise']:.3f}" in said
        assert found["disk"]["mean_pairwise"] > 0.7

    def test_average_and_export_write_their_folders_once(self, collected, capsys, tmp_path):
        main(["annotate", "average", str(collected.work), "-o", str(tmp_path / "mean"), "--encode"])
        assert "disk: 2 maps, " in capsys.readouterr().out
        clips = [f"clips/{name}{suffix}" for name in ("disk", "other") for suffix in (".mask.mkv", ".mkv")]
        encodes = [f"{folder}/{name}.mp4" for folder in ("baseline", "painted") for name in ("disk", "other")]
        assert files_of(tmp_path / "mean") == [*encodes[:2], *clips, "encodes.csv", *encodes[2:]]
        main(["annotate", "export", str(collected.work), "-o", str(tmp_path / "all")])
        assert "6 sessions, 3 counted" in capsys.readouterr().out
        for action in ("average", "export"):
            with pytest.raises(SystemExit) as ended:
                main(["annotate", action, str(collected.work), "-o", str(tmp_path / "all")])
            assert ended.value.code == 2
            assert "is there already" in capsys.readouterr().err

    def test_an_average_that_is_stopped_leaves_nothing(self, collected, monkeypatch, tmp_path):
        def stopped(*_):
            raise KeyboardInterrupt

        monkeypatch.setattr("pvc.commands.annotate_data.encode_mean", stopped)
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            main(["annotate", "average", str(collected.work), "-o", str(tmp_path / "mean"), "--encode"])
        assert list(tmp_path.iterdir()) == []

    def test_video_shows_any_map_over_its_clip(self, collected, tmp_path, capsys):
        clip = collected.clips["disk"]
        first = collected.work / "sessions" / "s-ann" / "map-000001.mkv"
        for number, which in enumerate(
            (
                ["--session", "s-ann"],
                ["--session", "s-ann", "--number", "1"],
                ["--clip", "disk"],
                ["--clip", "disk", "--map", str(first)],
            )
        ):
            main(["annotate", "video", str(collected.work), *which, "-o", str(tmp_path / f"{number}.mkv")])
        shown = [read_clip(tmp_path / f"{n}.mkv").float() for n in range(4)]
        assert (shown[1] == shown[3]).all()
        assert not (shown[0] == shown[1]).all()
        values = np.stack([at_clip_size(p, (96, 160)) for p in read_values(first, clip.grid)])
        changed = (shown[1] - read_clip(clip.folder / "source.mkv").float()).abs().amax(1).numpy()
        assert changed[values > 170].mean() > 20
        assert changed[values == np.median(values)].mean() < 5
        redder = shown[1][:, 0].numpy() - shown[1][:, 2].numpy()
        assert redder[values > 170].mean() > redder[values < 128].mean() + 20

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["validate", "{none}"], "holds no annotate.sqlite"),
            (["video", "{work}", "-o", "x.mkv"], "which map?"),
            (["video", "{work}", "-o", "x.mkv", "--session", "nobody"], "there is no such one; there are s-ann"),
            (["video", "{work}", "-o", "x.mkv", "--session", "s-ann", "--number", "9"], "has no map 9; it has 3"),
            (["video", "{work}", "-o", "x.mkv", "--clip", "nothing"], "there are disk, other"),
            (["video", "{work}", "-o", "x.gif", "--clip", "disk"], "name a video"),
            (["video", "{work}", "-o", "x.mkv", "--map", "{none}"], "which map?"),
            (["agreement", "{work}", "--set", "validate.min_strokes=99"], "no clip was painted by two people"),
            (["average", "{work}", "-o", "{none}", "--set", "validate.luck=1"], "configs/annotate.yaml has the keys"),
            (["prepare", "{none}"], "is no folder"),
        ],
    )
    def test_what_is_wrong_is_one_line(self, collected, tmp_path, capsys, monkeypatch, arguments, message):
        monkeypatch.chdir(tmp_path)
        filled = [a.format(work=collected.work, none=tmp_path / "none") for a in arguments]
        with pytest.raises(SystemExit) as ended:
            main(["annotate", *filled])
        assert ended.value.code == 2
        said = capsys.readouterr().err
        assert message in said
        assert said.count("\n") == 1
        assert list(tmp_path.iterdir()) == []
