"""The message box of a conversation: what is typed in it is never lost, and a stopped answer is over before the next one begins.

    box = MessageBox(settings, talk)                                     # drawn here; talk: the conversation
    box.sends(app.guarded(chat), [talk, *how], api_name="chat")          # chat(message, *inputs) answers into the conversation
    box.runs(talk.retry, app.guarded(retry), [talk, *how])               # another way to an answer: gives (conversation, BUSY)
    box.stops(app.guarded(stop))                                         # ends the visitor's answer
    box.changes("undo", talk.undo, app.guarded(undo), talk, talk)        # a change of the conversation: waits for the answer's end
    box.takes_back("edit", change.click, app.guarded(edit), talk)        # gives (conversation, message): the message goes into the box
    box.clears(clear.click)                                              # both empty, in the page alone

The page keeps what it must know at once (SCRIPT): which runs are under way, and whether the message that left the box stands in the
conversation yet. So
- Enter while an answer is written leaves the message where it is, says so under it (`data-held`) and sends it when the answer is over;
  typing on takes that back;
- a message that leaves clears the box at once, not when Gradio comes round to it: what is typed by then is kept;
- a message that was refused, stopped while it waited in the queue, or is to be edited comes back into the box, before what is typed there;
- whatever changes the conversation stops the answer first, and waits until it is over;
- Stop ends an answer on the server, at its next token. Gradio's own `cancels` lets go of a run before it is over and reports its end once
  more later, when the next may be under way: here it only serves to leave the queue.

Not covered: what is said (chat.py), whose answer is stopped (visitors.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from sugar.images import SUFFIXES
from sugar.settings import Settings

__all__ = ["BUSY", "SCRIPT", "MessageBox"]

BUSY = gr.update(submit_btn=False, stop_btn=True)
"""How the box looks while an answer is written."""

QUIET: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}

SCRIPT = """<script>
const messageBox = {
  runs: new Set(),    // names of the runs under way
  before: null,       // how many questions stood in the conversation when the message on its way left the box
  calling: false,     // the server was told to stop and has not answered yet
  next: null,         // what to do when nothing is under way: a button to press, and the text that is held for it

  text: () => document.querySelector("#message textarea"),
  asked: (talk) => (talk ?? []).filter((m) => m.role === "user").length,
  waits(talk) { return this.before !== null && this.asked(talk) <= this.before; },
  busy(talk) { return this.runs.size > 0 || this.calling || this.waits(talk); },
  look: (busy, value) => ({ __type__: "update", submit_btn: !busy, stop_btn: busy, ...(value && { value }) }),
  press: (button) => document.querySelector(button).click(),

  wait(next) {
    this.next = next;
    document.querySelector("#message").toggleAttribute("data-held", next?.text !== undefined);
  },

  send(message, talk) {
    if (!message?.text?.trim() && !message?.files?.length) throw new Error("empty");
    if (this.busy(talk)) {
      this.wait({ button: "#send-again", text: this.text().value });
      throw new Error("later");
    }
    this.before = this.asked(talk);
    this.begin("send");
    const leaves = { text: this.text().value, files: [...(message.files ?? [])] };
    this.clear(leaves.files.length);
    return [leaves, this.look(true)];
  },
  clear(files) {
    this.text().value = "";
    this.text().dispatchEvent(new Event("input", { bubbles: true }));
    const removes = [...document.querySelectorAll("#message .delete-button")].slice(0, files);
    removes.reverse().forEach((button) => button.click());
  },
  typed() { if (this.next?.text !== undefined) this.wait(null); },
  first(button, talk) {
    if (!this.busy(talk)) return;
    this.wait({ button });
    this.press("#stop-now");
    throw new Error("later");
  },
  stop(talk) {
    if (this.calling) throw new Error("stopping");
    if (this.waits(talk) || !document.querySelector("#message .stop-button")) {
      this.press("#unsend");
      throw new Error("nothing began");
    }
    this.calling = true;
  },
  stopped() { this.calling = false; this.rest(); },

  begin(name) { this.runs.add(name); },
  end(name, failed, sent, talk, now) {
    const last = [...this.runs].every((run) => run === name);
    const value = name === "send" && this.waits(talk) && failed ? this.back(sent, now) : null;
    if (name === "send" && (failed || !this.waits(talk))) this.before = null;
    return this.look(!last, value);
  },
  back(sent, now) {
    const [before, since] = [sent?.files ?? [], now?.files ?? []];
    const text = now?.text?.replace(/\\[(\\d+)\\]/g, (mark, n) => (n <= since.length ? `[${+n + before.length}]` : mark));
    return { text: [sent?.text, text].filter((words) => words?.trim()).join("\\n"), files: [...before, ...since] };
  },
  over(name) { this.runs.delete(name); this.rest(); },
  rest() {
    if (this.runs.size || this.calling || !this.next) return;
    const { button, text } = this.next;
    this.wait(null);
    if (text === undefined || text === this.text().value) this.press(button);
  },
};
document.addEventListener("input", (event) => { if (event.target.closest("#message")) messageBox.typed(); });
</script>"""


class MessageBox:
    """See the module docstring. `field` is the component; `sent` holds the message that is on its way."""

    def __init__(self, settings: Settings, talk: Any) -> None:
        self.talk = talk
        self.field = gr.MultimodalTextbox(
            label="Message", placeholder="Ask something, or drop pictures here", file_count="multiple", file_types=["image", *SUFFIXES],
            max_plain_text_length=settings.max_text, elem_id="message", submit_btn=True, stop_btn=False,
        )  # fmt: skip
        self.sent = gr.MultimodalTextbox(label="message", visible=False)
        self._runs: list[Any] = []

    def sends(self, answer: Callable[..., Any], inputs: Sequence[Any], **event: Any) -> None:
        """On Enter or the send button: `answer(message, *inputs)`, a generator of conversations."""
        leave = gr.on(
            [self.field.submit, _hidden("send-again").click], None, [self.field, self.talk], [self.sent, self.field],
            js="(message, talk) => messageBox.send(message, talk)", **QUIET,
        )  # fmt: skip
        self._ends(leave.success(answer, [self.sent, *inputs], self.talk, **event), "send")

    def runs(self, trigger: Callable[..., Any], answer: Callable[..., Any], inputs: Sequence[Any], **event: Any) -> None:
        """On another event: `answer(*inputs)`, a generator of conversations and looks of the box (BUSY)."""
        name = str(trigger.event_name)  # type: ignore[attr-defined]
        begin = f"(...values) => {{ messageBox.begin('{name}'); return values; }}"
        self._ends(trigger(answer, inputs, [self.talk, self.field], js=begin, api_visibility="private", **event), name)

    def _ends(self, run: Any, name: str) -> None:
        self._runs.append(run)
        for when, failed in ((run.success, "false"), (run.failure, "true")):
            end = f"(sent, talk, now) => messageBox.end('{name}', {failed}, sent, talk, now)"
            ended = when(None, [self.sent, self.talk, self.field], self.field, js=end, **QUIET)
            ended.success(None, None, None, js=f"() => messageBox.over('{name}')", **QUIET)

    def stops(self, stop: Callable[..., Any]) -> None:
        """On the stop button: `stop()`, or out of the queue when nothing has begun. Called when all runs are known."""
        pressed = [self.field.stop, _hidden("stop-now").click]
        called = gr.on(pressed, None, self.talk, None, js="(talk) => messageBox.stop(talk)", **QUIET).success(stop, None, None, **QUIET)
        for when in (called.success, called.failure):
            when(None, None, None, js="() => messageBox.stopped()", **QUIET)
        _hidden("unsend").click(None, None, None, cancels=self._runs, **QUIET)

    def changes(self, name: str, trigger: Callable[..., Any], change: Callable[..., Any], inputs: Any, outputs: Any) -> None:
        """On an event: `change(*inputs)`, once no answer is being written into the conversation; one that is, is stopped."""
        self._free(name, trigger).success(change, inputs, outputs, **QUIET)

    def takes_back(self, name: str, trigger: Callable[..., Any], change: Callable[..., Any], inputs: Any) -> None:
        """On an event, as `changes`: `change(*inputs)` gives the conversation and a message, which comes back into the box."""
        taken = self._free(name, trigger).success(change, inputs, [self.talk, self.sent], **QUIET)
        js = "(sent, now) => messageBox.look(false, messageBox.back(sent, now))"
        taken.success(None, [self.sent, self.field], self.field, js=js, **QUIET)

    def clears(self, trigger: Callable[..., Any]) -> None:
        """On an event: the box is empty at once, so that what is typed from then on stays; the conversation when no answer is under way."""
        trigger(None, None, None, js="() => messageBox.clear()", **QUIET)
        self._free("clear", trigger).success(None, None, self.talk, js="() => [[]]", **QUIET)

    def _free(self, name: str, trigger: Callable[..., Any]) -> Any:
        button = f"{name}-again"
        js = f"(talk) => messageBox.first('#{button}', talk)"
        return gr.on([trigger, _hidden(button).click], None, self.talk, None, js=js, **QUIET)


def _hidden(name: str) -> gr.Button:
    """A button that only SCRIPT presses."""
    return gr.Button(name, visible="hidden", elem_id=name)
