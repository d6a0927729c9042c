import re

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from pvc.data import sequences
from pvc.errors import ConfigError
from pvc.paths import config_dir

FILES = sorted((config_dir() / "data").glob("*.yaml"))


def config(name, **values):
    with initialize_config_dir(str(config_dir()), version_base=None):
        return compose(overrides=[f"+data={name}", *(f"data.{k}={v}" for k, v in values.items())]).data


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_every_key_has_a_comment(file):
    keys = [line for line in file.read_text().splitlines() if re.match(r"\s*[a-z_]+:", line)]
    plain = [k for k in keys if "#" not in k and not re.match(r"\s*(_\w+_|source|defaults):", k)]
    assert not plain


def test_each_source_from_its_config(clip_folder, vimeo_folder, davis_folder, tmp_path):
    roots = {"clips": clip_folder, "vimeo90k": vimeo_folder, "davis": davis_folder}
    for name, root in roots.items():
        cache = {"source.cache": tmp_path / "cache"} if name == "clips" else {}
        cfg = config(name, root=root, crop=32, workers=0, batch_size=2, **cache)
        data = instantiate(cfg)
        data.prepare_data()
        data.setup()
        assert next(iter(data.train_dataloader()))["frames"].shape == (2, 3, 3, 32, 32)
        assert len(sequences(cfg)) >= len(sequences(cfg, "val")) >= 1
    data = instantiate(config("synthetic", **{"source.size": "[64,96]", "source.train_scenes": 2}, crop=32, workers=0))
    data.setup("fit")
    assert next(iter(data.train_dataloader()))["roi"].shape == (8, 3, 1, 32, 32)


def test_options_of_a_source(davis_folder):
    cfg = config("davis", root=davis_folder, **{"source.objects": "[2]", "perlin.share": "[0.5,0.5]"})
    assert sequences(cfg)[0].read_mask()[0].sum() == 200
    assert instantiate(cfg).perlin.share == (0.5, 0.5)
    with pytest.raises(ConfigError, match="split"):
        sequences(cfg, "test")


def test_the_held_out_scenes_of_the_training_clips(shared_clips):
    source = instantiate(config("clips", root=shared_clips / "train")).source()
    assert len(source.val_names) == 6 and set(source.val_names) == set(config("clips").source.default_val)
    videos = {re.sub(r"-\d+$", "", n) for n in source.clips if n not in source.val_names}
    assert not videos & {re.sub(r"-\d+$", "", n) for n in source.val_names}
