"""Texts of the wall of pictures, in whichever tab it stands (static/wall/)."""

BUTTONS = {
    "open": "Open",
    "select": "Select",
    "done": "Done",
    "select_all": "Select all",
    "selected": "{n} selected",
    "favourite": "Favourite",
    "unfavourite": "Not a favourite",
    "download": "Download",
    "move": "Move to …",
    "delete": "Delete",
    "delete_selected": "Delete selected",
    "delete_at_once": "Delete for good",
    "leaving": "{n} deleted.",
    "undo": "Undo",
    "delete_now": "Delete for good now",
    "previous": "Previous",
    "next": "Next",
    "zoom": "Zoom",
    "close": "Close",
    "caption": "Caption",
    "save_caption": "Save caption",
    "by_model": "Written by {model}. Save it to make it yours.",
    "name": "Name",
    "rename": "Rename",
}

FROM_NAME = "{day:%Y-%m-%d} (from its name)"
"""A day that only the file's name tells."""

SIMILAR = "Similar pictures"
ONWARD = {
    "chat": "Chat about this",
    "search": "Search with this",
    "compare": "Tell these apart",
    "ask": "Ask about this",
}
"""Where a picture can go from the wall, by tab."""
NOT_INDEXED = "not indexed yet"
DOWNLOADED = "Downloaded pictures"
OPEN_FIRST = "Open a picture first: click on it."
