"""Texts of the tab Tell apart."""

TITLE = "Tell apart"
INTRO = "See which caption fits which picture, and what differs between two pictures."

EXAMPLE = "Example {n}"
EXAMPLE_DIFFERENCE = "What differs?"
PICTURES = "Pictures, 2 to 6"
CAPTIONS = "Captions, one per line, 1 to 6"
COMPARE = "Compare"
DIFFER = "What differs?"
STOP = "Stop"
CHAT_ABOUT_THESE = "Chat about these"
SEARCH_WITH_THESE = "Search with these"

SCORE_BY = "Score by"
WAYS = {"Similarity": "similarity", 'The model\'s "yes"': "yes", "Both": "both"}
EXPLAINED = {
    "similarity": "Cosine similarity of the two embeddings.",
    "yes": 'The probability of "yes" when the model is asked whether the picture shows the caption.',
    "both": "The mean of both scores, each in standard deviations over this table.",
}
TABLE = "Pictures against captions"
ASKING, PAIRS = "asking the model", "pairs"
DIFFERENCE = "What differs"

PICTURE, CAPTION = "Picture {n}", "Caption {n}"
FITS = "**{who}** fits **{best}** best ({score:.3f}, the next {second:.3f})."
FITS_ALONE = "**{who}** fits **{best}** with {score:.3f}."
TIE = "**{who}** does not tell {best} apart ({score:.3f})."
AND = " and "

OPTIONS = "Options"
WINOGROUND = "Winoground scores"
WINOGROUND_INFO = "for 2 pictures and 2 captions, where caption 1 belongs to picture 1"
WINOGROUND_SCORES = "Winoground: text {text} · image {image} · group {group}"
YES, NO = "yes", "no"
NEEDS_TWO_BY_TWO = "Winoground's scores need exactly 2 pictures and 2 captions."

TOO_MANY = "Choose 2 to 6 pictures."
NOT_LINES = "Captions are lines of text."
TOO_FEW = "There are {n} pictures. Choose two to compare."
EXAMPLE_GONE = "This example belongs to another model. Reload the page."
