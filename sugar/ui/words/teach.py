"""Texts of "Teach the model these captions", a part of the tab Gallery."""

TITLE = "Teach the model these captions"
ABOUT = (
    "A short training on the captions that you wrote, on this machine. A fifth of them is kept aside; the "
    "model is "
    "measured on those before and after. The result is an adapter on the Model tab, which you may use or "
    "not. "
    "With the embedded model it takes minutes."
)
START = "Teach"
CANCEL = "Cancel"
RUNNING = "{title}: step {done} of {total}{left}. {note}"
LEFT = ", about {seconds:.0f} s left"
QUEUED = "{title}: waiting for its turn."
CANCELLED = "{title}: cancelled. Nothing was kept."
FAILED = "{title}: {problem}"
NOTHING = ""
