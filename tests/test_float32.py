"""Float32 in full, for as long as anybody needs it."""

import torch

from pvc.float32 import full_float32


def test_settings_are_those_of_before_when_the_last_one_has_left(monkeypatch):
    cudnn = torch.backends.cudnn
    monkeypatch.setattr(cudnn, "allow_tf32", True)
    one, other = full_float32(), full_float32()
    one.__enter__()
    other.__enter__()
    one.__exit__(None, None, None)  # in another thread: not in the order of a stack
    assert not cudnn.allow_tf32 and cudnn.deterministic and torch.get_float32_matmul_precision() == "highest"
    other.__exit__(None, None, None)
    assert cudnn.allow_tf32 and not cudnn.deterministic
