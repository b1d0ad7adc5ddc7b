"""Which weights the tool knows by name, and where their files lie.

Nothing here opens a file or the network.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import platformdirs

from napari_regcon.errors import WeightsError

DIR_VARIABLE = "NAPARI_REGCON_WEIGHTS_DIR"
"""Environment variable with another folder for weights, for example on a shared disk."""
OFFLINE_VARIABLE = "NAPARI_REGCON_OFFLINE"
"""Environment variable that forbids the network when it is set to anything but 0 or nothing."""
_VALID_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class WeightsEntry:
    """What is known about weights without opening them.

    Parameters
    ----------
    name : str
        What users call them; letters, digits, dots, dashes and underscores.
    task : str
        What they are for, in a few words.
    method : str
        The method that uses them, as in the registry of segmenters.
    licence : str
        Name of the licence of the weights, which is often not that of the code.
    licence_url : str
        Where its text is.
    research_only : bool
        Whether the licence has to be accepted before use.
    size_bytes : int
        Size of the file; approximate where there is no ``sha256``.
    sha256 : str or None
        Published sum; where None, the sum of the first fetch is recorded and holds from then on.
    url : str or None
        Where to fetch them; None for weights that are imported or ship with the package.
    packaged_file : str or None
        Path inside the package ``napari_regcon``, with forward slashes.
    citation : str
        What to cite.
    version : str
        Version of the weights.
    file_name : str, optional
        Name of the file in :func:`weights_dir`; the last part of the URL where not given.
    """

    name: str
    task: str
    method: str
    licence: str
    licence_url: str
    research_only: bool
    size_bytes: int
    sha256: str | None
    url: str | None
    packaged_file: str | None
    citation: str
    version: str
    file_name: str = ""

    def __post_init__(self) -> None:
        source = self.packaged_file or (urlsplit(self.url).path if self.url else "")
        object.__setattr__(self, "file_name", self.file_name or PurePosixPath(source).name)


REGISTRY: dict[str, WeightsEntry] = {
    entry.name: entry
    for entry in (
        WeightsEntry(
            name="universeg-em-light",
            task="segment from examples",
            method="in-context",
            licence="BSD-3-Clause",
            licence_url="https://opensource.org/license/bsd-3-clause",
            research_only=False,
            size_bytes=1_194_556,
            sha256="12a38b9b99cbbcff61e1487a6bece186b499da0c7b0f41ca7ee9d8d588f47b6d",
            url=None,
            packaged_file="pretrained/universeg-em-light.safetensors",
            citation="napari-regcon, after Butoi, Gonzalez Ortiz et al., UniverSeg: Universal "
            "Medical Image Segmentation, ICCV 2023, arXiv 2304.06131",
            version="1",
        ),
        WeightsEntry(
            name="universeg-v1",
            task="segment from examples",
            method="in-context",
            licence="OpenRAIL++-M (research only)",
            licence_url="https://github.com/JJGO/UniverSeg/blob/main/LICENSE-model",
            research_only=True,
            size_bytes=4_750_000,
            sha256=None,
            url="https://github.com/JJGO/UniverSeg/releases/download/weights/"
            "universeg_v1_nf64_ss64_STA.pt",
            packaged_file=None,
            citation="Butoi, Gonzalez Ortiz et al., UniverSeg: Universal Medical Image "
            "Segmentation, ICCV 2023, arXiv 2304.06131",
            version="1",
        ),
        WeightsEntry(
            name="regcon-em",
            task="features of microscopy images",
            method="pixel-head",
            licence="BSD-3-Clause",
            licence_url="https://opensource.org/license/bsd-3-clause",
            research_only=False,
            size_bytes=1_996_912,
            sha256="145c1166270c213e8fc95ed1a679ba56f33f6e724b1e5938188587660028fddb",
            url=None,
            packaged_file="pretrained/regcon-em.safetensors",
            citation="napari-regcon, after Lin et al., J South Med Univ 2023, "
            "doi 10.12122/j.issn.1673-4254.2023.05.18",
            version="2",
        ),
    )
}
"""Weights that the tool knows by name. What users import lies in the lock file."""


def weights_dir() -> Path:
    """Return the folder that weights lie in; it need not exist yet."""
    chosen = os.environ.get(DIR_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    return platformdirs.user_data_path("napari-regcon", appauthor=False) / "weights"


def is_offline() -> bool:
    """Whether the user has forbidden the network."""
    return os.environ.get(OFFLINE_VARIABLE, "") not in {"", "0"}


def path_of(entry: WeightsEntry) -> Path:
    """Return where the file of an entry lies, or will lie once it is there."""
    if entry.packaged_file:
        return Path(str(resources.files("napari_regcon"))) / entry.packaged_file
    return weights_dir() / entry.file_name


def check_name(name: str) -> None:
    """Check that a name can also be a file name on every system.

    Raises
    ------
    WeightsError
        If it has other characters than the allowed ones.
    """
    if not _VALID_NAME.fullmatch(name):
        raise WeightsError(
            f"The name {name!r} cannot be used for weights.",
            expected="Expected up to 100 letters, digits, dots, dashes and underscores, "
            "a letter or digit first.",
            next_step="Choose one with --name.",
        )


def how_to_import(entry: WeightsEntry) -> str:
    """Return the way round a missing network, in a sentence with the expected path."""
    source = f"download {entry.url} on any computer" if entry.url else "get the file again"
    return (
        f"You can also {source} and run: napari-regcon weights import FILE --name {entry.name}. "
        f"The file is expected at {path_of(entry)}."
    )
