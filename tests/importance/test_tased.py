"""TASED-Net: its authors' weights file fits, by names and numbers, and each frame is seen in their window."""

import pytest
import torch

from pvc.errors import MissingWeights
from pvc.importance.registry import load_source
from pvc.importance.tased_net import WINDOW, TasedNet

SMALL = {"height": 32, "width": 64}


def test_layers_are_called_as_in_the_authors_file():
    """Names and shapes as published; the file has 82 MB."""
    with torch.device("meta"):
        network = TasedNet()
    assert sum(p.numel() for p in network.parameters()) == 21_260_693
    state = network.state_dict()
    for name, shape in {
        "base1.0.conv_s.weight": (64, 3, 1, 7, 7),
        "base1.0.conv_t.weight": (64, 64, 7, 1, 1),
        "base1.2.conv.weight": (64, 64, 1, 1, 1),
        "base1.3.bn_t.running_mean": (192,),
        "base2.0.branch0.0.conv.weight": (64, 192, 1, 1, 1),
        "base2.1.branch3.1.bn.weight": (64,),
        "base3.3.branch1.1.conv_s.weight": (288, 144, 1, 3, 3),
        "base3.4.branch2.1.conv_t.weight": (128, 128, 3, 1, 1),
        "base4.1.branch1.0.conv.weight": (192, 832, 1, 1, 1),
        "convtsp1.0.weight": (1024, 1024, 1, 1, 1),
        "convtsp1.3.weight": (1024, 832, 1, 3, 3),
        "convtsp2.1.running_var": (480,),
        "convtsp3.0.weight": (480, 192, 1, 3, 3),
        "convtsp4.0.weight": (192, 64, 1, 4, 4),
        "convtsp4.3.weight": (64, 64, 2, 1, 1),
        "convtsp4.6.weight": (64, 4, 1, 1, 1),
        "convtsp4.9.weight": (4, 4, 2, 1, 1),
        "convtsp4.12.weight": (4, 4, 1, 4, 4),
        "convtsp4.13.bias": (1,),
    }.items():
        assert tuple(state[name].shape) == shape, name
    assert len(state) == 513


@pytest.fixture
def windows(monkeypatch, stand_in):
    """Function: which frames the network is given for each frame of a clip of some frames, and how many were read."""

    def of(count):
        seen, read = [], []

        def network(x):
            assert x.shape == (1, 3, WINDOW, 32, 64)
            seen.append(((x[0, 0, :, 0, 0] * 255 + 255) / 2).round().int().tolist())
            return torch.full((1, 32, 64), 0.5)

        def feed():
            for t in range(count):
                read[:] = [t + 1]
                yield torch.full((3, 40, 50), t, dtype=torch.uint8)

        monkeypatch.setattr("pvc.importance.tased._load", lambda path, device: network)
        taken = [read[0] for _ in load_source("tased", **SMALL, weights=str(stand_in("tased"))).maps(feed())]
        return seen, taken

    return of


def test_a_frame_is_the_last_of_its_window_and_the_first_ones_look_backwards(windows):
    seen, taken = windows(80)
    assert len(seen) == 80
    assert seen[0] == list(range(31, -1, -1)) and seen[30] == list(range(61, 29, -1))
    assert seen[31] == list(range(32)) and seen[79] == list(range(48, 80))
    assert taken[:31] == list(range(32, 63)) and taken[31:62] == [62] * 31 and taken[62:] == list(range(63, 81))


def test_a_clip_that_ends_sooner_is_mirrored_at_its_end(windows):
    seen, _ = windows(20)
    assert len(seen) == 20
    assert seen[3] == [4, 3, 2, 1, 0, 1, 2, 3, 4, *range(5, 20), *range(18, 2, -1)][-WINDOW:]
    assert all(window[-1] == t for t, window in enumerate(seen))
    assert windows(1)[0] == [[0] * WINDOW]


def test_files_with_the_names_of_several_gpus_or_without_counters_are_read(stand_in, scene, tmp_path):
    state = torch.load(stand_in("tased"), weights_only=True)
    plain = {k: v for k, v in state.items() if "num_batches_tracked" not in k}
    torch.save({f"module.{k}": v for k, v in plain.items()}, tmp_path / "TASED_v2.pt")
    frames, _ = scene(2)
    ours, theirs = (
        list(load_source("tased", **SMALL, smooth=0, **where).maps(iter(frames)))
        for where in ({"weights": str(stand_in("tased"))}, {"weights_dir": str(tmp_path)})
    )
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert ours[0].max() > 0.9 and ours[0].std() > 0.01


def test_weights_of_another_network_are_refused_by_name(stand_in, scene):
    with pytest.raises(MissingWeights, match=r"u2netp\.pth is of another network"):
        next(load_source("tased", weights=str(stand_in("u2netp"))).maps(iter(scene(1)[0])))
