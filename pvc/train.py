"""``pvc train`` / ``python -m pvc.train``: Hydra entry point of training; ``configs/train.yaml`` has all keys."""

from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from pvc.hydra_entry import hydra_entry, is_sweep
from pvc.sweep.process import reasons_to_parent, run_apart, started_from_outside


def _precision() -> str:
    import torch

    return "bf16-mixed" if torch.cuda.is_available() else "32-true"


OmegaConf.register_new_resolver("device_precision", _precision, replace=True)


@hydra_entry("train", only_swept_names=True)
def main(cfg: DictConfig) -> float | None:
    """Train what the configuration describes, or one run of a sweep; returns what a search minimises.

    Prints the path of the released form.
    """
    out = Path(HydraConfig.get().runtime.output_dir)
    if not is_sweep():
        with reasons_to_parent():
            return _run(cfg, out)
    from pvc.sweep.names import run_name

    hydra = HydraConfig.get()
    cfg.name, cfg.out = run_name(cfg.name, hydra.job.override_dirname), str(out)
    if cfg.get("evaluate") is not None:
        cfg.evaluate.anchors_out = str(Path(hydra.sweep.dir).absolute() / "anchors")
    if started_from_outside():
        return _run(cfg, out)
    from pvc.sweep.devices import own_gpus

    count = 0 if cfg.trainer.accelerator == "cpu" else cfg.trainer.devices
    with own_gpus(count, Path(hydra.sweep.dir) / ".gpus") as environment:
        run_apart(_overrides(cfg), out, "basic_launcher" not in hydra.launcher._target_, environment)
    from pvc.sweep.judge import read_objective

    return read_objective(out) if cfg.get("evaluate") is not None and cfg.evaluate.objective else None


def _run(cfg: DictConfig, out: Path) -> float | None:
    """One training from the beginning, or from where it is, to its evaluation."""
    from lightning.pytorch.utilities import rank_zero_only

    from pvc.training.finished import finished
    from pvc.training.run import train

    release = finished(cfg, out)
    if release is not None:
        print(f"{out} is finished", flush=True)
    release = release or train(cfg, out)
    if rank_zero_only.rank:  # one process of several
        return None
    print(release, flush=True)
    if cfg.get("evaluate") is None:
        return None
    from pvc.sweep.judge import judge

    return judge(cfg, release, out)


def _overrides(cfg: DictConfig) -> list[str]:
    """What starts this run of a sweep by itself, in its own folder."""
    from pvc.sweep.names import assign

    hydra = HydraConfig.get()
    mine = {"name": cfg.name, "out": cfg.out}
    if cfg.get("evaluate") is not None:
        mine["evaluate.anchors_out"] = cfg.evaluate.anchors_out
    task = [o for o in hydra.overrides.task if o.split("=")[0].lstrip("+") not in mine]
    return [*task, *(assign(key, value) for key, value in mine.items())]


if __name__ == "__main__":
    main()
