"""Steps that go wrong are skipped and counted; what is random depends on seed and step alone."""

from itertools import pairwise

import pytest
import torch

from pvc.errors import TrainingError
from pvc.losses.rate_distortion import RateDistortion
from pvc.training.module import CodecModule
from pvc.training.pictures import CAPTIONS, draw
from pvc.training.schedule import warmup_cosine
from tests.models.conftest import make


def module(**kwargs) -> CodecModule:
    made = CodecModule(make("patch"), RateDistortion(), torch.optim.SGD, max_skipped=2, **kwargs)
    made.log_dict = lambda *args, **kwargs: None
    return made


def test_a_step_that_is_not_finite_changes_nothing_and_many_in_a_row_are_an_error():
    m = module()
    optimizer = torch.optim.SGD(m.parameters(), lr=1.0)
    before = {k: v.clone() for k, v in m.state_dict().items()}

    def step(value: float) -> None:
        for p in m.parameters():
            p.grad = torch.full_like(p, value)
        m.configure_gradient_clipping(optimizer, 1.0)
        optimizer.step()

    step(float("nan"))
    step(float("inf"))
    assert m.skipped == 2
    assert all(torch.equal(v, before[k]) for k, v in m.state_dict().items())
    with pytest.raises(TrainingError, match="3 steps in a row"):
        step(float("nan"))
    step(1e-3)
    assert not torch.equal(m.model.intra.gain.log, before["model.intra.gain.log"])
    step(float("nan"))  # the count of steps in a row began anew
    assert m.skipped == 4


def test_gradients_are_clipped_to_the_norm_asked_for():
    m = module()
    for p in m.parameters():
        p.grad = torch.ones_like(p)
    m.configure_gradient_clipping(torch.optim.SGD(m.parameters(), lr=1.0), 0.5)
    norm = torch.stack([p.grad.norm() for p in m.parameters() if p.grad is not None]).norm()
    assert norm == pytest.approx(0.5, rel=1e-3)


def test_the_schedule_warms_up_and_ends_at_its_share():
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=2.0)
    schedule = warmup_cosine(optimizer, warmup=10, steps=100, final=0.1)
    rates = []
    for _ in range(120):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates[0] == pytest.approx(0.2) and max(rates) == pytest.approx(2.0) and rates.index(max(rates)) in (9, 10)
    assert all(a >= b for a, b in pairwise(rates[10:]))
    assert rates[100] == rates[119] == pytest.approx(0.2)


@pytest.mark.parametrize("roi", [False, True])
def test_the_picture_has_a_column_for_each_caption_and_leaves_the_model_as_it_was(roi):
    model = make("patch", roi=roi).train()
    clip = torch.randint(0, 256, (1, 3, 3, 64, 64), dtype=torch.uint8)
    image = draw(model, clip, torch.rand(1, 3, 1, 64, 64))
    assert image.size == (64 * len(CAPTIONS), 2 * 64 + 16)
    assert model.training
