"""CPVC as a codec: a base stream and the neural one in a file, and what is wrong with either is said."""

import pickle
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction

import pytest
import torch

from pvc.codecs import load_codec
from pvc.codecs.cpvc import CpvcCodec
from pvc.codecs.neural import NeuralCodec
from pvc.entropy.container import Frame, read_varint, varint
from pvc.entropy.reader import Concealment, StreamReader
from pvc.entropy.writer import StreamWriter
from pvc.errors import BitstreamError, CheckpointError, ConfigError, ImportanceError
from pvc.models.checkpoint import save_model
from tests.models.cpvc_small import clip_and_base, make_cpvc, wake

POINT, GOP, QPS, BASE = {"qp": 32}, 3, (26, 32), "x264-cpvc"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cpvc")
    save_model(wake(make_cpvc("tiny", qps=QPS, base=BASE)), folder / "both.safetensors")
    for qp in QPS:
        save_model(wake(make_cpvc("paper", qps=(qp,), base=BASE)), folder / f"one-{qp}.safetensors")
    save_model(wake(make_cpvc("tiny", seed=4, qps=QPS, base=BASE)), folder / "other.safetensors")
    return folder


@pytest.fixture(scope="module")
def clip():
    """Seven frames of an odd size, uint8 [7, 3, 39, 53]."""
    frames, _ = clip_and_base(7, 39, 53)
    return (frames[0] * 255).round().byte()


@pytest.fixture(scope="module")
def codec(folder):
    return CpvcCodec(folder / "both.safetensors", gop=GOP)


@pytest.fixture(scope="module")
def stream(codec, clip):
    return codec.encode(clip, POINT)


def frames_of(data: bytes) -> list[Frame]:
    return list(StreamReader(data).frames())


def split(frame: Frame) -> tuple[bytes, bytes]:
    """A key frame's base stream and neural stream."""
    length, at = read_varint(frame.data, 0)
    return frame.data[at : at + length], frame.data[at + length :]


def join(base: bytes, neural: bytes) -> bytes:
    return varint(len(base)) + base + neural


def rewrite(data: bytes, frames: list[Frame], **header) -> bytes:
    """``data`` with other frames and header; all checksums are right."""
    writer = StreamWriter(replace(StreamReader(data).header, frames=len(frames), **header))
    body = [writer.frame(f.key, f.beta_code, f.data) for f in frames]
    return b"".join([writer.header(), *body, writer.end()])


def decoded_until_error(codec: CpvcCodec, data: bytes) -> tuple[int, str]:
    """How many frames came, and the error."""
    count = 0
    with pytest.raises(BitstreamError) as error:
        for _ in codec.decode_frames(data):
            count += 1
    return count, str(error.value)


@pytest.mark.parametrize("base", ["x264-cpvc", "x265-cpvc", "vvenc-cpvc"])
def test_any_base_codec_carries_the_neural_stream(base, clip, tmp_path):
    save_model(wake(make_cpvc("paper", qps=(32,), base=base)), tmp_path / "m.safetensors")
    codec = CpvcCodec(tmp_path / "m.safetensors", gop=GOP)
    decoded = codec.decode(codec.encode(clip, POINT))
    assert decoded.dtype == torch.uint8 and decoded.shape == clip.shape
    assert codec.meta["base"]["name"] == base and codec.meta["base"]["encoder"]


def test_the_file_is_the_base_streams_the_neural_streams_and_a_few_bytes(codec, clip, stream):
    """Equation 9's bits: nothing is outside of the file, and the base layer is what the base codec writes for a GOP."""
    base, frames = load_codec(BASE, gop=GOP), frames_of(stream)
    assert [f.number for f in frames if f.key] == [0, 3, 6]
    for start in (0, 3, 6):
        (point,) = base.points({"crf": [32]})
        assert split(frames[start])[0] == base.encode(clip[start : start + GOP], point)
    assert 0 < len(stream) - sum(len(f.data) for f in frames) < 70 + 12 * len(frames)
    assert {f.beta_code for f in frames} == {32}


def test_groups_of_pictures_are_coded_and_read_each_by_itself(codec, clip, stream):
    alone = frames_of(codec.encode(clip[3:6], POINT))
    assert [f.data for f in alone] == [f.data for f in frames_of(stream)[3:6]]
    whole = codec.decode(stream)
    for start in (1, 3, 5, 6):
        assert torch.equal(torch.stack([*codec.decode_frames(stream, start)]), whole[start:])
    with pytest.raises(BitstreamError, match="no frame 7"):
        list(codec.decode_frames(stream, 7))


def test_what_is_decoded_is_what_the_model_makes_of_the_base_layer(codec, clip, stream):
    model, base = next(iter(codec._models.values())), load_codec(BASE, gop=GOP)
    below = base.decode(split(frames_of(stream)[0])[0]).float()[None] / 255
    with torch.no_grad():
        estimated = model(clip[None, :3].float() / 255, below, torch.tensor([32])).x_hat[0]
    decoded = codec.decode(stream)[:3].float() / 255
    assert (decoded - estimated.clamp(0, 1)).square().mean() < 0.1 * (below[0] - estimated).square().mean()
    assert not torch.equal((decoded * 255).byte(), (below[0] * 255).byte())


def test_another_process_with_another_thread_count_decodes_the_same(folder, codec, stream, tmp_path):
    (tmp_path / "a.pvc").write_bytes(stream)
    script = (
        "import sys, torch; torch.set_num_threads(int(sys.argv[3])); from pvc.codecs.cpvc import CpvcCodec; "
        "clip = CpvcCodec(sys.argv[1]).decode(open(sys.argv[2], 'rb').read()); torch.save(clip, sys.argv[2] + '.pt')"
    )
    other = 1 if torch.get_num_threads() > 1 else 2
    args = [str(folder / "both.safetensors"), str(tmp_path / "a.pvc"), str(other)]
    subprocess.run([sys.executable, "-c", script, *args], check=True)
    assert (torch.load(tmp_path / "a.pvc.pt").int() - codec.decode(stream).int()).abs().max() <= 1


def test_a_process_gets_the_checkpoint_and_not_the_weights(folder, codec, clip, stream, tmp_path):
    packed = pickle.dumps(codec)
    copy = pickle.loads(packed)
    assert len(packed) < 4000 and (copy.name, copy.meta, copy.gop) == (codec.name, codec.meta, codec.gop)
    assert copy.encode(clip, POINT) == stream
    (tmp_path / "m.safetensors").write_bytes((folder / "both.safetensors").read_bytes())
    packed = pickle.dumps(CpvcCodec(tmp_path / "m.safetensors"))
    (tmp_path / "m.safetensors").write_bytes((folder / "other.safetensors").read_bytes())
    with pytest.raises(CheckpointError, match="changed"):
        pickle.loads(packed)


def test_one_checkpoint_for_each_qp_is_one_codec(folder, clip):
    codec = CpvcCodec([folder / f"one-{qp}.safetensors" for qp in QPS], gop=GOP)
    assert codec.name == "one" and codec.points({"qp": [32, 29, 26]}) == [{"qp": 32}, {"qp": 26}]
    streams = [codec.encode(clip[:2], {"qp": qp}) for qp in QPS]
    assert [StreamReader(s).header.model for s in streams] == ["one-26", "one-32"]
    assert all(codec.decode(s).shape == clip[:2].shape for s in streams)
    with pytest.raises(ConfigError, match="for one base QP"):
        CpvcCodec([folder / "both.safetensors", folder / "one-32.safetensors"])


def test_what_the_model_is_not_for_is_refused(folder, codec, clip):
    with pytest.raises(ConfigError, match="base QP 26, 32, not 30"):
        codec.encode(clip, {"qp": 30})
    with pytest.raises(ConfigError, match="trained over x264-cpvc, not over vvenc-cpvc"):
        CpvcCodec(folder / "both.safetensors", base="vvenc-cpvc")
    with pytest.raises(ImportanceError, match="takes no importance map"):
        codec.encode(clip, POINT, torch.ones(7, 1, 39, 53))
    with pytest.raises(CheckpointError, match="is a cpvc model"):
        NeuralCodec(folder / "both.safetensors")
    for wrong in ({"gop": 0}, {"precision": "float8"}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            CpvcCodec(folder / "both.safetensors", **wrong)


def test_qps_that_an_evaluation_asks_for_in_vain_are_named(codec, caplog):
    assert codec.points({"qp": [22, 26, 32, 38]}) == [{"qp": 26}, {"qp": 32}]
    assert "both goes without QP 22, 38" in caplog.text


def test_names_lead_to_it(folder, monkeypatch, clip):
    monkeypatch.setenv("PVC_CHECKPOINTS", str(folder))
    codec = load_codec("one", gop=5)
    assert isinstance(codec, CpvcCodec) and (codec.gop, codec.base.gop, codec.qps) == (5, 5, [26, 32])
    assert sorted(codec.meta["checkpoints"]) == ["one-26", "one-32"]


def test_a_stream_of_another_model_or_base_codec_is_refused_by_name(folder, codec, stream):
    with pytest.raises(BitstreamError, match=r"written by both .* not by other"):
        CpvcCodec(folder / "other.safetensors").decode(stream)
    with pytest.raises(BitstreamError, match="base layer of x265-cpvc, and both is for x264-cpvc"):
        codec.decode(rewrite(stream, frames_of(stream), base="x265-cpvc"))
    with pytest.raises(BitstreamError, match="no base layer"):
        codec.decode(rewrite(stream, frames_of(stream), base=""))


@pytest.mark.parametrize("place", [0.05, 0.3, 0.6, 0.9, 0.99])
def test_a_cut_file_gives_the_whole_frames_and_names_the_next(codec, stream, place):
    count, said = decoded_until_error(codec, stream[: int(place * len(stream))])
    assert f"ends at frame {count} of 7" in said or (count == 7 and "after its last frame" in said)


def test_a_base_layer_that_ends_early_or_goes_on_is_named_with_its_frame(codec, clip, stream):
    frames, base = frames_of(stream), load_codec(BASE, gop=GOP)

    def with_base(data: bytes) -> bytes:
        return rewrite(stream, [*frames[:3], replace(frames[3], data=join(data, split(frames[3])[1])), *frames[4:]])

    (point,) = base.points({"crf": [32]})
    count, said = decoded_until_error(codec, with_base(b""))
    assert count == 3 and "frame 3 cannot be decoded: its base layer is damaged" in said
    two = frames_of(codec.encode(clip[:2], POINT))
    count, said = decoded_until_error(codec, rewrite(stream, [*two, two[1]]))
    assert count == 2 and "frame 2 cannot be decoded: its base layer (x264-cpvc) ends early" in said
    count, said = decoded_until_error(codec, with_base(base.encode(clip[3:7], point)))
    assert count == 6 and "frame 6 cannot be decoded: the base layer of the frames before has more frames" in said
    shorter = rewrite(stream, [replace(frames[6], number=0, data=frames[3].data)])
    assert "has more frames than the neural stream" in decoded_until_error(codec, shorter)[1]
    small = base.encode(clip[3:6, :, :20, :20].contiguous(), point)
    assert "its base layer is 20x20, and the stream 53x39" in decoded_until_error(codec, with_base(small))[1]
    beyond = [replace(frames[0], data=varint(10**6) + frames[0].data)]
    assert "its base layer ends early" in decoded_until_error(codec, rewrite(stream, beyond))[1]


def test_damaged_symbols_and_foreign_qps_are_named_with_their_frame(codec, stream):
    frames = frames_of(stream)
    broken = [replace(f, data=f.data[:-3]) if f.number == 4 else f for f in frames]
    assert "frame 4 cannot be decoded" in decoded_until_error(codec, rewrite(stream, broken))[1]
    foreign = [replace(f, beta_code=99) for f in frames]
    assert "base QP is 99" in decoded_until_error(codec, rewrite(stream, foreign))[1]


def test_concealed_frames_are_the_base_layers_alone(codec, clip, stream):
    frames = frames_of(stream)
    broken = rewrite(stream, [replace(f, data=f.data[:-3]) if f.number == 4 else f for f in frames])
    note = Concealment()
    got = torch.stack([*codec.decode_frames(broken, conceal=note)])
    below = load_codec(BASE, gop=GOP).decode(split(frames[3])[0])
    assert (note.frames, note.first) == (1, 4)
    assert torch.equal(got[4], below[1])
    assert torch.equal(got[[0, 1, 2, 3, 5, 6]], codec.decode(stream)[[0, 1, 2, 3, 5, 6]])


def test_the_stream_says_what_it_is(codec, clip):
    header = StreamReader(codec.encode(clip[:2], POINT, fps=Fraction(30000, 1001))).header
    assert (header.model, header.base, header.frames, header.gop) == ("both", BASE, 2, GOP)
    assert (header.width, header.height, header.fps) == (53, 39, "30000/1001")


def test_a_stream_of_a_gpu_decodes_on_a_cpu(gpu, folder, codec, clip):
    data = CpvcCodec(folder / "both.safetensors", device=gpu, gop=GOP).encode(clip, POINT)
    there = CpvcCodec(folder / "both.safetensors", device=gpu, gop=GOP).decode(data)
    assert (codec.decode(data).int() - there.int()).abs().max() <= 2
