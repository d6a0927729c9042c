"""``pvc study report``: what participants prefer."""

import argparse
from pathlib import Path

from pvc.errors import ConfigError
from pvc.study import report
from pvc.study.ballot import load_ballots
from pvc.study.export import participants_csv
from pvc.study.plan import Study
from pvc.study.result import evaluate
from pvc.study.store import FILE, open_store


def report_study(args: argparse.Namespace) -> None:
    """Write the report of the study ``args.study``.

    Raises:
        DataError: nobody whose answers count has taken part.
        ConfigError: there is no study, or its database cannot be used.
    """
    folder = Path(args.study)
    study = Study.load(folder)
    if args.database is None and not (folder / FILE).is_file():
        raise ConfigError(f"{folder} has no answers yet ({FILE}); start it with pvc study serve, or give --database")
    sessions = open_store(folder, args.database)
    try:
        ballots = load_ballots(study, sessions, args.exclude or [])
    finally:
        sessions.engine.dispose()
    known = {name for ballot in ballots for name in (ballot.participant, ballot.worker)}
    if unknown := [name for name in args.exclude or [] if name not in known]:
        raise ConfigError(f"--exclude {unknown[0]}: no participant has this id or worker id")
    if args.workers:
        from pvc.commands.files import keep_inputs, replacing  # takes seconds to import

        keep_inputs(args.workers, str(folder / "study.json"), str(folder / FILE))
        with replacing(Path(args.workers)) as file:
            file.write(participants_csv(ballots).encode())
    result = evaluate(study, ballots, args.interval)
    out = Path(args.out) if args.out else folder / "report"
    written = report.write(result, out)
    for one in result.comparisons:
        print(report.headline(one))
    print(f"{len(result.counted)} of {len(result.ballots)} participants count; {written}")
