"""What the Gallery tab shows on its wall: a listing by months, cells, and the facts of an open picture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sugar.services.gallery import Cell, Listing
from sugar.ui import wall
from sugar.ui.text import wall as words

__all__ = ["cells_of", "large_of", "listing_of"]


def listing_of(listing: Listing, targets: Sequence[str], stale: Sequence[int] | None) -> str:
    """The gallery as it is now. stale: the pictures whose cells changed, None for all."""
    return wall.listing_message(
        "gallery",
        listing.name,
        [(_month(month), ids, False) for month, ids in listing.months],
        order=listing.order,
        can=("select", "download") if listing.read_only else ("select", "download", "edit"),
        targets=targets,
        leaving=listing.leaving,
        stale=stale,
    )


def cells_of(name: str, cells: Iterable[Cell]) -> str:
    """Cells that the browser asked for. name: of the gallery."""
    return wall.cells_message(name, ((_cell(cell), cell.thumbnail) for cell in cells))


def large_of(name: str, cell: Cell, image: Any) -> str:
    """One picture for the lightbox."""
    taken = f" · {cell.taken:%Y-%m-%d %H:%M}" if cell.taken else ""
    if cell.day_from_name:
        taken = f" · {words.FROM_NAME.format(day=cell.taken)}"
    where = f" · {cell.location[0]:.4f},{cell.location[1]:.4f}" if cell.location else ""
    about = f"{cell.width} x {cell.height} · {cell.bytes / 1e6:.2f} MB{taken}{where} {cell.camera}"
    return wall.large_message(name, _cell(cell), image, about)


def _cell(cell: Cell) -> dict[str, Any]:
    line = cell.caption or ("" if cell.indexed else words.NOT_INDEXED)
    more = {"favourite": cell.favourite, "by_model": cell.by_model}
    return wall.cell_data(cell.id, cell.name, cell.caption, line=line, **more)


def _month(month: str) -> str:
    return f"{datetime.strptime(month, '%Y-%m'):%B %Y}" if month else ""
