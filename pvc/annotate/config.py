"""The settings of the annotation tool."""

from collections.abc import Sequence

from omegaconf import DictConfig

from pvc.web.settings import load_settings as load


def load_settings(overrides: Sequence[str] = ()) -> DictConfig:
    """``configs/annotate.yaml`` with ``overrides``; errors as :func:`pvc.web.settings.load_settings` has them."""
    return load("annotate", overrides, "prepare.psnr=28")
