"""An SR in a directory: its disks are VHD files, snapshots and clones are differencing disks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

from xapi.storage.attachments import Attachments
from xapi.storage.failures import translated
from xapi.storage.file.directory import Directory
from xapi.storage.file.images import DirectoryImages
from xapi.storage.images.repository import ImagesSr
from xapi.storage.images.tree import ImageTree
from xapi.storage.interface import DataPaths
from xapi.system.clock import Clock


class FileSr(ImagesSr):
    """An attached SR in a directory. With `shared`, other hosts may change the directory too."""

    def __init__(
        self,
        directory: Directory,
        type_name: str,
        device_config: Mapping[str, str],
        data_paths: DataPaths | None = None,
        shared: bool = False,
        unmount: ExitStack | None = None,
        clock: Clock | None = None,
    ) -> None:
        images = DirectoryImages(directory, shared, unmount)
        super().__init__(images, Attachments(), type_name, device_config, data_paths, clock)
        self._directory = directory
        with translated(self.uuid), images.held():
            pass  # what a killed process left half done is settled

    @property
    def path(self) -> str:
        """The directory where the SR is reached on this host."""
        return self._directory.path

    @contextmanager
    def exclusive(self) -> Iterator[ImageTree]:
        """Hold the SR's lock for somebody who works on its chains, with all images looked at anew.

        Nothing else changes the directory meanwhile; the tree has to be told (`reread`) what was changed inside.
        """
        with self._held(everything=True):
            yield self._tree
