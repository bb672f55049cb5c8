"""Texts of the frame around the tabs."""

TITLE = "Sugar"
STARTING = "The page is starting. You can type already."
SENT_WHEN_READY = "Sent when the page has started."
NOTHING_TO_HAND_OVER = "There is nothing to hand over yet."

LOADING = "Loading <b>{name}</b>{progress} · {seconds:.0f} s · Questions will wait."
COMING = "loading {name}{progress} · {seconds:.0f} s"
PROGRESS = " · {done:.2f} of {total:.2f} GB"
NO_MODEL = "<b>No model loaded.</b> {problem}"
MODEL_READY = "<b>{name}</b> · {device} · {precision}"
LARGER = "Load {name}: {gb:.1f} GB, {minutes:.0f} min, {memory:.1f} GB memory"

REFUSED = "The server refused this ({status}). Try again, or reload the page."
LEFT_OUT = "Left out {{n}} (another kind of file, above {mb} MB, or a zip above {zip_mb} MB): {{names}}."
FAULT_TITLE = "Fault"
FAULT = "An unexpected error occurred ({kind}). The log has it under {number}. Try again, or reload the page."

NO_TEXT = "no text came"
UNSURE = "I am not sure what this shows · "
READING = "reading ..."
FIRST_TOKEN = "first token {ms:.0f} ms · {tokens}{rate}{ended}"
ONE_TOKEN, MANY_TOKENS = "{n} token", "{n} tokens"
RATE = " · {rate:.0f} tokens/s"
ENDED = {
    "stopped": " · stopped",
    "time": " · ended at the time limit",
    "length": " · ended at the chosen length",
}
