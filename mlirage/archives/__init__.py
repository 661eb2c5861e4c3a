"""archives: files of weights. Each format is a file of this folder; archive.py chooses by the file's name."""

from mlirage.archives.archive import Archive, Parameter, read_archive, write_archive

__all__ = ["Archive", "Parameter", "read_archive", "write_archive"]
