"""What is trained and on what, how far it is and how long it takes."""

import torch
from lightning import LightningModule, Trainer


def facts(trainer: Trainer, module: LightningModule) -> list[tuple[str, str]]:
    """What is trained, and on what, as pairs of heading and text."""
    model = getattr(module, "model", module)
    data, devices = trainer.datamodule, trainer.num_devices * trainer.num_nodes
    kind = module.device.type
    if kind == "cuda":
        kind = torch.cuda.get_device_name(module.device)
    facts = [
        ("model", type(model).__name__),
        ("parameters", f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M"),
        ("device", kind if devices == 1 else f"{devices} x {kind}"),
        ("precision", str(trainer.precision)),
    ]
    if data is not None:
        facts.append(("batch", str(data.batch_size) if devices == 1 else f"{devices} x {data.batch_size}"))
    return facts


def progress(trainer: Trainer, first: int, passed: float) -> str:
    """How far, how fast, how much longer; this process began at step ``first``, ``passed`` seconds ago."""
    step, done = trainer.global_step, trainer.global_step - first
    most = f" of {trainer.max_steps:,}" if trainer.max_steps > 0 else ""
    if done < 2:
        return f"step {step:,}{most}"
    left = f", about {duration((trainer.max_steps - step) * passed / done)} left" if most else ""
    speed = f"{done / passed:.2g} steps/s" if done > passed else f"{passed / done:.2g} s/step"
    return f"step {step:,}{most}, {speed}{left}"


def duration(seconds: float) -> str:
    """``45 s``, ``12 min``, ``3 h 20 min``, ``2 d 4 h``."""
    minutes = round(seconds / 60)
    if minutes < 2:
        return f"{seconds:.0f} s"
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"
