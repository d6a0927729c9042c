"""An encoder without a network: frames whose bits and PSNR follow random curves of beta, with scene cuts."""

import math

import numpy as np

from pvc.codecs.rate_control import Choice, Control, Trial
from pvc.codecs.rate_control.estimate import x_of

PIXELS = 456 * 256


class Clip:
    """``frames`` frames of random content; slopes, noise and what I- and P-frames cost differ with ``seed``."""

    def __init__(self, frames: int, seed: int, cuts: tuple[int, ...] = (), wander: float = 0.03):
        random = np.random.default_rng(seed)
        self.cuts, self.still_p = set(cuts), False
        self.slopes = random.uniform(0.33, 0.55), random.uniform(0.4, 0.6)
        self.jump = random.uniform(0, 0.35)
        self.levels = np.zeros((frames, 2))  # log bits of an I-frame and of a P-frame at beta = 1e-3
        level = None
        for t in range(frames):
            if level is None or t in self.cuts:
                intra = random.normal(-0.8, 0.3)
                level = np.array([intra, intra - random.uniform(0.5, 1.9)])
            level = level + random.normal(0, (0.01, wander))
            self.levels[t] = math.log(PIXELS) + level + random.normal(0, (0.01, 0.1))

    def code(self, t: int, choice: Choice, before: float | None) -> Trial:
        """Frame ``t`` by ``choice``; ``before`` is the x of the frame before."""
        x, u = x_of(choice.code), 1.0 if choice.u_alpha is None else choice.u_alpha
        whole, part = self.levels[t] - np.multiply(self.slopes, x) - 0.8 * (1 - u)
        y = whole if choice.key else part - self.jump * (x - before)
        if t in self.cuts and not choice.key:
            y = whole + 0.2  # nothing of the frame before helps, and it costs to say so
        quality = 29 + 2 * self.levels[t, 0] - 2 * math.log(PIXELS) - 1.7 * x
        return Trial(choice, max(160, round(math.exp(y))), quality)

    def rate(self, gop: int, fps: float, x: float) -> float:
        """Bits a second at one beta."""
        codes = [self.levels[t, min(1, t % gop)] - self.slopes[min(1, t % gop)] * x for t in range(len(self.levels))]
        return fps * float(np.exp(codes).mean())


def encode(control: Control, clip: Clip, known: bool = True) -> list[Trial]:
    """Code the clip as an encoder does: what stands of each frame. ``known``: the clip's length is."""
    control.overhead(400)
    frames, before = len(clip.levels), None
    probes = []
    for t, choice in enumerate(control.probe()[:frames]):
        probes.append(clip.code(t, choice, before))
        before = x_of(choice.code)
    control.learn(probes)
    stands, before = [], None
    for t in range(frames):
        left = frames - t
        trials: list[Trial] = []
        while not isinstance(
            verdict := control.choose(left if known or left <= control.look_ahead else None, trials), Trial
        ):
            assert len(trials) < 5, "it goes on trying"
            trials.append(clip.code(t, verdict, before))
        control.spent(verdict)
        before = x_of(verdict.choice.code)
        stands.append(verdict)
    return stands
