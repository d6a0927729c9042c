from functools import partial
from itertools import islice

import pytest
import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from pvc.data.clips import ClipFolder
from pvc.data.module import ClipDataModule
from pvc.data.sampler import GlobalIndexSampler


@pytest.fixture
def module(clip_folder, tmp_path):
    source = partial(ClipFolder, cache=tmp_path / "cache", val=["b", "f"])
    return lambda **kw: ClipDataModule(source, clip_folder, **{"batch_size": 2, "crop": 32, "workers": 0, **kw})


class Recorder(LightningModule):
    """A model that remembers what it was trained on."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen, self.validated = [], []

    def training_step(self, batch, _):
        self.seen.append((int(batch["frames"].long().sum()), float(batch["roi"].double().sum())))
        return self.weight.sum()

    def validation_step(self, batch, _):
        self.validated.append(batch["name"][0])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


def fit(data, folder, steps, resume=None):
    model = Recorder()
    trainer = Trainer(
        default_root_dir=folder, max_steps=steps, accelerator="cpu", logger=False, enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=1, log_every_n_steps=1,
        callbacks=[ModelCheckpoint(folder, filename="{step}", every_n_train_steps=1, save_top_k=-1)],
    )  # fmt: skip
    trainer.fit(model, data, ckpt_path=resume, weights_only=True)
    return model


def test_batches(module):
    data = module()
    data.setup()
    batch = next(iter(data.train_dataloader()))
    assert {k: (tuple(v.shape), v.dtype) for k, v in batch.items()} == {
        "frames": ((2, 3, 3, 32, 32), torch.uint8),
        "roi": ((2, 3, 1, 32, 32), torch.float32),
        "index": ((2,), torch.int64),
    }
    whole = list(data.val_dataloader())
    assert [b["name"] for b in whole] == [["b"], ["f"]] and whole[0]["fps"] == [25]
    assert whole[0]["frames"].shape == (1, 6, 3, 48, 64) and whole[0]["roi"].shape == (1, 6, 1, 48, 64)
    assert set(whole[0]) == {"frames", "roi", "name", "fps", "counted"} and whole[0]["counted"] == [True]


def test_validation_is_the_same_every_time_and_takes_the_true_mask(module):
    data = module(val_frames=2)
    data.setup()
    (b, f), again = data.val_dataloader(), list(data.val_dataloader())
    assert b["frames"].shape[1] == 2
    assert torch.equal(b["roi"][0], data.val_set.sequences[0].read_mask(0, 2))
    assert torch.equal(f["roi"], again[1]["roi"])


def test_samples_are_the_same_for_any_number_of_workers(module):
    runs = []
    for workers in (0, 1, 2):
        data = module(workers=workers)
        data.setup()
        runs.append([b for b in data.train_dataloader()])
    for run in runs[1:]:
        assert len(run) == len(runs[0])
        for a, b in zip(run, runs[0], strict=True):
            assert torch.equal(a["frames"], b["frames"]) and torch.equal(a["roi"], b["roi"])


def test_a_resumed_training_sees_what_an_unbroken_one_would_have_seen(module, tmp_path):
    """Epochs of 3 batches: stopped within one, at the end of one, and in the second."""
    unbroken = fit(module(samples_per_epoch=6), tmp_path / "a", 8)
    assert len(set(unbroken.seen)) == 8
    assert unbroken.validated[:3] == ["b", "b", "f"]
    for stop in (2, 3, 5):
        folder = tmp_path / str(stop)
        first = fit(module(samples_per_epoch=6), folder, stop)
        second = fit(module(samples_per_epoch=6), folder, 8, resume=folder / f"step={stop}.ckpt")
        assert first.seen + second.seen == unbroken.seen, stop


def test_processes_share_the_samples():
    alone = GlobalIndexSampler(24, 4, lambda: 8)
    both = [GlobalIndexSampler(24, 2, lambda: 8, rank, 2) for rank in (0, 1)]
    assert list(alone) == list(range(8, 32))
    batches = [list(islice(iter(s), 2)) for s in both]
    assert batches == [[8, 9], [10, 11]]
    assert sorted([*both[0], *both[1]]) == list(alone)


def test_an_epoch_that_is_smaller_than_a_batch_has_one_batch(module):
    data = module(batch_size=4, samples_per_epoch=1)
    data.setup()
    assert len(list(data.train_dataloader())) == 1
