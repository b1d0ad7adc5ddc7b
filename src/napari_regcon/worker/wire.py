"""How a message crosses the pipe between window and engine: its length, then its pickle.

The pipe is anonymous and joins only these two processes, so nobody else can write into it.
Messages with their length in front stay apart even if one of them cannot be read. Nothing
here knows what the messages mean.
"""

from __future__ import annotations

import pickle
import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import IO

_LENGTH = struct.Struct(">Q")


def pack(message: object) -> bytes:
    """Return a message as bytes; painted labels in it are compressed."""
    return pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)


def unpack(body: bytes) -> Any:
    """Return the message in these bytes; raises whatever ``pickle.loads`` does if it cannot."""
    return pickle.loads(body)  # noqa: S301 - the pipe joins two processes of ours alone


def write(pipe: IO[bytes], body: bytes) -> None:
    """Write the bytes of a message; waits while the pipe is full.

    Raises
    ------
    OSError
        If the other side has ended, or the pipe was closed meanwhile.
    """
    try:
        pipe.write(_LENGTH.pack(len(body)))
        pipe.write(body)
        pipe.flush()
    except ValueError as error:
        raise BrokenPipeError(str(error)) from error


def read(pipe: IO[bytes]) -> bytes:
    """Wait for the next message and return its bytes.

    Raises
    ------
    EOFError
        If the other side has closed the pipe or ended.
    """
    (length,) = _LENGTH.unpack(_exactly(pipe, _LENGTH.size))
    return _exactly(pipe, length)


def _exactly(pipe: IO[bytes], n_bytes: int) -> bytes:
    data = bytearray()
    while len(data) < n_bytes:
        try:
            part = pipe.read(min(n_bytes - len(data), 1 << 20))
        except (OSError, ValueError) as error:  # reset by the other side, or closed by ours
            raise EOFError(str(error)) from error
        if not part:
            raise EOFError("The other side has ended.")
        data += part
    return bytes(data)
