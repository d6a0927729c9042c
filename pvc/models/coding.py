"""Frames to real bytes and back: what turns a model into a codec."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from pvc.entropy import step_map
from pvc.entropy.coder import Reader, Writer
from pvc.entropy.hyperprior import Context
from pvc.float32 import full_float32
from pvc.models.branch import Branch, Condition
from pvc.models.motion import estimate_flow
from pvc.models.motion_search import MotionAim, MotionSearch
from pvc.models.patch import PatchDecoder
from pvc.models.rdoq import LAGRANGE, Aim, Search


@dataclass
class Past:
    """What the decoder has of the frame before.

    ``reference`` [N, 3, H, W], its reconstruction in [0, 1]; ``symbols``, what was coded of its latents, by branch
    (``intra``, or ``motion`` and ``residual``), each [N, M, H/16, W/16], and its step map (``map``), if it has one;
    ``motion`` its decoded motion latent, None after an I-frame.
    """

    reference: Tensor
    symbols: dict[str, Tensor]
    motion: Tensor | None = None

    def cut(self) -> None:
        """Let no gradient of later frames reach this one (its symbols never let any)."""
        self.reference = self.reference.detach()
        self.motion = None if self.motion is None else self.motion.detach()


# Symbols of a frame by branch: those of z, those of y, and what was coded of these. ``map``: the step map.
Symbols = dict[str, tuple[Tensor, ...]]


class FrameCoding:
    """Mixin of :class:`pvc.models.ssf.ScaleSpaceFlow`: one frame at a time, the past handed on by the caller."""

    @property
    def searchable(self) -> bool:
        """Whether an encoder can look for better symbols (:mod:`pvc.models.rdoq`): pictures are made of blocks."""
        return isinstance(self.intra.decoder, PatchDecoder)

    @property
    def motion_searchable(self) -> bool:
        """Whether an encoder can look for better motion (:mod:`pvc.models.motion_search`): blocks have a mean motion,
        and neighbours tell it."""
        return bool(self.motion.prior.neighbours)

    def hyper_shape(self, height: int, width: int) -> tuple[int, int]:
        """Size of z for a frame of height x width."""
        return -(-height // self.multiple), -(-width // self.multiple)

    def hint(self, x: Tensor, previous: Tensor | None) -> Tensor | None:
        """What the motion encoder sees beside the frames [N, 2, H, W]: an estimate of the motion from the source frame
        ``previous`` to ``x``, both as in :meth:`encode_frame`; None for models that want none."""
        return None if previous is None or not self.motion_hint else estimate_flow(x, previous)

    @torch.inference_mode()
    def encode_frame(
        self,
        x: Tensor,
        beta: float,
        q: Tensor | None,
        past: Past | None,
        hint: Tensor | None = None,
        precision: torch.dtype = torch.float32,
        rdoq: int = 0,
    ) -> tuple[bytes, Past]:
        """Code one frame to bytes.

        Args:
            x: [1, 3, H, W] in [0, 1], padded (:meth:`pad`). beta: the value that was sent. q: [1, 1, H, W] or None.
            past: what the decoder has of the previous frame; None makes an I-frame.
            hint: :meth:`hint` of it and the source frame before; an I-frame needs none.
            precision: of the transforms; another than the decoder's gives other pictures, but never other symbols.
            rdoq: rounds of rate-distortion optimised quantisation (:mod:`pvc.models.rdoq`), >= 0, without effect on
                models that are not ``searchable``; where not 0, motion is searched too, in ``motion_searchable`` ones.

        Returns:
            The stream, and what the decoder has of this frame.
        """
        writer, transforms = Writer(), partial(computing, x.device, precision)

        def write(name: str, branch: Branch, y: Tensor, condition: Condition, context: Context | None, aim):
            choose = None
            if rdoq and isinstance(aim, Aim) and self.searchable:
                choose = Search(branch, condition, aim, 3 * beta * LAGRANGE[name], rdoq, transforms)
            elif rdoq and isinstance(aim, MotionAim) and self.motion_searchable:
                choose = MotionSearch(branch, condition, aim, torch.tensor([3 * beta]), transforms)
            with torch.autocast(x.device.type, enabled=False):
                return branch.prior.compress(y, condition.coarse, condition.e, context, writer, choose)

        condition = self._condition(beta, q if q is not None or not self.roi else torch.ones_like(x[:, :1]), x.device)
        if condition.coarse is not None:
            step_map.put(condition.coarse, None if past is None else past.symbols["map"], writer)
        with transforms():
            if past is None:
                past = self.code_intra(x, condition, write)[1]
            else:
                past = self.code_inter(x, past, hint, condition, write)[1]
        return writer.finish(), past

    def decode_frame(
        self,
        data: bytes,
        beta: float,
        shape: tuple[int, int],
        past: Past | None,
        precision: torch.dtype = torch.float32,
    ) -> Past:
        """Decode one frame of padded ``shape`` (H, W); its reconstruction is the ``reference`` of what is returned.

        Raises:
            BitstreamError: ``data`` is damaged, or belongs to another frame or model.
        """
        symbols = self.read_frame(data, beta, shape, None if past is None else past.symbols)
        return self.rebuild_frame(symbols, beta, past, precision)

    @torch.inference_mode()
    def read_frame(
        self, data: bytes, beta: float, shape: tuple[int, int], before: Mapping[str, Tensor] | None
    ) -> Symbols:
        """First half of :meth:`decode_frame`: symbols, which need no picture, so they can be read ahead.

        Args:
            before: what was coded of the frame before by branch; None for an I-frame.

        Raises:
            BitstreamError: ``data`` is damaged, or belongs to another frame or model.
        """
        reader, e, found = Reader(data), self._condition(beta, None, self._device()).e, {}
        coarse = None
        if self.step_map:
            grid = tuple(n // self.intra.encoder.stride for n in shape)
            coarse = step_map.get(grid, None if before is None else before["map"], reader, self._device())
            found["map"] = (coarse,)

        def read(name: str, context: Context | None) -> None:
            prior = getattr(self, name).prior
            found[name] = prior.read(self.hyper_shape(*shape), coarse, e, context, reader)

        with torch.autocast(self._device().type, enabled=False):
            if before is None:
                read("intra", None)
            else:
                grid = 1, self.motion.prior.latent, *(n // self.motion.encoder.stride for n in shape)
                motion = before["motion"] if "motion" in before else torch.zeros(grid, device=self._device())
                read("motion", Context(motion) if self.temporal_context else None)
                now = found["motion"][-1]
                read("residual", self._residual_context(before, now) if self.temporal_context else None)
        reader.finish()
        return found

    @torch.inference_mode()
    def rebuild_frame(self, symbols: Symbols, beta: float, past: Past | None, precision: torch.dtype) -> Past:
        """Second half of :meth:`decode_frame`: the picture that has ``symbols``."""

        def restore(name: str, branch: Branch, _: None, condition: Condition, context: Context | None, aim: None):
            with torch.autocast(self._device().type, enabled=False):
                z_symbols, y_symbols, coded = symbols[name]
                return branch.prior.restore(z_symbols, y_symbols, condition.e, context), coded

        condition = self._condition(beta, None, self._device())
        if "map" in symbols:
            condition = replace(condition, coarse=symbols["map"][0])
        with computing(self._device(), precision):
            if past is None:
                return self.code_intra(None, condition, restore)[1]
            return self.code_inter(None, past, None, condition, restore)[1]


@contextmanager
def computing(device: torch.device, precision: torch.dtype) -> Iterator[None]:
    """Transforms in ``precision``, whatever autocast is in force outside; float32 in full."""
    full = precision == torch.float32
    with full_float32(), torch.autocast(device.type, torch.bfloat16 if full else precision, enabled=not full):
        yield
