"""The tab Chat: pictures and texts in any order, over many turns. The worked example of how a tab is written.

The page keeps one Conversation in a gr.State; every handler takes it and gives a new one. From top to bottom:
the layout and its events, what happens on each event, what is drawn beside the conversation.
Cells carry `data-pick`: "read:KEY" sets a picture aside or takes it back, "open:KEY" opens it, "region:KEY"
asks about its marked region; "saved:KEY" opens a conversation, "delete:KEY" and "undo:KEY" of the list.
Not covered: the service (sugar/services/chat.py), the chatbot (conversation.py), its box (message.py), the
drawer and what a reload opens again (static/chat.js).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

import gradio as gr

from sugar.errors import ImageError, InputError
from sugar.images import ImageLimits, thumbnail
from sugar.sequence import Sampling
from sugar.services.chat import ChatService, crop
from sugar.services.conversation import Attachment, Conversation, SavedConversation, from_bytes, to_bytes
from sugar.services.examples import Example, examples
from sugar.ui.components import clickable, data_uri, escape, event_field, jpeg_uri
from sugar.ui.context import AppContext
from sugar.ui.conversation import ChatView, as_message_value, from_history, to_messages
from sugar.ui.incoming import number, parts, picture, read_upload, text
from sugar.ui.message import BUSY, MessageBox
from sugar.ui.text import chat as words

TAB = ("chat", words.TITLE)

Shown = tuple[list[dict[str, Any]], Conversation]
"""Messages for the chatbot, and the conversation they show."""

MOST_LISTED, MOST_THUMBNAILS = 200, 50

DOWNLOAD = """() => {
  const file = document.querySelector("#saved");
  (file.querySelector("a, button") ?? file).click();
}"""


def build(app: AppContext) -> None:
    """Lay out the tab and wire it."""
    tab = ChatTab(app)
    listed = tab.service.saved is not None  # on a shared host nothing is kept: only Export and Import
    wanted = gr.Textbox(visible=False)  # no gr.State: the script below reads it
    with gr.Row(elem_id="chat", elem_classes=[] if listed else ["alone"]):
        with gr.Column(elem_id="chat-side", visible=listed):
            new = gr.Button(words.NEW, size="sm", elem_id="talk-new")
            saved = clickable(words.SAVED_LIST, "sugarChat.list(element);", elem_id="saved-list")
        with gr.Column(elem_id="chat-main"):
            with gr.Row(elem_id="chat-bar"):
                side = gr.Button(words.SAVED, size="sm", visible=listed, elem_id="chat-side-open")
                title = gr.Textbox(
                    label=words.TITLE_LABEL,
                    placeholder=words.NO_TITLE,
                    container=False,
                    max_lines=1,
                    visible=listed,
                    elem_id="talk-title",
                )
                if not listed:
                    new = gr.Button(words.NEW, size="sm", elem_id="talk-new")
            with gr.Column(elem_id="talk-place"):  # keeps the place until the component has come
                view = ChatView(
                    label=words.CONVERSATION,
                    show_label=False,
                    height="100%",
                    placeholder=words.INTRO,
                    buttons=["copy"],
                    allow_file_downloads=False,
                    feedback_options=None,
                    latex_delimiters=[],
                    elem_id="talk",
                    layout="bubble",
                )
            kept = gr.State(Conversation())
            with gr.Row(visible=False, elem_id="versions") as versions:
                earlier = gr.Button(words.PREVIOUS_VERSION, size="sm", min_width=130)
                version = gr.HTML(elem_classes="sugar-version sugar-live")
                later = gr.Button(words.NEXT_VERSION, size="sm", min_width=130)
            strip = clickable(words.PICTURES, elem_id="talk-pictures", visible=False)
            box = MessageBox(app.settings, view, kept, saved)
    opened = clickable(words.PICTURES, elem_id="talk-opened", visible=False)
    with gr.Row(elem_id="talk-acts"):
        edit = gr.Button(words.EDIT, size="sm", min_width=130)
        to_search = gr.Button(words.SEARCH_WITH_THIS, size="sm", min_width=130)
        to_compare = gr.Button(words.COMPARE_THESE, size="sm", min_width=130)
        export = gr.Button(words.EXPORT, size="sm", min_width=90)
        file = gr.UploadButton(words.IMPORT, file_types=[".jsonl"], size="sm", min_width=90, elem_id="reopen")
        exported = gr.DownloadButton(words.EXPORTED, visible="hidden", elem_id="saved")
    most = app.settings.max_tokens
    with gr.Accordion(words.OPTIONS, open=False):
        system = gr.Textbox(label=words.SYSTEM, info=words.SYSTEM_INFO, lines=2, elem_id="system")
        with gr.Row():
            how = [
                gr.Slider(0, 2, 0, step=0.05, label=words.TEMPERATURE, info=words.TEMPERATURE_INFO),
                gr.Slider(0.05, 1, 1, step=0.05, label=words.TOP_P, info=words.TOP_P_INFO),
                gr.Slider(1, most, min(128, most), step=1, label=words.LENGTH, info=words.LENGTH_INFO),
                gr.Number(-1, precision=0, label=words.SEED, info=words.SEED_INFO),
            ]

    run: Callable[..., Any] = partial(app.guarded, uses_model=False)
    box.sends(app.guarded(tab.send), [kept, system, *how], run(tab.readable))
    box.runs(view.retry, app.guarded(tab.retry), [kept, *how])
    box.runs(view.example_select, app.guarded(tab.ask_example), [kept, *how])
    box.stops(run(tab.stop))
    box.changes("undo", view.undo, run(tab.undo), kept)
    box.changes("earlier", earlier.click, run(tab.earlier), kept)
    box.changes("later", later.click, run(tab.later), kept)
    box.takes_back("edit", edit.click, run(tab.edit), kept)
    box.clears(new.click, run(tab.new), kept)
    chosen = saved.click(run(tab.choose), kept, [wanted, saved], **app.quiet)
    press = "(wanted) => { if (wanted) document.querySelector('#saved-again').click(); }"
    chosen.success(None, wanted, None, js=press)
    box.changes("saved", None, run(tab.turn_to), [wanted, kept])
    box.changes("open", file.upload, run(tab.import_file), file)
    gr.on([title.submit, title.blur], run(tab.rename), [kept, title], [kept, saved], **app.quiet)
    side.click(None, None, None, js="() => sugarChat.toggle()")
    wrote = export.click(run(tab.export), kept, exported, **app.quiet)
    wrote.success(None, None, None, js=DOWNLOAD)
    beside = [saved, title, strip, versions, version, opened]
    box.then(run(tab.beside), kept, beside)
    app.on_load(tab.beside, [kept], beside)
    strip.click(run(tab.pick), kept, [strip, kept, opened], **app.quiet)
    box.adds(opened.click, run(tab.region), kept, also=opened)
    box.answers_programs(app.guarded(tab.answer_program), how)
    app.on_model_change(tab.examples, [view])
    app.hand_over(to_search, "photos", lambda request, talk: talk.last_question(), [kept])
    app.hand_over(to_compare, "compare", lambda request, talk: talk.last_question(), [kept])
    app.receive("chat", as_message_value, [box.field])


def sampling_from(temperature: Any, top_p: Any, length: Any, seed: Any, most: int) -> Sampling:
    """How an answer is generated, as a page or a program says it. Raises InputError out of range."""
    try:
        temperature, top_p, length = float(temperature), float(top_p), int(length)
        seed = None if seed in (None, "") or float(seed) < 0 else int(seed)
    except (TypeError, ValueError, OverflowError):
        raise InputError("Temperature, top-p, length and seed are numbers.") from None
    if not (0 <= temperature <= 2 and 0 < top_p <= 1 and 1 <= length <= most and (seed or 0) < 2**63):
        raise InputError(
            f"Use a temperature of 0 to 2, top-p above 0 up to 1, and a length of 1 to {most} tokens."
        )
    return Sampling(temperature, top_p, length, seed)


class ChatTab:
    """What happens on the events of the tab. `how`: temperature, top-p, the longest answer and the seed."""

    def __init__(self, app: AppContext) -> None:
        self.app, self.settings = app, app.settings
        self.service = ChatService(app.workspace)

    def _show(self, talk: Conversation, request: gr.Request) -> Shown:
        return to_messages(talk, self.app.visitor(request)), talk

    # -- answers

    def send(
        self, request: gr.Request, message: Any, talk: Conversation, system: Any, *how: Any
    ) -> Iterator[tuple[Any, ...]]:
        talk = replace(talk, system=text(system, self.settings, what=words.SYSTEM, required=False))
        asked, sampling = parts(message, self.settings), self._sampling(*how)
        answers = self.service.ask(self.app.visitor(request), talk, asked, sampling, self._gallery(request))
        yield from self._stream(answers, request)

    def _gallery(self, request: gr.Request) -> str:
        """Where "show me photos of ..." looks: the gallery used last; "" where there is none."""
        return self.app.last_gallery(request) or ""

    def readable(self, message: Any) -> Any:
        """A refused message without the pictures that cannot be opened: what is left can be sent again."""

        def opens(file: Any) -> bool:
            try:
                picture(file, self.settings)
            except ImageError:
                return False
            return True

        return {**message, "files": [file for file in message.get("files") or [] if opens(file)]}

    def retry(
        self, request: gr.Request, event: gr.RetryData, talk: Conversation, *how: Any
    ) -> Iterator[tuple[Any, ...]]:
        at = event.index[0] if isinstance(event.index, (list, tuple)) and event.index else event.index
        on_show = isinstance(at, int) and 0 <= at < len(talk.branch)
        index = talk.branch[at] if on_show else None
        visitor, gallery = self.app.visitor(request), self._gallery(request)
        answers = self.service.retry(visitor, talk, index, self._sampling(*how), gallery)
        yield from self._stream(answers, request, BUSY)

    def ask_example(
        self, request: gr.Request, event: gr.SelectData, talk: Conversation, *how: Any
    ) -> Iterator[tuple[Any, ...]]:
        known = self._examples()
        chosen = known[int(number(event.index, 0, len(known) - 1, words.EXAMPLE))]
        asked: list[Any] = [*chosen.pictures(), chosen.text]
        answers = self.service.ask(self.app.visitor(request), talk, asked, self._sampling(*how))
        yield from self._stream(answers, request, BUSY)

    def answer_program(
        self,
        message: Any,
        history: Any,
        temperature: float,
        top_p: float,
        length: int,
        seed: int,
        request: gr.Request,
    ) -> Iterator[list[dict[str, Any]]]:
        """Answer a message of pictures and texts; `history` is what an earlier call gave."""
        visitor, before = self.app.visitor(request), from_history(history, self.settings)
        asked, sampling = parts(message, self.settings), self._sampling(temperature, top_p, length, seed)
        for talk in self.service.ask(visitor, before, asked, sampling, save=False):
            yield to_messages(talk, visitor)

    def stop(self, request: gr.Request) -> None:
        self.app.visitor(request).stop()

    def _sampling(self, temperature: Any, top_p: Any, length: Any, seed: Any) -> Sampling:
        return sampling_from(temperature, top_p, length, seed, self.settings.max_tokens)

    def _stream(self, answers: Iterator[Conversation], request: gr.Request, *look: Any) -> Iterator[Any]:
        """Show an answer as it grows; then warn where it is not in its file, until that is closed."""
        listed: Any = None  # the list names it from the first moment, so that a reload finds it
        for talk in answers:
            listed = self._list(talk) if listed is None else gr.skip()
            yield *self._show(talk, request), listed, *look
        if talk.unsaved:
            gr.Warning(words.UNSAVED.format(why=escape(talk.unsaved)), duration=None)

    # -- what changes the conversation

    def undo(self, talk: Conversation, request: gr.Request) -> Shown:
        return self._show(talk.before(talk.question()), request)

    def edit(self, talk: Conversation, request: gr.Request) -> tuple[Any, ...]:
        last = talk.question()
        message = as_message_value(talk.messages[last].contents, self.app.visitor(request))
        return *self._show(talk.before(last), request), message

    def new(self, talk: Conversation) -> Shown:
        return [], Conversation(system=talk.system)

    def earlier(self, talk: Conversation, request: gr.Request) -> Shown:
        return self._version(talk, -1, request)

    def later(self, talk: Conversation, request: gr.Request) -> Shown:
        return self._version(talk, 1, request)

    def _version(self, talk: Conversation, step: int, request: gr.Request) -> Shown:
        fork = talk.fork()
        return self._show(talk if fork is None else talk.version(fork, step), request)

    # -- beside the conversation: its versions, its pictures, the examples

    def beside(self, talk: Conversation) -> tuple[Any, ...]:
        """Values for: the list, the title, the strip of pictures, the versions and their line, the opened
        picture.
        """
        fork, line = talk.fork(), ""
        if fork is not None:
            known = talk.versions(fork)
            line = words.VERSION.format(n=known.index(fork) + 1, count=len(known))
        strip = gr.HTML(picture_strip(talk), visible=bool(talk.pictures))
        versions, closed = gr.Row(visible=fork is not None), gr.HTML("", visible=False)
        return self._list(talk), talk.name, strip, versions, line, closed

    def pick(self, talk: Conversation, event: gr.EventData) -> tuple[Any, Conversation, Any]:
        """A click in the strip: the switch of a picture, or the picture itself."""
        kind, picture = _picked(talk, event)
        if kind == "read":
            talk = talk.toggled(picture.key)
            return gr.HTML(picture_strip(talk)), talk, gr.skip()
        drawn = opened_picture(talk.pictures.index(picture) + 1, picture)
        return gr.skip(), talk, gr.HTML(drawn, visible=True)

    def region(self, talk: Conversation, request: gr.Request, event: gr.EventData) -> tuple[Any, Any]:
        """A click under the opened picture: close it, or put the marked region into the message box."""
        if event_field(event, "pick") == "close:":
            return gr.HTML("", visible=False), None
        _, picture = _picked(talk, event)
        try:
            left, top, right, bottom = (float(v) for v in event_field(event, "box").split(","))
        except ValueError:
            raise InputError(words.NO_REGION) from None
        part = crop(picture.image, (left, top, right, bottom))
        return gr.HTML("", visible=False), as_message_value([part], self.app.visitor(request))

    def examples(self) -> Any:
        """The loaded model's examples, for the empty conversation. Their pictures lie in the page itself."""

        def inside(picture: Any) -> dict[str, str]:
            uri, name = data_uri(picture), words.EXAMPLE_PICTURE
            return {"path": "", "url": uri, "mime_type": "image/jpeg", "orig_name": name}

        offers = [{"text": e.text, "files": [inside(p) for p in e.pictures()]} for e in self._examples()]
        return gr.update(examples=offers)

    def _examples(self) -> list[Example]:
        return examples(self.app.models.peek(), "chat")

    # -- the list of saved conversations, only on one's own machine

    def _list(self, talk: Conversation) -> str:
        saved = self.service.saved
        return saved_list(saved.list(), talk.key) if saved is not None else ""

    def choose(self, talk: Conversation, event: gr.EventData) -> tuple[str, Any]:
        """What was pressed in the list, where it changes the conversation on show; `turn_to` does that."""
        pick = event_field(event, "pick")
        kind, _, key = pick.partition(":")
        if kind != "delete" or key == talk.key:
            return pick, gr.skip()
        if self.service.saved is not None:
            self.service.saved.delete(key)
        return "", self._list(talk)

    def turn_to(self, pick: str, talk: Conversation, request: gr.Request) -> Any:
        """Show another conversation, or an empty one in the place of one that is deleted."""
        kind, _, key = str(pick).partition(":")
        if (saved := self.service.saved) is None:
            raise InputError(words.NOT_KEPT)
        if kind == "delete":
            saved.delete(key)
            return self.new(talk)
        if kind == "undo":
            saved.undo(key)
        return self._show(self.service.open(key), request)

    def rename(self, talk: Conversation, title: Any) -> tuple[Any, Any]:
        said = text(title, self.settings, what=words.TITLE_LABEL, required=False)
        if said == talk.name:
            return gr.skip(), gr.skip()
        talk = self.service.rename(talk, said)
        return talk, self._list(talk)

    def export(self, talk: Conversation, request: gr.Request) -> str:
        if not talk.messages:
            raise InputError(words.EMPTY)
        return self.app.visitor(request).keep(to_bytes(talk), ".jsonl", name="conversation")

    def import_file(self, file: Any, request: gr.Request) -> Shown:
        limits = ImageLimits(max_bytes=self.settings.max_upload_mb * 1_000_000)
        return self._show(from_bytes(read_upload(file, self.settings), limits), request)


def _picked(talk: Conversation, event: gr.EventData) -> tuple[str, Attachment]:
    """What a click on a picture asks for, and the picture. Raises InputError when it is not on show."""
    kind, _, key = event_field(event, "pick").partition(":")
    picture = next((p for p in talk.pictures if p.key == key), None)
    if picture is None:
        raise InputError(words.PICTURE_GONE)
    return kind, picture


# -- drawing


def picture_strip(talk: Conversation) -> str:
    """The pictures of a conversation in order, each with a switch: used or ignored."""
    cells = []
    for n, shown in enumerate(talk.pictures, 1):
        read = shown.key not in talk.set_aside
        cells.append(
            f'<li><button type="button" data-pick="open:{shown.key}" '
            f'aria-label="{words.OPEN_PICTURE.format(n=n)}">'
            f'<img src="{data_uri(shown.image)}" alt="{words.PICTURE.format(n=n)}"></button>'
            f'<button type="button" data-pick="read:{shown.key}" role="switch" '
            f'aria-checked="{str(read).lower()}" aria-label="{words.READ_LABEL.format(n=n)}">'
            f"{n} · {words.READ if read else words.SET_ASIDE}</button></li>"
        )
    return f'<ol class="sugar-read" role="list">{"".join(cells)}</ol>' if cells else ""


def opened_picture(number: int, picture: Attachment) -> str:
    """One picture, large, on which a region can be marked."""
    label = words.REGION_LABEL.format(n=number)
    return (
        f'<p class="sugar-hint">{words.REGION}</p>'
        f'<div class="sugar-region" tabindex="0" role="application" aria-label="{label}">'
        f'<img src="{jpeg_uri(thumbnail(picture.image, 768))}" alt="{words.PICTURE.format(n=number)}" '
        f'draggable="false"><i></i></div>'
        f'<div class="sugar-row"><button type="button" class="sugar-button" data-pick="region:{picture.key}">'
        f'{words.ASK_REGION}</button><button type="button" class="sugar-button" data-pick="close:">'
        f"{words.CLOSE}</button></div>"
    )


def saved_list(saved: Sequence[SavedConversation], current: str) -> str:
    """The saved conversations, newest first: picture, title, day, and a button that deletes."""
    if not saved:
        return f'<p class="sugar-hint">{words.NONE_SAVED}</p>'
    now = datetime.now()
    items = "".join(
        f"<li>{_entry(entry, current, now, pictured=n < MOST_THUMBNAILS)}</li>"
        for n, entry in enumerate(saved[:MOST_LISTED])
    )
    return f'<ul class="sugar-talks" role="list">{items}</ul>'


def _entry(entry: SavedConversation, current: str, now: datetime, *, pictured: bool) -> str:
    day = f"{entry.changed:%H:%M}" if entry.changed.date() == now.date() else f"{entry.changed:%d %b %Y}"
    title = escape(entry.title or words.DAMAGED.format(day=day))
    if entry.leaving:
        undo = (
            f'<button type="button" class="sugar-button" data-pick="undo:{entry.key}">{words.UNDO}</button>'
        )
        return f'<span class="leaving" role="status">{words.DELETED.format(title=title)} {undo}</span>'
    name = words.DELETE_TITLE.format(title=title)
    delete = (
        f'<button type="button" class="delete" data-pick="delete:{entry.key}" aria-label="{name}">×</button>'
    )
    if entry.damaged:
        return f'<span class="damaged">{title}</span>{delete}'
    source = f"data:image/jpeg;base64,{entry.thumbnail}"
    shown = f'<img src="{source}" alt="">' if entry.thumbnail and pictured else ""
    return (
        f'<button type="button" data-pick="saved:{entry.key}" '
        f'aria-current="{str(entry.key == current).lower()}"><span class="thumbnail">{shown}</span>'
        f'<span class="title">{title}</span><span class="day">{day}</span></button>{delete}'
    )
