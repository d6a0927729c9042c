"""An encoder's search for better symbols lowers what it says it lowers, and the decoder need not know."""

import itertools

import pytest
import torch

from pvc.data.synthetic import Synthetic
from pvc.entropy.laplace import LaplaceConditional
from pvc.importance import distortion_weight, weighted_mask
from pvc.models.checkpoint import load_model
from pvc.models.patch import image_basis
from pvc.models.rdoq import MAGNITUDES, refine
from pvc.models.rows import BlockSynthesis
from pvc.models.ssf import ScaleSpaceFlow
from pvc.paths import find_checkpoints

LATENT, LAGRANGE = 24, 0.02
STEP, GAIN = 2, 5.0


@pytest.fixture
def synthesis() -> BlockSynthesis:
    made = BlockSynthesis(LATENT, 3, 16, 16).requires_grad_(False)
    made.weight.copy_(image_basis(LATENT, 3))
    return made


@pytest.fixture
def prices() -> torch.Tensor:
    """Of two tables, narrow and wide."""
    scale = torch.tensor([0.5, 3.0])[:, None].expand(-1, MAGNITUDES)
    likelihood = LaplaceConditional(None)._likelihood(torch.arange(float(MAGNITUDES)).expand(2, -1), scale)
    return -LAGRANGE * torch.log2(likelihood.clamp(min=2**-16))


def picture(synthesis, symbols):
    return synthesis(symbols * STEP / GAIN)


def total(symbols, source, weight, rows, prices, synthesis) -> float:
    """Squared error, weighted, and what the bits cost."""
    error = (source - picture(synthesis, symbols)).square() * weight
    return (error.sum() + prices[rows, symbols.abs().long()].sum()).item()


def setup(synthesis, seed=0):
    generator = torch.Generator().manual_seed(seed)
    source = picture(synthesis, torch.randn(1, LATENT, 2, 3, generator=generator) * 2)
    source += torch.randn(source.shape, generator=generator) / 50
    rows = torch.randint(2, (1, LATENT, 2, 3), generator=generator)
    return source, rows, torch.ones(1, LATENT, 1, 1) * GAIN, torch.zeros(1, LATENT, 2, 3)


def search(start, source, weight, rows, prices, synthesis, gain, rounds):
    error = source - picture(synthesis, start)
    return refine(start, STEP, gain, rows, prices[None], error, weight, synthesis, rounds)


def test_where_all_pixels_count_alike_it_finds_the_best_symbols(synthesis, prices):
    source, rows, gain, start = setup(synthesis)
    found = search(start, source, None, rows, prices, synthesis, gain, 1)
    assert found.abs().max() > 2 and (found == 0).any()
    least = total(found, source, torch.ones(()), rows, prices, synthesis)
    for place, other in itertools.product(range(found.numel()), (-1, 1)):
        changed = found.clone()
        changed.view(-1)[place] += other
        assert total(changed, source, torch.ones(()), rows, prices, synthesis) >= least - 1e-4
    assert torch.equal(search(found, source, None, rows, prices, synthesis, gain, 1), found)


def test_every_round_lowers_the_total_where_pixels_count_differently(synthesis, prices):
    source, rows, gain, start = setup(synthesis)
    weight = (torch.rand(1, 1, 32, 48, generator=torch.Generator().manual_seed(1)) > 0.6) * 0.96 + 0.04
    totals = []
    for rounds in range(6):
        found = search(start, source, weight, rows, prices, synthesis, gain, rounds)
        totals.append(total(found, source, weight, rows, prices, synthesis))
    assert all(b <= a + 1e-4 for a, b in itertools.pairwise(totals)), totals
    assert totals[3] < 0.9 * totals[1]


def test_at_the_border_of_a_region_the_pixels_outside_hardly_count(synthesis, prices):
    source, rows, gain, start = setup(synthesis)
    weight = torch.full((1, 1, 32, 48), 1 / 26.5)
    weight[..., :8] = 1  # half of the left blocks
    alike = search(start, source, torch.ones_like(weight), rows, prices, synthesis, gain, 3)
    aware = search(start, source, weight, rows, prices, synthesis, gain, 3)
    costs = [total(found, source, weight, rows, prices, synthesis) for found in (alike, aware)]
    assert costs[1] < 0.85 * costs[0]


def test_clips_of_a_batch_are_searched_apart(synthesis, prices):
    made = [setup(synthesis, seed) for seed in (0, 1)]
    source, rows, gain, start = (torch.cat(parts) for parts in zip(*made))
    costs, weight = torch.stack((prices, 3 * prices)), torch.rand(2, 1, 32, 48)
    together = refine(start, STEP, gain, rows, costs, source - picture(synthesis, start), weight, synthesis, 3)
    for i, (source, rows, gain, start) in enumerate(made):
        alone = search(start, source, weight[i : i + 1], rows, costs[i], synthesis, gain, 3)
        assert torch.equal(together[i : i + 1], alone)


@pytest.fixture(scope="module")
def released() -> ScaleSpaceFlow:
    return load_model(find_checkpoints("mr-md-ssf-tiny")[0])


@pytest.fixture(scope="module")
def scene() -> tuple[torch.Tensor, torch.Tensor]:
    """Frames [3, 3, H, W] and mask [3, 1, H, W]."""
    (sequence,) = Synthetic(names=["garage"], size=(96, 160)).eval()
    return sequence.read(0, 3).float() / 255, sequence.read_mask(0, 3).float()


def coded(model, frames, maps, beta, rdoq):
    """Streams and what the decoder has after each."""
    past = previous = None
    out = []
    for frame, q in zip(model.pad(frames), model.pad(maps)):
        data, past = model.encode_frame(frame[None], beta, q[None], past, model.hint(frame[None], previous), rdoq=rdoq)
        previous = frame[None]
        out.append((data, past))
    return out


@pytest.mark.parametrize("u_alpha", [1.0, 0.2])
def test_a_clip_has_less_weighted_error_and_bits_and_decodes_as_any_other(released, scene, u_alpha):
    frames, mask = scene
    maps, beta = weighted_mask(mask, u_alpha), 8e-4

    def cost(out):
        error = torch.cat([past.reference for _, past in out]) - released.pad(frames)
        weighted = (error.square() * distortion_weight(released.pad(maps))).sum()
        return (weighted + 3 * beta * 8 * sum(len(data) for data, _ in out)).item()

    plain, searched = (coded(released, frames, maps, beta, rounds) for rounds in (0, 3))
    assert cost(searched) < 0.98 * cost(plain)
    past = None
    for data, expected in searched:
        past = released.decode_frame(data, beta, expected.reference.shape[-2:], past)
        assert torch.equal(past.reference, expected.reference)


def test_a_network_without_block_transforms_is_coded_as_before(scene):
    torch.manual_seed(0)
    model = ScaleSpaceFlow(width=8, latent=8).eval()
    model.update()
    frames, mask = scene
    streams = [[data for data, _ in coded(model, frames[:2], mask[:2], 1e-4, rounds)] for rounds in (0, 3)]
    assert streams[0] == streams[1] and not model.searchable
