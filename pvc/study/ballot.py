"""The answers of everybody, and whose count."""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import select

from pvc.study.plan import Pair, Study
from pvc.study.preference import Vote
from pvc.study.store import Participant, Trial
from pvc.web.database import Sessions


@dataclass(frozen=True)
class Ballot:
    """All that one participant was shown and answered.

    Attributes:
        trials: With the pair of each, in the order in which they were shown.
        excluded: The rule by which the answers do not count; None if they do.
    """

    participant: str
    worker: str | None
    code: str
    joined: float
    trials: tuple[tuple[Trial, Pair], ...]
    excluded: str | None

    @property
    def answered(self) -> list[tuple[Trial, Pair]]:
        """The trials with an answer."""
        return [(trial, pair) for trial, pair in self.trials if trial.choice is not None]

    @property
    def disqualified(self) -> bool:
        """Whether it was a sanity pair that excluded them."""
        return self.excluded is not None and self.excluded.startswith(SANITY)

    def votes(self) -> list[Vote]:
        """The answers to test pairs."""
        tests = [(trial, pair) for trial, pair in self.answered if pair.better is None]
        return [Vote(self.participant, pair.video, *preference(trial, pair)) for trial, pair in tests]


SANITY, UNFINISHED, SAME_SIDE, BY_HAND = "sanity pair wrong", "not finished", "always the same side", "by hand"


def preference(trial: Trial, pair: Pair) -> tuple[str, str]:
    """The codec that was preferred, and the other."""
    right = next(side.codec for side in pair.sides if side.codec != trial.left)
    return (trial.left, right) if trial.choice == "left" else (right, trial.left)


def load_ballots(study: Study, sessions: Sessions, by_hand: Iterable[str] = ()) -> list[Ballot]:
    """Everybody who joined, in order.

    Args:
        by_hand: Participants, by their id or their worker id, who are excluded for reasons of the experimenter.
    """
    with sessions() as session:
        query = select(Participant).where(Participant.study == study.id).order_by(Participant.joined, Participant.id)
        everyone = list(session.scalars(query))
    return [_ballot(study, one, {one.id, one.worker} & set(by_hand)) for one in everyone]


def _ballot(study: Study, participant: Participant, by_hand: set) -> Ballot:
    trials = tuple((trial, study.pair(trial.pair)) for trial in participant.trials)
    excluded = BY_HAND if by_hand else _rule(study, trials)
    return Ballot(participant.id, participant.worker, participant.code, participant.joined, trials, excluded)


def _rule(study: Study, trials: tuple[tuple[Trial, Pair], ...]) -> str | None:
    """The first rule that excludes somebody, with what broke it."""
    rules = study.rules
    answered = [(trial, pair) for trial, pair in trials if trial.choice is not None]
    wrong = [pair for trial, pair in answered if pair.better not in (None, preference(trial, pair)[0])]
    if len(wrong) > rules.sanity_errors:
        return f"{SANITY} ({', '.join(pair.video for pair in wrong)})"
    if len(answered) < len(trials) and rules.unfinished == "exclude":
        return f"{UNFINISHED} ({len(answered)} of {len(trials)} pairs)"
    choices = {trial.choice for trial, _ in answered}
    if rules.same_side is not None and len(answered) >= rules.same_side and len(choices) == 1:
        return f"{SAME_SIDE} ({choices.pop()}, {len(answered)} times)"
    return None
