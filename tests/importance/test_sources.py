"""What every importance source promises: a map a frame, in [0, 1], as frames come; and what it says when it cannot."""

import json
from itertools import islice

import pytest
import torch
from PIL import Image

from pvc.errors import ConfigError, ImportanceError, MissingWeights
from pvc.importance.registry import load_source, missing_weights, source_names
from pvc.importance.source import Source

WEIGHTS = {
    "gradient": {"model": "squeezenet1_1"},
    "segmentation": {"model": "lraspp_mobilenet_v3_large", "size": 64},
    "salient_object": {"model": "u2netp", "size": 64},
    "tased": {"height": 32, "width": 64},
}
LOOK_AHEAD = {"tased": 31}  # frames; of the others one at most


@pytest.fixture(params=["annotation", "perlin", "spectral", *WEIGHTS, "several"])
def source(request, stand_in, tmp_path):
    """Each source, ready to be used on clips of the fixture ``scene``."""
    name = request.param
    if name == "annotation":
        Image.new("L", (100, 60), 51).save(tmp_path / "map.png")
        return load_source(name, path=str(tmp_path / "map.png"), length="repeat")
    if name == "several":
        weights = str(stand_in("lraspp_mobilenet_v3_large"))
        sources = ["spectral", {"segmentation": {"classes": ["people"], "size": 64, "weights": weights}}]
        return load_source("spectral_people", sources=sources)
    settings = WEIGHTS.get(name, {})
    return load_source(
        name, **settings, **({"weights": str(stand_in(settings.get("model", name)))} if settings else {})
    )


def test_every_source_gives_a_map_for_each_frame_and_is_the_same_each_time(source, scene):
    frames, _ = scene(4)
    maps = list(source.maps(iter(frames)))
    assert isinstance(source, Source)
    assert len(maps) == 4
    for q in maps:
        assert q.shape == (1, *frames.shape[-2:]) and q.dtype == torch.float32 and not q.requires_grad
        assert q.min() >= 0 and q.max() <= 1
    assert all(torch.equal(a, b) for a, b in zip(maps, source.maps(iter(frames)), strict=True))


def test_every_source_takes_frames_as_it_needs_them(source, scene):
    frames, taken = scene(6)[0], 0

    def feed():
        nonlocal taken
        for frame in frames:
            taken += 1
            yield frame

    for done, _ in enumerate(islice(source.maps(feed()), 4), 1):
        assert taken <= done + LOOK_AHEAD.get(source.name, 1)


def test_what_decides_the_maps_is_recorded_without_naming_the_machine(source, tmp_path):
    text = json.dumps(source.meta)
    assert source.name in text
    assert not any(part in text for part in (str(tmp_path), "weights_dir", "device"))
    if source.name in WEIGHTS:
        assert len(next(iter(source.meta["weights_sha256"].values()))) == 64


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (7, 90), (33, 17)])
@pytest.mark.parametrize("name", ["spectral", "perlin"])
def test_frames_of_any_size_have_maps(name, size):
    frames = torch.randint(0, 256, (3, 3, *size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert [q.shape for q in load_source(name).maps(iter(frames))] == [(1, *size)] * 3


def test_no_frames_no_maps():
    assert not list(load_source("spectral").maps(iter(())))


def test_a_source_without_its_weights_says_which_file_goes_where(nowhere, tmp_path):
    for name, file in {
        "gradient": "googlenet-1378be20.pth",
        "segmentation": "lraspp_mobilenet_v3_large-d234d4ea.pth",
        "salient_object": "u2netp.pth",
        "tased": "TASED_updated.pt",
        "spectral_people": "lraspp_mobilenet_v3_large-d234d4ea.pth",
    }.items():
        with pytest.raises(MissingWeights) as error:
            load_source(name, weights_dir=str(tmp_path / "mine"))
        said = str(error.value)
        assert file in said and str(tmp_path / "mine") in said and "\n" not in said
        assert file in missing_weights(name)
    assert missing_weights("spectral") is None and missing_weights("annotation") is None


def test_weights_of_another_network_are_named(stand_in, scene):
    source = load_source("gradient", model="mobilenet_v3_small", weights=str(stand_in("squeezenet1_1")))
    with pytest.raises(MissingWeights, match=r"squeezenet1_1\.pth is of another network"):
        next(source.maps(iter(scene(1)[0])))


def test_a_file_whose_name_carries_another_hash_is_refused(stand_in, scene, tmp_path):
    (tmp_path / "googlenet-1378be20.pth").write_bytes(stand_in("squeezenet1_1").read_bytes())
    source = load_source("gradient", weights_dir=str(tmp_path))
    with pytest.raises(MissingWeights, match="not what its name says"):
        next(source.maps(iter(scene(1)[0])))


@pytest.mark.parametrize(
    ("name", "settings", "says"),
    [
        ("spektral", {}, "annotation, "),
        ("spectral", {"size": 3}, "spectral has no setting size; it has motion"),
        ("spectral", {"_target_": "os.system"}, "no setting _target_"),
        ("spectral", {"motion": 2}, "motion = 2"),
        ("spectral", {"centre": 0}, "centre = 0"),
        ("spectral", {"decay": 1}, "decay = 1"),
        ("spectral", {"low": 99.5}, "low < high"),
        ("perlin", {"share": 1.5}, "share"),
        ("annotation", {}, "path=MAP"),
        ("annotation", {"path": "m", "length": "longer"}, "exact, cut, repeat"),
        ("annotation", {"path": "m", "objects": [0]}, "1 to 254"),
        ("annotation", {"path": "m", "objects": {1: 2.0}}, "1 to 254"),
        ("gradient", {"model": "googlenett"}, "googlenet, "),
        ("gradient", {"mode": "whole"}, "crop, resize, tile"),
        ("gradient", {"overlap": 1}, "overlap = 1"),
        ("gradient", {"high": 0}, "high = 0"),
        ("segmentation", {"model": "googlenet"}, "deeplabv3_resnet50, "),
        ("segmentation", {"classes": ["people", "unicorn"]}, "knows no unicorn; it knows people"),
        ("segmentation", {"classes": {"dog": 3.0}}, "importance of dog"),
        ("segmentation", {"classes": []}, "is empty"),
        ("segmentation", {"size": 8}, "32"),
        ("salient_object", {"model": "u3net"}, "u2net or u2netp"),
        ("tased", {"height": 100}, "multiple of 32"),
        ("tased", {"width": "wide"}, "multiple of 32"),
        ("tased", {"smooth": -1}, "smooth = -1"),
        ("spectral_people", {"combine": "min"}, "max or mean"),
        ("spectral_people", {"sources": []}, "at least one source"),
        ("spectral_people", {"sources": ["nobody"]}, "no importance source is called 'nobody'"),
        ("spectral_people", {"sources": ["spectral"], "weights": [1]}, "weights are for combine: mean"),
        ("spectral_people", {"sources": ["spectral"], "steps": [{"erode": {}}]}, "there is no erode; there are"),
        ("spectral_people", {"sources": ["spectral"], "steps": [{"dilate": 8}]}, "write name or"),
        ("spectral_people", {"sources": ["spectral"], "steps": [{"dilate": {"pixels": 8}}]}, "pixels"),
        ("spectral_people", {"sources": ["spectral"], "steps": [{"smooth": {"decay": 1}}]}, "decay=1"),
    ],
)
def test_settings_that_make_no_sense_are_one_line(name, settings, says):
    with pytest.raises(ConfigError) as error:
        load_source(name, **settings)
    assert says in str(error.value) and "\n" not in str(error.value)


def test_every_config_can_be_named():
    assert {"spectral", "annotation", "perlin", "gradient", "segmentation", "salient_object", "tased"} <= set(
        source_names()
    )


def test_several_sources_are_combined_and_changed_step_by_step(scene, tmp_path):
    frames, _ = scene(3)
    for i, value in enumerate((102, 51)):
        Image.new("L", (100, 60), value).save(tmp_path / f"{i}.png")
    sources = [
        {"annotation": {"path": str(tmp_path / "0.png"), "length": "repeat"}},
        {"perlin": {"share": 0.2, "scale": 24}},
    ]
    perlin = list(load_source("perlin", share=0.2, scale=24).maps(iter(frames)))

    def combined(**settings):
        return list(load_source("spectral_people", **{"sources": sources, "steps": []} | settings).maps(iter(frames)))

    for q, p in zip(combined(), perlin, strict=True):
        assert torch.equal(q, p.clamp(min=102 / 255))
    for q, p in zip(combined(combine="mean", weights=[1, 3]), perlin, strict=True):
        assert torch.allclose(q, (0.4 + 3 * p) / 4)
    binary = combined(steps=[{"threshold": {"level": 0.5}}, {"dilate": {"radius": 2}}])
    for q, p in zip(binary, perlin, strict=True):
        assert set(q.unique().tolist()) == {0.0, 1.0} and q.sum() > p.sum() and bool((q >= p).all())
    shifted = combined(steps=[{"normalise": {"mean": 0.3}}])
    assert all(abs(float(q.mean()) - 0.3) < 1e-3 for q in shifted)


def test_sources_of_different_length_say_so(scene, tmp_path):
    Image.new("L", (100, 60), 51).save(tmp_path / "one.png")
    source = load_source("spectral_people", sources=["perlin", {"annotation": {"path": str(tmp_path / "one.png")}}])
    with pytest.raises(ImportanceError, match=r"one\.png has 1 maps but the clip has more frames"):
        list(source.maps(iter(scene(3)[0])))


@pytest.mark.parametrize("name", WEIGHTS)
def test_networks_run_on_the_gpu_as_on_the_cpu(gpu, name, stand_in, scene):
    settings = WEIGHTS[name] | {"weights": str(stand_in(WEIGHTS[name].get("model", name)))}
    frames, _ = scene(2)
    cpu, gpu = (list(load_source(name, device, **settings).maps(iter(frames))) for device in ("cpu", gpu))
    for a, b in zip(cpu, gpu, strict=True):
        assert b.device.type == "cpu" and (a - b).abs().mean() < 0.01
