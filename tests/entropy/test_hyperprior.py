"""What the hyperprior promises: the decoder has what the encoder has, for the bits that were estimated."""

import pytest
import torch

from pvc.entropy.coder import Reader, Writer
from pvc.entropy.conditional import SYMBOL_LIMIT
from pvc.entropy.hyperprior import Hyperprior
from pvc.entropy.skip import ENERGY, SKIP_LEVEL, is_certain, skipped
from tests.models.conftest import make, wake

SHAPE = (4, 6)


@pytest.fixture(scope="module", params=["conv", "patch", "fine"])
def prior(request) -> Hyperprior:
    model = wake(make(request.param)).intra.prior
    model.update()
    return model


def latent(prior: Hyperprior, scale: float = 2.0) -> torch.Tensor:
    torch.manual_seed(4)
    unit = 8 if prior.dead_zone is None else 2  # y to z
    return torch.randn(1, prior.latent, SHAPE[0] * unit, SHAPE[1] * unit) * scale


@torch.inference_mode()
@pytest.mark.parametrize("told", [False, True])
def test_the_decoder_has_what_the_encoder_has(prior, told):
    writer, y = Writer(), latent(prior)
    coarse = torch.arange(y.shape[-2] * y.shape[-1]).view(1, 1, *y.shape[-2:]) % 5.0 if told else None
    y_hat, symbols = prior.compress(y, coarse, None, None, writer)
    data = writer.finish()
    reader = Reader(data)
    got, got_symbols = prior.decompress(SHAPE, coarse, None, None, reader)
    reader.finish()
    assert symbols.any()
    assert torch.equal(got_symbols, symbols) and torch.equal(got, y_hat)


@torch.inference_mode()
def test_real_bytes_are_what_forward_estimates(prior):
    writer = Writer()
    _, symbols = prior.compress(latent(prior), None, None, None, writer)
    _, expected, bits = prior(latent(prior))
    assert torch.equal(expected, symbols)
    assert 8 * len(writer.finish()) == pytest.approx(
        bits.item(), rel=0.01, abs=24
    )  # a model that knows nothing: many escapes


@torch.inference_mode()
def test_a_latent_like_none_before_costs_no_more_in_z_than_its_densities_hold(prior):
    """Symbols of z that cost more than 14 bits are those at the edge of what costs less."""
    writer, y = Writer(), latent(prior, 500.0)
    least, largest = prior.factorized.plausible()
    assert (least <= 0).all() and (largest >= 0).all() and (largest - least).max() > 0
    medians = prior._medians()
    z = torch.round(prior._hyper_latent(y, None, None) - medians)
    assert torch.equal(z, z.clamp(least, largest))
    if largest.max() < SYMBOL_LIMIT:  # else all of it may be told
        assert (torch.round(prior.encoder(y, None) - medians) - z).any()
        assert prior.factorized._likelihood((z + medians).transpose(0, 1).flatten(1)[:, None])[0].min() >= 2.0**-14
    prior.compress(y, None, None, None, writer)
    reader = Reader(writer.finish())
    prior.decompress(SHAPE, None, None, None, reader)
    reader.finish()


def test_a_symbol_is_skipped_where_its_level_is_below_the_tables():
    level = torch.tensor([-7.0, SKIP_LEVEL - 0.4, SKIP_LEVEL + 0.4, SKIP_LEVEL + 0.6, 0.0, 30.0])
    assert is_certain(level).tolist() == [True, True, True, False, False, False]


def test_no_symbol_is_skipped_where_too_many_would_be_lost():
    level = torch.full((2, 1, 40, 100), -3.0)
    level[:, :, 0] = 5.0
    symbols = torch.zeros_like(level)
    symbols[:, :, 0] = 9.0  # coded anyway
    room = int(ENERGY * 39 * 100)
    symbols[0].view(-1)[100 : 100 + room] = -1.0
    symbols[1].view(-1)[100 : 101 + room] = 1.0
    skip, flag = skipped(level, symbols)
    assert flag.flatten().tolist() == [False, True]
    assert skip[0].sum() == 39 * 100 and not skip[1].any()


@torch.inference_mode()
@pytest.mark.parametrize("surprises", [0, 40])
def test_skipped_symbols_are_zero_cost_nothing_and_surprises_are_coded(surprises):
    """A latent that the model is sure about: all levels far below the tables."""
    prior = make("patch", spatial_prediction=False).intra.prior
    prior.scale_head[-1].weight.zero_()
    prior.scale_head[-1].bias.fill_(-6.0)
    prior.update()
    y = torch.zeros(1, prior.latent, 8, 12)
    mean = prior._predicted(torch.zeros(1, prior.hyper, *SHAPE), None, None)
    y += mean
    y.view(-1)[:surprises] += 3
    y.view(-1)[-1] += 1  # one alone is lost
    writer = Writer()
    y_hat, symbols = prior.compress(y, None, None, None, writer)
    data = writer.finish()
    assert symbols.count_nonzero() == (surprises + 1 if surprises else 0)
    reader = Reader(data)
    assert torch.equal(prior.decompress(SHAPE, None, None, None, reader)[0], y_hat)
    reader.finish()


@torch.inference_mode()
def test_latents_that_their_neighbours_tell_are_never_skipped():
    """Else each that is left out would change all behind it."""
    prior = make("patch").intra.prior
    prior.scale_head[-1].weight.zero_()
    prior.scale_head[-1].bias.fill_(-6.0)
    prior.update()
    mean = prior._predicted(torch.zeros(1, prior.hyper, *SHAPE), None, None)
    y = mean.expand(1, -1, 8, 12).clone()
    for k in prior.neighbours:
        y[:, k, 3:, 5:] += 3
    writer = Writer()
    y_hat, coded = prior.compress(y, None, None, None, writer)
    assert prior.neighbours == (0, 24, 28) and (y_hat - y).abs().max() < 1
    assert coded.count_nonzero() == 3  # where it rises; blocks behind the edge are told by those before
    reader = Reader(writer.finish())
    assert torch.equal(prior.decompress(SHAPE, None, None, None, reader)[0], y_hat)
    reader.finish()
