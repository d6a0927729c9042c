"""FFmpeg's command line for an encoder: run as it is for VVenC, and on record for the encoders that PyAV runs."""

from collections.abc import Mapping


def encoder_arguments(
    encoder: str,
    options: Mapping[str, str],
    form: str,
    *,
    pix_fmt: str,
    size: str = "{WIDTH}x{HEIGHT}",
    fps: str = "{FPS}",
    colorspace: str = "{MATRIX}",
    full_range: bool = False,
    bitstream_filter: str | None = None,
    file: str = "stream",
) -> list[str]:
    """Arguments behind ``ffmpeg`` for raw frames on its standard input and an elementary stream ``file``.

    Args:
        encoder: FFmpeg's name of it.
        options: The encoder's, by their names without the dash.
        form: FFmpeg's name of the stream's format.
        pix_fmt: Of the frames.
        size, fps, colorspace: Of the frames: ``WxH``, frames a second, FFmpeg's name of the colour matrix. Placeholders
            stand for them in a record, which is of any frames.
        full_range: Whether luma spans all values.
        bitstream_filter: What the stream passes through.
    """
    tags = f"range={'pc' if full_range else 'tv'}:colorspace={colorspace}"
    source = f"-f rawvideo -pix_fmt {pix_fmt} -video_size {size} -framerate {fps} -i pipe:0 -vf setparams={tags}"
    chosen = [part for key, value in options.items() for part in (f"-{key}", value)]
    through = ["-bsf:v", bitstream_filter] if bitstream_filter else []
    return ["-hide_banner", "-loglevel", "error", *source.split(), "-c:v", encoder, *chosen, *through, "-f", form, file]
