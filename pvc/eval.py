"""``pvc eval`` / ``python -m pvc.eval``: Hydra entry point of evaluation; ``configs/eval.yaml`` has all keys."""

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, ListConfig, OmegaConf

from pvc.errors import ConfigError, JobsFailed, MissingWeights
from pvc.folder import alone
from pvc.hydra_entry import hydra_entry, output_folder

if TYPE_CHECKING:
    from pvc.evaluation.crops import CropSettings
    from pvc.importance.source import Source


@hydra_entry("eval", optional=["importance"])
def main(cfg: DictConfig) -> None:
    """Evaluate what the configuration describes, print the mean BD-rates and say where the report is."""
    from rich.console import Console

    from pvc.evaluation import Settings, evaluate, notes, tables
    from pvc.evaluation.crops import CropSettings
    from pvc.evaluation.published import load_all_published

    bd, anchors = Settings(**cfg.bd), [] if cfg.anchor is None else _names(cfg.anchor, "anchor")
    published = list(cfg.published)
    crops = CropSettings.of(_plain(cfg.crops), device=cfg.device, weights_dir=cfg.weights_dir)
    curves = load_all_published(published)
    from pvc.codecs import load_codecs
    from pvc.metrics import load_metrics

    names, left_out = _codecs(cfg)
    codecs = load_codecs(names, cfg.gop, cfg.device, cfg.weights_dir, cfg.rdoq)
    source = _source(cfg)
    metrics = load_metrics(OmegaConf.to_container(_listed(cfg.metrics)), device=cfg.device, weights_dir=cfg.weights_dir)
    _check_points(cfg.points or {}, [codec.name for codec in codecs])
    _check_anchors(anchors, cfg, codecs, curves)
    console = Console(soft_wrap=True, highlight=False)
    for note in [*left_out, *_missing(metrics, list(cfg.require))]:
        console.print(note, markup=False)
    clips = _clips(cfg, crops)
    out = output_folder(cfg.out)
    out.mkdir(parents=True, exist_ok=True)
    with alone(out, "pvc eval"):
        try:
            outcome = evaluate(codecs, clips, metrics, out, cfg, source)
        except (KeyboardInterrupt, SystemExit):  # Ctrl-C, SIGTERM
            print(f"pvc: what is finished is in {out}; the same command goes on from there", file=sys.stderr)
            raise
        if anchors and outcome.records:
            from pvc.evaluation.publish import publish  # draws plots: a second more to import

            rows = publish(
                outcome.records,
                out,
                anchors,
                cfg.baseline,
                bd,
                outcome.notes,
                failures=outcome.failures,
                published=published,
                crops=crops,
            )
            tables.show(rows)
    for note in [*outcome.notes, *notes.collect(outcome.records, curves, outcome.failures)]:
        console.print(note, markup=False)
    where = out / ("report.html" if anchors else "results.jsonl")
    console.print(f"{outcome.run} jobs run, {outcome.reused} reused; {where if outcome.records else out}", markup=False)
    if outcome.failed:
        total, last = outcome.run + outcome.reused + outcome.failed, outcome.failures[-1]
        raise JobsFailed(
            f"{outcome.failed} of {total} jobs failed, at last {last.codec} on {last.sequence}: {last.reason}; "
            f"all reasons are in {out / 'failures.jsonl'}"
        )


def _codecs(cfg: DictConfig) -> tuple[list[str], list[str]]:
    """The names of the codecs, with those optional ones that there are, and a note where there is none of these."""
    from pvc.codecs.registry import is_codec

    names, optional = _names(cfg.codecs, "codecs"), list(cfg.optional_codecs)
    there = [name for name in optional if name not in names and is_codec(name)]
    if optional and not there and not set(optional) & set(names):
        text = f"without {', '.join(optional)}: there is no such checkpoint; name yours by optional_codecs=[NAME]"
        return names, [text]
    return [*names, *there], []


def _clips(cfg: DictConfig, crops: "CropSettings | None") -> list:
    """The sequences to evaluate; crops may be of any of the data set's."""
    from pvc.data import sequences

    clips = sequences(cfg.data)
    if crops is not None:
        crops.check({clip.name: (clip.height, clip.width) for clip in clips})
    if cfg.sequences is None:
        return clips
    wanted, have = _names(cfg.sequences, "sequences"), {clip.name: clip for clip in clips}
    if unknown := [name for name in wanted if name not in have]:
        raise ConfigError(f"sequences names {', '.join(unknown)}, which the data set lacks; it has {', '.join(have)}")
    return [have[name] for name in wanted]


def _source(cfg: DictConfig) -> "Source | None":
    """The importance source that was chosen with its settings, on the evaluation's device; None for no such choice."""
    name = HydraConfig.get().runtime.choices.get("importance")
    if cfg.get("importance") is None:
        return None
    from pvc.importance.registry import configured_source

    return configured_source(name, cfg.importance, cfg.device, cfg.weights_dir)


def _check_points(points: Mapping, codecs: Sequence[str]) -> None:
    """Lists of operating points of single codecs must be of codecs that there are."""
    from pvc.codecs.registry import codec_names

    lists = ("crf", "bitrate", "qp", "quality", "beta", "psnr", "roi_psnr", "u_alpha", "iframe_alpha", "iframe_beta")
    for name, own in points.items():
        if name not in codecs and name not in codec_names():
            raise ConfigError(f"points.{name} is of no codec; codecs={list(codecs)}")
        unknown = [str(key) for key in own if key not in lists] if isinstance(own, DictConfig) else [str(own)]
        if unknown:
            raise ConfigError(f"points.{name} has {', '.join(unknown)}; it may have lists {', '.join(lists)}")


def _check_anchors(anchors: Sequence[str], cfg: DictConfig, codecs: Sequence, published: Sequence) -> None:
    """What the tables compare with must be there, without ROI or at another codec's u_alpha."""
    from pvc.evaluation.curves import curve_of, pairs
    from pvc.evaluation.run import operating_points

    have = [c.name for c in (*codecs, *published)]
    run = [curve_of(codec.name, point) for codec in codecs for point in operating_points(codec, cfg)]
    keys = [*dict.fromkeys(run), *(curve.key for curve in published)]
    for role, name in [
        *(("anchor", name) for name in anchors),
        *([("baseline", cfg.baseline)] if cfg.baseline else []),
    ]:
        if name not in have:
            raise ConfigError(f"{role}={name} is not among codecs={have}; add it, or choose one of them")
        if len(keys) > 1 and not pairs(name, keys):
            raise ConfigError(
                f"{role}={name} is run neither at u_alpha=1 nor at the u_alpha of another codec; add 1.0 to u_alpha"
            )


def _missing(metrics: Sequence, required: Sequence[str]) -> list[str]:
    """What is missing for metrics, a line for each thing.

    Raises:
        ConfigError: a required value is of none of the metrics.
        MissingWeights: a required value cannot be measured.
    """
    from pvc.metrics import check_available

    names, missing = [name for metric in metrics for name in metric.names], check_available(metrics, load=True)
    if unknown := [name for name in required if name not in names]:
        raise ConfigError(
            f"require names {', '.join(unknown)}, which metrics do not give (they give {', '.join(names)}); "
            "add to metrics what gives them"
        )
    if lacking := [name for name in required if name in missing]:
        raise MissingWeights(f"require={lacking[0]} cannot be measured: {missing[lacking[0]]}")
    reasons: dict[str, list[str]] = {}
    for name, reason in missing.items():
        reasons.setdefault(reason, []).append(name)
    return [f"without {', '.join(names)}: {reason}" for reason, names in reasons.items()]


def _plain(value: object) -> Any:
    """``value`` without OmegaConf."""
    return OmegaConf.to_container(value) if OmegaConf.is_config(value) else value


def _names(value: str | ListConfig | None, key: str) -> list[str]:
    """A list of names, of which one may stand alone."""
    names = list(_listed(value))
    if not names or not all(isinstance(n, str) and n for n in names):
        raise ConfigError(f"{key}={value} is not a name or a list of names")
    return names


def _listed(value: object) -> ListConfig:
    return value if isinstance(value, ListConfig) else ListConfig([value])


if __name__ == "__main__":
    main()
