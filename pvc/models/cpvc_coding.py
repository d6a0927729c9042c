"""CPVC's frames as real bytes and back."""

from dataclasses import replace

import torch
from torch import Tensor

from pvc.entropy import exact
from pvc.entropy.coder import Reader, Writer
from pvc.models.coding import computing
from pvc.models.cpvc_kernels import State
from pvc.models.padding import pad_to_multiple


class CpvcCoding:
    """Mixin of :class:`pvc.models.cpvc.CPVC`: one frame at a time, the encoder's state handed on by the caller."""

    def update(self) -> None:
        """Compute the entropy coder's tables; call once after training, before coding."""
        self.prior.update()

    @torch.inference_mode()
    def encode_frame(
        self, x: Tensor, base: Tensor, qp: int, state: State | None, precision: torch.dtype = torch.float32
    ) -> tuple[bytes, State | None]:
        """The bytes of one frame, and the state for the next one.

        Args:
            x, base: source and decoded base frame [1, 3, H, W] in [0, 1]. qp: of the base layer.
            state: of the frame before; None at the start of a group of pictures.
            precision: of the transforms.
        """
        x, base = (pad_to_multiple(p, self.multiple) for p in (x, base))
        at = self.qp_of(torch.full((1,), qp, device=x.device), 1, x.device)
        writer, features = Writer(), self._features(base, at)
        with computing(x.device, precision):
            z = self.analyse(x, base, at)
        f, state = self.extract(z, features.float(), state)
        with torch.autocast(x.device.type, enabled=False):
            f_hat = self.prior.compress(f, features, writer)
        return writer.finish(), state and replace(state, features=f_hat)

    @torch.inference_mode()
    def decode_frame(
        self, data: bytes, base: Tensor, qp: int, precision: torch.dtype = torch.float32
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Fused frame and perceptual frame [1, 3, H, W], not clamped, and the decoded features [1, C, h, w].

        Equation 3 is the encoder's: nothing of the frames before is needed.

        Args:
            data: of :meth:`encode_frame`. base: decoded base frame [1, 3, H, W] in [0, 1]. qp: of the base layer.

        Raises:
            BitstreamError: ``data`` is damaged, or belongs to another frame, base frame or model.
        """
        h, w = base.shape[-2:]
        base = pad_to_multiple(base, self.multiple)
        at = self.qp_of(torch.full((1,), qp, device=base.device), 1, base.device)
        reader = Reader(data)
        with torch.autocast(base.device.type, enabled=False):
            f_hat = self.prior.decompress(self._features(base, at), reader)
        reader.finish()
        with computing(base.device, precision):
            y = self.synthesise(f_hat, base, at)
            x_hat = self.fuse(y, base, at)
        return x_hat[..., :h, :w], y[..., :h, :w], f_hat

    def _features(self, base: Tensor, qp: Tensor | None) -> Tensor:
        """Features of the base frame [1, C, h, w], float64, the same bits on every device."""
        return exact.run(self.base_layers, self.base_picture(base, qp))
