"""``pvc train`` / ``python -m pvc.train``: Hydra entry point of training."""

from pathlib import Path

import hydra
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from pvc.console import one_line_errors
from pvc.paths import config_dir



def _device_precision() -> str:
    return "bf16-mixed" if torch.cuda.is_available() else "32-true"


OmegaConf.register_new_resolver("device_precision", _device_precision, replace=True)


@hydra.main(version_base="1.3", config_path=str(config_dir()), config_name="train")
def main(cfg: DictConfig) -> None:
    """Train what the configuration describes."""
    with one_line_errors():
        from pvc.training.run import train

        print(train(cfg, Path(HydraConfig.get().runtime.output_dir)))


if __name__ == "__main__":
    main()
