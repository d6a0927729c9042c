"""pvc: train, run and judge perceptual video codecs with spatial control."""

__version__ = "0.1.0"
