"""Beta is sent as a 16-bit integer, and both sides use what was sent."""

import pytest
import torch

from pvc.entropy.condition import BETA_MAX, BETA_MIN, BetaCondition, beta_to_code, code_to_beta, embed_beta
from pvc.errors import ConfigError


def test_codes_span_the_range_in_16_bits():
    assert beta_to_code(BETA_MIN) == 0 and beta_to_code(BETA_MAX) == 65535
    for beta in (1e-4, 3.3e-4, 5e-3, 1.28e-2):
        assert code_to_beta(beta_to_code(beta)) == pytest.approx(beta, rel=4e-5)
    for code in (0, 1, 12345, 65535):
        assert beta_to_code(code_to_beta(code)) == code


@pytest.mark.parametrize("beta", [0, 9.9e-5, 1.3e-2, float("nan")])
def test_beta_out_of_range_names_the_range(beta):
    with pytest.raises(ConfigError, match=r"0\.0001"):
        beta_to_code(beta)


def test_the_embedding_is_a_soft_one_hot_in_log_beta():
    betas = BETA_MIN * (BETA_MAX / BETA_MIN) ** torch.tensor([0, 1 / 3, 0.5, 1])
    expected = torch.tensor([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0.5, 0.5, 0], [0, 0, 0, 1.0]], dtype=torch.float64)
    assert torch.allclose(embed_beta(betas), expected, atol=1e-4)
    assert torch.equal(embed_beta(torch.logspace(-4, -1.9, 50)).sum(1), torch.ones(50, dtype=torch.float64))


def test_a_new_condition_is_the_identity_bit_for_bit():
    x = torch.randn(2, 5, 3, 4)
    assert torch.equal(BetaCondition(5)(x, embed_beta(torch.tensor([1e-4, 3e-3]))), x)
