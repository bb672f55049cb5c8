"""Every error that a caller can cause or cure, in one tree; `SugarError` shows it.

Each message says what was seen and what to do about it. A `SugarError` is shown to a person as it is;
anything else is a fault of ours and keeps its traceback.
"""


class SugarError(Exception):
    """The root: what was seen, and the remedy.

    SugarError
    ├── InputError          a sample, slice or question that cannot be used
    │   └── ImageError      bytes that are not a picture we can open, or too large
    ├── AlignmentError      sequences, flags or parameters that admit no alignment
    ├── ModelError          a checkpoint that is missing, foreign, unsafe or does not fit
    │   └── OutOfMemoryError  the device is full even for the smallest batch
    ├── GalleryError        a gallery that is missing, full, damaged or of another version
    │   └── FingerprintError  an index that another model made
    ├── SettingsError       a flag, variable or configuration key that is unknown or out of range
    ├── BusyError           too many requests at once
    ├── NotSavedError       a file that could not be written; what was there before is unchanged
    └── Cancelled           long work that its owner ended; nothing of it was kept
    """


class InputError(SugarError, ValueError):
    """A sample, slice or question that cannot be used."""


class ImageError(InputError):
    """Bytes that are not a picture we can open, or a picture that is too large."""


class AlignmentError(SugarError, ValueError):
    """Sequences, flags or parameters that admit no alignment."""


class ModelError(SugarError):
    """A checkpoint that is missing, foreign, unsafe or does not fit."""


class OutOfMemoryError(ModelError):
    """The device is full even for the smallest batch."""


class GalleryError(SugarError):
    """A gallery that is missing, full, damaged or of another format version."""


class FingerprintError(GalleryError):
    """An index that another model made; the remedy is to re-index."""


class SettingsError(SugarError, ValueError):
    """A flag, environment variable or configuration key that is unknown or out of range."""


class BusyError(SugarError):
    """Too many requests at once; try again shortly."""


class NotSavedError(SugarError):
    """A file that could not be written; what was there before is unchanged."""


class Cancelled(SugarError):
    """Long work that its owner ended; nothing of it was kept."""
