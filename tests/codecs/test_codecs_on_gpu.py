"""Codecs on a GPU: streams that a CPU reads, and a host that waits for the device no more often than it must."""

from collections import Counter
from fractions import Fraction
from unittest import mock

import pytest
import torch

from pvc.annotate.coders import load_coder
from pvc.cli import main
from pvc.codecs.cpvc import CpvcCodec
from pvc.codecs.neural import NeuralCodec
from pvc.codecs.registry import load_codec
from pvc.models import coding
from pvc.models.checkpoint import fingerprint, load_model, save_model
from pvc.video import read_clip, write_clip, write_map
from tests.models.conftest import make, wake
from tests.models.cpvc_small import make_cpvc
from tests.models.cpvc_small import wake as wake_cpvc
from tests.pretend_gpu import pretend_gpu, waits

POINT = {"beta": 1e-3}
EXTRA = {"multirate": True, "roi": True}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoints")
    save_model(wake(make("patch", **EXTRA)), folder / "patch.safetensors")
    save_model(wake(make("conv", **EXTRA)), folder / "conv.safetensors")
    save_model(wake_cpvc(make_cpvc(qps=[32], base="x265")), folder / "cpvc.safetensors")
    return folder


@pytest.fixture(scope="module")
def clip():
    """uint8 [4, 3, 39, 53]."""
    generator = torch.Generator().manual_seed(2)
    base = torch.nn.functional.interpolate(torch.rand(1, 3, 8, 10, generator=generator), (64, 80), mode="bicubic")
    return torch.cat([base[..., t : t + 39, 2 * t : 2 * t + 53] for t in range(4)]).clamp(0, 1).mul(255).byte()


@pytest.fixture(scope="module")
def maps():
    """[4, 1, 39, 53]: a square that matters."""
    q = torch.full((4, 1, 39, 53), 0.2)
    q[..., 10:30, 10:40] = 1
    return q


def difference(a: torch.Tensor, b: torch.Tensor) -> int:
    return int((a.int() - b.int()).abs().max())


@pytest.mark.parametrize("kind", ["conv", "patch"])
def test_streams_pass_between_gpu_and_cpu(gpu, kind, folder, clip, maps):
    here, there = (NeuralCodec(folder / f"{kind}.safetensors", device, gop=3) for device in ("cpu", gpu))
    for writer in (here, there):
        data = writer.encode(clip, POINT | {"alpha": 26.5}, maps)
        assert difference(here.decode(data), there.decode(data)) <= 1


@pytest.mark.parametrize("point", [{"bitrate": 40}, {"psnr": 24}, {"roi_psnr": 17, "alpha": 26.5}], ids=str)
def test_rates_and_qualities_are_held_on_a_gpu(gpu, point, folder, clip, maps):
    q = maps[:3] if "alpha" in point else None
    here, there = (NeuralCodec(folder / "patch.safetensors", device, gop=2, rdoq=1) for device in ("cpu", gpu))
    one, two = (codec.encode(clip[:3], point, q) for codec in (here, there))
    assert len(two) == pytest.approx(len(one), rel=0.05)
    assert difference(here.decode(two), there.decode(two)) <= 1


def test_a_part_of_a_stream_decodes_on_a_gpu(gpu, folder, clip):
    codec = NeuralCodec(folder / "patch.safetensors", gpu, gop=2)
    data = codec.encode(clip, POINT)
    assert torch.equal(torch.stack([*codec.decode_frames(data, 3)]), codec.decode(data)[3:])


def test_a_checkpoint_is_the_same_on_a_gpu(gpu, folder, tmp_path):
    model, there = (load_model(folder / "patch.safetensors", device) for device in ("cpu", gpu))
    assert there.intra.prior.conditional._quantized_cdf.device.type == "cuda"
    assert fingerprint(there) == fingerprint(model)
    save_model(there, tmp_path / "again.safetensors")  # tables are made where the model is
    assert fingerprint(load_model(tmp_path / "again.safetensors")) == fingerprint(there)


def test_the_commands_code_on_a_gpu(gpu, folder, clip, maps, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_clip("in.mkv", clip[:2], Fraction(25))
    write_map("map.mkv", maps[:2], Fraction(25))
    model = ["--model", str(folder / "patch.safetensors")]
    asked = ["--beta", "1e-3", "--alpha", "26.5", "--importance", "map.mkv"]
    main(["encode", "in.mkv", "-o", "out.pvc", *model, *asked, "--device", gpu])
    for device in ("cpu", gpu):
        main(["decode", "out.pvc", "-o", f"{device}.mkv", *model, "--device", device])
    assert difference(read_clip("cpu.mkv"), read_clip(f"{gpu}.mkv")) <= 1


def test_people_paint_for_a_model_on_a_gpu(gpu, folder, clip, tmp_path):
    write_clip(tmp_path / "in.mkv", clip[:2, :, :38, :52], Fraction(25))
    settings = {"name": str(folder / "patch.safetensors"), "gop": 12, "device": gpu, "alpha": 26.5, "threads": 1}
    coder = load_coder(settings, tmp_path / "in.mkv", Fraction(25), 2)
    done = coder.code(tmp_path / "out.mp4", 60.0, None, None, 0.5, lambda share: None)
    decoded = NeuralCodec(folder / "patch.safetensors", gop=12).decode(done.stream.read_bytes())
    assert difference(read_clip(done.decoded), decoded) <= 1


def test_compressais_codec_runs_on_a_gpu(gpu, clip):
    codec = load_codec("ssf2020-random", device=gpu)
    data = codec.encode(clip[:2], {"quality": 1})
    assert codec.decode(data).shape == (2, 3, 39, 53)


def a_frame(work, clip) -> dict[str, int]:
    """What the host waits for in each frame after the first two; ``work(clip)`` codes."""
    found = []
    for count in (2, 2, 4):  # first what is made once
        with waits() as counts:
            work(clip[:count])
        found.append(counts)
    return {what: (n - found[1][what]) / 2 for what, n in found[2].items() if n != found[1][what]}


CODECS = {
    # Picture and motion hint go there in threads of their own; bytes come back.
    "patch": (NeuralCodec, {"cuda to cpu": 1}),
    "conv": (NeuralCodec, {"cuda to cpu": 1}),
    # Picture and base layer go there.
    "cpvc": (CpvcCodec, {"cpu to cuda": 2, "cuda to cpu": 1}),
}


@pytest.mark.parametrize("kind", CODECS)
def test_an_encoder_waits_for_a_gpu_where_bytes_are_needed(kind, folder, clip):
    make_codec, expected = CODECS[kind]
    with pretend_gpu():
        codec = make_codec(folder / f"{kind}.safetensors", "cuda", gop=9)
        point = {"qp": 32} if kind == "cpvc" else POINT
        assert a_frame(lambda part: codec.encode(part, point), clip) == expected


@pytest.mark.parametrize(("early", "most"), [(True, 5), (False, 1)])
def test_an_encoder_for_a_gpu_takes_frames_early_if_it_may(early, most, folder, clip):
    """Each frame's bytes are the same; who fills a pipe gets a frame's before the next is asked for."""
    taken, ahead = [], []

    def frames():
        for number, frame in enumerate(clip):
            taken.append(number)
            yield frame

    with pretend_gpu():
        codec = NeuralCodec(folder / "patch.safetensors", "cuda", gop=9)
        about = {"fps": Fraction(30), "count": len(clip), "size": tuple(clip.shape[-2:])}
        parts = []
        for part in codec.encode_frames(frames(), POINT, early=early, **about):
            parts.append(part)
            ahead.append(len(taken) - max(len(parts) - 1, 0))
        assert b"".join(parts) == codec.encode(clip, POINT)
    assert max(ahead[1:-1]) == min(most, len(clip)) - 1


@pytest.mark.parametrize(("gop", "hints"), [(1, 0), (9, 3)])
def test_motion_is_estimated_where_there_may_be_a_p_frame(gop, hints, folder, clip):
    with pretend_gpu():
        codec = NeuralCodec(folder / "patch.safetensors", "cuda", gop=gop)
        with mock.patch.object(coding, "estimate_flow", side_effect=coding.estimate_flow) as estimate:
            codec.encode(clip[:4], POINT)
    assert estimate.call_count == hints


@pytest.mark.parametrize("kind", ["conv", "patch"])
def test_a_decoder_waits_for_pictures_alone(kind, folder, clip):
    """Symbols are read in a thread of their own, which waits for them."""
    with pretend_gpu():
        codec = NeuralCodec(folder / f"{kind}.safetensors", "cuda", gop=9)
        streams = {count: codec.encode(clip[:count], POINT) for count in (2, 4)}
        assert a_frame(lambda part: codec.decode(streams[len(part)]), clip) == Counter({"cuda to cpu": 1})
