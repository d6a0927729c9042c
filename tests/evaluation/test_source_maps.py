"""Maps from a source instead of masks: what codecs get, what judges, what is kept, and what never mixes."""

import sys
from collections import Counter
from dataclasses import dataclass, field

import pytest
import torch

from pvc.codecs import load_codec
from pvc.data.clips import ClipFolder
from pvc.errors import ConfigError, ImportanceError
from pvc.eval import main
from pvc.evaluation import evaluate, load_runs
from pvc.importance import u_from_alpha, weighted_mask
from pvc.importance.registry import load_source
from pvc.metrics import load_metrics
from pvc.video import write_clip

PSNR = load_metrics(["psnr"])
CALLS = Counter()


@dataclass(frozen=True)
class Columns:
    """A source whose map grows from left to right, by ``scale``."""

    scale: float = 1.0
    name: str = "columns"
    maps_for: int | None = None  # how many maps it gives; None: one a frame
    value: float | None = None  # in the place of its own values
    meta: dict = field(default_factory=dict)

    def __post_init__(self):
        self.meta["scale"] = self.scale

    def maps(self, frames):
        CALLS[self.name] += 1
        for t, frame in enumerate(frames):
            if t == self.maps_for:
                return
            height, width = frame.shape[-2:]
            q = torch.linspace(0, self.scale, width).expand(1, height, width)
            yield q if self.value is None else torch.full_like(q, self.value)


def _kept(source, width=96, height=64):
    """The source's map as 8 bits keep it."""
    (q,) = source.maps([torch.zeros(3, height, width)])
    return (q * 255).round() / 255


def test_codecs_get_the_sources_maps_and_the_data_sets_masks_judge(tmp_path, block_codec, sequence, settings):
    given, clip = {}, sequence("a")

    class Spy(block_codec):
        def encode_frames(self, frames, point, importance=None, **rest):
            given[point["alpha"]] = None if importance is None else list(importance)
            importance = None if importance is None else iter(given[point["alpha"]])
            return super().encode_frames(frames, point, importance, **rest)

    one = settings | {"beta": [8e-4]}
    with_source = evaluate([Spy()], [clip], PSNR, tmp_path / "1", one, Columns()).records
    assert given[1.0] is None
    for alpha in (a for a in given if a != 1):
        q = weighted_mask(_kept(Columns()), u_from_alpha(alpha))
        assert len(given[alpha]) == 3 and all(torch.allclose(m, q, atol=1e-6) for m in given[alpha])
    with_masks = evaluate([Spy()], [clip], PSNR, tmp_path / "2", one).records
    for a, b in zip(with_source, with_masks, strict=True):
        made = [r.meta["made_by"] for r in (a, b)]
        assert made[0]["clip"] == made[1]["clip"]  # the same judge
        assert (a.bits == b.bits) == (a.u_alpha == 1)
        assert made[0].get("importance") == (None if a.u_alpha == 1 else {"source": "columns", "scale": 1.0})
        assert "importance" not in made[1]


def test_a_clip_without_mask_is_judged_by_the_sources_maps_and_it_is_said(tmp_path, block_codec, sequence, settings):
    bare, masked = sequence("a", mask=False), sequence("a")
    masked.mask = _kept(Columns()).expand(3, -1, -1, -1)
    outcome = evaluate([block_codec()], [bare], PSNR, tmp_path / "1", settings, Columns())
    same = evaluate([block_codec()], [masked], PSNR, tmp_path / "2", settings)
    assert [(r.point, r.bits, r.metrics) for r in outcome.records] == [
        (r.point, r.bits, r.metrics) for r in same.records
    ]
    assert {r.u_alpha for r in outcome.records} == {1.0, 0.6, 0.2} and "psnr_roi" in outcome.records[0].metrics
    assert outcome.notes == ["a has no mask: ROI and background are those of the maps of columns"]
    made = [r.records[0].meta["made_by"]["clip"] for r in (outcome, same)]
    assert made[0] == made[1]


def test_maps_are_made_once_a_sequence_and_an_interrupted_run_goes_on(tmp_path, block_codec, sequence, settings):
    clips = [sequence("a"), sequence("b", 1)]
    CALLS.clear()
    first = evaluate([block_codec()], clips, PSNR, tmp_path, settings, Columns())
    assert CALLS["columns"] == 2 and first.run == 24
    again = evaluate([block_codec()], clips, PSNR, tmp_path, settings, Columns())
    assert CALLS["columns"] == 2 and (again.run, again.reused) == (0, 24)
    assert len(list((tmp_path / "importance").glob("toy/*.mkv"))) == 2


def test_long_clips_are_not_held_in_memory_and_give_the_same(tmp_path, block_codec, sequence, settings, monkeypatch):
    few = settings | {"beta": [8e-4]}
    held = evaluate([block_codec()], [sequence("a", mask=False)], PSNR, tmp_path / "1", few, Columns())
    monkeypatch.setattr("pvc.evaluation.footage.HELD", 0)
    streamed = evaluate([block_codec()], [sequence("a", mask=False)], PSNR, tmp_path / "2", few, Columns())
    assert [(r.bits, r.metrics, r.meta["made_by"]) for r in held.records] == [
        (r.bits, r.metrics, r.meta["made_by"]) for r in streamed.records
    ]


def test_other_processes_make_and_use_the_same_maps(tmp_path, sequence, settings):
    (tmp_path / "clips").mkdir()
    for seed, name in enumerate("ab"):
        write_clip(tmp_path / "clips" / f"{name}.mkv", sequence(name, seed).clip, 25)
    clips = ClipFolder(tmp_path / "clips", cache=None).eval()
    settings |= {"crf": [26, 38], "u_alpha": [0.2]}
    codecs, source = [load_codec("x264-blur")], load_source("spectral")
    alone = evaluate(codecs, clips, PSNR, tmp_path / "1", settings, source)
    together = evaluate(codecs, clips, PSNR, tmp_path / "2", settings | {"jobs": 2}, source)
    assert (alone.run, together.run) == (4, 4)
    assert [(r.job, r.bits, r.metrics) for r in alone.records] == [(r.job, r.bits, r.metrics) for r in together.records]


@pytest.mark.parametrize("other", [None, Columns(0.5), Columns(name="rows")])
def test_results_by_other_maps_are_never_reused_or_mixed(tmp_path, block_codec, sequence, settings, other):
    evaluate([block_codec()], [sequence("a")], PSNR, tmp_path / "1", settings, Columns())
    before = (tmp_path / "1" / "results.jsonl").read_bytes()
    codec = block_codec()
    with pytest.raises(ConfigError, match=r"block on a was given other importance maps \(importance.*use another out"):
        evaluate([codec], [sequence("a")], PSNR, tmp_path / "1", settings | {"beta": [1e-3]}, other)
    assert codec.encoded == 0 and (tmp_path / "1" / "results.jsonl").read_bytes() == before
    evaluate([block_codec()], [sequence("a")], PSNR, tmp_path / "2", settings | {"beta": [1e-3]}, other)
    with pytest.raises(ConfigError, match="was given other importance maps"):
        load_runs([tmp_path / "1", tmp_path / "2"])
    evaluate([block_codec()], [sequence("a")], PSNR, tmp_path / "3", settings | {"u_alpha": [1.0]}, other)
    assert len(load_runs([tmp_path / "1", tmp_path / "3"])) == 12  # without maps nothing is by other maps


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (Columns(maps_for=2), "columns gives 2 maps for the 3 frames of a"),
        (Columns(maps_for=0), "columns gives 0 maps for the"),
        (Columns(2.0), r"map 0 of columns has values from 0 to 2; they must lie in [0, 1]"),
        (Columns(value=float("nan")), "map 0 of columns has values from nan"),
    ],
)
def test_a_source_that_gives_no_fitting_maps_fails_that_clip_with_a_reason(
    tmp_path, block_codec, sequence, settings, source, says
):
    outcome = evaluate([block_codec()], [sequence("a")], PSNR, tmp_path, settings, source)
    assert (outcome.run, outcome.failed) == (0, 12)
    assert all(says in f.reason for f in outcome.failures)
    assert not list((tmp_path / "importance").glob("**/*.mkv"))


def test_a_map_that_is_equal_everywhere_is_a_result(tmp_path, block_codec, sequence, settings):
    outcome = evaluate([block_codec()], [sequence("a")], PSNR, tmp_path, settings, Columns(value=1.0))
    bits = {(r.u_alpha, r.point["beta"]): r.bits for r in outcome.records}
    assert outcome.failed == 0 and len(bits) == 12
    assert all(bits[0.6, beta] == bits[0.2, beta] for beta in settings["beta"])  # q = 1 everywhere, whatever alpha


def test_a_source_that_raises_fails_alone(tmp_path, block_codec, sequence, settings):
    class Picky(Columns):
        def maps(self, frames):
            raise ImportanceError("there is nobody in the picture")
            yield

    outcome = evaluate([block_codec()], [sequence("a")], PSNR, tmp_path, settings, Picky())
    assert outcome.failed == 12 and "nobody in the picture" in outcome.failures[0].reason


@pytest.fixture
def command(tmp_path, monkeypatch, sequence):
    """``pvc eval`` with overrides on a folder with one clip; gives the records."""
    (tmp_path / "clips").mkdir()
    write_clip(tmp_path / "clips" / "a.mkv", sequence("a").clip, 25)
    monkeypatch.chdir(tmp_path)

    def run(*overrides):
        data = ["data=clips", "data.root=clips", "data.source.cache=null", "metrics=[psnr]", "jobs=1", "anchor=null"]
        monkeypatch.setattr(sys, "argv", ["pvc eval", *data, *overrides])
        main()
        return load_runs(["pvc-eval"])

    return run


def test_the_command_takes_a_source_by_name_and_settings_of_it(command):
    records = command(
        "codecs=[x264,x264-blur]", "crf=[30]", "u_alpha=[0.2]", "importance=spectral", "importance.decay=0.5"
    )
    (soft,) = [r for r in records if r.codec == "x264-blur"]
    made = soft.meta["made_by"]["importance"]
    assert (made["source"], made["decay"]) == ("spectral", 0.5) and "psnr_roi" in soft.metrics


def test_null_is_the_data_sets_masks_also_against_an_experiment(command, capsys):
    overrides = ["codecs=[x264,x264-blur]", "crf=[30]", "u_alpha=[1.0,0.2]", "points=null", "importance=null"]
    assert {r.u_alpha for r in command(*overrides, "experiment=saliency_blur", "frames=2")} == {None, 1.0}
    assert "which has no mask" in capsys.readouterr().out
    assert len(command(*overrides, "frames=2")) == 2


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["importance=dowsing"], "dowsing"),
        (["importance=spectral", "importance.decay=2"], "decay"),
        (["importance=spectral", "importance.dacey=0.5"], "dacey"),
        (["importance=annotation"], "path=MAP"),
    ],
)
def test_a_wrong_source_is_one_line_before_anything_runs(command, capsys, tmp_path, overrides, says):
    with pytest.raises(SystemExit) as end:
        command("codecs=[x264-blur]", "crf=[30]", *overrides)
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("pvc: error:")]
    assert end.value.code == 2 and len(errors) == 1 and says in errors[0], errors
    assert not (tmp_path / "pvc-eval").exists()


def test_the_saliency_blur_experiment_is_its_papers_on_any_clips(command):
    records = command("experiment=saliency_blur", "data=clips", "data.root=clips", "crf=[23]", "frames=2")
    bits = {(r.codec, r.u_alpha): r.bits for r in records}
    assert len(bits) == 9 and bits["x264", None] == bits["x264-blur-weak", 0]
    assert bits["x264-blur", 0] < bits["x264", None] > bits["x264-blur-contrast", 0]
    assert {"psnr", "psnr_roi"} <= set(records[0].metrics)
