"""``pvc decode``: a ``.pvc`` stream back into a clip."""

from fractions import Fraction

from pvc.commands.files import load_model, read_stream
from pvc.console import progress
from pvc.entropy import container
from pvc.errors import CheckpointError
from pvc.video import VideoWriter


def decode(source: str, target: str, model: str | None = None, device: str | None = None) -> None:
    """Decode the ``.pvc`` stream ``source`` into the clip ``target`` (.mkv, .mp4, .y4m or a folder of PNG).

    Raises:
        BitstreamError: the stream is damaged or cut; ``target`` is left as it was.
        CheckpointError: the model that wrote the stream is not here.
    """
    data = read_stream(source)
    header = container.read_header(data)
    try:
        codec = load_model(model or header["model"], device=device)
    except CheckpointError as error:
        if model is not None:
            raise
        raise CheckpointError(f"{source} names its model, but {error} with --model") from None
    size = {"width": header["width"], "height": header["height"]}
    with VideoWriter(target, **size, fps=Fraction(header["fps"])) as writer, progress() as bars:
        for frame in bars.track(codec.decode_frames(data), total=header["frames"], description=codec.name):
            writer.write(frame)
