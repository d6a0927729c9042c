"""A pack gives the samples of the data set it was made of, from a folder or a server, and reads only what they need."""

import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from PIL import Image

from pvc.data import CropDataset, sequences
from pvc.data.shard_store import INDEX, Pack
from pvc.data.shards import Shards
from pvc.errors import DataError
from tests.data.packing import data_config, packed


@pytest.fixture
def vimeo_pack(vimeo_folder, tmp_path) -> Path:
    return packed("vimeo90k", tmp_path / "pack", f"data.root={vimeo_folder}", "shard_mb=0.15")


@pytest.fixture
def folders(clip_folder, vimeo_folder, davis_folder) -> dict[str, Path]:
    return {"clips": clip_folder, "vimeo90k": vimeo_folder, "davis": davis_folder}


def equal(a: dict, b: dict) -> bool:
    return all(torch.equal(a[key], b[key]) for key in ("frames", "roi"))


@pytest.mark.parametrize("coding", ["png", "raw"])
@pytest.mark.parametrize("data", ["vimeo90k", "clips", "davis", "synthetic"])
def test_samples_are_those_of_the_packed_data_set(data, coding, folders, tmp_path):
    asked = {
        "clips": [f"data.source.cache={tmp_path}", "data.source.val=1"],
        "synthetic": ["data.source.size=[48,64]", "data.source.train_scenes=2", "data.source.frames=5"],
    }.get(data, [])
    asked += [f"data.root={folders[data]}"] if data in folders else []
    out = packed(data, tmp_path / "pack", f"frames={coding}", "splits=[train,val,eval]", *asked)
    original, pack = data_config(data, *asked), data_config("shards", f"data.root={out}")
    for split in ("train", "val", "eval"):
        one, other = sequences(original, split), sequences(pack, split)
        facts = [[(s.dataset, s.name, s.frames, s.height, s.width, s.fps, s.has_mask) for s in x] for x in (one, other)]
        assert facts[0] == facts[1]
        for how in ({"roi": "mixed", "stride": (1, 2), "frames": 2}, {"crop": 64, "seed": 5}):
            a, b = (CropDataset(s, **{"crop": 32, **how}) for s in (one, other))
            assert all(equal(a[i], b[i]) for i in range(6))


def test_a_mask_of_any_precision_is_kept(clip_folder, tmp_path):
    levels = np.arange(48 * 64, dtype=np.uint16).reshape(48, 64) * 21
    for t in range(6):
        (clip_folder / "f.mask").mkdir(exist_ok=True)
        Image.fromarray(levels + t).save(clip_folder / "f.mask" / f"{t}.png")
    asked = [f"data.root={clip_folder}", "data.source.cache=null", "data.source.only=[f]"]
    out = packed("clips", tmp_path / "pack", *asked, "splits=[eval]")
    one, other = (sequences(data_config(*c))[0] for c in (("clips", *asked), ("shards", f"data.root={out}")))
    assert torch.equal(one.read_mask(), other.read_mask())
    assert len(other.read_mask().unique()) > 256


def test_a_sample_is_the_same_for_any_number_of_workers_and_after_a_resume(vimeo_pack, vimeo_folder):
    def batches(data: str, root: Path, workers: int, seen: int = 0) -> list[dict]:
        sizes = ["data.crop=32", "data.batch_size=3", "data.samples_per_epoch=24"]
        module = instantiate(data_config(data, f"data.root={root}", f"data.workers={workers}", *sizes))
        module.setup()
        module.load_state_dict({**module.state_dict(), "samples_seen": seen})
        return list(islice(module.train_dataloader(), 4))

    expected = batches("vimeo90k", vimeo_folder, workers=0)
    assert all(equal(a, b) for a, b in zip(expected, batches("shards", vimeo_pack, workers=2), strict=True))
    resumed = batches("shards", vimeo_pack, workers=0, seen=6)
    assert all(equal(a, b) for a, b in zip(expected[2:], resumed[:2], strict=True))


def test_any_reader_of_webdataset_reads_a_pack(vimeo_pack, vimeo_folder):
    webdataset = pytest.importorskip("webdataset")
    shards = sorted(map(str, vimeo_pack.glob("*.tar")))
    samples = list(webdataset.WebDataset(shards, shardshuffle=False))
    assert len(shards) > 2 and [s["__key__"] for s in samples] == [f"{n:06d}" for n in range(6)]
    with Image.open(vimeo_folder / "sequences/00001/0002/im3.png") as image:
        assert np.array_equal(np.array(image), np.array(Image.open(io.BytesIO(samples[1]["00002.png"]))))


# -- from a server -----------------------------------------------------------------------------------------------------


@pytest.fixture
def served(vimeo_pack) -> Iterator[tuple[str, list[tuple[str, int]]]]:
    """The pack at an address; and what was asked for, with the bytes that went out."""
    asked: list[tuple[str, int]] = []

    class Files(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            file = vimeo_pack / self.path.lstrip("/")
            if not file.is_file():
                return self.send_error(404)
            data, status = file.read_bytes(), 200
            if part := self.headers.get("Range"):
                start, end = part.removeprefix("bytes=").split("-")
                data, status = data[int(start) : int(end) + 1], 206
            asked.append((file.name, len(data)))
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Files)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()
    thread.join(30)


def test_a_pack_on_a_server_sends_three_frames_for_a_sample(served, vimeo_folder):
    address, asked = served
    original = CropDataset(sequences(data_config("vimeo90k", f"data.root={vimeo_folder}"), "train"), crop=32)
    remote = CropDataset(Shards(address).train(), crop=32)
    assert [name for name, _ in asked] == [INDEX]
    one = 3 * 48 * 64  # bytes of a frame of noise, which no PNG makes smaller
    for i in range(6):
        asked.clear()
        assert equal(remote[i], original[i])
        assert len(asked) == 1 and asked[0][1] < 3.5 * one
    apart = {"crop": 32, "stride": (3, 3), "reverse": 0.0}
    asked.clear()
    assert equal(CropDataset(remote.sequences, **apart)[0], CropDataset(original.sequences, **apart)[0])
    assert sum(size for _, size in asked) < 3.5 * one


def test_workers_that_were_forked_read_from_a_server(served, vimeo_pack):
    batches = []
    for root in (served[0], vimeo_pack):
        asked = [f"data.root={root}", "data.crop=32", "data.batch_size=2", "data.workers=2"]
        module = instantiate(data_config("shards", *asked, "data.samples_per_epoch=12"))
        module.setup()
        module.train_set[0]  # a connection of the parent, of which nothing may come over
        batches.append(list(module.train_dataloader()))
    assert len(batches[0]) == 6 and all(equal(a, b) for a, b in zip(*batches, strict=True))


def test_workers_copy_each_shard_once_where_that_is_asked_for(served, vimeo_pack, tmp_path):
    batches = []
    for root in (served[0], vimeo_pack):
        asked = [f"data.root={root}", f"data.source.copy={tmp_path / 'copy'}", "data.crop=32", "data.batch_size=2"]
        module = instantiate(data_config("shards", *asked, "data.workers=2", "data.samples_per_epoch=24"))
        module.setup()
        batches.append(list(module.train_dataloader()))
    assert all(equal(a, b) for a, b in zip(*batches, strict=True))
    sent = sorted(name for name, _ in served[1] if name != INDEX)
    assert sent == sorted({*sent}) and len(sent) > 1
    copies = {file.name: file.read_bytes() for file in (tmp_path / "copy").rglob("*.tar")}
    assert copies == {name: (vimeo_pack / name).read_bytes() for name in sent}
    with pytest.raises(DataError, match=r"data\.source\.copy=DIR"):
        Pack(f"simplecache::{served[0]}")


# -- what cannot be read -----------------------------------------------------------------------------------------------


def test_damage_names_the_shard_and_the_clip(vimeo_pack):
    one = Shards(vimeo_pack).train()[1]
    shard = vimeo_pack / f"shard-{one.clip.shard:05d}.tar"
    (start, end), data = one.clip.places(range(2, 3))[0], bytearray(shard.read_bytes())
    data[(start + end) // 2] ^= 255
    shard.write_bytes(data)
    assert one.read(0, 2).shape[0] == 2
    with pytest.raises(DataError, match=rf"{shard.name}: frame 2 of 00001/0002 is damaged; .* verify=true"):
        Shards(vimeo_pack).train()[1].read()
    shard.write_bytes(data[:start])
    with pytest.raises(DataError, match=f"{shard.name} is cut short"):
        Shards(vimeo_pack).train()[1].read()
    shard.unlink()
    with pytest.raises(DataError, match=f"{shard.name}: cannot be read"):
        Shards(vimeo_pack).train()[1].read()


def test_what_is_no_finished_pack_is_one_clear_error(vimeo_pack, tmp_path):
    with pytest.raises(DataError, match=r"packed without eval, only with train, val; .* splits=\[eval\]"):
        Shards(vimeo_pack).eval()
    index = json.loads((vimeo_pack / INDEX).read_text())
    (vimeo_pack / INDEX).write_text(json.dumps({**index, "version": 9}))
    with pytest.raises(DataError, match="of version 9"):
        Pack(str(vimeo_pack))
    (vimeo_pack / INDEX).unlink()
    with pytest.raises(DataError, match="holds no finished pack"):
        Pack(str(vimeo_pack))
    for address in ("nothing://bucket/pack", "http://127.0.0.1:1/pack"):
        with pytest.raises(DataError, match=address):
            Pack(address)
