"""``pvc eval`` / ``python -m pvc.eval``: Hydra entry point of evaluation; ``configs/eval.yaml`` has all keys."""

import sys
from pathlib import Path

from omegaconf import DictConfig, ListConfig

from pvc.errors import ConfigError
from pvc.hydra_entry import hydra_entry


@hydra_entry("eval")
def main(cfg: DictConfig) -> None:
    """Evaluate what the configuration describes, print the mean BD-rates and say where the report is."""
    from rich.console import Console

    from pvc.evaluation import Settings, evaluate, publish, tables

    bd, anchors = Settings(**cfg.bd), _names(cfg.anchor, "anchor")
    from pvc.codecs import load_codecs
    from pvc.metrics import load_metrics

    codecs, metrics = (
        load_codecs(_names(cfg.codecs, "codecs"), cfg.gop, cfg.device),
        load_metrics(_names(cfg.metrics, "metrics")),
    )
    for role, names in (("anchor", anchors), ("baseline", [cfg.baseline] if cfg.baseline else [])):
        for name in names:
            if name not in (have := [c.name for c in codecs]):
                raise ConfigError(f"{role}={name} is not among codecs={have}; add it, or choose one of them")
    out = Path(cfg.out)
    try:
        outcome = evaluate(codecs, _clips(cfg), metrics, out, cfg)
    except KeyboardInterrupt:
        print(f"pvc: what is finished is in {out}; the same command goes on from there", file=sys.stderr)
        raise
    rows = publish(outcome.records, out, anchors, cfg.baseline, bd, outcome.notes)
    tables.show(rows)
    console = Console(soft_wrap=True, highlight=False)
    for note in outcome.notes:
        console.print(note, markup=False)
    console.print(f"{outcome.run} jobs run, {outcome.reused} reused; {out / 'report.html'}", markup=False)


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


def _names(value: str | ListConfig | None, key: str) -> list[str]:
    """A list of names, of which one may stand alone."""
    names = list(value) if isinstance(value, ListConfig) else [value]
    if not names or not all(isinstance(n, str) and n for n in names):
        raise ConfigError(f"{key}={value} is not a name or a list of names")
    return names


if __name__ == "__main__":
    main()
