"""Texts of the tab Gallery."""

TITLE = "Gallery"
INTRO = (
    "Your pictures, ready to be searched. Everything stays on this machine. The place where a picture was "
    "taken is kept only in a gallery that you make so. Deleting is for good, and takes a picture out of "
    "saved conversations too."
)
INTRO_PRIVATE = (
    "Your pictures, ready to be searched. Nobody else sees them, and they go 15 minutes after your last "
    "sign. The place where a picture was taken is not kept. Deleting is for good."
)

CHOICE, NEW, NEW_EXAMPLE, CREATE = "Gallery", "New gallery", "holiday", "Create"
PLACES = "When created, keep where its pictures were taken"
ORDER, ORDERS = "Order", {"newest": "Newest first", "oldest": "Oldest first", "name": "By name"}
ONLY_FAVOURITES = "Favourites only"

ADD = "Add pictures"
ADD_HINT = "Or drop pictures, folders and zips anywhere here, or paste a picture."
TOO_MANY = "One upload takes {most:,} files. Name the folder instead, or send a part of them."
MORE_WAYS = "Camera, or a folder of this machine"
CAMERA = "Camera"
FOLDER, FOLDER_EXAMPLE = "A folder on this machine", "~/Pictures/holiday"
ADD_FOLDER, WATCH, UNWATCH = "Add folder", "Watch folder", "Stop watching"
WATCHED, WATCHING = "Watched folders", "Watching {folder}"
WATCH_COUNTS = "{added} came, {removed} went since the start. New and removed files follow."
AND_MORE = "and {n:,} more"
AGAIN = "Try again"
KEPT = "What was sent is kept, and goes with what is sent next."
REPORT = "Report"
PICTURES = "Pictures"

NONE = "No gallery yet. Name one and press Create."
EMPTY = "This gallery is empty. Add pictures, or drop them here."
COUNT = "{count:,} pictures · {size}"
PENDING = (
    "{n:,} pictures are not indexed for the loaded model yet. They are shown here; a search finds the others."
)
REINDEX = "Index them now"

MORE = "Near-duplicates, captions, export, import, delete all"
ALIKE, SAME, GROUP = "Find near-duplicates", "Near-duplicates", "Group {n}: the same picture {count} times"
BETTER, NO_SAME = "the better one", "No two pictures here look the same."
CAPTIONS = "Let the model write missing captions"
EXPORT, EXPORTED, IMPORT = "Export as a zip", "Exported gallery", "Import an export"
IMPORT_PATH, IMPORT_PATH_EXAMPLE = "An export on this machine", "~/holiday.zip"
IMPORT_FROM = "Import from there"
SURE, REMOVE = "Delete this gallery with all its pictures", "Delete the gallery"
TICK_FIRST = "Tick the box first: this deletes every picture of the gallery."
NO_FOLDER = "There is no folder {path} on this machine. Check the name."
NO_FILE = "There is no file {path} on this machine. Check the name."

JOBS = "Work under way"
JOB_KINDS = {"add": "Adding to {title}", "import": "Importing {title}", "index": "Indexing {title}"}
JOB_KINDS |= {"captions": "Captions for {title}", "export": "Exporting {title}"}
CANCEL = "Cancel"
PHASES = {"queued": "waiting", "done": "done", "failed": "failed", "cancelled": "cancelled"}
TABLE_HEAD = ("File", "Result", "Reason")
TOO_LATE = "Nothing waits to be deleted any more: what was deleted is gone for good."
