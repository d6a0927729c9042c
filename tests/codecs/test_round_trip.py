"""Real clips through files and processes: what comes out is what the encoder had, byte for byte."""

import hashlib
import os
import subprocess
import sys
from fractions import Fraction
from itertools import islice
from pathlib import Path

import pytest
import torch

from pvc.codecs.neural import NeuralCodec
from pvc.importance import weighted_mask
from pvc.paths import find_checkpoints
from pvc.video import VideoReader

CLIPS = [
    "davis-lucia.mp4",
    "davis-breakdance-flare.mp4",
    "davis-drift-turn.mp4",
    "AdaCoF_sample_video-sample_video.mp4",
    "SOF-VSR-TIP-data-train-ntia_Aspen-hr.mp4",
]
FRAMES, GOP = 5, 3
DECODE = """
import hashlib, sys, torch
from pvc.codecs.neural import NeuralCodec
codec = NeuralCodec(sys.argv[1])
for path in sys.argv[2:]:
    with open(path, "rb") as file:
        print(*(hashlib.sha256(f.numpy().tobytes()).hexdigest() for f in codec.decode_frames(file.read())))
"""


@pytest.fixture(scope="module")
def coded(shared_clips, tmp_path_factory) -> tuple[list[str], list[list[str]]]:
    """Streams of the clips with a released model, and hashes of the frames that the encoder reconstructed."""
    folder, streams, hashes = tmp_path_factory.mktemp("coded"), [], []
    codec = NeuralCodec(find_checkpoints("mr-md-ssf-tiny"), gop=GOP)
    (model,) = codec._models.values()
    for clip in CLIPS:
        with VideoReader(shared_clips / "train" / clip) as reader:
            frames = list(islice(reader, FRAMES))
        size, seen = tuple(frames[0].shape[1:]), []
        height, width = size

        def watched(*args, encode=model.encode_frame, seen=seen, height=height, width=width, **more):
            data, past = encode(*args, **more)
            picture = (past.reference[0, :, :height, :width] * 255).round().to(torch.uint8)
            seen.append(hashlib.sha256(picture.contiguous().numpy().tobytes()).hexdigest())
            return data, past

        mask = torch.zeros(1, *size)
        mask[..., width // 3 : 2 * width // 3] = 1
        about = {"fps": Fraction(25), "count": FRAMES, "size": size}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(model, "encode_frame", watched)
            maps = (weighted_mask(mask, 0.2) for _ in frames)
            data = b"".join(codec.encode_frames(frames, {"beta": 1e-3}, maps, **about))
        path = folder / f"{clip}.pvc"
        path.write_bytes(data)
        streams.append(str(path))
        hashes.append(seen)
    return streams, hashes


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2])
def test_another_process_decodes_the_encoders_frames(coded, threads):
    streams, hashes = coded
    command = [sys.executable, "-c", DECODE, *map(str, find_checkpoints("mr-md-ssf-tiny")), *streams]
    env = os.environ | {"OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    assert [line.split() for line in done.stdout.splitlines()] == hashes
    assert all(len(seen) == FRAMES for seen in hashes)
