"""What the entropy coder promises: the symbols come back, in the bits that their tables ask for, or an error does."""

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from pvc.entropy.coder import Reader, Writer
from pvc.entropy.conditional import SCALE_TABLE, SYMBOL_LIMIT
from pvc.entropy.hyperprior import FactorizedPrior
from pvc.entropy.laplace import LaplaceConditional
from pvc.entropy.tables import Tables, tables_of
from pvc.errors import BitstreamError, CheckpointError

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def model() -> LaplaceConditional:
    model = LaplaceConditional(None)
    model.update_scale_table(SCALE_TABLE)
    return model


@pytest.fixture(scope="module")
def tables(model) -> Tables:
    return tables_of(model)


def sample(count: int, low: int = 0, high: int = 63, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Laplace symbols and their tables, levels ``low`` to ``high``, int16 [count]."""
    rng = np.random.default_rng(seed)
    indexes = rng.integers(low, high + 1, count)
    symbols = np.rint(rng.laplace(0, np.array(SCALE_TABLE)[indexes] / 2**0.5))
    return torch.from_numpy(symbols).short(), torch.from_numpy(indexes).short()


def write(*parts: tuple[Tensor, Tensor, Tables]) -> bytes:
    writer = Writer()
    for part in parts:
        writer.put(*part)
    return writer.finish()


def ideal_bits(symbols: Tensor, indexes: Tensor, model: LaplaceConditional) -> float:
    """What the stored tables say; all symbols must be inside them."""
    k = symbols.long() - model.offset[indexes.long()]
    assert (k >= 0).all() and (k < model.cdf_length[indexes.long()] - 2).all()
    rows = model.quantized_cdf[indexes.long()]
    return -torch.log2(rows.diff(dim=1).gather(1, k[:, None]).double() / 2**16).sum().item()


def test_symbols_come_back_in_order_and_shape(tables):
    parts = [sample(n, seed=n) for n in (1, 300, 7, 5000)]
    parts[1] = tuple(x.view(1, 3, 10, 10) for x in parts[1])
    reader = Reader(write(*((s, i, tables) for s, i in parts)))
    for symbols, indexes in parts:
        got = reader.get(indexes, tables)
        assert got.dtype == torch.int16 and torch.equal(got, symbols)
    reader.finish()


@pytest.mark.parametrize("low, high", [(0, 3), (0, 63), (40, 63)])
def test_a_stream_is_as_short_as_its_tables_allow(tables, model, low, high):
    symbols, indexes = sample(20_000, low, high)
    edge = -model.offset[indexes.long()]
    symbols = symbols.clamp(-edge, edge).short()
    real, ideal = 8 * len(write((symbols, indexes, tables))), ideal_bits(symbols, indexes, model)
    assert ideal - 1 < real < 1.0002 * ideal + 24


def test_frames_of_a_few_symbols_cost_a_few_bytes(tables):
    zeros, indexes = torch.zeros(100_000), torch.zeros(100_000)
    assert write((zeros, indexes, tables)) == b"" == write()
    zeros[70_000] = 1  # costs 10.3 bits, and the zeros behind it another 160
    data = write((zeros, indexes, tables))
    assert len(data) <= 24
    reader = Reader(data)
    assert torch.equal(reader.get(indexes, tables), zeros.short())
    reader.finish()


def test_symbols_beyond_their_table_come_back_too(tables):
    far = [-SYMBOL_LIMIT, SYMBOL_LIMIT, -2, 2, -3, 3, 40, -1000]
    symbols = torch.tensor(far).repeat(64)
    indexes = torch.arange(64).repeat_interleave(len(far))
    data = write((symbols, indexes, tables))
    reader = Reader(data)
    assert torch.equal(reader.get(indexes, tables).long(), symbols)
    reader.finish()
    assert len(write((torch.tensor([2] * 100), torch.zeros(100), tables))) <= 100 * 20 / 8 + 3


def test_a_negative_index_is_a_zero_that_costs_nothing(tables):
    symbols, indexes = sample(3000)
    skip = torch.rand(3000) < 0.5
    alone = write((symbols[~skip], indexes[~skip], tables))
    data = write((symbols, indexes.masked_fill(skip, -1), tables))
    assert data == alone
    assert torch.equal(Reader(data).get(indexes.masked_fill(skip, -1), tables), symbols.masked_fill(skip, 0))


def test_the_bytes_are_those_of_the_format():
    """A stream must stay readable: if this fails, the format has changed and needs a new version number."""
    cumulative = np.array([[0, 3, 65000, 65535, 65536, 0], [0, 9000, 30000, 50000, 65000, 65536]])
    tables = Tables(cumulative, np.array([5, 6]), np.array([-1, -2]))
    symbols = torch.tensor([0, 1, -1, 5, -300, 0, 0, 2, 1, -2, 1, 0])
    indexes = torch.tensor([0, 0, 0, 0, 1, -1, 1, 1, 1, 1, 1, 0])
    data = write((symbols, indexes, tables))
    assert data.hex() == "5aa5ad4e01fdfffffff2da4905"
    assert torch.equal(Reader(data).get(indexes, tables).long(), symbols)


def test_damage_is_found_and_never_worse_than_an_error(tables):
    """Flipped, cut, lengthened and made-up streams: an error, or (one in 2^16) symbols, in bounded time."""
    symbols, indexes = sample(2000, 0, 20)
    data = write((symbols, indexes, tables))
    rng = np.random.default_rng(5)
    streams = [data[:n] for n in range(0, len(data), 7)] + [data + bytes(n) for n in (1, 2, 7)]
    for _ in range(300):
        flipped = bytearray(data)
        flipped[rng.integers(len(data))] ^= 1 << rng.integers(8)
        streams.append(bytes(flipped))
        streams.append(rng.bytes(rng.integers(3000)))
    missed = 0
    for stream in streams:
        reader = Reader(stream)
        got = reader.get(indexes, tables)
        assert got.shape == indexes.shape
        try:
            reader.finish()
            missed += 1
        except BitstreamError:
            pass
    assert missed <= 1


def test_reading_with_other_tables_is_noticed(tables):
    symbols, indexes = sample(500, 5, 20)
    data = write((symbols, indexes, tables))
    for wrong in (indexes[:400], indexes + 1, indexes.flip(0)):
        reader = Reader(data)
        reader.get(wrong, tables)
        with pytest.raises(BitstreamError, match="damaged"):
            reader.finish()


def test_a_table_that_does_not_exist_is_refused(tables):
    with pytest.raises(ValueError, match="64"):
        Reader(b"").get(torch.tensor([64]), tables)
    with pytest.raises(ValueError, match="64"):
        write((torch.tensor([0]), torch.tensor([64]), tables))


def test_frames_can_be_coded_in_threads(tables):
    parts = [sample(50_000, seed=n) for n in range(8)]
    alone = [write((s, i, tables)) for s, i in parts]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda part: write((*part, tables)), parts)) == alone
        decoded = pool.map(lambda data, part: Reader(data).get(part[1], tables), alone, parts)
        assert all(torch.equal(got, part[0]) for got, part in zip(decoded, parts))


def test_tables_follow_their_model():
    torch.manual_seed(0)
    model = FactorizedPrior(4)
    with pytest.raises(CheckpointError, match="update"):
        tables_of(model)
    model.update(update_quantiles=True)
    first = tables_of(model)
    assert tables_of(model) is first
    with torch.no_grad():
        model.quantiles[:, 0, 2] += 5
    model.update(force=True)
    assert tables_of(model) is not first
    state = {k: v.clone() for k, v in model.state_dict().items()}
    second = tables_of(model)
    model.load_state_dict(state)
    assert tables_of(model) is not second


@pytest.mark.parametrize(
    "cumulative, length, offset",
    [
        ([0, 5, 5, 65536], 4, -1),
        ([0, 5, 9, 65535], 4, -1),
        ([1, 5, 9, 65536], 4, -1),
        ([0, 5, 9, 65536], 5, -1),
        ([0, 5, 9, 65536], 4, 1),
        ([0, 5, 9, 65536], 4, -2),
    ],
)
def test_damaged_tables_are_refused(cumulative, length, offset):
    with pytest.raises(CheckpointError, match="tables"):
        Tables(np.array([cumulative]), np.array([length]), np.array([offset]))


def encode_in_a_new_process(folder: Path, **environment: str) -> str:
    """What a copy of the compiled loops in ``folder`` makes of one symbol, in a process of its own."""
    shutil.copy(ROOT / "pvc/entropy/rans.py", folder / "loops.py")
    script = (
        "import loops, numpy as np; one = np.ones(1, np.int16); row = lambda *x: np.array(x, np.int32); "
        "print(loops.encode(0, 3, np.zeros(3, np.uint16), one, one * 0, row(0), row(3), row(0), "
        "row(0, 60000, 65535), row(60000, 5535, 1)))"
    )
    command = [sys.executable, "-c", script]
    run = subprocess.run(command, cwd=folder, env=os.environ | environment, capture_output=True, text=True, check=True)
    return run.stdout.strip()


@pytest.mark.slow
def test_it_works_where_nothing_can_be_cached_and_where_the_cache_is_damaged(tmp_path):
    closed, open_ = tmp_path / "closed", tmp_path / "open"
    closed.mkdir(), open_.mkdir()
    (closed / "__pycache__").write_text("not a folder")
    nowhere = {k: str(closed / "__pycache__") for k in ("NUMBA_CACHE_DIR", "HOME", "XDG_CACHE_HOME")}
    assert encode_in_a_new_process(closed, **nowhere) == "(60000, 3)"
    assert encode_in_a_new_process(open_) == "(60000, 3)"
    damaged = [*open_.glob("__pycache__/*.nbi"), *open_.glob("__pycache__/*.nbc")]
    assert len(damaged) == 4
    for file in damaged:
        file.write_bytes(file.read_bytes()[:100])
    assert encode_in_a_new_process(open_) == "(60000, 3)"


def test_the_command_starts_without_the_compiler():
    """Neither the command's help nor the coder itself load numba's loops; the first symbol does."""
    script = "import sys, pvc.cli, pvc.entropy.coder; print('pvc.entropy.rans' in sys.modules)"
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert run.stdout.strip() == "False", run.stderr
