"""The runner: real bytes, honest records, nothing lost, nothing done twice, nothing mixed."""

import json
import math

import pytest
import torch

from pvc.codecs import load_codec
from pvc.errors import BitstreamError, ConfigError, DataError
from pvc.evaluation import RecordFile, evaluate, load_runs
from pvc.evaluation.run import operating_points
from pvc.metrics import load_metrics

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
    for bad in ({"beta": [1.0]}, {"u_alpha": [-0.1]}, {"beta": []}):
        with pytest.raises(ConfigError, match=next(iter(bad))):
            operating_points(block_codec(), settings | bad)


def test_importance_reaches_the_codec_as_the_weighted_mask_and_not_at_alpha_one(
    tmp_path, block_codec, sequence, settings
):
    maps = []

    class Spy(block_codec):
        def encode(self, clip, point, importance=None, **rest):
            maps.append((point["alpha"], importance))
            return super().encode(clip, point, importance, **rest)

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
        def encode(self, *args, **rest):
            if self.encoded == 5:
                raise KeyboardInterrupt
            return super().encode(*args, **rest)

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


@pytest.mark.parametrize("change", ["options", "frames", "clip", "mask", "metric", "gop"])
def test_results_made_in_another_way_are_not_mixed(tmp_path, block_codec, sequence, settings, change):
    evaluate([block_codec()], [sequence("a")], PSNR, tmp_path, settings)
    before = (tmp_path / "results.jsonl").read_bytes()
    codec, clip, metrics = block_codec(), sequence("a"), PSNR
    if change == "options":
        codec.meta = {"block": 16}
    elif change == "frames":
        settings["frames"] = 2
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


def test_shorter_clips_are_used_whole_and_it_is_said(tmp_path, block_codec, sequence, settings):
    outcome = evaluate([block_codec()], [sequence("a")], PSNR, tmp_path, settings | {"frames": 10})
    assert outcome.records[0].frames == 3
    assert outcome.notes == ["a has 3 frames; all of them are used instead of 10"]


def test_wrong_input_is_a_named_error(tmp_path, block_codec, sequence, settings):
    with pytest.raises(DataError, match="no sequence"):
        evaluate([block_codec()], [], PSNR, tmp_path, settings)
    with pytest.raises(ConfigError, match="frames=0"):
        evaluate([block_codec()], [sequence("a")], PSNR, tmp_path, settings | {"frames": 0})

    class Short(block_codec):
        def decode(self, data):
            return super().decode(data)[:1]

    with pytest.raises(BitstreamError, match=r"decoded to \[1, 3, 64, 96\], not \[3, 3, 64, 96\]"):
        evaluate([Short()], [sequence("a")], PSNR, tmp_path, settings)


def test_damaged_result_file_names_its_line(tmp_path):
    path = tmp_path / "results.jsonl"
    path.write_text('{"codec": 1}\nnonsense\n')
    with pytest.raises(ConfigError, match="line 1"):
        RecordFile(path).load()
