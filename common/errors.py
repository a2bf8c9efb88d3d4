"""Every error a user can cause or meet, in one small tree.

Each message names what was wrong, in which file, and what to do. Only the command line prints them and turns
`status` into the exit status of the process (2 is kept by the command line itself for wrong flags).
"""

from collections.abc import Iterator
from contextlib import contextmanager


class UserError(Exception):
    """Base of all errors that are explained to the user in one line instead of a traceback."""

    status = 1


class WrongOption(UserError):
    """The value of an option fits its type, and not the clip: no person has this number."""

    status = 2


class InputMissing(UserError):
    """The file or folder named by the user does not exist or may not be read."""

    status = 3


class EmptyFile(UserError):
    """The file holds zero bytes."""

    status = 4


class NotAVideo(UserError):
    """The file is neither a video nor an image that can be decoded."""

    status = 5


class NoVideoStream(UserError):
    """The file is a media file without a picture, for example audio only."""

    status = 6


class DamagedVideo(UserError):
    """The file breaks off or is corrupted; what could be read was processed."""

    status = 7


class OutputError(UserError):
    """The output cannot be written: no permission, no space, or it exists already."""

    status = 8


class WeightsError(UserError):
    """Unknown weight name, wrong checksum, or a checkpoint that does not fit the network."""

    status = 9


class DownloadError(UserError):
    """A weight file has to be downloaded, and downloading is forbidden (`--offline`) or failed."""

    status = 10


class MissingExtra(UserError):
    """An optional package is needed that is not installed."""

    status = 11


class DataError(UserError):
    """A data set file is missing, or does not follow its format."""

    status = 12


@contextmanager
def needs_torch(what: str) -> Iterator[None]:
    """Explain what PyTorch or ultralytics is needed for, where the light installation lacks them.

    Raises:
        MissingExtra: one of them is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "torchvision", "ultralytics"):
            raise
        raise MissingExtra(
            f"{what} needs {error.name}, which is not installed: pip install -r requirements.txt"
        ) from error
