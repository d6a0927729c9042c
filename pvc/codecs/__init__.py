"""Codecs under one interface: :class:`pvc.codecs.base.Codec`, and :func:`load_codec` to get one by name."""

from pvc.codecs.base import Codec, Point
from pvc.codecs.registry import codec_names, load_codec, load_codecs

__all__ = ["Codec", "Point", "codec_names", "load_codec", "load_codecs"]
