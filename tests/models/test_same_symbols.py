"""A stream has the same symbols on every device, in every setting; its pictures are equal or nearly so."""

import copy
import functools
from contextlib import contextmanager

import pytest
import torch

from pvc.models.ssf import Past, ScaleSpaceFlow
from tests.models.conftest import make, wake

KINDS = ("conv", "patch", "fine")
BETA = 2.3e-3


@functools.cache
def model_of(kind: str) -> ScaleSpaceFlow:
    """Its tables are computed once, as those of a checkpoint are."""
    model = wake(make(kind, multirate=True, roi=True)).to(memory_format=torch.channels_last)
    model.update()
    return model


def coded(model: ScaleSpaceFlow, clip: torch.Tensor, precision=torch.float32) -> tuple[list[bytes], list[Past]]:
    """Streams of ``clip``, and what its encoder has after each frame."""
    x, past, previous = model.pad(clip), None, None
    q = torch.rand(1, 1, *x.shape[-2:], generator=torch.Generator().manual_seed(3)).to(x.device)
    streams, pasts = [], []
    for t in range(x.shape[1]):
        data, past = model.encode_frame(x[:, t], BETA, q, past, model.hint(x[:, t], previous), precision)
        previous = x[:, t]
        streams.append(data)
        pasts.append(past)
    return streams, pasts


def decoded(model: ScaleSpaceFlow, streams: list[bytes], like: list[Past], precision=torch.float32) -> list[Past]:
    pasts: list[Past] = []
    for data in streams:
        shape = tuple(like[0].reference.shape[-2:])
        pasts.append(model.decode_frame(data, BETA, shape, pasts[-1] if pasts else None, precision))
    return pasts


def same_symbols(a: list[Past], b: list[Past]) -> bool:
    pairs = [(x.symbols[k], y.symbols[k]) for x, y in zip(a, b, strict=True) for k in x.symbols]
    assert any(x.any() for x, _ in pairs)
    return all(torch.equal(x.cpu().double(), y.cpu().double()) for x, y in pairs)


def difference(a: list[Past], b: list[Past]) -> float:
    """Largest of a sample, in steps of 8 bits."""
    return max((x.reference.cpu().double() - y.reference.cpu().double()).abs().max().item() for x, y in zip(a, b)) * 255


@contextmanager
def threads(n: int):
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def coarse_products():
    """What `torch.set_float32_matmul_precision("medium")` allows: float32 products in bfloat16."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


SETTINGS = {
    "one thread": lambda: threads(1),
    "three threads": lambda: threads(3),
    "without oneDNN": lambda: torch.backends.mkldnn.flags(enabled=False),
    "inside autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "coarse products": coarse_products,
}


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_in_one_setting_is_read_in_another(kind, setting, clip):
    model = model_of(kind)
    streams, pasts = coded(model, clip)
    with SETTINGS[setting]():
        got = decoded(model, streams, pasts)
        theirs, their_pasts = coded(model, clip)
    assert same_symbols(pasts, got)
    assert same_symbols(their_pasts, decoded(model, theirs, their_pasts))
    # float32 products in bfloat16 are what the pictures are made of too; all else may change a last bit
    assert difference(pasts, got) < (16 if setting == "coarse products" else 0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_layout_and_precision_of_the_decoder_do_not_change_symbols(kind, clip):
    model = model_of(kind)
    streams, pasts = coded(model, clip)
    got = decoded(copy.deepcopy(model).to(memory_format=torch.contiguous_format), streams, pasts)
    assert same_symbols(pasts, got) and difference(pasts, got) < 0.05
    assert same_symbols(pasts, decoded(model, streams, pasts, torch.bfloat16))


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_in_bfloat16_is_rebuilt_in_bfloat16(kind, clip):
    model = model_of(kind)
    streams, pasts = coded(model, clip, torch.bfloat16)
    got = decoded(model, streams, pasts, torch.bfloat16)
    assert same_symbols(pasts, got) and difference(pasts, got) == 0
    assert same_symbols(pasts, decoded(model, streams, pasts))


def test_a_tiny_models_pictures_do_not_depend_on_the_number_of_threads(clip):
    model = model_of("patch")
    for precision in (torch.float32, torch.bfloat16):
        streams, pasts = coded(model, clip, precision)
        for n in (1, 2, 3):
            with threads(n):
                assert difference(pasts, decoded(model, streams, pasts, precision)) == 0


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", KINDS)
def test_a_gpu_reads_what_a_cpu_wrote_and_the_other_way(gpu, kind, precision, clip):
    here, there = model_of(kind), copy.deepcopy(model_of(kind)).to(gpu)
    for writer, reader, frames in ((here, there, clip), (there, here, clip.to(gpu))):
        streams, pasts = coded(writer, frames, precision)
        got = decoded(reader, streams, pasts, precision)
        assert same_symbols(pasts, got)
        assert difference(pasts, got) < (4 if precision == torch.bfloat16 else 0.1)
