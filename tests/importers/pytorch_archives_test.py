"""Files of torch.export.save: whole ones are compiled, damaged ones are errors, in this very process."""

from __future__ import annotations

import random
import warnings
import zipfile
from pathlib import Path

import pytest

import mlirage
from mlirage.importers import import_source
from mlirage.options import make_options

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import torch
    from torch import nn

pytestmark = pytest.mark.filterwarnings("ignore")  # PyTorch's own deprecations


def _saved(folder: Path) -> Path:
    torch.manual_seed(0)
    program = torch.export.export(nn.Sequential(nn.Linear(4, 3), nn.ReLU()), (torch.randn(2, 4),))
    path = folder / "net.pt2"
    torch.export.save(program, path)
    return path


def test_damage_is_an_error(tmp_path: Path) -> None:
    path = _saved(tmp_path)
    data, generator = path.read_bytes(), random.Random(0)
    messages: list[str] = []
    for number in range(60):
        changed = bytearray(data)
        if number % 3:
            for _ in range(1 + number % 2 * 8):
                changed[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
        else:
            del changed[generator.randrange(len(data)) :]
        path.write_bytes(changed)
        try:
            import_source(path, make_options())
        except mlirage.ImportFailure as error:
            messages.append(str(error))
    assert all("net.pt2" in message for message in messages)
    assert len(messages) > 40  # what is changed in gaps between parts is no damage


def test_other_archives(tmp_path: Path) -> None:
    path = tmp_path / "other.pt2"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("other/models/model.json", "[" * 100_000)
    with pytest.raises(mlirage.ImportFailure, match="compressed"):
        mlirage.compile(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("other/models/model.json", "[" * 100_000)
        archive.writestr("other/archive_format", "pt2")
    with pytest.raises(mlirage.ImportFailure, match=r"torch\.export\.save"):
        mlirage.compile(path)
