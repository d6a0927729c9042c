"""All that commands of pvc import, for the process that ``tests/processes.py`` forks them from."""

# ruff: noqa: F401

import gc
from contextlib import suppress

import hydra._internal.hydra
import torch._dynamo
from hydra.core.plugins import Plugins

import pvc.cli
import pvc.codecs.neural
import pvc.codecs.registry
import pvc.data.module
import pvc.eval
import pvc.evaluation.publish
import pvc.sweep.judge
import pvc.train
import pvc.training.anchor
import pvc.training.cpvc
import pvc.training.module
import pvc.training.page
import pvc.training.pictures
import pvc.training.run

with suppress(ImportError):
    import wandb
Plugins.instance()  # imports all of Hydra's

gc.collect()
gc.freeze()  # what is collected in a fork would be copied into it first
