"""``pvc blur``: a clip blurred by a map or a source, streamed, whole or not at all."""

import pytest
import torch

from pvc.cli import main
from pvc.importance import u_from_alpha, weighted_mask
from pvc.importance.blur import load_blur
from pvc.importance.registry import load_source
from pvc.video import probe, read_clip, read_map, write_clip, write_map


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """``clip.mkv`` (4 frames of 64x48) with ``clip.mask.mkv``, and maps that do not fit."""
    folder = tmp_path_factory.mktemp("clips")
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(3, 48, 64, generator=generator) * 255
    write_clip(folder / "clip.mkv", torch.stack([noise.roll(t, -1) for t in range(4)]).to(torch.uint8), 12.5)
    mask = torch.linspace(0, 1, 64).expand(4, 1, 48, 64)
    write_map(folder / "clip.mask.mkv", mask, 12.5)
    write_map(folder / "short.mkv", mask[:3], 12.5)
    write_map(folder / "long.mkv", torch.cat([mask, mask[:1]]), 12.5)
    write_map(folder / "narrow.mkv", mask[..., :60], 12.5)
    return folder


@pytest.mark.parametrize("strength", ["paper", "weak", "contrast", "strong"])
def test_writes_the_blurred_frames_without_loss(tmp_path, folder, strength):
    out = tmp_path / "soft.mkv"
    argv = ["blur", str(folder / "clip.mkv"), "-o", str(out), "--importance", str(folder / "clip.mask.mkv")]
    main([*argv, "--strength", strength])
    clip, maps, blur = read_clip(folder / "clip.mkv"), read_map(folder / "clip.mask.mkv"), load_blur(strength)
    assert torch.equal(read_clip(out), torch.stack([blur(f, m) for f, m in zip(clip, maps, strict=True)]))
    assert probe(out).fps == 12.5
    assert [p.name for p in tmp_path.iterdir()] == ["soft.mkv"]


def test_sigma_alpha_and_frames(tmp_path, folder):
    out = tmp_path / "soft.mkv"
    argv = ["blur", str(folder / "clip.mkv"), "-o", str(out), "--importance", str(folder / "clip.mask.mkv")]
    main([*argv, "--sigma", "2", "--alpha", "26.5", "--frames", "3"])
    clip, maps, blur = (
        read_clip(folder / "clip.mkv"),
        read_map(folder / "clip.mask.mkv"),
        load_blur("strong", largest=2),
    )
    soft = [blur(f, weighted_mask(m, u_from_alpha(26.5))) for f, m in zip(clip[:3], maps, strict=False)]
    assert torch.equal(read_clip(out), torch.stack(soft))


def test_a_source_makes_the_maps_as_it_goes(tmp_path, folder):
    out = tmp_path / "soft.mkv"
    main(["blur", str(folder / "clip.mkv"), "-o", str(out), "--source", "spectral"])
    clip, blur = read_clip(folder / "clip.mkv"), load_blur("strong")
    maps = load_source("spectral").maps(iter(clip))
    assert torch.equal(read_clip(out), torch.stack([blur(f, m) for f, m in zip(clip, maps, strict=True)]))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--importance", "{}/short.mkv"], "short.mkv has 3 maps but the clip has more frames"),
        (["--importance", "{}/long.mkv"], "long.mkv has more maps than the clip has frames"),
        (["--importance", "{}/narrow.mkv"], "narrow.mkv is 60x48 but the clip is 64x48"),
        (["--importance", "{}/nothing.mkv"], "nothing.mkv: no such file"),
        (["--importance", "{}/clip.mask.mkv", "--frames", "9"], "has 4 frames, not the 9 of --frames"),
        (["--importance", "{}/clip.mask.mkv", "--strength", "mild"], "'mild'; there are: contrast, paper"),
        (["--importance", "{}/clip.mask.mkv", "--strength", "paper", "--sigma", "2"], "--sigma is that of"),
        (["--importance", "{}/clip.mask.mkv", "--sigma", "0"], "largest=0.0 lies outside [0.5, 64]"),
        (["--importance", "{}/clip.mask.mkv", "--alpha", "0.5"], "alpha = 0.5 lies outside [1, 60]"),
        (["--source", "dowsing"], "'dowsing'; there are"),
        (["--source", "spectral", "--importance", "{}/clip.mask.mkv"], "not allowed with"),
        ([], "--importance --source is required"),
    ],
)
def test_what_is_wrong_is_one_line_and_nothing_is_written(tmp_path, capsys, folder, options, says):
    kept = tmp_path / "soft.mkv"
    kept.write_bytes(b"what was there before")
    with pytest.raises(SystemExit) as end:
        main(["blur", str(folder / "clip.mkv"), "-o", str(kept), *(o.format(folder) for o in options)])
    err = capsys.readouterr().err
    errors = [line for line in err.splitlines() if line.startswith("pvc: error:")]
    assert end.value.code == 2 and len(errors) == 1 and says in errors[0], err
    assert kept.read_bytes() == b"what was there before" and [p.name for p in tmp_path.iterdir()] == ["soft.mkv"]
