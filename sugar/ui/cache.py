"""Where the app's temporary files lie.

    cache_folder()                # this app's own, for Gradio and for us; made once, gone when the app ends
    private_files()               # the visitors' part of it

Not covered: who may have which file (services/private_files.py).
"""

from __future__ import annotations

import atexit
import functools
import os
import tempfile
from pathlib import Path

from gradio.utils import get_upload_folder

from sugar.services.private_files import PrivateFiles, let_go, own_folder

__all__ = ["cache_folder", "private_files"]


@functools.cache
def cache_folder() -> Path:
    """The folder of uploads and served files: a new one inside GRADIO_TEMP_DIR, or the system's."""
    folder = own_folder(Path(os.environ.get("GRADIO_TEMP_DIR") or tempfile.gettempdir()))
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    atexit.register(let_go, folder)
    return folder


def private_files() -> PrivateFiles:
    """The files of visitors, inside the folder that Gradio takes uploads from."""
    return PrivateFiles(Path(get_upload_folder()) / "visitors")
