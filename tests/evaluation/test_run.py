"""The runner: real bytes, honest records, nothing lost, nothing done twice, nothing mixed."""

import json
import math
import weakref

import pytest
import torch

from pvc.codecs import load_codec
from pvc.errors import ConfigError, DataError, VideoError
from pvc.evaluation import RecordFile, evaluate, load_runs
from pvc.evaluation.records import load_failures
from pvc.evaluation.run import operating_points
from pvc.metrics import Metric, Scores, load_metrics
from pvc.metrics.base import Unavailable

PSNR = load_metrics(["psnr"])
KEYS = ["codec", "point", "dataset", "sequence", "frames", "width", "height", "fps", "gop", "bits", "bpp", "kbps"]
KEYS += ["encode_seconds", "decode_seconds", "metrics", "meta"]


def test_record_holds_the_bits_of_the_bytes_and_the_quality_of_the_decoded_clip(
    tmp_path, block_codec, sequence, settings
):
    codec, clip = block_codec(), sequence("a")
    (record, *_) = evaluate([codec], [clip], PSNR, tmp_path, settings).records
    data = codec.encode(clip.clip, record.point)
    assert record.bits == 8 * len(data)
    assert record.bpp == pytest.approx(record.bits / (3 * 64 * 96))
    assert record.kbps == pytest.approx(record.bits * 25 / 3 / 1000)
    decoded = codec.decode(data)
    mse = (decoded.double() - clip.clip.double()).square().mean((1, 2, 3))
    assert record.metrics["psnr"] == pytest.approx((10 * torch.log10(255**2 / mse)).mean().item())
    assert (record.frames, record.width, record.height, record.fps, record.gop) == (3, 96, 64, 25.0, 12)


def test_file_has_the_architectures_keys_and_is_strict_json(tmp_path, block_codec, sequence, settings):
    evaluate([block_codec()], [sequence("a")], PSNR, tmp_path, settings)
    lines = (tmp_path / "results.jsonl").read_text().splitlines()
    assert len(lines) == 12
    for line in lines:
        found = json.loads(line, parse_constant=lambda c: pytest.fail(f"{c} is not JSON"))
        assert list(found) == KEYS
        assert set(found["metrics"]) == {"psnr", "psnr_roi", "psnr_bg"}
        assert found["meta"]["made_by"]["codec"] == {"block": 8}


def test_operating_points(block_codec, settings):
    points = operating_points(block_codec(), settings)
    assert len(points) == 12
    assert [p["alpha"] for p in points if p["beta"] == 8e-4] == pytest.approx([1.0, 60**0.4, 60**0.8])
    single = operating_points(block_codec(supports_importance=False, betas=[1e-4, 1e-3]), settings)
    assert single == [{"beta": 1e-4, "alpha": 1.0}, {"beta": 1e-3, "alpha": 1.0}]
    assert [p["crf"] for p in operating_points(load_codec("x264"), settings)] == settings["crf"]
    own = settings | {"points": {"x264": {"crf": [11, 22]}}}
    assert [p["crf"] for p in operating_points(load_codec("x264"), own)] == [11, 22]
    assert [p["crf"] for p in operating_points(load_codec("x265"), own)] == settings["crf"]
    for bad in ({"beta": [1.0]}, {"u_alpha": [-0.1]}, {"beta": []}):
        with pytest.raises(ConfigError, match=next(iter(bad))):
            operating_points(block_codec(), settings | bad)


def test_importance_reaches_the_codec_as_the_weighted_mask_and_not_at_alpha_one(
    tmp_path, block_codec, sequence, settings
):
    maps = []

    class Spy(block_codec):
        def encode_frames(self, frames, point, importance=None, **rest):
            given = None if importance is None else torch.stack(list(importance))
            maps.append((point["alpha"], given))
            return super().encode_frames(frames, point, None if given is None else iter(given), **rest)

    clip = sequence("a")
    evaluate([Spy(betas=[1e-3])], [clip], PSNR, tmp_path, settings)
    (one, none), *others = maps
    assert one == 1 and none is None
    for alpha, q in others:
        u_alpha = 1 - math.log(alpha, 60)
        assert torch.allclose(q, (1 - clip.mask) * u_alpha + clip.mask)


def test_finished_jobs_are_not_run_again(tmp_path, block_codec, sequence, settings):
    clips = [sequence("a"), sequence("b", 1)]
    first = evaluate([block_codec()], clips, PSNR, tmp_path, settings)
    before = (tmp_path / "results.jsonl").read_bytes()
    again = block_codec()
    second = evaluate([again], clips, PSNR, tmp_path, settings)
    assert (first.run, first.reused, second.run, second.reused, again.encoded) == (24, 0, 0, 24, 0)
    assert second.records == first.records
    assert (tmp_path / "results.jsonl").read_bytes() == before
    wider = evaluate([block_codec()], clips, PSNR, tmp_path, settings | {"beta": [*settings["beta"], 1e-3]})
    assert (wider.run, wider.reused) == (6, 24)


def test_interrupted_run_goes_on_where_it_was(tmp_path, block_codec, sequence, settings):
    class Interrupted(block_codec):
        def encode_frames(self, *args, **rest):
            if self.encoded == 5:
                raise KeyboardInterrupt
            return super().encode_frames(*args, **rest)

    with pytest.raises(KeyboardInterrupt):
        evaluate([Interrupted()], [sequence("a")], PSNR, tmp_path, settings)
    path = tmp_path / "results.jsonl"
    assert len(path.read_text().splitlines()) == 5
    with path.open("a") as file:
        file.write('{"codec": "block", "point": {"be')  # what a kill in the middle of a write leaves
    rest = evaluate([block_codec()], [sequence("a")], PSNR, tmp_path, settings)
    assert (rest.run, rest.reused) == (7, 5)
    whole = evaluate([block_codec()], [sequence("a")], PSNR, tmp_path / "other", settings)
    strip = lambda records: [(r.job, r.bits, r.metrics) for r in records]  # noqa: E731
    assert strip(RecordFile(path).load()) == strip(whole.records)


@pytest.mark.parametrize("change", ["options", "frames", "fps", "clip", "mask", "metric", "gop"])
def test_results_made_in_another_way_are_not_mixed(tmp_path, block_codec, sequence, settings, change):
    evaluate([block_codec()], [sequence("a")], PSNR, tmp_path, settings)
    before = (tmp_path / "results.jsonl").read_bytes()
    codec, clip, metrics = block_codec(), sequence("a"), PSNR
    if change == "options":
        codec.meta = {"block": 16}
    elif change == "frames":
        settings["frames"] = 2
    elif change == "fps":
        clip.fps *= 2
    elif change == "clip":
        clip.clip = 255 - clip.clip
    elif change == "mask":
        clip.mask = 1 - clip.mask
    elif change == "metric":
        metrics = load_metrics(["psnr", "ms_ssim"])
    elif change == "gop":
        settings["gop"] = 6
    with pytest.raises(ConfigError, match=r"results\.jsonl.*use another out=DIR") as error:
        evaluate([codec], [clip], metrics, tmp_path, settings)
    assert "\n" not in str(error.value)
    assert codec.encoded == 0
    assert (tmp_path / "results.jsonl").read_bytes() == before


def test_results_of_other_library_versions_are_not_mixed(tmp_path, monkeypatch, sequence, settings):
    metrics, few = load_metrics(["psnr", "psnr_yuv"]), settings | {"crf": [40]}
    evaluate([load_codec("x264")], [sequence("a")], metrics, tmp_path, few)
    assert evaluate([load_codec("x264")], [sequence("a")], metrics, tmp_path, few).reused == 1
    monkeypatch.setattr("pvc.versions.version", lambda package: "0.0.1")
    with pytest.raises(ConfigError, match=r"metrics\.psnr_y\.libraries\.av: \S+ there, 0\.0\.1 here"):
        evaluate([load_codec("x265")], [sequence("a")], metrics, tmp_path, few)
    evaluate([load_codec("x265")], [sequence("a")], PSNR, tmp_path / "other", few)
    with pytest.raises(ConfigError, match=r"called x264 \(libraries\.av: \S+ there, 0\.0\.1 here"):
        evaluate([load_codec("x264")], [sequence("a")], PSNR, _psnr_run(tmp_path, monkeypatch, sequence, few), few)


def _psnr_run(tmp_path, monkeypatch, sequence, settings):
    """A folder with a result of another version of PyAV than there is, judged by exact sums alone."""
    with monkeypatch.context() as patch:
        patch.setattr("pvc.versions.version", lambda package: "9.9.9")
        evaluate([load_codec("x264")], [sequence("a")], PSNR, tmp_path / "psnr", settings)
    return tmp_path / "psnr"


def test_runs_merged_keep_the_result_that_has_more(tmp_path, block_codec, sequence, settings):
    folders = [tmp_path / name for name in ("with", "without")]
    for folder, metrics in zip(folders, (["psnr", "blur"], ["psnr", "blur"]), strict=True):
        evaluate([block_codec()], [sequence("a")], load_metrics(metrics), folder, settings)
    file = folders[1] / "results.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    for line in lines:  # as where what a metric needs was missing
        del line["metrics"]["blur"]
        line["meta"]["made_by"]["metrics"]["blur"] = None
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    for order in (folders, folders[::-1]):
        assert all("blur" in record.metrics for record in load_runs(order))


def test_another_codec_must_see_the_same_frames(tmp_path, block_codec, sequence, settings):
    evaluate([block_codec("one")], [sequence("a")], PSNR, tmp_path, settings)
    with pytest.raises(ConfigError, match=r"one on a.*frames"):
        evaluate([block_codec("two")], [sequence("a")], PSNR, tmp_path, settings | {"frames": 1})


def test_runs_are_merged_only_where_they_compare(tmp_path, block_codec, sequence, settings):
    evaluate([block_codec("one")], [sequence("a")], PSNR, tmp_path / "1", settings)
    evaluate([block_codec("two")], [sequence("a")], PSNR, tmp_path / "2", settings)
    evaluate([block_codec("two")], [sequence("a")], PSNR, tmp_path / "3", settings | {"frames": 1})
    assert {r.codec for r in load_runs([tmp_path / "1", tmp_path / "2"])} == {"one", "two"}
    with pytest.raises(ConfigError, match="frames"):
        load_runs([tmp_path / "1", tmp_path / "3"])
    with pytest.raises(ConfigError, match="holds no results"):
        load_runs([tmp_path / "none"])


def test_without_mask_only_alpha_one_runs_and_it_is_said(tmp_path, block_codec, sequence, settings):
    outcome = evaluate([block_codec()], [sequence("a", mask=False)], PSNR, tmp_path, settings)
    assert {r.u_alpha for r in outcome.records} == {1.0}
    assert set(outcome.records[0].metrics) == {"psnr"}
    assert outcome.records[0].meta["unavailable"]["psnr_roi"] == "the sequence has no mask"
    assert outcome.notes == ["block was run at u_alpha = 1 only on a, which has no mask"]


def test_a_job_without_a_required_value_has_failed(tmp_path, block_codec, sequence, settings):
    outcome = evaluate(
        [block_codec()], [sequence("a", mask=False)], PSNR, tmp_path, settings | {"require": ["psnr_roi"]}
    )
    assert not outcome.records and outcome.failed == outcome.run + outcome.failed > 0
    assert "psnr_roi is required and has no value: the sequence has no mask" in outcome.failures[0].reason


@pytest.mark.parametrize("frames", [0, 1.5, "abc"])
def test_numbers_of_frames_that_are_none_are_refused(tmp_path, block_codec, sequence, settings, frames):
    with pytest.raises(ConfigError, match=f"frames={frames} is no number of frames"):
        evaluate([block_codec()], [sequence("a")], PSNR, tmp_path, settings | {"frames": frames})


def test_shorter_clips_are_used_whole_and_it_is_said(tmp_path, block_codec, sequence, settings):
    outcome = evaluate([block_codec()], [sequence("a")], PSNR, tmp_path, settings | {"frames": 10})
    assert outcome.records[0].frames == 3
    assert outcome.notes == ["a has 3 frames; all of them are used instead of 10"]


def test_wrong_input_is_a_named_error(tmp_path, block_codec, sequence, settings):
    with pytest.raises(DataError, match="no sequence"):
        evaluate([block_codec()], [], PSNR, tmp_path, settings)
    with pytest.raises(ConfigError, match="frames=0"):
        evaluate([block_codec()], [sequence("a")], PSNR, tmp_path, settings | {"frames": 0})
    with pytest.raises(ConfigError, match="jobs=0"):
        evaluate([block_codec()], [sequence("a")], PSNR, tmp_path, settings | {"jobs": 0})


def test_a_failing_job_is_a_row_with_its_reason_until_it_succeeds(tmp_path, block_codec, sequence, settings):
    class Fails(block_codec):
        def encode_frames(self, frames, point, importance=None, **rest):
            if point["beta"] == 8e-4 and point["alpha"] == 1:
                raise VideoError("out of paper")
            return super().encode_frames(frames, point, importance, **rest)

        def decode_frames(self, data):
            frames = list(super().decode_frames(data))
            return iter(frames[:1] if self.encoded == 1 else frames)

    outcome = evaluate([Fails()], [sequence("a"), sequence("b")], PSNR, tmp_path, settings)
    assert (outcome.run, outcome.failed) == (21, 3)
    assert load_failures(tmp_path) == outcome.failures
    reasons = [(f.codec, f.point["beta"], f.dataset, f.sequence, f.reason) for f in outcome.failures]
    assert reasons == [
        ("block", 2e-4, "toy", "a", "block at beta 0.0002, alpha 1 on a decoded to 1 frames, not 3"),
        ("block", 8e-4, "toy", "a", "out of paper"),
        ("block", 8e-4, "toy", "b", "out of paper"),
    ]
    again = evaluate([block_codec()], [sequence("a"), sequence("b")], PSNR, tmp_path, settings)
    assert (again.run, again.reused, again.failed) == (3, 21, 0)
    assert load_failures(tmp_path) == [] and not (tmp_path / "failures.jsonl").exists()


def test_failures_of_other_jobs_stay_on_record(tmp_path, block_codec, sequence, settings):
    class Fails(block_codec):
        def encode_frames(self, *args, **rest):
            raise VideoError("no")

    evaluate([Fails("broken")], [sequence("a")], PSNR, tmp_path, settings)
    outcome = evaluate([block_codec()], [sequence("a")], PSNR, tmp_path, settings)
    assert outcome.failed == 0 and {f.codec for f in outcome.failures} == {"broken"}


def test_an_unreadable_clip_fails_alone(tmp_path, block_codec, sequence, settings):
    broken = sequence("broken")
    broken.clip = broken.clip[:2]
    outcome = evaluate([block_codec()], [broken, sequence("a")], PSNR, tmp_path, settings)
    assert (outcome.run, outcome.failed) == (12, 12)
    reason = "toy/broken: there are 2 frames where 3 were expected; the files changed or are broken"
    assert {(f.sequence, f.reason) for f in outcome.failures} == {("broken", reason)}


def test_memory_does_not_grow_with_the_clip(tmp_path, block_codec, sequence, settings, monkeypatch):
    monkeypatch.setattr("pvc.evaluation.footage.HELD", 0)
    alive, most = set(), []

    def stream(clip):
        for frame in clip:
            mine = frame.clone()
            alive.add(key := id(mine))
            weakref.finalize(mine, alive.discard, key)
            most.append(len(alive))
            yield mine

    clip, held = sequence("a", mask=False), sequence("a", mask=False)
    clip.clip = held.clip = clip.clip.repeat(14, 1, 1, 1)[:40]
    clip.frames = held.frames = 40
    clip._stream = lambda count: stream(held.clip)
    one = settings | {"beta": [1e-3]}
    (record,) = evaluate([block_codec(supports_importance=False)], [clip], PSNR, tmp_path, one).records
    assert len(most) == 3 * 40 and max(most) < 20
    monkeypatch.undo()
    (same,) = evaluate([block_codec(supports_importance=False)], [held], PSNR, tmp_path / "held", one).records
    assert (record.bits, record.metrics, record.meta) == (same.bits, same.metrics, same.meta)


def test_encoding_time_is_not_reading_time(tmp_path, block_codec, sequence, settings, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("pvc.evaluation.job.time.perf_counter", lambda: clock[0])
    monkeypatch.setattr("pvc.evaluation.footage.HELD", 0)

    class Slow(block_codec):
        def encode_frames(self, *args, **rest):
            for chunk in super().encode_frames(*args, **rest):
                clock[0] += 1
                yield chunk

        def decode_frames(self, data):
            for frame in super().decode_frames(data):
                clock[0] += 10
                yield frame

    clip = sequence("a", mask=False)
    pixels = clip.clip

    def stream(count):
        for frame in pixels:
            clock[0] += 1000
            yield frame

    clip._stream = stream
    (record, *_) = evaluate([Slow()], [clip], PSNR, tmp_path, settings).records
    assert (record.encode_seconds, record.decode_seconds) == (4, 30)  # the header and three frames; three frames


def test_a_metric_that_was_missing_is_measured_once_it_can_be(tmp_path, block_codec, sequence, settings):
    class Distance(Metric):
        names, weights = ("distance",), None

        def missing(self):
            return None if self.weights else "weights file distance.pt is missing"

        def start(self):
            return self if self.weights else Unavailable(self.names, self.missing())

        def add(self, *_):
            pass

        def scores(self):
            return Scores({"distance": 1.0})

        def close(self):
            pass

    distance, few = Distance(), settings | {"u_alpha": [1.0]}
    first = evaluate([block_codec()], [sequence("a")], [*PSNR, distance], tmp_path, few)
    assert first.records[0].meta["missing"] == ["distance"] and "distance" not in first.records[0].metrics
    again = evaluate([block_codec()], [sequence("a")], [*PSNR, distance], tmp_path, few)
    assert (again.run, again.reused) == (0, 4)
    Distance.weights = "there"
    now = evaluate([block_codec()], [sequence("a")], [*PSNR, distance], tmp_path, few)
    assert (now.run, now.reused) == (4, 0) and all(r.metrics["distance"] == 1 for r in now.records)
    assert len(now.records) == len(RecordFile(tmp_path / "results.jsonl").load()) == 4
    Distance.weights = None
    assert evaluate([block_codec()], [sequence("a")], [*PSNR, distance], tmp_path, few).reused == 4


def test_damaged_result_file_names_its_line(tmp_path):
    path = tmp_path / "results.jsonl"
    path.write_text('{"codec": 1}\nnonsense\n')
    with pytest.raises(ConfigError, match="line 1"):
        RecordFile(path).load()
