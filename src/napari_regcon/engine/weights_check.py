"""Check the outside of a weights file that nobody vouches for.

Two formats are known: PyTorch's zip files, with nothing but tensors in them, and safetensors.
Sizes, the list of parts and the names of all Python objects a file asks for are looked at without
torch and without unpickling. Nothing here knows names, folders or licences of weights.
"""

from __future__ import annotations

import pickletools
import zipfile
from collections import deque
from typing import TYPE_CHECKING, Literal

from napari_regcon.errors import WeightsError

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES = 2 * 1024**3
"""No weights file or state dict may be larger."""
_MAX_HEADER_BYTES = 8 * 1024**2
"""Room for about 50,000 tensors; a longer list only costs time."""

_STORAGES = "Float Double Half BFloat16 Long Int Short Char Byte Bool"
_ALLOWED_GLOBALS = {f"torch {kind}Storage" for kind in _STORAGES.split()} | {
    "collections OrderedDict",
    "torch._utils _rebuild_parameter",
    "torch._utils _rebuild_tensor_v2",
}
"""What the pickle of a plain state dict asks for. Shorter than torch's own list, which lets a
file allocate memory at will (``bytearray``)."""

_GLOBALS = {"GLOBAL", "STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4"}

_FOREIGN = {
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"II*\0": "a TIFF image",
    b"MM\0*": "a TIFF image",
    b"II+\0": "a TIFF image",
    b"MM\0+": "a TIFF image",
    b"\x89HDF": "an HDF5 file",
    b"\x93NUMPY": "a NumPy file",
    b"%PDF": "a PDF document",
    b"\x1f\x8b": "a gzip archive",
    b"\x80": "a bare Python pickle, or a PyTorch file from before version 1.6",
    b"<": "a web page",
}
SAVE_AGAIN = (
    "If you trust where it comes from, save it again in the program that made it with "
    "torch.save(model.state_dict(), FILE) or safetensors."
)


def check_file(path: Path) -> Literal["torch", "safetensors"]:
    """Check the outside of a file and return its format; nothing in it is unpickled.

    Parameters
    ----------
    path : pathlib.Path
        Any file.

    Raises
    ------
    WeightsError
        If it is missing, too large, truncated, foreign, or asks for more than tensors.
    """
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise WeightsError(f"{path} is not a file.", expected="Expected a weights file.")
        if size > MAX_BYTES:
            raise WeightsError(
                f"{path.name} has {size / 1024**3:.1f} GiB.",
                expected=f"Expected at most {MAX_BYTES / 1024**3:.0f} GiB.",
            )
        with path.open("rb") as file:
            start = file.read(9)
    except (OSError, ValueError) as error:
        raise WeightsError(f"The weights file {path} cannot be read: {error}") from error
    if start.startswith(b"PK\x03\x04"):
        if path.suffix == ".safetensors":  # torch.load goes by the name
            raise WeightsError(
                f"{path.name} has the name of a safetensors file, but is none.",
                next_step="If it was made by torch.save, rename it to end in .pt.",
            )
        _check_zip(path, size)
        return "torch"
    if start[8:] == b"{":
        _check_safetensors(path, size, int.from_bytes(start[:8], "little"))
        return "safetensors"
    kinds = [f"looks like {kind}" for magic, kind in _FOREIGN.items() if start.startswith(magic)]
    what = kinds[0] if kinds else "has an unknown format" if size else "is empty"
    raise WeightsError(
        f"{path.name} is not a weights file: it {what}.",
        expected="Expected a file made by torch.save, or a safetensors file.",
        next_step=SAVE_AGAIN if start.startswith(b"\x80") else "Was the right file chosen?",
    )


def damaged(path: Path, reason: str | Exception) -> WeightsError:
    """Return the message for a file that is not whole."""
    if isinstance(reason, Exception):  # its text speaks of insides; it is kept as the cause
        reason = f"it cannot be read to its end ({type(reason).__name__})."
    return WeightsError(
        f"The weights file {path.name} is damaged or incomplete: {reason}",
        next_step="Fetch or copy it again.",
    )


def _check_zip(path: Path, size: int) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            _check_pickle(path, archive.read(_listing(path, archive.infolist(), size)))
            broken = archive.testzip()
        if broken is not None:
            raise damaged(path, f"the checksum of its part {broken!r} is wrong.")  # noqa: TRY301
    except WeightsError:
        raise
    except Exception as error:  # a damaged archive can fail in any way
        raise damaged(path, error) from error


def _listing(path: Path, parts: list[zipfile.ZipInfo], size: int) -> zipfile.ZipInfo:
    """Return the part that lists the tensors; refuse bombs and double meanings."""
    names = [part.filename for part in parts]
    if any(name.endswith("/constants.pkl") for name in names):
        raise WeightsError(
            f"{path.name} is a TorchScript program, not only weights.", next_step=SAVE_AGAIN
        )
    if any(part.compress_type != zipfile.ZIP_STORED for part in parts):
        raise WeightsError(
            f"{path.name} is a compressed archive, and torch.save never compresses.",
            next_step="If the weights are inside it, unpack it and use the file in it.",
        )
    # Two readers may disagree on which of two parts with one name counts.
    if len({name.lower() for name in names}) != len(names):
        raise damaged(path, "it has two parts of the same name.")
    if sum(part.file_size for part in parts) > size:
        raise damaged(path, "its parts add up to more than the file.")
    listings = [part for part in parts if part.filename.endswith("/data.pkl")]
    if len(listings) != 1 or listings[0].file_size > _MAX_HEADER_BYTES:
        raise WeightsError(
            f"{path.name} is a ZIP archive, but not one with weights in it.",
            expected="Expected a file made by torch.save.",
        )
    return listings[0]


def _check_pickle(path: Path, listing: bytes) -> None:
    """Check which Python objects a pickle asks for, by reading its opcodes one by one."""
    strings: deque[str] = deque(maxlen=2)
    for opcode, argument, _ in pickletools.genops(listing):
        if opcode.name in _GLOBALS:
            # Newer protocols give module and name as two strings before.
            wanted = argument if isinstance(argument, str) else " ".join(strings)
            if wanted not in _ALLOWED_GLOBALS:
                raise WeightsError(
                    f"{path.name} asks for the Python object {wanted.replace(' ', '.')!r}, which "
                    "weights do not need. Nothing in it was run.",
                    expected="Expected a state dict: tensors and nothing else.",
                    next_step=SAVE_AGAIN,
                )
        elif isinstance(argument, str):
            strings.append(argument)


def _check_safetensors(path: Path, size: int, header_bytes: int) -> None:
    if header_bytes > min(size - 8, _MAX_HEADER_BYTES):
        raise damaged(path, f"its header claims {header_bytes} bytes of {size}.")
    import safetensors

    try:
        with safetensors.safe_open(path, framework="np") as file:
            file.keys()
    except Exception as error:
        raise damaged(path, error) from error
