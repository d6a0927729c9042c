"""A GPU that is not there: tensors that say ``cuda:0``, hold their values on the CPU and keep a GPU's rules.

Inside :func:`pretend_gpu` code runs as it would with one CUDA device, on real values. As there, tensors of the host and
of the device do not meet in an operation (but for single numbers, and indices of the host), NumPy cannot see the
device's memory, and the host waits for what it reads; that is counted. Kernels are the CPU's: neither speed nor last
bits are those of a GPU, and nothing runs while something else does.
"""

import functools
import sys
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from types import SimpleNamespace
from unittest import mock

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, _get_current_dispatch_mode_stack

from pvc.models import motion_blocks, motion_search

GPU = torch.device("cuda:0")
# Operations whose result the host needs to go on.
READS = {"_local_scalar_dense", "nonzero", "equal", "masked_select", "_unique2", "is_nonzero", "allclose"}
# Their indices may be on the host; a mask among them has to be counted, which is waited for.
INDEXING = {"index", "_unsafe_index", "index_put", "index_put_", "_index_put_impl_"}
# Do not take a single number of the host either.
STRICT = {"cat", "stack", "mm", "bmm", "addmm", "mv", "dot", "convolution", "gather", "take", "scatter", "index_select"}


class GpuTensor(Tensor):
    """A tensor of the device, whose values are ``held`` by the CPU."""

    held: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held: Tensor):
        layout = {"strides": held.stride(), "storage_offset": held.storage_offset(), "dtype": held.dtype}
        self = Tensor._make_wrapper_subclass(cls, held.shape, **layout, device=GPU)
        self.held = held
        return self

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {})

    def __repr__(self, **_) -> str:
        return f"GpuTensor({self.held})"

    def __deepcopy__(self, memo: dict) -> Tensor:
        copy = memo[id(self)] = self.detach().clone()
        return copy if not isinstance(self, torch.nn.Parameter) else torch.nn.Parameter(copy, self.requires_grad)

    def __reduce_ex__(self, protocol: int) -> tuple:
        """A file has what is held."""
        return self.held.__reduce_ex__(protocol)

    def numpy(self, **_) -> None:
        raise TypeError("can't convert cuda:0 device type tensor to numpy; use Tensor.cpu() first")

    def __array__(self, *_, **__) -> None:
        self.numpy()

    def tolist(self) -> list:
        return self.cpu().tolist()

    def data_ptr(self) -> int:
        return self.held.data_ptr()

    def record_stream(self, stream) -> None:
        assert stream.device == GPU


class _Waits(threading.local):
    """Counts of this thread, and whether it may wait at all."""

    counts: Counter | None = None
    mode: int | str = "default"


_here = _Waits()


def _note(what: str) -> None:
    if _here.mode == "error":
        raise RuntimeError(f"called a synchronizing CUDA operation: {what}")
    if _here.counts is not None:
        _here.counts[what] += 1


class _Mode(TorchDispatchMode):
    """Lets operations without a tensor of the device make one, or copy to it."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {})


def _map(change: Callable, value):
    """``value`` with its tensors changed."""
    if isinstance(value, Tensor):
        return change(value)
    return type(value)([_map(change, v) for v in value]) if isinstance(value, list | tuple) else value


def _held(tensor: Tensor) -> Tensor:
    return tensor.held if isinstance(tensor, GpuTensor) else tensor


_decomposes = functools.cache(torch._ops.OpOverload._can_decompose)


def _run(func, args: tuple, kwargs: dict):
    """``func`` of what is held; an error where a GPU has one."""
    if _decomposes(func):  # which autograd does, but not in inference mode
        with _Mode():
            return func.decompose(*args, **kwargs)
    name, device = func.overloadpacket.__name__, kwargs.get("device")
    tensors: list[Tensor] = []
    _map(tensors.append, (*args, *kwargs.values()))
    inside = [t for t in tensors if isinstance(t, GpuTensor)]
    if name in ("_pin_memory", "pin_memory", "is_pinned"):
        assert not inside, "only dense CPU tensors can be pinned"
        return False if name == "is_pinned" else args[0].clone()
    there = bool(inside) if device is None else torch.device(device).type == "cuda"
    if not inside and not there:
        return func(*args, **kwargs)
    if name in ("_to_copy", "copy_"):
        _copied(name, args, kwargs)
        there = isinstance(args[0], GpuTensor) if name == "copy_" else there
    else:
        _meet(name, args, tensors, inside)
    generator = kwargs.get("generator")
    if there and generator is not None:
        raise RuntimeError(f"Expected a 'cuda' device type for generator but found '{generator.device.type}'")
    if there and device is not None:
        kwargs = {k: v for k, v in kwargs.items() if k != "pin_memory"} | {"device": torch.device("cpu")}
    out = func(*_map(_held, args), **{k: _map(_held, v) for k, v in kwargs.items()})
    if name == "_local_scalar_dense" or not there:
        return out
    known = {id(t.held): t for t in inside}
    ordinary = func.is_view and not args[0].is_inference()  # what is seen of an ordinary tensor is one
    with torch.inference_mode(False) if ordinary else nullcontext():
        return _map(lambda t: known[id(t)] if id(t) in known else GpuTensor(t), out)


def _copied(name: str, args: tuple, kwargs: dict) -> None:
    """Note a copy from one side to the other for which the host waits."""
    if name == "copy_":
        to, source, later = args[0].device, args[1], kwargs.get("non_blocking", args[2] if len(args) > 2 else False)
    else:
        source, later = args[0], kwargs.get("non_blocking", False)
        to = torch.device(kwargs.get("device") or source.device)
    if source.device.type == to.type:
        return
    assert not later or to.type == "cuda", "a copy to the host that is not waited for has no values yet"
    if not later:
        _note(f"{source.device.type} to {to.type}")


def _meet(name: str, args: tuple, tensors: list[Tensor], inside: list[GpuTensor]) -> None:
    """Refuse tensors of the host among those of the device; note what the host waits for."""
    if not inside:
        return
    if name in INDEXING and isinstance(args[0], GpuTensor):
        indices = [i for i in args[1] if i is not None]
        tensors = [t for t in tensors if all(t is not i for i in indices)]
        if any(i.dtype in (torch.bool, torch.uint8) for i in indices):
            _note("index by a mask")
        if any(not isinstance(i, GpuTensor) for i in indices):
            _note("cpu to cuda")
    for t in tensors:
        if t.device.type == "cpu" and (t.dim() or name in STRICT):
            raise RuntimeError(f"Expected all tensors to be on the same device: {name} got cpu {[*t.shape]} and cuda")
    if name in READS or (name == "repeat_interleave" and len(args) == 1):
        _note(name)


class _Stream:
    """One that the work of which is always done."""

    def __init__(self, device=None, **_):
        self.device = GPU

    def synchronize(self) -> None:
        _note("synchronize")

    def wait_stream(self, other: "_Stream") -> None:
        assert other.device == GPU


@contextmanager
def _in_stream(stream: _Stream | None) -> Iterator[None]:
    """Also in a thread, where no mode of the one that started it is in force."""
    inside = any(isinstance(m, _Mode) for m in _get_current_dispatch_mode_stack())
    with nullcontext() if inside else _mode():
        yield


@contextmanager
def _mode() -> Iterator[None]:
    lifted = torch._C._only_lift_cpu_tensors()
    torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor makes on the host what it then copies
    try:
        with _Mode():
            yield
    finally:
        torch._C._set_only_lift_cpu_tensors(lifted)


def _backward(outputs, gradients, keep, create, inputs, *rest, accumulate_grad: bool, **kwargs):
    """What autograd's engine does, which would ask CUDA for a stream. Without gradients of gradients."""
    if not any(isinstance(t, GpuTensor) for t in outputs):
        return _engine(outputs, gradients, keep, create, inputs, *rest, accumulate_grad=accumulate_grad, **kwargs)
    assert not create
    edges = [torch.autograd.graph.get_gradient_edge(t) for t in inputs]
    wanted = {(edge.node, edge.output_nr): i for i, edge in enumerate(edges)}
    found: list[Tensor | None] = [None] * len(inputs)
    given: dict = defaultdict(dict)  # gradients of each node's outputs by number
    waiting: Counter = Counter()
    ready = []
    for t, gradient in zip(outputs, gradients, strict=True):
        ready.append(t.grad_fn)
        given[t.grad_fn][t.output_nr] = torch.ones_like(t) if gradient is None else gradient
    seen, stack = set(ready), list(ready)
    while stack:
        for node, _ in stack.pop().next_functions:
            waiting[node] += 1
            if node is not None and node not in seen:
                seen.add(node)
                stack.append(node)
    with torch.no_grad():
        while ready:
            node = ready.pop()
            own = given.pop(node, {})
            for number, gradient in own.items():
                if (place := wanted.get((node, number))) is not None:
                    found[place] = gradient
            if not own or (hasattr(node, "variable") and not accumulate_grad):
                passed = [None] * len(node.next_functions)
            else:
                own = [own.get(i) for i in range(len(node._input_metadata))]
                passed = node.apply(*own) if hasattr(node, "apply") else node(*own)
            passed = passed if isinstance(passed, list | tuple) else [passed]
            for (to, number), gradient in zip(node.next_functions, passed):
                if to is None:
                    continue
                if gradient is not None:
                    like, known = to._input_metadata[number], given[to].get(number)
                    gradient = gradient.sum_to_size(like.shape).to(like.dtype)
                    given[to][number] = gradient if known is None else known + gradient
                waiting[to] -= 1
                if not waiting[to]:
                    ready.append(to)
    return tuple(found)


_engine = torch.autograd.graph._engine_run_backward


@contextmanager
def waits() -> Iterator[Counter]:
    """Counts what this thread waits for: reads, ``"cuda to cpu"``, ``"cpu to cuda"`` (from memory not pinned)."""
    before, _here.counts = _here.counts, Counter()
    try:
        yield _here.counts
    finally:
        _here.counts = before


@contextmanager
def pretend_gpu() -> Iterator[None]:
    """One CUDA device for all that is done inside, in this thread and in others' ``torch.cuda.stream``."""
    torch._C._ensureCUDADeviceGuardSet()
    fakes = {
        "_lazy_init": lambda: None,
        "is_available": lambda: True,
        "is_bf16_supported": lambda *_, **__: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "set_device": lambda _: None,
        "get_device_name": lambda *_: "pretended GPU",
        "get_device_capability": lambda *_: (8, 0),
        "get_device_properties": lambda *_: SimpleNamespace(name="pretended GPU", total_memory=2**34, major=8, minor=0),
        "empty_cache": lambda: None,
        "synchronize": lambda *_: _note("synchronize"),
        "set_sync_debug_mode": lambda mode: setattr(_here, "mode", mode),
        "Stream": _Stream,
        "stream": _in_stream,
        "default_stream": _Stream,
        "current_stream": _Stream,
    }
    with ExitStack() as stack:
        for name, fake in fakes.items():
            stack.enter_context(mock.patch.object(torch.cuda, name, fake))
        stack.enter_context(mock.patch.object(torch.autograd, "_engine_run_backward", _backward))
        stack.enter_context(mock.patch.object(motion_search, "search_of_gpu", lambda: motion_blocks.refine))
        stack.callback(torch.__future__.set_overwrite_module_params_on_conversion, False)
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        stack.callback(setattr, torch.backends.cudnn, "enabled", torch.backends.cudnn.enabled)
        torch.backends.cudnn.enabled = False  # there is none
        _forget()
        stack.callback(_forget)
        stack.enter_context(_mode())
        yield


def _forget() -> None:
    """What pvc remembers by the name of a device belongs to another one now."""
    for name, module in sys.modules.items():
        for value in list(vars(module).values()) if name.startswith("pvc.") else ():
            if isinstance(value, functools._lru_cache_wrapper):
                value.cache_clear()
