"""What is random in training belongs to the sample: not to its batch, its process or the order of things."""

import pytest
import torch

from pvc.entropy import noise
from tests.models.conftest import make


def test_draws_are_uniform_and_independent():
    with noise.of_samples(3, torch.arange(8)):
        a, b = noise.uniform((8, 64, 16, 16)), noise.uniform((8, 64, 16, 16))
    assert a.min() > 0 and a.max() < 1
    for draws in (a, b):
        counts = torch.histc(draws, 64, 0, 1)
        assert ((counts - counts.mean()) ** 2 / counts.mean()).sum() < 120  # chi squared of 63 degrees: 1 in 10,000
    rows = torch.stack([*a.flatten(1), *b.flatten(1)])
    off = torch.corrcoef(rows) - torch.eye(16)
    assert off.abs().max() < 5 / rows.shape[1] ** 0.5
    neighbours = torch.corrcoef(torch.stack([rows.flatten()[1:], rows.flatten()[:-1]]))[0, 1]
    assert neighbours.abs() < 5 / rows.numel() ** 0.5


def test_a_sample_draws_the_same_in_any_batch():
    def draw(index, seed=0):
        with noise.of_samples(seed, torch.tensor(index)):
            return noise.uniform((len(index), 3)), noise.uniform((2 * len(index), 5)).view(len(index), 2, 5)

    together, later = draw([4, 5, 6, 7]), draw([6, 7])
    for one, other in zip(together, later, strict=True):
        assert torch.equal(one[2:], other)
    assert not torch.equal(draw([4])[0], draw([4], seed=1)[0])
    assert not torch.equal(draw([4])[0], draw([5])[0])


def test_outside_of_samples_torch_decides():
    torch.manual_seed(1)
    expected = torch.rand(5)
    torch.manual_seed(1)
    assert torch.equal(noise.uniform((5,)), expected)


@pytest.mark.parametrize("transform", ["conv", "patch"])
def test_a_clip_costs_in_training_what_it_costs_in_any_batch(transform):
    model = make(transform).train()
    clips = torch.rand(2, 2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    beta, q = torch.full((2,), 1e-3), torch.rand(2, 2, 1, 64, 64)

    def bits(at):
        with torch.no_grad(), noise.of_samples(0, torch.tensor(at)):
            return model(clips[at], beta[at], q[at] if model.roi else None).bits

    both = bits([0, 1])
    assert torch.allclose(torch.cat([bits([0]), bits([1])]), both, rtol=1e-4)
