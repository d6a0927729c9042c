"""``pvc eval`` / ``python -m pvc.eval``: Hydra entry point of evaluation; ``configs/eval.yaml`` has all keys."""

import sys
from collections.abc import Mapping, Sequence

from omegaconf import DictConfig, ListConfig, OmegaConf

from pvc.errors import ConfigError, JobsFailed, MissingWeights
from pvc.hydra_entry import hydra_entry, output_folder


@hydra_entry("eval")
def main(cfg: DictConfig) -> None:
    """Evaluate what the configuration describes, print the mean BD-rates and say where the report is."""
    from rich.console import Console

    from pvc.evaluation import Settings, evaluate, publish, tables
    from pvc.evaluation.published import load_all_published

    bd, anchors = Settings(**cfg.bd), [] if cfg.anchor is None else _names(cfg.anchor, "anchor")
    published = list(cfg.published)
    curves = [curve.name for curve in load_all_published(published)]
    from pvc.codecs import load_codecs
    from pvc.metrics import load_metrics

    codecs = load_codecs(_names(cfg.codecs, "codecs"), cfg.gop, cfg.device, cfg.weights_dir)
    metrics = load_metrics(OmegaConf.to_container(_listed(cfg.metrics)), device=cfg.device, weights_dir=cfg.weights_dir)
    _check_points(cfg.points or {}, [codec.name for codec in codecs])
    for role, names in (("anchor", anchors), ("baseline", [cfg.baseline] if cfg.baseline else [])):
        for name in names:
            if name not in (have := [c.name for c in codecs] + curves):
                raise ConfigError(f"{role}={name} is not among codecs={have}; add it, or choose one of them")
    console = Console(soft_wrap=True, highlight=False)
    for note in _missing(metrics, list(cfg.require)):
        console.print(note, markup=False)
    out = output_folder(cfg.out)
    try:
        outcome = evaluate(codecs, _clips(cfg), metrics, out, cfg)
    except KeyboardInterrupt:
        print(f"pvc: what is finished is in {out}; the same command goes on from there", file=sys.stderr)
        raise
    if anchors and outcome.records:
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
    for note in outcome.notes:
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


def _check_points(points: Mapping, codecs: Sequence[str]) -> None:
    """Lists of operating points of single codecs must be of codecs that there are."""
    from pvc.codecs.registry import codec_names

    lists = ("crf", "qp", "quality", "beta", "u_alpha")
    for name, own in points.items():
        if name not in codecs and name not in codec_names():
            raise ConfigError(f"points.{name} is of no codec; codecs={list(codecs)}")
        unknown = [str(key) for key in own if key not in lists] if isinstance(own, DictConfig) else [str(own)]
        if unknown:
            raise ConfigError(f"points.{name} has {', '.join(unknown)}; it may have lists {', '.join(lists)}")


def _missing(metrics: Sequence, required: Sequence[str]) -> list[str]:
    """What is missing for metrics, a line for each thing.

    Raises:
        ConfigError: a required value is of none of the metrics.
        MissingWeights: a required value cannot be measured.
    """
    from pvc.metrics import check_available

    names, missing = [name for metric in metrics for name in metric.names], check_available(metrics)
    if unknown := [name for name in required if name not in names]:
        raise ConfigError(
            f"require names {', '.join(unknown)}, which metrics do not give; they give {', '.join(names)}"
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
