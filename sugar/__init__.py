"""Sugar: one multimodal model that generates and retrieves over interleaved image-text sequences.

    from sugar import Sugar, Sample

    model = Sugar.from_pretrained()
    model.embed([Sample(["a red star", picture])]).pooled      # (1, D), unit rows
    "".join(model.generate(Sample([picture, "what color is the star?"])))

These names are all that a script needs; torch and transformers are imported when `Sugar` is first asked for.
"""

from typing import TYPE_CHECKING, Any

from sugar.sequence import Answer, Hit, Sample, Slice, Turn

if TYPE_CHECKING:
    from sugar.core import Sugar

__all__ = ["Sugar", "Sample", "Slice", "Turn", "Hit", "Answer"]
__version__ = "0.2.0"


def __getattr__(name: str) -> Any:
    """`Sugar` brings torch and transformers: import them when it is first asked for."""
    if name == "Sugar":
        from sugar.core import Sugar

        return Sugar
    raise AttributeError(f"module 'sugar' has no attribute {name!r}")
