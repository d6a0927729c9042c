"""Table indices are the same on every device, layout and thread count."""

import copy

import pytest
import torch
from compressai.models.utils import conv, deconv
from torch import nn

from pvc.entropy import exact
from pvc.entropy.condition import BetaCondition, Conditioned, embed_beta
from pvc.float32 import full_float32


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


def test_residual_blocks_inside_each_other_are_exact_too():
    torch.manual_seed(0)
    block = [nn.Conv2d(6, 6, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(6, 6, 3, padding=1)]
    inner = [exact.Residual(block), exact.Residual([nn.Conv2d(6, 6, 1)])]
    net = Conditioned([nn.Conv2d(6, 6, 1), exact.Residual(inner), nn.Conv2d(6, 8, 1)])
    got, before = exact.run(net, Z), Z.clone()
    with torch.no_grad():
        assert torch.allclose(got.float(), net(Z), atol=0.2)  # of values up to 12
    assert torch.equal(Z, before)
    assert torch.equal(exact.run(net, torch.cat([Z * 3, Z.to(memory_format=torch.channels_last)]))[1:], got)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1 if threads > 1 else 2)
        assert torch.equal(exact.run(net, Z), got)
    finally:
        torch.set_num_threads(threads)


def test_a_gpu_gives_the_same_bits(gpu):
    got = exact.run(network().cuda(), Z.cuda(), E.cuda()).cpu()
    assert torch.equal(got, exact.run(network(), Z, E))


def test_layers_that_would_not_be_exact_are_refused():
    with pytest.raises(TypeError, match="Sigmoid"):
        exact.run(Conditioned([nn.Sigmoid()]), Z)
    with pytest.raises(TypeError, match="Conv2d"):
        exact.run(Conditioned([nn.Conv2d(6, 6, 3, groups=6)]), Z)


def wide() -> Conditioned:
    """Sums with no room in float32."""
    torch.manual_seed(0)
    return Conditioned([nn.Conv2d(256, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 1)])


@pytest.mark.parametrize("net, x", [(network, Z), (wide, 900 * torch.rand(1, 256, 5, 6))])
def test_float32_is_taken_only_where_it_gives_the_same(net, x, monkeypatch):
    kinds = []
    with_room = exact._with_room
    monkeypatch.setattr(exact, "_with_room", lambda *a: kinds.append((y := with_room(*a)).dtype) or y)
    got = exact.run(net(), x, E)
    monkeypatch.setattr(exact, "_with_room", lambda x, *_: x.double())
    assert torch.equal(got, exact.run(net(), x, E))
    assert kinds[0] == (torch.float64 if net is wide else torch.float32)


def test_modes_that_round_float32_products_do_not_change_it():
    expected, before = exact.run(network(), Z, E), torch.get_float32_matmul_precision()
    try:
        for mode in ("high", "medium"):
            torch.set_float32_matmul_precision(mode)
            assert torch.equal(exact.run(network(), Z, E), expected)
    finally:
        torch.set_float32_matmul_precision(before)
    setting = torch.backends.mkldnn.matmul
    newer = setting.fp32_precision
    try:
        setting.fp32_precision = "bf16"  # PyTorch refuses its older setting then
        assert torch.equal(exact.run(network(), Z, E), expected)
    finally:
        setting.fp32_precision = newer
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(exact.run(network(), Z, E), expected)
    assert torch.equal(exact.run(network().double(), Z.double(), E), expected)


def test_another_thread_that_sets_it_back_does_not_change_it(monkeypatch):
    """One that has left :func:`full_float32` in the middle puts back what rounds products."""
    expected, before = exact.run(network(), Z, E), torch.get_float32_matmul_precision()
    with_room, inside = exact._with_room, full_float32()

    def interrupted(*args):
        x = with_room(*args)
        if not left:
            left.append(inside.__exit__(None, None, None))
        return x

    left = []
    monkeypatch.setattr(exact, "_with_room", interrupted)
    try:
        torch.set_float32_matmul_precision("medium")
        inside.__enter__()
        assert torch.equal(exact.run(network(), Z, E), expected) and left
    finally:
        torch.set_float32_matmul_precision(before)


def test_it_follows_its_weights():
    """What is prepared once must not outlive the weights that it was made from."""
    net = network()
    before = exact.run(net, Z, E)
    with torch.no_grad():
        net[0].weight.mul_(1.5)
    after = exact.run(net, Z, E)
    assert not torch.equal(before, after)
    assert torch.equal(after, exact.run(copy.deepcopy(net), Z, E))
    net.load_state_dict(network().state_dict())
    assert torch.equal(before, exact.run(net, Z, E))


def test_the_result_of_a_last_convolution_is_not_rounded_to_the_grid_of_activations():
    net = Conditioned([nn.Conv2d(1, 1, 1)])
    with torch.no_grad():
        net[0].weight.fill_(0.001)
        net[0].bias.fill_(0)
    out = exact.run(net, torch.ones(1, 1, 1, 1))
    assert abs(out.item() - 0.001) < 1e-5
    assert torch.equal(exact.run(Conditioned([]), out), out)
