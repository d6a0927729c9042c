"""The step map: what the decoder is told of the importance, and what that costs and saves."""

import pytest
import torch

from pvc.entropy import step_map
from pvc.entropy.coder import Reader, Writer
from pvc.entropy.hyperprior import Context
from pvc.errors import BitstreamError
from tests.models.conftest import make


def disc(x: float, y: float, radius: float, background: float = 0.2) -> torch.Tensor:
    """Importance [1, 1, 256, 448]: 1 inside, ``background`` outside."""
    rows, columns = torch.meshgrid(torch.arange(256.0), torch.arange(448.0), indexing="ij")
    inside = (rows - y) ** 2 + (columns - x) ** 2 < radius**2
    return torch.where(inside, 1.0, background)[None, None]


def noise() -> torch.Tensor:
    return torch.randint(step_map.COUNT, (1, 1, 16, 28), generator=torch.Generator().manual_seed(1)).float()


def written(coarse: torch.Tensor, before: torch.Tensor | None) -> bytes:
    writer = Writer()
    step_map.put(coarse, before, writer)
    return writer.finish()


@pytest.mark.parametrize(("q", "factor"), [(1.0, 1), (0.9, 1), (0.7, 2), (0.4, 3), (0.2, 5), (0.0, 8)])
def test_the_step_follows_the_weight_of_an_error(q, factor):
    found = step_map.factor(step_map.of_importance(torch.full((1, 1, 16, 16), q), 16)).item()
    assert found == factor
    assert found == pytest.approx(60 ** ((1 - q) / 2), rel=0.25)


def test_a_block_counts_as_much_as_its_most_important_pixel():
    q = torch.zeros(1, 1, 32, 32)
    q[..., 3, 20] = 1.0
    assert step_map.factor(step_map.of_importance(q, 16)).flatten().tolist() == [8, 1, 8, 8]


@pytest.mark.parametrize("before", [None, "disc", "noise"])
@pytest.mark.parametrize("now", ["disc", "noise"])
def test_the_decoder_gets_the_map(now, before):
    maps = {None: None, "disc": step_map.of_importance(disc(200, 120, 60), 16), "noise": noise()}
    reader = Reader(written(maps[now], maps[before]))
    got = step_map.get((16, 28), maps[before], reader, torch.device("cpu"))
    reader.finish()
    assert torch.equal(got, maps[now])


def test_the_estimate_is_what_the_bytes_say():
    coarse, before = noise(), step_map.of_importance(disc(200, 120, 60), 16)
    for reference in (None, before):
        assert 8 * len(written(coarse, reference)) == pytest.approx(step_map.bits(coarse, reference).item(), rel=0.02)


def test_a_moving_region_costs_little_and_none_at_all_almost_nothing():
    still, moved = (step_map.of_importance(disc(x, 120, 60), 16) for x in (200, 206))
    nothing = torch.zeros_like(still)
    assert step_map.bits(moved, still) < 100  # of 256 x 448 pixels: under 0.001 bits a pixel
    assert step_map.bits(nothing, nothing) < 3
    assert step_map.bits(nothing, None) < 40


def test_a_damaged_map_is_some_map_or_an_error():
    data, before = written(noise(), None), step_map.of_importance(disc(200, 120, 60), 16)
    for i in range(len(data)):
        reader = Reader(data[:i] + bytes([data[i] ^ 255]) + data[i + 1 :])
        got = step_map.get((16, 28), before if i % 2 else None, reader, torch.device("cpu"))
        assert ((got >= 0) & (got < step_map.COUNT)).all()
        try:
            reader.finish()
        except BitstreamError:
            continue


def test_coarse_blocks_take_fewer_bits_and_the_others_stay_as_they_are():
    prior = make("patch", multirate=False, roi=True).residual.prior
    torch.manual_seed(2)
    y = torch.distributions.Laplace(0.0, 3.0).sample((1, prior.latent, 16, 28))
    context = Context(torch.zeros(1, 2 * 32 + 8, 16, 28))
    coarse = step_map.of_importance(disc(200, 120, 60), 16)
    with torch.inference_mode():
        (fine, _, whole), (mixed, symbols, steered) = (prior(y, c, None, context) for c in (None, coarse))
    outside = (coarse > 0).expand_as(y)
    assert steered < 0.75 * whole
    assert (symbols[outside] % 5 == 0).all()  # alpha = 26.5: steps of 5
    assert (mixed - y)[outside].abs().mean() > 2 * (fine - y)[outside].abs().mean()
    assert (mixed - y)[~outside].abs().mean() < 1.05 * (fine - y)[~outside].abs().mean()
