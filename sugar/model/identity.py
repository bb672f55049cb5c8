"""What identifies a loaded model: its name, its folder, and hashes of all that decides its embeddings.

    identity = Identity("sugar-tiny", folder, repository="")
    identity.base(backbone), identity.fingerprint("sugar", [folder])

Not covered: how the hashes are made (checkpoint.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sugar.errors import ModelError
from sugar.model import checkpoint
from sugar.model.adapters import base_identity
from sugar.model.backbone import Backbone

__all__ = ["Identity"]


@dataclass
class Identity:
    """Which model this is.

    Attributes:
        name: as asked for.
        folder: where the checkpoint lies, None for a model in memory.
        repository: where it came from.
    """

    name: str
    folder: Path | None
    repository: str
    _hashes: dict[tuple[str, ...], str] = field(default_factory=dict)

    def base(self, backbone: Backbone) -> dict[str, Any]:
        """What adapters must agree with. Raises ModelError for a model that lives in memory only."""
        if self.folder is None:
            raise ModelError(
                f"{self.name} lives in memory only. Save it and open the folder before adapters are loaded "
                "or saved."
            )
        weights = self.fingerprint("base", [])
        return base_identity(backbone.model, backbone.family, self.repository, weights)

    def fingerprint(self, encoder: str, adapters: Sequence[Path]) -> str:
        """A hash of weights, configuration, way of encoding and adapter.

        Raises ModelError for a model in memory only.
        """
        if self.folder is None:
            raise ModelError(
                f"{self.name} lives in memory only and has no fingerprint. Save it and open the folder."
            )
        return self.of([self.folder, *adapters], encoder)

    def of(self, folders: Sequence[Path], encoder: str) -> str:
        """The hash of some folders together, computed once."""
        key = (encoder, *map(str, folders))
        if key not in self._hashes:
            self._hashes[key] = checkpoint.fingerprint(list(folders), encoder)
        return self._hashes[key]
