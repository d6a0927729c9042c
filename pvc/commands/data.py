"""``pvc data base``: code the base layer of a training set once, in parallel, and go on where it was stopped."""

import shutil
import sys
from collections.abc import Iterator
from typing import NamedTuple

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from pvc.codecs import Codec
from pvc.codecs.base_layer import base_point
from pvc.codecs.registry import codec_names, is_codec, load_codec
from pvc.console import progress
from pvc.data import Sequence, sequences
from pvc.data.base_layer import SALIENCY, BaseLayer, qp_track
from pvc.data.identity import Digests
from pvc.errors import ConfigError, DataError, ImportanceError, JobsFailed
from pvc.evaluation.workers import Failed, Workers, worker_count
from pvc.folder import KEEP_FREE, alone
from pvc.hydra_entry import hydra_entry
from pvc.importance.registry import configured_source
from pvc.importance.source import Source


class Item(NamedTuple):
    """One track of one clip: its place among the sequences, and the QP, or None for the saliency map."""

    clip: int
    qp: int | None

    @property
    def track(self) -> str:
        return SALIENCY if self.qp is None else qp_track(self.qp)


class Coder:
    """What the work is done with; every process has its own copy.

    Args:
        cache: Where to. clips: The sequences. frames: Of each, from its first; None: all.
        codec: Of the base layer. saliency: Source of the maps; None: the clips' own masks.
    """

    def __init__(
        self, cache: BaseLayer, clips: list[Sequence], frames: int | None, codec: Codec, saliency: Source | None
    ):
        self.cache, self.clips, self._frames = cache, clips, frames
        self._codec, self._saliency = codec, saliency
        self._digests = Digests()

    def shape(self, item: Item) -> tuple[int, int, int, int]:
        """Of the track, ``[T, C, H, W]``."""
        clip = self.clips[item.clip]
        return min(clip.frames, self._frames or clip.frames), 1 if item.qp is None else 3, clip.height, clip.width

    def is_there(self, item: Item) -> bool:
        """Whether the track is in the cache, of this very clip."""
        clip = self.clips[item.clip]
        info = self.cache.info(clip.name, item.track)
        if info is None or tuple(info["shape"]) != self.shape(item):
            return False
        return self._digests.fit(info["source"], clip, info["shape"][0])

    def store(self, item: Item) -> None:
        """Make the track and store it."""
        clip, about = self.clips[item.clip], {"shape": self.shape(item)}
        of_masks = item.qp is None and self._saliency is None and clip.has_mask
        about["source"] = self._digests.of(clip, about["shape"][0], of_masks)
        if item.qp is None:
            frames = self._maps(clip, about["shape"][0])
        else:
            stream = self._coded(clip, item.qp, about["shape"][0])
            about["bits"] = 8 * len(stream)
            frames = self._codec.decode_frames(stream)
        self.cache.store(clip.name, item.track, frames, **about)

    def _coded(self, clip: Sequence, qp: int, count: int) -> bytes:
        point = base_point(self._codec, qp)
        size = {"count": count, "size": (clip.height, clip.width)}
        return b"".join(self._codec.encode_frames(clip.stream(count), point, fps=clip.fps, **size))

    def _maps(self, clip: Sequence, count: int) -> Iterator[Tensor]:
        maps = clip.stream_mask(count) if self._saliency is None else self._saliency.maps(clip.stream(count))
        return ((q * 255).round().to(torch.uint8) for q in maps)


def store(coder: Coder, item: Item) -> None:
    """:meth:`Coder.store`, to be found by its name in another process."""
    coder.store(item)


def base(cfg: DictConfig) -> None:
    """Fill the cache that ``cfg`` (``configs/data_base.yaml``) describes.

    Raises:
        ConfigError: a value is out of range, or the cache was made with other settings.
        ImportanceError: no source of maps is named, and a clip has no mask.
        DataError: the disk is too small.
        JobsFailed: some clips could not be coded; all others are in the cache.
    """
    if cfg.frames is not None and cfg.frames < 2:
        raise ConfigError(f"frames={cfg.frames} is too few to train on; give 2 or more")
    qps = _whole_numbers(cfg.qp)
    jobs, codec = worker_count(cfg.jobs, cfg.device), _base_codec(str(cfg.base), cfg.gop, qps)
    source, name = None, HydraConfig.get().runtime.choices.get("importance")
    if cfg.get("importance") is not None:
        source = configured_source(name, cfg.importance, cfg.device, cfg.weights_dir)
    clips = list({s.name: s for split in cfg.splits for s in sequences(cfg.data, split)}.values())
    if source is None and (bare := [s for s in clips if not s.has_mask]):
        raise ImportanceError(
            f"{bare[0].dataset}/{bare[0].name} has no mask, nor have {len(bare) - 1} more; name a source, such as "
            "importance=spectral"
        )
    cache = BaseLayer(cfg.out)
    cache.folder.mkdir(parents=True, exist_ok=True)
    coder = Coder(cache, clips, cfg.frames, codec, source)
    with alone(cache.folder, "pvc data base"):
        saliency = None if source is None else {"source": name, **source.meta}
        made_by = {"base": cfg.base, "codec": codec.meta, "gop": codec.gop, "frames": cfg.frames, "saliency": saliency}
        cache.begin({**made_by, "qp": qps})
        cache.sweep()
        everything = [Item(i, qp) for i in range(len(clips)) for qp in (None, *qps)]
        items = [item for item in everything if not coder.is_there(item)]
        _check_space(coder, items)
        failed = _work(coder, items, jobs, len(everything))
    if failed:
        raise JobsFailed(f"{len(failed)} of {len(everything)} tracks are missing in {cfg.out}; the first: {failed[0]}")
    print(f"{cfg.out}: {len(clips)} clips at {cfg.base} qp {', '.join(map(str, qps))}, and their saliency")


def _base_codec(name: str, gop: int, qps: list[int]) -> Codec:
    if is_codec(name) and name not in codec_names():
        raise ConfigError(
            f"base={name} is a trained model and cannot be the base layer; give a codec that is set by QP or CRF, such "
            "as vvenc-cpvc, x264 or x265"
        )
    codec = load_codec(name, gop=gop)
    for qp in qps:
        base_point(codec, qp)  # before anything is written
    return codec


def _work(coder: Coder, items: list[Item], jobs: int, total: int) -> list[str]:
    """Store all ``items``; what failed, one line each."""
    failed, done = [], 0
    if len(items) < total:
        print(f"{total - len(items)} of {total} tracks are there already", file=sys.stderr)
    with Workers(jobs, coder, [__name__]) as workers, progress(plain="tracks") as bar:
        task = bar.add_task("coding", total=len(items))
        for item, result in workers.map(store, items, about=lambda item: item.clip):
            if isinstance(result, Failed):
                failed.append(f"{coder.clips[item.clip].name}, {item.track}: {result.reason}")
            done += 1
            bar.update(task, completed=done)
    return failed


def _check_space(coder: Coder, items: list[Item]) -> None:
    need = sum(int(torch.Size(coder.shape(item)).numel()) for item in items)
    free = shutil.disk_usage(coder.cache.folder).free
    if need + KEEP_FREE > free:
        raise DataError(
            f"the base layer takes {need / 1e9:.1f} GB more and {coder.cache.folder} has {free / 1e9:.1f} GB free, of "
            "which 1 GB must stay so; give another out, fewer frames or fewer qp"
        )


def _whole_numbers(qps: object) -> list[int]:
    values = list(qps) if OmegaConf.is_list(qps) else [qps]
    if not values or any(not isinstance(v, int) or not 0 <= v <= 63 for v in values) or len({*values}) < len(values):
        raise ConfigError(f"qp={values} must be different whole numbers from 0 to 63, such as qp=[29,32,35,38]")
    return sorted(values)


@hydra_entry("data_base", optional=["importance"])
def main(cfg: DictConfig) -> None:
    """Entry point of ``pvc data base``."""
    base(cfg)
