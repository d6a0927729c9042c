"""``pvc eval`` / ``python -m pvc.eval``: Hydra entry point of evaluation; ``configs/eval.yaml`` has all keys."""

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, ListConfig, OmegaConf

from pvc.errors import ConfigError, JobsFailed, MissingWeights
from pvc.hydra_entry import hydra_entry, output_folder

if TYPE_CHECKING:
    from pvc.importance.source import Source


@hydra_entry("eval", optional=["importance"])
def main(cfg: DictConfig) -> None:
    """Evaluate what the configuration describes, print the mean BD-rates and say where the report is."""
    from rich.console import Console

    from pvc.evaluation import Settings, evaluate, notes, tables
    from pvc.evaluation.published import load_all_published

    bd, anchors = Settings(**cfg.bd), [] if cfg.anchor is None else _names(cfg.anchor, "anchor")
    published = list(cfg.published)
    curves = load_all_published(published)
    from pvc.codecs import load_codecs
    from pvc.metrics import load_metrics

    codecs = load_codecs(_names(cfg.codecs, "codecs"), cfg.gop, cfg.device, cfg.weights_dir)
    source = _source(cfg)
    metrics = load_metrics(OmegaConf.to_container(_listed(cfg.metrics)), device=cfg.device, weights_dir=cfg.weights_dir)
    _check_points(cfg.points or {}, [codec.name for codec in codecs])
    _check_anchors(anchors, cfg, codecs, curves)
    console = Console(soft_wrap=True, highlight=False)
    for note in _missing(metrics, list(cfg.require)):
        console.print(note, markup=False)
    out = output_folder(cfg.out)
    try:
        outcome = evaluate(codecs, _clips(cfg), metrics, out, cfg, source)
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


def _clips(cfg: DictConfig) -> list:
    """The sequences to evaluate."""
    from pvc.data import sequences

    clips = sequences(cfg.data)
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
    from pvc.importance.registry import load_source

    own = OmegaConf.to_container(cfg.importance, throw_on_missing=True)
    places = {"device": cfg.device, "weights_dir": own.pop("weights_dir", None) or cfg.weights_dir}
    changes = {key: value for key, value in own.items() if key not in ("_target_", "device")}
    return load_source(name, **places, **changes)


def _check_points(points: Mapping, codecs: Sequence[str]) -> None:
    """Lists of operating points of single codecs must be of codecs that there are."""
    from pvc.codecs.registry import codec_names

    lists = ("crf", "bitrate", "qp", "quality", "beta", "psnr", "roi_psnr", "u_alpha", "iframe_alpha")
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
