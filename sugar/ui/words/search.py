"""Texts of the tab Search."""

TITLE = "Search"
INTRO = (
    "Find pictures with words, pictures, or both. Drop a picture here, add words such as "
    "“the same at night”, and see what fits."
)

# -- the box
WORDS = "Search for"
PLACEHOLDER = "Two dogs playing in snow"
MARKS_TITLE = "What can be written here"
MARKS = (
    ("dogs “red ball”", "words; those in quotes stand together"),
    ("-snow", "without snow"),
    ("dogs^2 night^0.5", "dogs count twice, night counts half; a number below 0 excludes"),
    ("[1] -[2]^2", "the first picture; not what the second one shows, twice as much"),
    ("2025-08 2025-06..2025-08", "taken in that time"),
    ("name:IMG caption:beach camera:pixel", "the file's name, the caption, the camera has this"),
    ("size:800", "800 pixels or more on the shorter side"),
    ("near:48.2,16.4,5km", "taken there"),
    ("has:caption favourite:", "pictures with a caption, favourites; with a minus sign those without"),
    ("Shift+Enter", "the next part of a story"),
)
"""(what is written, what it means)."""
ADD_PICTURE = "Add a picture"
SEARCH = "Search"
CLEAR = "Clear"
GALLERY = "Gallery"
MODE = "Look for"
MODES = {"pictures": "Photos", "story": "A story", "positions": "Every part"}
MODES_HELP = (
    "A story: photos taken one after the other that match your lines, in order. "
    "Every part: the best photos after each line."
)
EXAMPLES = "Try"
EXAMPLE_PICTURE = "a picture"

# -- chips
CHIPS = "Parts and filters of this search"
THE_WORDS = "the words"
PICTURE = "picture {n}"
PICTURE_HINT = "{name}. Left and right arrow keys move it, Delete removes it."
WORDS_HINT = "{name}. Left and right arrow keys move them."
REMOVE = "Remove {name}"
EXCLUDED = "without “{text}”"
MORE_OF, LESS_OF = "“{text}”", "less “{text}”"
TAKEN = "taken {text}"
NEAR = "taken near {text}"
NAME = "name has “{text}”"
CAPTION = "caption has “{text}”"
CAMERA = "camera has “{text}”"
SIZE = "shorter side of {text} pixels or more"
FAVOURITES, NOT_FAVOURITES = "favourites", "no favourites"
WITH_CAPTION, WITHOUT_CAPTION = "with a caption", "without a caption"
ADD_FILTER = "Add a filter: {name}"
LARGE = "large"
DATE_FROM, DATE_UNTIL, DATE = "from", "to", "Date"

# -- options
OPTIONS = "Options"
RERANK = "Re-rank by alignment"
RERANK_HELP = "Off: sort by overall similarity only."
CONFIRM = "Ask the model about the best"
CONFIRM_HELP = "Slower. The model's own yes or no orders the first six."
SHOW_SCORES = "Show scores"
SAVED, SAVE, DELETE = "Saved searches", "Save this search", "Delete"
COPY_LINK, COPIED = "Copy link", "Link copied"
NOT_COPIED = "The browser does not let this page copy. The link is {link}"
SAVED_AS = "Saved as “{name}”."

# -- results
HITS = "Results"
NOTHING = "Nothing was found. Remove a filter, or add pictures in the Gallery tab."
NO_CLOSE_MATCH = "No close match. These are the nearest pictures:"
LESS_CLOSE = "Less close"
ALL_UNKNOWN = "I do not know the words {words}. Use other words."
ONE_UNKNOWN = "I do not know the word {words}. Use another word."
SOME_UNKNOWN = "I do not know the words {words}; searched with the rest."
SOME_UNKNOWN_ONE = "I do not know the word {words}; searched with the rest."
NOT_CONFIRMED = "The model was not asked: it does not judge this kind of query reliably."
WITHOUT_VECTORS = {1: "1 picture is not indexed yet and was not searched."}
WITHOUT_VECTORS_MANY = "{n} pictures are not indexed yet and were not searched."
COUNT = {1: "1 picture"}
COUNT_MANY = "{n} pictures"
COUNT_BEST = "The best {n:,} pictures"
COUNT_RUNS = {1: "1 run of pictures"}
COUNT_RUNS_MANY = "{n} runs of pictures"
RUN = "Run {n}"
AFTER = "After part {n}: {name}"
A_PICTURE = "a picture"
FOUND_BY = {"words": "by its words", "meaning": "by meaning", "both": "by words and meaning"}
MOVED = "from rank {rank}"
SCORE = "score {score:.2f}"

# -- the open hit
SIZE_OF = "{width} x {height}"
DAY_BY_NAME = "{taken:%Y-%m-%d} (from its name)"
TAKEN_AT = "taken {taken:%Y-%m-%d %H:%M}"
MODEL_SAYS = "the model says yes with {share:.0%}"
RUN_OF = "A run of {n} pictures"
WHY = "Why this was found"
AGREES = "{row} agrees most with {column} (cosine {score:.2f})."
AGREES_ALONE = "{row} and {column}: cosine {score:.2f}."
READ_WITH = "Each part of the query is read together with the parts above it."
THE_LINE = "The line shows which part answers which."
ROW_PART = "“{text}”"
ROW_IMAGE = "your picture {n}"
COLUMN_PICTURE = "the picture"
COLUMN_RUN = "picture {n}"
COLUMN_CAPTION = "its caption"
WHERE = "Where in the picture"
WHERE_ALT = "The same picture; the regions that agree with the query are bright"
WHERE_HELP = "Bright regions agree with the query."
