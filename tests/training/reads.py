"""What a training run reads from tensors: on a GPU the host would have to wait for each of them."""

from collections import Counter

import torch
from lightning.pytorch.profilers import Profiler
from torch.utils._python_dispatch import TorchDispatchMode

READS = ("aten._local_scalar_dense", "aten.nonzero", "aten.equal", "aten.masked_select", "aten._unique2")


class Reads(TorchDispatchMode):
    """Counts operations whose result the host needs, and copies between devices for which it waits."""

    def __init__(self):
        super().__init__()
        self.found = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = str(func.overloadpacket)
        if name in READS:
            self.found[name] += 1
        out = func(*args, **kwargs)
        if name in ("aten._to_copy", "aten.copy_"):
            source = args[0] if name == "aten._to_copy" else args[1]
            waits = not kwargs.get("non_blocking", name == "aten.copy_" and len(args) > 2 and args[2])
            if source.device.type != out.device.type and waits:
                self.found[f"{source.device.type} to {out.device.type}"] += 1
        return out


class CountReads(Profiler):
    """A profiler for Lightning: counts between one batch and the next, from the second step to the fourth.

    That is the whole of its loop, with its callbacks and its log. ``found`` is of the last run.
    """

    found: Counter

    def __init__(self):
        super().__init__()
        self._batches, self._mode = 0, None
        CountReads.found = Counter()

    def start(self, action_name: str) -> None:
        """The next batch is asked for."""
        if action_name.endswith("train_dataloader_next") and self._mode is not None:
            self._mode.__exit__(None, None, None)
            CountReads.found.update({"steps": 1, **self._mode.found})
            self._mode = None

    def stop(self, action_name: str) -> None:
        """The next batch is there."""
        if action_name.endswith("train_dataloader_next"):
            self._batches += 1
            if 2 <= self._batches <= 4:
                self._mode = Reads()
                self._mode.__enter__()


def on_a_gpu(module: torch.nn.Module) -> torch.nn.Module:
    """Move ``module`` to a GPU that need not exist; only inside a ``FakeTensorMode``."""
    for each in module.modules():
        for tensors in (each._parameters, each._buffers):
            for name, tensor in tensors.items():
                if tensor is None:
                    continue
                there = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="cuda:7")
                if isinstance(tensor, torch.nn.Parameter):
                    there = torch.nn.Parameter(there, tensor.requires_grad)
                tensors[name] = there
    return module
