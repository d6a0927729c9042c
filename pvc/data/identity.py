"""Whether what was made of a clip was made of this very clip, and not of another under its name."""

import hashlib

from pvc.data.sequence import Sequence


def source_digest(sequence: Sequence, frames: int, mask: bool = False) -> str:
    """A hash over all of the first ``frames`` frames, or over their masks."""
    digest = hashlib.sha256()
    for part in sequence.stream_mask(frames) if mask else sequence.stream(frames):
        digest.update(part.contiguous().numpy())
    return f"{'masks' if mask else 'frames'}:{digest.hexdigest()[:16]}"


class Digests:
    """Digests of clips, each of which is read once."""

    def __init__(self) -> None:
        self._known: dict[tuple, str] = {}

    def of(self, sequence: Sequence, frames: int, mask: bool = False) -> str:
        """:func:`source_digest`."""
        key = sequence.dataset, sequence.name, frames, mask
        if key not in self._known:
            self._known[key] = source_digest(sequence, frames, mask)
        return self._known[key]

    def fit(self, known: str, sequence: Sequence, frames: int) -> bool:
        """Whether ``known``, the digest of the first ``frames`` frames or masks of some clip, is this one's.

        A digest without a word before it was written when only the first frame was looked at; it still counts.
        """
        if ":" not in known:
            return known == hashlib.sha256(sequence.read(0, 1).numpy().tobytes()).hexdigest()[:16]
        mask = known.startswith("masks:")
        if frames > sequence.frames or (mask and not sequence.has_mask):
            return False
        return known == self.of(sequence, frames, mask)
