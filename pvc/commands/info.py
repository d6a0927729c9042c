"""``pvc info``: what a stream or a clip says of itself."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pvc.commands.files import read_stream
from pvc.entropy import container
from pvc.video import probe


def info(source: str, *, as_json: bool = False) -> None:
    """Print the header of a ``.pvc`` stream, or what a clip says of itself."""
    if Path(source).suffix.lower() == ".pvc":
        data = read_stream(source)
        found: dict[str, Any] = {"file": source, "bytes": len(data), **container.read_header(data)}
    else:
        found = {"file": source, **asdict(probe(source))}
    if as_json:
        print(json.dumps(found, default=str))
    else:
        width = max(map(len, found))
        for key, value in found.items():
            print(f"{key:<{width}}  {value}")
