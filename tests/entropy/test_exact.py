"""Table indices are the same on every device, layout and thread count."""

import pytest
import torch
from compressai.models.utils import conv, deconv
from torch import nn

from pvc.entropy import exact
from pvc.entropy.condition import BetaCondition, Conditioned, embed_beta


def network() -> Conditioned:
    torch.manual_seed(0)
    film = BetaCondition(24)
    with torch.no_grad():
        film.scale.normal_(std=0.2)
        film.shift.normal_(std=0.2)
    up = [nn.Conv2d(24, 48, 1), nn.PixelShuffle(2)]
    return Conditioned([conv(6, 24, stride=1), nn.ReLU(), film, *up, exact.BoundedReLU(), deconv(12, 8)])


E = embed_beta(torch.tensor([2.3e-3]))
Z = torch.randint(-9, 10, (1, 6, 7, 9), generator=torch.Generator().manual_seed(1)).float()


def test_it_is_close_to_the_network_in_float32():
    net = network()
    with torch.no_grad():
        assert torch.allclose(exact.run(net, Z, E).float(), net(Z, E), atol=0.05)


def test_the_order_of_summation_does_not_matter():
    """Permuting the channels of every sum changes float32 results but must not change these by a single bit."""
    net, expected = network(), exact.run(network(), Z, E)
    order = torch.randperm(6, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        net[0].weight.copy_(net[0].weight[:, order])
    assert torch.equal(exact.run(net, Z[:, order], E), expected)
    assert torch.equal(exact.run(network().to(memory_format=torch.channels_last), Z, E), expected)
    batch = torch.cat([Z.flip(-1), Z, Z * 2])
    assert torch.equal(exact.run(network(), batch, E.expand(3, -1))[1:2], expected)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1 if threads > 1 else 2)
        assert torch.equal(exact.run(network(), Z, E), expected)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gives_the_same_bits():
    got = exact.run(network().cuda(), Z.cuda(), E.cuda()).cpu()
    assert torch.equal(got, exact.run(network(), Z, E))


def test_layers_that_would_not_be_exact_are_refused():
    with pytest.raises(TypeError, match="Sigmoid"):
        exact.run(Conditioned([nn.Sigmoid()]), Z)
    with pytest.raises(TypeError, match="Conv2d"):
        exact.run(Conditioned([nn.Conv2d(6, 6, 3, groups=6)]), Z)
