"""The ``pvc`` command. Nothing heavy is imported before a subcommand runs, so that help comes at once."""

import argparse
import runpy
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import NoReturn

from pvc import __version__
from pvc.console import fail, one_line_errors

TRAIN_HELP = """\
examples:
  pvc train experiment=mr_md_ssf data=vimeo90k data.root=DIR trainer.devices=2 logger=wandb
  pvc train experiment=tiny data=clips data.root=DIR trainer.max_steps=1000 checkpoint_every=100 out=RUN resume=true
  pvc train -m experiment=ssf_single_rate model.beta=1e-4,4e-4,1.6e-3,6.4e-3     (a sweep)
  pvc train experiment=tiny --cfg job                                            (show the configuration, run nothing)
"""
EVAL_HELP = """\
examples:
  pvc eval data=clips data.root=DIR 'codecs=[x264,x265,ssf-tiny,mr-md-ssf-tiny]' anchor=x265 frames=24 out=DIR
  pvc eval experiment=cpvc_table1 data.root=DIR                                  (a paper's comparison)
  pvc eval --cfg job                                                             (show the configuration, run nothing)
"""
ENCODE_HELP = """\
examples:
  pvc encode clip.mp4 -o clip.pvc --model mr-md-ssf-tiny --beta 1e-3
  pvc encode clip.mp4 -o clip.pvc --model mr-md-ssf-tiny --beta 1e-3 --alpha 26.5 --importance clip.mask.mkv
  pvc encode clip.yuv --size 416x240 --fps 50 -o clip.mp4 --codec x265 --crf 32
  pvc encode clip.mp4 -o roi.mp4 --codec x265 --crf 32 --importance clip.mask.mkv
"""
DECODE_HELP = """\
examples:
  pvc decode clip.pvc -o clip.mkv        (lossless)
  pvc decode clip.pvc -o frames/         (a folder of PNG)
"""
TABLE_HELP = """\
examples:
  pvc table OUT1 OUT2 --anchor x264 --anchor x265
  pvc table SWEEP --baseline ssf-tiny --out paper
  pvc table UVG --published results/UVG-1080p --anchor x264-medium-tune-zerolatency
"""


class _Parser(argparse.ArgumentParser):
    """argparse with errors of one line, as everywhere in pvc."""

    def error(self, message: str) -> NoReturn:
        fail(f"{message} (see {self.prog} --help)")


def _hydra(module: str) -> Callable[[Sequence[str]], None]:
    """``python -m module OVERRIDES`` in this process.

    Running it as ``__main__`` lets Lightning start the other processes of a multi-GPU run with the same ``-m`` line.
    """

    def command(overrides: Sequence[str]) -> None:
        sys.argv = [module, *overrides]
        runpy.run_module(module, run_name="__main__", alter_sys=True)

    return command


HYDRA_COMMANDS = {"train": _hydra("pvc.train"), "eval": _hydra("pvc.eval")}


def _encode(args: argparse.Namespace) -> None:
    from pvc.commands.encode import encode

    encode(args)


def _decode(args: argparse.Namespace) -> None:
    from pvc.commands.decode import decode

    decode(args.input, args.output, args.model, args.device)


def _info(args: argparse.Namespace) -> None:
    from pvc.commands.info import info

    info(args.input, as_json=args.json)


def _table(args: argparse.Namespace) -> None:
    from pvc.commands.table import table
    from pvc.evaluation.bd_rate import Settings

    table(
        args.run_dirs,
        args.anchor or ["x265"],
        baseline=args.baseline,
        published=args.published or [],
        out=args.out,
        settings=Settings(args.method, args.min_overlap),
    )


def _demo(args: argparse.Namespace) -> None:
    from pvc.commands.demo import demo

    demo(args.out, train=args.train)


def _doctor(_: argparse.Namespace) -> None:
    from pvc.commands.doctor import doctor

    raise SystemExit(doctor())


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 416x240")
    return int(width), int(height)


def _count(text: str) -> int:
    if not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def _add_raw(parser: argparse.ArgumentParser) -> None:
    raw = parser.add_argument_group("input that does not say it itself (raw YUV, folders of frames)")
    raw.add_argument("--size", type=_size, metavar="WxH", help="frame size; else from the file's name")
    raw.add_argument("--fps", metavar="F", help="frames a second, such as 50 or 30000/1001")
    raw.add_argument("--pix-fmt", metavar="FMT", help="pixel format, such as yuv420p or yuv420p10le")
    raw.add_argument("--matrix", choices=("bt601", "bt709", "bt2020"), help="colour matrix")
    raw.add_argument("--full-range", action=argparse.BooleanOptionalAction, default=None, help="range of the samples")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="pvc",
        description="Train, run and judge video codecs that spend bits where people look.",
        epilog="pvc COMMAND --help says more.",
    )
    parser.add_argument("--version", action="version", version=f"pvc {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)

    def add(name: str, run: Callable, help: str, examples: str | None = None) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            name,
            help=help,
            description=help[0].upper() + help[1:] + ".",
            epilog=examples,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.set_defaults(run=run)
        return sub

    for name, what, examples in (
        ("train", "train a codec (takes Hydra overrides)", TRAIN_HELP),
        ("eval", "run codecs over clips, measure them and write the BD-rate table (takes Hydra overrides)", EVAL_HELP),
    ):
        sub = add(name, HYDRA_COMMANDS[name], what, examples)
        sub.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="Hydra overrides and options")

    sub = add("encode", _encode, "write a clip as a .pvc stream, or as an ordinary mp4 for comparison", ENCODE_HELP)
    sub.add_argument("input", metavar="IN", help="any readable clip, or a folder of frames")
    sub.add_argument("-o", "--output", required=True, metavar="OUT", help="file to write (.pvc; .mp4 with --codec)")
    which = sub.add_mutually_exclusive_group(required=True)
    which.add_argument("--model", metavar="NAME", help="a checkpoint's name or path")
    which.add_argument("--codec", choices=("x264", "x265", "svtav1"), help="an ordinary codec instead")
    sub.add_argument("--beta", type=float, metavar="B", help="rate parameter, 1e-4 (good) to 1.28e-2 (small)")
    sub.add_argument(
        "--importance",
        metavar="MAP",
        help="clip or folder with the importance map, of the clip's size (for a model with ROI, x264 and x265)",
    )
    sub.add_argument("--alpha", type=float, metavar="A", help="weight of the ROI, 1 to 60 (with MAP: 26.5)")
    sub.add_argument("--gop", type=_count, default=12, metavar="N", help="frames from one I-frame to the next (12)")
    sub.add_argument("--crf", type=float, metavar="N", help="quality of --codec, such as 32")
    sub.add_argument("--frames", type=_count, metavar="N", help="only the first N frames")
    sub.add_argument("--device", help="cpu or cuda (default: cuda where there is one)")
    _add_raw(sub)

    sub = add("decode", _decode, "turn a .pvc stream back into a clip", DECODE_HELP)
    sub.add_argument("input", metavar="FILE.pvc", help="the stream")
    sub.add_argument("-o", "--output", required=True, metavar="OUT", help="file.mkv, .mp4, .y4m, or a folder for PNG")
    sub.add_argument("--model", metavar="NAME", help="a checkpoint's name or path; else the one the stream names")
    sub.add_argument("--device", help="cpu or cuda (default: cuda where there is one)")

    sub = add("info", _info, "say what a .pvc stream or a clip holds")
    sub.add_argument("input", metavar="FILE", help="a .pvc stream, or any readable clip")
    sub.add_argument("--json", action="store_true", help="as JSON")

    sub = add("table", _table, "put finished evaluations, and published curves, into one set of tables", TABLE_HELP)
    sub.add_argument("run_dirs", nargs="*", metavar="RUN_DIR", help="folders with results.jsonl, or of such folders")
    sub.add_argument("--anchor", action="append", metavar="CODEC", help="codec to compare with, may repeat (x265)")
    sub.add_argument("--baseline", metavar="CODEC", help="codec of the trade-off plot (the first anchor)")
    sub.add_argument("--published", action="append", metavar="FILE", help="published curves as JSON, may repeat")
    sub.add_argument("--out", metavar="DIR", help="also write tables, plots and report.html there")
    sub.add_argument("--method", choices=("pchip", "akima"), default="pchip", help="interpolation (pchip)")
    sub.add_argument("--min-overlap", type=float, default=0.5, metavar="F", help="smallest overlap of curves (0.5)")

    sub = add("demo", _demo, "the whole job on a synthetic clip set: table, plots and a report in a few minutes")
    sub.add_argument("--out", default="pvc-demo", metavar="DIR", help="folder for everything it writes (pvc-demo)")
    sub.add_argument("--train", action="store_true", help="first train the tiny configuration for a minute")

    add("doctor", _doctor, "say what is installed, and which weights and devices are there")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run the ``pvc`` command; ``argv`` is ``sys.argv[1:]`` unless given. Ends by ``SystemExit`` if anything failed."""
    argv = list(sys.argv[1:] if argv is None else argv)
    # A library's own use of something old, said on every import of it; nothing that a user of pvc could act on.
    warnings.filterwarnings("ignore", message=".*torch.jit.script.* is deprecated", category=FutureWarning)
    with one_line_errors():
        # Hydra has options of its own (-m, --cfg, ...), so its commands get their arguments unparsed.
        if argv and argv[0] in HYDRA_COMMANDS and not {"-h", "--help"} & set(argv):
            HYDRA_COMMANDS[argv[0]](argv[1:])
        else:
            args = _parser().parse_args(argv)
            args.run(args)


if __name__ == "__main__":
    main()
