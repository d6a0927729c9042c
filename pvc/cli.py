"""The ``pvc`` command. Nothing heavy is imported before a subcommand runs, so that help comes at once."""

import argparse
import runpy
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import NoReturn

from pvc import __version__, arguments, cli_web
from pvc.console import fail, one_line_errors

TRAIN_HELP = """\
examples:
  pvc train experiment=mr_md_ssf data=vimeo90k data.root=DIR trainer.devices=2 logger=wandb
  pvc train experiment=tiny data=clips data.root=DIR trainer.max_steps=1000 checkpoint_every=100 out=RUN resume=true
  pvc train -m experiment=ssf_single_rate model.beta=1e-4,4e-4,1.6e-3,6.4e-3 evaluate=val out=RUNS
  pvc train experiment=tiny --cfg job                                            (show the configuration, run nothing)
"""
EVAL_HELP = """\
examples:
  pvc eval data=clips data.root=DIR 'codecs=[x264,x265,ssf-tiny,mr-md-ssf-tiny]' anchor=x265 frames=24 out=DIR
  pvc eval experiment=cpvc_table1 data.root=DIR                                  (a paper's comparison)
  pvc eval --cfg job                                                             (show the configuration, run nothing)
"""
DATA_HELP = """\
examples:
  pvc data base data=clips data.root=DIR base=vvenc-cpvc 'qp=[29,32,35,38]' out=CACHE
  pvc data base data=vimeo90k data.root=DIR importance=spectral jobs=16 out=CACHE
  pvc data pack data=vimeo90k data.root=DIR out=SHARDS
  pvc data pack data=clips data.root=DIR frames=raw 'splits=[train,val,eval]' out=SHARDS
  pvc data base --cfg job                                                        (show the configuration, run nothing)
"""
ENCODE_HELP = """\
examples:
  pvc encode clip.mp4 -o clip.pvc --model mr-md-ssf-tiny --beta 1e-3
  pvc encode clip.mp4 -o clip.pvc --model mr-md-ssf-tiny --beta 1e-3 --alpha 26.5 --importance clip.mask.mkv
  pvc encode clip.mp4 -o clip.pvc --model mr-md-ssf-tiny --bitrate 300 --passes 2
  pvc encode clip.mp4 -o clip.pvc --model mr-md-ssf-tiny --bitrate 300 --roi-psnr 32 --importance clip.mask.mkv
  pvc encode clip.mp4 -o clip.pvc --model cpvc-tiny --qp 32 --gop 32
  pvc encode clip.yuv --size 416x240 --fps 50 -o clip.mp4 --codec x265 --crf 32
  pvc encode clip.mp4 -o roi.mp4 --codec x265 --crf 32 --importance clip.mask.mkv
  pvc encode clip.mp4 -o roi.mp4 --codec x264 --bitrate 300 --importance clip.mask.mkv
  pvc encode - -o - --model mr-md-ssf-tiny --beta 1e-3        (a pipe: y4m, mkv, ... in, .pvc out)
"""
DECODE_HELP = """\
examples:
  pvc decode clip.pvc -o clip.mkv        (lossless)
  pvc decode clip.pvc -o frames/         (a folder of PNG)
  pvc decode clip.pvc -o part.mp4 --from 250 --frames 50
  pvc decode damaged.pvc -o clip.mkv --conceal
  pvc decode - -o -                      (a pipe: .pvc in, y4m out)
"""
IMPORTANCE_HELP = """\
examples:
  pvc importance clip.mp4 -o clip.mask.mkv                                       (spectral: needs no weights)
  pvc importance clip.mp4 -o clip.mask.mkv --overlay look.png
  pvc importance clip.mp4 -o maps/ --source gradient --set mode=tile --weights-dir DIR
  pvc importance clip.mp4 -o clip.mask.mkv --source annotation --set path=Annotations/clip objects=[1,2]
  pvc importance clip.mp4 -o clip.mask.mkv --source propagated --set path=drawn/ frames=40    (drawn/0.png, 30.png, ...)
  pvc importance clip.mp4 -o clip.mask.mkv --source spectral,segmentation --set spectral.motion=0.4 --dilate 8
"""
BLUR_HELP = """\
examples:
  pvc blur clip.mp4 -o soft.mkv --source spectral
  pvc blur clip.mp4 -o soft.mkv --importance clip.mask.mkv --strength contrast
  pvc blur clip.mp4 -o soft.mp4 --importance clip.mask.mkv --sigma 3
"""
TABLE_HELP = """\
examples:
  pvc table OUT1 OUT2 --anchor x264 --anchor x265
  pvc table SWEEP --baseline ssf-tiny --out paper
  pvc table --published CompressAI/results/video/UVG-1080p --anchor x264-medium-tune-zerolatency
                                             (a clone of https://github.com/InterDigitalInc/CompressAI)
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


def _data(arguments: Sequence[str]) -> None:
    verb = arguments[0] if arguments else None
    if verb == "base":
        from pvc.commands.data import main
    elif verb == "pack":
        from pvc.commands.data_pack import main
    else:
        fail("pvc data knows two things to do: pvc data base and pvc data pack KEY=VALUE... (see pvc data --help)")
    sys.argv = [f"pvc data {verb}", *arguments[1:]]
    main()


HYDRA_COMMANDS = {"train": _hydra("pvc.train"), "eval": _hydra("pvc.eval"), "data": _data}


def _encode(args: argparse.Namespace) -> None:
    from pvc.commands.encode import encode

    encode(args)


def _decode(args: argparse.Namespace) -> None:
    from pvc.commands.decode import decode

    asked = {"start": args.start, "count": args.frames, "conceal": args.conceal}
    limit = {} if args.max_pixels is None else {"max_pixels": args.max_pixels}
    decode(args.input, args.output, args.model, args.device, **asked, **limit)


def _importance(args: argparse.Namespace) -> None:
    from pvc.commands.importance import importance

    importance(args)


def _blur(args: argparse.Namespace) -> None:
    from pvc.commands.blur import blur

    blur(args)


def _info(args: argparse.Namespace) -> None:
    from pvc.commands.info import info

    info(args.input, as_json=args.json)


def _table(args: argparse.Namespace) -> None:
    from pvc.commands.table import table
    from pvc.metrics.bd_rate import Settings

    table(
        args.run_dirs,
        args.anchor or ["x265"],
        baseline=args.baseline,
        published=args.published or [],
        out=args.out,
        settings=Settings(args.method, args.min_overlap),
        crops=args.crops,
    )


def _demo(args: argparse.Namespace) -> None:
    from pvc.commands.demo import demo

    demo(args.out, train=args.train)


def _doctor(_: argparse.Namespace) -> None:
    from pvc.commands.doctor import doctor

    raise SystemExit(doctor())


def _add_raw(parser: argparse.ArgumentParser) -> None:
    raw = parser.add_argument_group("input that does not say it itself (raw YUV, folders of frames)")
    raw.add_argument("--size", type=arguments.size, metavar="WxH", help="frame size; else from the file's name")
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
        ("data", "base: code a training set's base layer once; pack: put it into shards (Hydra overrides)", DATA_HELP),
    ):
        sub = add(name, HYDRA_COMMANDS[name], what, examples)
        sub.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="Hydra overrides and options")

    sub = add("encode", _encode, "write a clip as a .pvc stream, or as an ordinary mp4 for comparison", ENCODE_HELP)
    sub.add_argument("input", metavar="IN", help="any readable clip, or a folder of frames, or - (a pipe)")
    out_help = "file to write (.pvc, or - for a pipe; .mp4 with --codec)"
    sub.add_argument("-o", "--output", required=True, metavar="OUT", help=out_help)
    which = sub.add_mutually_exclusive_group(required=True)
    which.add_argument("--model", metavar="NAME", help="a checkpoint's name or path")
    which.add_argument("--codec", metavar="NAME", help="x264, x265, svtav1 or one of their presets instead")
    sub.add_argument("--beta", type=float, metavar="B", help="rate parameter, 1e-4 (good) to 1.28e-2 (small)")
    sub.add_argument(
        "--importance",
        metavar="MAP",
        help="clip or folder with the importance map, of the clip's size (for a model with ROI, x264 and x265)",
    )
    sub.add_argument("--alpha", type=float, metavar="A", help="weight of the ROI, 1 to 60 (with MAP: 26.5)")
    sub.add_argument(
        "--gop", type=arguments.count, default=12, metavar="N", help="frames from one I-frame to the next (12)"
    )
    sub.add_argument("--crf", type=float, metavar="N", help="quality of --codec, such as 32")
    sub.add_argument("--qp", type=int, metavar="N", help="QP of the base layer, for a model that has one, such as 32")
    base_help = "base codec that a model must be for (default: the one it was trained for)"
    sub.add_argument("--base", metavar="NAME", help=base_help)
    sub.add_argument("--bitrate", type=float, metavar="KBITS", help="kbit/s, such as 300 (x264, x265: in two passes)")
    sub.add_argument("--passes", type=int, choices=(1, 2), help="with --bitrate and --model: 2 spreads bits better (1)")
    sub.add_argument("--psnr", type=float, metavar="DB", help="PSNR that every frame of a model is to have")
    sub.add_argument(
        "--roi-psnr", type=float, metavar="DB", help="PSNR that the ROI keeps; with --bitrate the rest pays for it"
    )
    sub.add_argument("--iframe-alpha", type=float, metavar="A", help="alpha of I-frames, such as 1; else that of all")
    sub.add_argument("--iframe-beta", type=float, metavar="S", help="share of --beta that I-frames have (0.5)")
    sub.add_argument("--frames", type=arguments.count, metavar="N", help="only the first N frames")
    sub.add_argument("--device", help="cpu or cuda (default: cuda where there is one)")
    precisions = "of --model: bfloat16 is faster where the processor has it (float32)"
    sub.add_argument("--precision", choices=("float32", "bfloat16"), help=precisions)
    rdoq_help = "rounds in which a block-transform --model looks for better symbols and motion (3; 0: neither)"
    sub.add_argument("--rdoq", type=int, metavar="N", help=rdoq_help)
    _add_raw(sub)

    sub = add("decode", _decode, "turn a .pvc stream back into a clip", DECODE_HELP)
    sub.add_argument("input", metavar="FILE.pvc", help="the stream, or - (a pipe)")
    out_help = "file.mkv, .mp4, .y4m, a folder for PNG, or - for y4m into a pipe"
    sub.add_argument("-o", "--output", required=True, metavar="OUT", help=out_help)
    sub.add_argument(
        "--from", type=arguments.number, default=0, dest="start", metavar="FRAME", help="first frame, from 0"
    )
    sub.add_argument("--frames", type=arguments.count, metavar="N", help="only N frames")
    sub.add_argument(
        "--conceal", action="store_true", help="go on after damage with the last frame repeated; exits with 1 then"
    )
    limit_help = "largest width x height that is taken (35651584, that is 8192x4352)"
    sub.add_argument("--max-pixels", type=arguments.count, metavar="N", help=limit_help)
    sub.add_argument("--model", metavar="NAME", help="a checkpoint's name or path; else the one the stream names")
    sub.add_argument("--device", help="cpu or cuda (default: cuda where there is one)")

    sub = add("importance", _importance, "find what matters in a clip, as a map for the codecs", IMPORTANCE_HELP)
    sub.add_argument("input", metavar="CLIP", help="any readable clip, or a folder of frames")
    sub.add_argument("-o", "--output", required=True, metavar="MAP", help="file.mkv (lossless grey), or a PNG folder")
    sub.add_argument("--source", action="append", metavar="NAME", help="where it comes from (spectral); may repeat")
    sub.add_argument(
        "--set", nargs="+", action="extend", metavar="KEY=VALUE", help="settings of configs/importance/NAME.yaml"
    )
    sub.add_argument("--combine", choices=("max", "mean"), default="max", help="of several sources (max)")
    sub.add_argument("--threshold", type=float, metavar="Q", help="1 from this importance on, else 0; the first step")
    sub.add_argument("--dilate", type=arguments.count, metavar="N", help="then add a margin of N pixels")
    sub.add_argument("--smooth", type=float, metavar="D", help="then keep the share D of the past, 0 to 1")
    sub.add_argument("--mean", type=float, metavar="Q", help="then shift each map to this mean, 0 to 1")
    sub.add_argument("--overlay", metavar="FILE", help="also the map over the clip: video, or .png of some frames")
    sub.add_argument("--frames", type=arguments.count, metavar="N", help="only the first N frames")
    sub.add_argument("--weights-dir", metavar="DIR", help="folder with weights, searched before $PVC_WEIGHTS")
    sub.add_argument("--device", help="cpu or cuda, for networks (default: cuda where there is one)")
    _add_raw(sub)

    sub = add("blur", _blur, "blur a clip where it matters less, before coding it", BLUR_HELP)
    sub.add_argument("input", metavar="IN", help="any readable clip, or a folder of frames")
    sub.add_argument(
        "-o", "--output", required=True, metavar="OUT", help="file.mkv (lossless), .mp4, .y4m, or a folder"
    )
    whence = sub.add_mutually_exclusive_group(required=True)
    whence.add_argument(
        "--importance", metavar="MAP", help="clip or folder with the importance map, of the clip's size"
    )
    whence.add_argument("--source", metavar="NAME", help="an importance source, such as spectral")
    sub.add_argument(
        "--strength",
        default="strong",
        metavar="NAME",
        help="strong (Gaussians up to --sigma), or paper, weak, contrast (3x3, Alizada 2022) (strong)",
    )
    sub.add_argument("--sigma", type=float, metavar="S", help="pixels at importance 0, for strong (8)")
    sub.add_argument(
        "--alpha", type=float, default=60.0, metavar="A", help="1 (no difference) to 60 (the map itself) (60)"
    )
    sub.add_argument("--frames", type=arguments.count, metavar="N", help="only the first N frames")
    sub.add_argument("--device", help="cpu or cuda, for --source (default: cuda where there is one)")
    sub.add_argument("--weights-dir", metavar="DIR", help="folder with weights, for --source")
    _add_raw(sub)

    sub = add("info", _info, "say what a .pvc stream or a clip holds")
    sub.add_argument("input", metavar="FILE", help="a .pvc stream (- for a pipe), or any readable clip")
    sub.add_argument("--json", action="store_true", help="as JSON")

    sub = add("table", _table, "put finished evaluations, and published curves, into one set of tables", TABLE_HELP)
    sub.add_argument("run_dirs", nargs="*", metavar="RUN_DIR", help="folders with results.jsonl, or of such folders")
    sub.add_argument("--anchor", action="append", metavar="CODEC", help="codec to compare with, may repeat (x265)")
    sub.add_argument("--baseline", metavar="CODEC", help="codec of the trade-off plot (the first anchor)")
    sub.add_argument("--published", action="append", metavar="FILE", help="published curves as JSON, may repeat")
    sub.add_argument("--out", metavar="DIR", help="also write tables, plots and report.html there")
    sub.add_argument("--crops", metavar="METRIC", help="with --out: crops where the gain in lpips, ssim, ... is most")
    sub.add_argument("--method", choices=("pchip", "akima"), default="pchip", help="interpolation (pchip)")
    sub.add_argument("--min-overlap", type=float, default=0.5, metavar="F", help="smallest overlap of curves (0.5)")

    sub = add(
        "annotate",
        cli_web.annotate,
        "let people paint what matters, and see it coded again at once",
        cli_web.ANNOTATE_HELP,
    )
    cli_web.add_annotate(sub)

    sub = add(
        "study", cli_web.study, "ask people which of two encodes looks better, and how sure that is", cli_web.STUDY_HELP
    )
    cli_web.add_study(sub)

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
