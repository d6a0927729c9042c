"""The options of ``pvc encode`` that set the rate or the quality of a model."""

import argparse
import sys

from pvc.codecs.cpvc import CpvcCodec
from pvc.codecs.neural import NeuralCodec
from pvc.codecs.rate_control import Control
from pvc.commands.files import is_pipe
from pvc.errors import ConfigError
from pvc.importance import ALPHA_MAX

PAPER_ALPHA = 26.5
"""u_alpha = 0.2, the operating point that the spatial-control paper's figure 3 shows."""


def check_options(args: argparse.Namespace) -> None:
    """Options that contradict each other, or need another one, are refused. Raises ``ConfigError``."""
    given = {"--beta": args.beta, "--bitrate": args.bitrate, "--psnr": args.psnr, "--roi-psnr": args.roi_psnr}
    given = [name for name, value in given.items() if value is not None]
    if args.codec:
        own = [name for name in given if name in ("--psnr", "--roi-psnr")]
        more = {"--iframe-alpha": args.iframe_alpha, "--iframe-beta": args.iframe_beta, "--passes": args.passes}
        own += [name for name, value in more.items() if value is not None]
        if own:
            raise ConfigError(f"{own[0]} needs --model; {args.codec} has no such control")
        return
    if len(given) > 1 and given != ["--bitrate", "--roi-psnr"]:
        raise ConfigError(f"{given[0]} and {given[1]} both set the rate; give one of them")
    if args.iframe_beta is not None and any(name != "--beta" for name in given):
        raise ConfigError(f"--iframe-beta is a share of --beta, and {given[-1]} sets the rate; leave it out")
    if args.importance is None:
        for name, value in (("--roi-psnr", args.roi_psnr), ("--iframe-alpha", args.iframe_alpha)):
            if value is not None:
                raise ConfigError(f"{name} is about the region of interest: it needs --importance MAP")
    if args.alpha == 1:
        for name, value in (("--roi-psnr", args.roi_psnr), ("--iframe-alpha", args.iframe_alpha)):
            if value is not None:
                raise ConfigError(f"{name} needs an --alpha above 1, where the region of interest weighs more")
    if args.passes == 2 and "--bitrate" not in given:
        raise ConfigError("--passes 2 spreads the bits of --bitrate; without it one pass is all there is")
    if args.passes == 2 and is_pipe(args.input):
        raise ConfigError("--passes 2 reads the clip twice and a pipe can be read once; give a file, or one pass")


def default_alpha(args: argparse.Namespace) -> float:
    """alpha where a map is given but no --alpha: with a floor and a bitrate it is the largest one that is used."""
    return ALPHA_MAX if args.roi_psnr is not None and args.bitrate is not None else PAPER_ALPHA


def point(args: argparse.Namespace, codec: NeuralCodec) -> dict[str, float]:
    """The operating point, but for alpha. Raises ``ConfigError`` if none was given to a model of several rates."""
    if args.qp is not None:
        raise ConfigError(f"--qp is that of a base layer, and {codec.name} has none; give --beta")
    asked = {key: getattr(args, key) for key in ("bitrate", "psnr", "roi_psnr", "iframe_alpha", "iframe_beta")}
    asked = {key: value for key, value in asked.items() if value is not None}
    if not asked.keys() - {"iframe_alpha", "iframe_beta"}:
        if args.beta is None and (codec.betas is None or len(codec.betas) > 1):
            either = ", or --bitrate, such as --bitrate 300" if codec.betas is None else ""
            raise ConfigError(f"--model {args.model} codes at several rates; give --beta, such as --beta 1e-3{either}")
        asked["beta"] = codec.betas[0] if args.beta is None else args.beta
    return asked


def base_point(args: argparse.Namespace, codec: CpvcCodec) -> dict[str, float]:
    """The operating point of a model with a base layer. Raises ``ConfigError`` for what does not set its rate."""
    for name in ("beta", "bitrate", "psnr", "roi_psnr", "iframe_alpha", "iframe_beta"):
        if getattr(args, name) is not None:
            option = "--" + name.replace("_", "-")
            raise ConfigError(f"{option} does not set the rate of {codec.name}; its base layer's --qp does")
    if args.qp is None and len(codec.qps) > 1:
        have = ", ".join(map(str, codec.qps))
        raise ConfigError(f"--model {args.model} codes over several base QPs; give --qp, one of {have}")
    return codec.points({"qp": codec.qps[0] if args.qp is None else args.qp})[0]


def say(target: str, control: Control) -> None:
    """What came of what was asked, to standard error."""
    for line in control.report():
        print(f"pvc: {line}" if line.startswith("warning:") else f"{target}: {line}", file=sys.stderr)
