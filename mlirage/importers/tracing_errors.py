"""Where in a model's own code a framework's tracing failed: what users need first, and tracebacks bury."""

from __future__ import annotations

import sysconfig
import traceback
from pathlib import Path

_IMPORTERS = Path(__file__).parent
_PYTHON = Path(sysconfig.get_path("stdlib"))
_INSTALLED = Path(sysconfig.get_path("purelib"))


def line_of_model(error: BaseException, framework: Path, layers: Path | None = None) -> str | None:
    """The innermost line that is neither the framework's nor Python's; one of the `layers` where there is none."""
    layer = None
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        line = f"{frame.filename}:{frame.lineno}: {frame.line}"
        if path.is_relative_to(_IMPORTERS.parent) and not path.is_relative_to(_IMPORTERS):
            break  # who called the importer
        if layers and path.is_relative_to(layers):
            layer = layer or line
        elif path.is_relative_to(_PYTHON) and not path.is_relative_to(_INSTALLED):
            continue
        elif path.is_file() and not path.is_relative_to(framework) and not path.is_relative_to(_IMPORTERS):
            return line
    return layer
