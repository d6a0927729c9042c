"""``report.md``, ``report.html``, ``report.json``, the figure, and the answers as CSV."""

import base64
import json
import math
import shutil
import tempfile
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

import pvc.evaluation
from pvc import __version__
from pvc.study import figure
from pvc.study.ballot import BY_HAND, SAME_SIDE, SANITY, UNFINISHED
from pvc.study.export import answers_csv
from pvc.study.intervals import Interval
from pvc.study.preference import odds
from pvc.study.result import Comparison, Result, as_json

METHODS = {
    "wilson": "Wilson's score interval",
    "normal": "the normal approximation of the binomial distribution, as in the annotation paper",
}


def write(result: Result, out: Path) -> Path:
    """Write the report into the folder ``out`` and return the path of ``report.html``.

    Files of an earlier report are replaced once all of the new ones are there; others are left alone.
    """
    out.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=".report-", dir=out))
    try:
        pictures = figure.preference(result, unfinished) + figure.strengths(result, unfinished)
        (unfinished / "report.json").write_text(json.dumps(as_json(result), indent=1, allow_nan=False) + "\n")
        (unfinished / "answers.csv").write_text(answers_csv(result.study, result.ballots))
        drawn = {path.stem: path for path in pictures if path.suffix == ".svg"}
        for name in ("report.md", "report.html"):
            (unfinished / name).write_text(_render(f"{name}.j2", result, drawn))
        if result.strengths is None:
            for suffix in figure.FORMATS:
                (out / f"strengths.{suffix}").unlink(missing_ok=True)
        for path in unfinished.iterdir():
            path.replace(out / path.name)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return out / "report.html"


def headline(one: Comparison) -> str:
    """The main finding in a sentence."""
    whole = one.overall
    if whole is None:
        return f"One participant answered; there is no telling how often {one.codec} is preferred to {one.baseline}."
    share = f"{percent(whole.fraction)} against {percent(1 - whole.fraction)}"
    if math.isinf(whole.odds):
        low = ratio(odds(whole.interval[0]))
        return f"{one.codec} was always preferred to {one.baseline}: by 95 % interval at least {low} times as often."
    interval = f"95 % interval {ratio_interval(whole.interval)}"
    return f"{one.codec} was preferred {ratio(whole.odds)} times as often as {one.baseline} ({share}; {interval})."


def percent(p: float) -> str:
    """``65.4 %``."""
    return f"{100 * p:.1f} %"


def percent_interval(interval: Interval) -> str:
    """``59.7 to 70.7 %``."""
    return f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f} %"


def ratio(value: float) -> str:
    """Odds with as many digits as mean something."""
    if math.isinf(value):
        return "∞"
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"


def ratio_interval(interval: Interval) -> str:
    """The interval of a fraction as one of odds."""
    return f"{ratio(odds(interval[0]))} to {ratio(odds(interval[1]))}"


def exclusion_rules(result: Result) -> list[str]:
    """The rules of the study in words, in the order in which they are applied."""
    rules, checks = result.study.rules, len(result.study.sanity)
    said = [f"{BY_HAND}: named by the experimenter"]
    if checks:
        allowed = "any" if rules.sanity_errors == 0 else f"more than {rules.sanity_errors}"
        said.append(f"{SANITY}: {allowed} of the {checks} pairs with one obviously better side answered wrongly")
    if rules.unfinished == "exclude":
        said.append(f"{UNFINISHED}: left before the last pair")
    if rules.same_side is not None:
        said.append(f"{SAME_SIDE}: all of {rules.same_side} or more answers were for the same side")
    return said


def _render(template: str, result: Result, drawn: dict[str, Path]) -> str:
    html = template.endswith(".html.j2")
    environment = Environment(
        loader=PackageLoader("pvc.study", "."),
        autoescape=html,
        finalize=None if html else _in_table,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    functions = (headline, percent, percent_interval, ratio, ratio_interval)
    values: dict[str, Any] = {function.__name__: function for function in functions}
    return environment.get_template(template).render(
        **values,
        result=result,
        study=result.study,
        rules=exclusion_rules(result),
        method=METHODS[result.method],
        exp=math.exp,
        style=Markup((Path(pvc.evaluation.__file__).parent / "report.css").read_text()),
        images={name: _embedded(path) for name, path in drawn.items()},
        version=__version__,
    )


def _in_table(value: Any) -> Any:
    """A value that ends no cell of a Markdown table."""
    return value.replace("|", "\\|") if isinstance(value, str) else value


def _embedded(path: Path) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(path.read_bytes()).decode()}"
