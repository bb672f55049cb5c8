"""Texts of the tab Ask your gallery."""

TITLE = "Ask your gallery"
INTRO = (
    "Ask about your own pictures and notes. The answer names its sources; click a number to open one. "
    "Notes are Markdown, text, PDF or docx files, csv or JSON lines with question and answer, and pictures."
)
NO_GALLERY = "(none)"

GALLERY = "Gallery"
FILES = "Your notes"
FILES_READ = "Notes read"
KEEP = "Keep these notes with the gallery"
KEPT = "{n} notes were added to {gallery}. They are deleted with it."
NO_NOTES = "No notes of your own yet."
YOUR_NOTES = "Your notes: {reading}."

QUESTION = "Question"
QUESTION_PLACEHOLDER = "when was the mill built?"
PICTURE = "Picture, if the question has one"
ASK = "Ask"
STOP = "Stop"
ASKED_AS = "Asked as"
ASKED_AS_INFO = "A follow-up question is completed from the one before. Edit it and press Enter to ask it so."
NEW_TOPIC = "New topic"

OPTIONS = "Options"
READ = "Passages to read"
READ_INFO = "A small model reads one at a time."
STRICTNESS = "When to answer"
STRICT, BALANCED, ALWAYS = "Only when sure", "Balanced", "Always"
STRICTNESS_INFO = "Below the limit it says that it does not know."
BESIDE = "Compare with no sources"

ANSWER = "Answer"
BY_MODEL = "Answered by the model"
BY_QUOTE = "Quoted from {where}"
FROM_NOTES, FROM_CAPTIONS = "your notes", "your captions"
BY_NOBODY = "No answer"
SOURCES_READ = "Sources read: {numbers}"
WITHOUT_SOURCES = "Answer with no sources"
SOURCES = "Sources"
OPENED = "Opened source"
FOUND_BY = {
    "words": "found by its words",
    "vectors": "found by its meaning",
    "date": "found by its date",
    "place": "found by its place",
}
SCORE = "score {score:.2f}"
CELL = "Outlined: the part of the picture that agrees most with the question."
LOOKING = "looking ..."
OPEN_SOURCE = "Open source {n}"
EXAMPLES_ASKED = "This question goes to the example cards. Your own notes stay as they are."
TO_CHAT = "Chat about this"
