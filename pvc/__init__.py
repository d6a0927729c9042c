"""pvc: train, run and judge perceptual video codecs with spatial control."""

import warnings

__version__ = "0.1.0"

# Two warnings of libraries about other libraries, which users of pvc can do nothing about.
warnings.filterwarnings("ignore", message="`torch.jit.script` is deprecated", category=FutureWarning)
warnings.filterwarnings("ignore", message=r"`isinstance\(treespec, LeafSpec\)` is deprecated")
