"""``pvc train`` / ``python -m pvc.train``: Hydra entry point of training; ``configs/train.yaml`` has all keys."""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from pvc.hydra_entry import hydra_entry


def _precision() -> str:
    import torch

    return "bf16-mixed" if torch.cuda.is_available() else "32-true"


OmegaConf.register_new_resolver("device_precision", _precision, replace=True)


@hydra_entry("train")
def main(cfg: DictConfig) -> None:
    """Train what the configuration describes; prints the path of the released form."""
    from hydra.core.hydra_config import HydraConfig

    from pvc.training.run import train

    print(train(cfg, Path(HydraConfig.get().runtime.output_dir)))


if __name__ == "__main__":
    main()
