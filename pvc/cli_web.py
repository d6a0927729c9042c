"""``pvc annotate`` and ``pvc study``, which serve people in a browser. Nothing heavy is imported here."""

import argparse

from pvc import arguments

ANNOTATE_HELP = """\
examples:
  pvc annotate serve CLIPS
  pvc annotate serve CLIPS --set session.minimum_seconds=60 session.clips=3 codec.name=x265-annotation
  pvc annotate serve CLIPS --host 0.0.0.0 --allow paint.example.org --database postgresql://me@db/painting
  pvc annotate validate CLIPS/annotations
  pvc annotate export CLIPS/annotations -o PAINTED
  pvc annotate average CLIPS/annotations -o MEAN --encode        (then: pvc study new STUDY --pairs MEAN)
  pvc annotate video CLIPS/annotations --clip NAME -o map.mp4
"""
STUDY_HELP = """\
examples:
  pvc study new STUDY --pairs importance=ROI_ENCODES baseline=X264_ENCODES    (folders with NAME.mp4, ... of each codec)
  pvc study new STUDY --pairs RUN --codecs 'x264-roi, u_alpha 0.2' x264    (of pvc eval bitrate=[300] keep_streams=true)
  pvc study new STUDY --pairs AVERAGE                (of pvc annotate average --encode: by the mean map, and without)
  pvc study serve STUDY
  pvc study serve STUDY --host 0.0.0.0 --allow study.example.org --database postgresql://me@db/studies
  pvc study report STUDY
"""


def annotate(args: argparse.Namespace) -> None:
    if args.action == "serve":
        from pvc.commands.annotate import serve_collection as run
    else:
        from pvc.commands import annotate_data

        run = getattr(annotate_data, args.action)
    run(args)


def add_annotate(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    serve = actions.add_parser("serve", help="let people paint", description="Let people paint, until Ctrl-C.")
    serve.add_argument("folder", metavar="CLIPS", help="folder of clips; those that are not ready are prepared first")
    serve.add_argument("--out", metavar="DIR", help="where all that is painted is kept (CLIPS/annotations)")
    serve.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help="where to listen (127.0.0.1: only here)")
    serve.add_argument("--port", type=arguments.number, default=8000, metavar="N", help="0 is any free one (8000)")
    allow_help = "name by which people reach it, such as paint.example.org; may repeat"
    serve.add_argument("--allow", action="append", metavar="NAME", help=allow_help)
    serve.add_argument("--database", metavar="URL", help="postgresql://USER@HOST/NAME or sqlite:///FILE (in --out)")
    prepare = actions.add_parser("prepare", help="make clips ready", description="Make clips ready for painting.")
    prepare.add_argument("folder", metavar="CLIPS", help="folder of clips")
    prepare.add_argument("--out", metavar="DIR", help="where they are made ready (CLIPS/annotations)")
    collected = [
        ("export", "what was painted, as importance files and tables"),
        ("average", "the mean map of each clip, as an importance file; with --encode also the clip coded by it"),
        ("agreement", "how much the people who painted a clip agree"),
        ("validate", "which sessions do not count, and why"),
        ("video", "a clip under one of its maps, as a video"),
    ]
    after = {}
    for name, what in collected:
        after[name] = actions.add_parser(name, help=what, description=what[0].upper() + what[1:] + ".")
        after[name].add_argument("work", metavar="DIR", help="what was painted: CLIPS/annotations, or --out of serve")
        after[name].add_argument("--database", metavar="URL", help="its database, where serve had one")
    for name in ("export", "average", "video"):
        what = "video to write, .mp4 or .mkv" if name == "video" else "folder to write, which must not be there yet"
        after[name].add_argument("-o", "--output", required=True, metavar="OUT", help=what)
    after["export"].add_argument("--workers", action="store_true", help="with the recruiter's names of participants")
    after["average"].add_argument("--encode", action="store_true", help="also OUT/painted, OUT/baseline: for a study")
    after["agreement"].add_argument("--json", metavar="FILE", help="each person's and each pair's numbers")
    after["validate"].add_argument("--csv", metavar="FILE", help="all sessions as a table")
    video = after["video"]
    video.add_argument("--session", metavar="ID", help="whose map: the final or newest one, or that of --number")
    video.add_argument("--number", type=arguments.count, metavar="N", help="of the session's maps, from 1")
    video.add_argument("--clip", metavar="NAME", help="the mean map of a clip, or that of --map")
    video.add_argument("--map", metavar="FILE", help="an importance file of the clip's grid")
    set_help = "settings of configs/annotate.yaml"
    for sub in (serve, prepare, *after.values()):
        sub.add_argument("--set", nargs="+", action="extend", metavar="KEY=VALUE", help=set_help)


def study(args: argparse.Namespace) -> None:
    if args.action == "new":
        from pvc.commands.study_new import new as run
    elif args.action == "serve":
        from pvc.commands.study_serve import serve_study as run
    else:
        from pvc.commands.study_report import report_study as run
    run(args)


def add_study(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="new|serve|report")
    new = actions.add_parser("new", help="make a study out of encodes", description="Make a study out of encodes.")
    new.add_argument("study", metavar="STUDY", help="folder to write, which must not be there yet")
    pairs_help = "NAME=FOLDER of each codec's encodes; or a folder of pvc eval, or of pvc annotate average --encode"
    new.add_argument("--pairs", nargs="+", required=True, metavar="SOURCE", help=pairs_help)
    new.add_argument("--baseline", metavar="CODEC", help="what the others are compared with (the last)")
    new.add_argument("--codecs", nargs="+", metavar="CODEC", help="of a run: which curves, as its tables call them")
    new.add_argument("--kbps", type=float, metavar="N", help="of a run: at which rate (the middle of what all cover)")
    sanity_help = "folders with the better and the obviously worse video of sanity pairs (else they are made)"
    new.add_argument("--sanity", nargs=2, metavar=("GOOD", "BAD"), help=sanity_help)
    new.add_argument("--title", metavar="TEXT", help="what it is called in page and report (the folder's name)")
    new.add_argument("--set", nargs="+", action="extend", metavar="KEY=VALUE", help="settings of configs/study.yaml")
    serve = actions.add_parser("serve", help="let people take part", description="Let people take part, until Ctrl-C.")
    serve.add_argument("study", metavar="STUDY", help="folder that pvc study new wrote")
    serve.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help="where to listen (127.0.0.1: only here)")
    serve.add_argument("--port", type=arguments.number, default=8001, metavar="N", help="0 is any free one (8001)")
    allow_help = "name by which people reach it, such as study.example.org; may repeat"
    serve.add_argument("--allow", action="append", metavar="NAME", help=allow_help)
    report = actions.add_parser("report", help="what they prefer", description="Write what participants prefer.")
    report.add_argument("study", metavar="STUDY", help="folder that pvc study new wrote")
    report.add_argument("--out", metavar="DIR", help="where to (STUDY/report)")
    interval_help = "of fractions (wilson); normal is the paper's"
    report.add_argument("--interval", choices=("wilson", "normal"), default="wilson", help=interval_help)
    exclude_help = "participants or worker ids whose answers do not count, by hand"
    report.add_argument("--exclude", nargs="+", metavar="ID", help=exclude_help)
    workers_help = "also write worker ids with completion codes, for paying them"
    report.add_argument("--workers", metavar="FILE.csv", help=workers_help)
    for sub in (serve, report):
        sub.add_argument("--database", metavar="URL", help="postgresql://USER@HOST/NAME or sqlite:///FILE (in STUDY)")
