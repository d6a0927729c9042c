"""Which samples a process draws: of training a window over the endless row of numbers, of validation its share."""

from collections.abc import Callable, Iterator

from torch.utils.data.distributed import DistributedSampler


class GlobalIndexSampler(DistributedSampler):
    """Sample numbers of one epoch for one process, starting from the number of samples seen so far.

    Step b of all processes together takes ``world_size * batch_size`` numbers in a row, so what a training sees does
    not depend on how the epochs are cut. It derives from ``DistributedSampler`` for one reason: Lightning then
    knows that the processes are already told apart and leaves it alone.

    Args:
        samples_per_epoch: over all processes; rounded down to whole batches.
        batch_size: of one process.
        seen: gives the number of samples seen by all processes when an epoch begins.
        rank, world_size: this process among all.
    """

    def __init__(
        self, samples_per_epoch: int, batch_size: int, seen: Callable[[], int], rank: int = 0, world_size: int = 1
    ) -> None:
        super().__init__(range(samples_per_epoch), num_replicas=world_size, rank=rank, shuffle=False)
        self.batch_size, self.seen = batch_size, seen
        self.batches = max(1, samples_per_epoch // (batch_size * world_size))

    def __len__(self) -> int:
        return self.batches * self.batch_size

    def __iter__(self) -> Iterator[int]:
        first = self.seen() + self.rank * self.batch_size
        for b in range(self.batches):
            step = first + b * self.num_replicas * self.batch_size
            yield from range(step, step + self.batch_size)


class ShareSampler(DistributedSampler):
    """Every ``world_size``-th number from ``rank`` on, as many in each process: the last may lie beyond ``length``.

    ``DistributedSampler`` repeats the first samples instead, which nobody can tell from their first time.
    """

    def __init__(self, length: int, rank: int = 0, world_size: int = 1) -> None:
        super().__init__(range(length), num_replicas=world_size, rank=rank, shuffle=False)

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.rank, self.total_size, self.num_replicas))
