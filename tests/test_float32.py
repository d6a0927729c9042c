"""Float32 in full, for as long as anybody needs it."""

import threading
from contextlib import suppress

import pytest
import torch

from pvc.float32 import _OPERATIONS, _PARENTS, _get, _put, full_float32

backends = torch.backends


@pytest.fixture(autouse=True)
def as_before():
    """Settings as PyTorch comes with them, before and after."""

    def fresh() -> None:
        for key in (*_PARENTS, *_OPERATIONS):
            _put(*key, "none")
        torch.set_float32_matmul_precision("highest")
        backends.cudnn.allow_tf32 = True

    fresh()
    yield
    fresh()


def settings() -> list:
    """All that can be seen, also by one who sets something afterwards that others follow."""
    seen = []
    for read in (torch.get_float32_matmul_precision, lambda: backends.cudnn.allow_tf32):
        with suppress(RuntimeError):  # the two ways were mixed
            seen.append(read())
    precisions = {key: _get(*key) for key in (*_PARENTS, *_OPERATIONS)}
    seen += [precisions, backends.cudnn.benchmark, backends.cudnn.deterministic]
    before = backends.fp32_precision
    for other in ("ieee", "tf32", "none"):
        backends.fp32_precision = other
        seen.append([_get(*key) for key in _OPERATIONS])
    backends.fp32_precision = before
    return seen


def old() -> None:
    torch.set_float32_matmul_precision("medium")
    backends.cudnn.allow_tf32 = False


def new_for_all() -> None:
    backends.fp32_precision = "tf32"


def new_for_one() -> None:
    backends.cuda.matmul.fp32_precision = "tf32"
    backends.cudnn.conv.fp32_precision = "ieee"
    backends.mkldnn.matmul.fp32_precision = "bf16"


def new_for_a_backend() -> None:
    backends.cudnn.fp32_precision = "tf32"
    backends.mkldnn.set_flags(_fp32_precision="bf16")


def new_after_old() -> None:
    old()
    new_for_one()


def old_after_new() -> None:
    new_for_all()
    torch.set_float32_matmul_precision("high")
    backends.cuda.matmul.allow_tf32 = False


WAYS = [lambda: None, old, new_for_all, new_for_one, new_for_a_backend, new_after_old, old_after_new]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_it_is_in_force_however_others_set_less_and_leaves_what_they_set(way):
    way()
    before = settings()
    with full_float32():
        assert {_get(*key) for key in _OPERATIONS} == {"ieee"}
        assert torch.get_float32_matmul_precision() == "highest" and not backends.cudnn.allow_tf32
        assert backends.cudnn.deterministic
    assert settings() == before


def test_settings_are_those_of_before_when_the_last_one_has_left():
    new_after_old()
    before = settings()
    one, other = full_float32(), full_float32()
    thread = threading.Thread(target=one.__enter__)
    thread.start()
    thread.join()
    other.__enter__()
    one.__exit__(None, None, None)  # not in the order of a stack
    assert backends.cuda.matmul.fp32_precision == "ieee" and backends.cudnn.deterministic
    other.__exit__(None, None, None)
    assert settings() == before
