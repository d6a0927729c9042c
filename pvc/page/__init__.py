"""Pages that are one file and need nothing else: styles, scripts, pictures and numbers are inside.

``base.css`` is the look that they share, ``svg.js`` draws axes and markers, ``rd_chart.js`` rate-distortion curves that
answer the mouse.
"""

import base64
import io
import os
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from pvc import __version__

_SHARED = {"base.css", "svg.js", "rd_chart.js"}


def render(package: str, template: str, *, styles: Sequence[str], scripts: Sequence[str], **values: Any) -> str:
    """The page that ``template`` of ``package`` makes of ``values``, with ``version``, ``style`` and ``script``.

    Args:
        styles, scripts: Names of files, in this order: those of this package, others of ``package``.
    """
    environment = Environment(
        loader=PackageLoader(package, "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {}  # not sorted: the order of metrics is that of the tables
    style, script = (
        Markup("\n".join(resources.files(__name__ if n in _SHARED else package).joinpath(n).read_text() for n in names))
        for names in (styles, scripts)
    )
    return environment.get_template(template).render(version=__version__, style=style, script=script, **values)


def write_whole(path: Path, text: str) -> None:
    """Put ``text`` in the place of ``path`` at once: whoever reads it sees the old file or the new one, whole.

    For a file that one process writes.
    """
    part = path.with_name(f".{path.name}.partial")
    try:
        part.write_text(text)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def data_url(image: Image.Image, form: str = "webp", **options: Any) -> str:
    """The picture as a URL that holds all of it; ``options`` are those of Pillow's writer of ``form``."""
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return f"data:image/{form};base64,{base64.b64encode(buffer.getvalue()).decode()}"
