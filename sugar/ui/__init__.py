"""The page: one file per tab; this one puts them together.

    demo = build_app(settings, models)            # a gr.Blocks; launch(demo, settings) serves it

How a tab is written (chat.py is the example, ~150 lines, never over 220):

    TAB = ("search", "Search")                                    # id, title

    def build(app: AppContext) -> None:                           # called inside gr.Tab(title, id=id)
        intro("Find pictures with any order of words and pictures.")
        query = gr.Textbox(label="Words")                         # every field has a label
        go = gr.Button("Search", variant="primary")
        hits = gr.Gallery(label="Hits")

        def search(words: str, request: gr.Request):              # `request: gr.Request` is a POSITIONAL parameter, anywhere
            words = text(words, app.settings)                     # check everything: a handler can be called raw
            gallery = app.gallery(request, "sample")              # only what this visitor may see; raises what the page should say
            return [...]

        go.click(app.guarded(search), [query], [hits], api_name="search", **app.on_model)
        app.hand_over(button, "chat", lambda request, hit: [picture, "what is this?"], inputs=[hits_state])
        app.receive("search", lambda parts, visitor: parts[0], outputs=[query])      # what other tabs hand to this one

- raise SugarErrors; `app.guarded` shows them. It also counts calls against the visitor's limit: `uses_model=False` where no model runs.
- events that run the model take `**app.on_model` (one queue over all tabs); the others do not. Internal events: `api_visibility="private"`.
- generation goes through `app.stream(request, conversation, sampling)`, which stops when the visitor stops, leaves, or the time is up.
  A stop button: `stop.click(lambda request: app.visitor(request).stop(), ..., cancels=[event], queue=False)`.
- pictures enter by `components.PictureInput` (never gr.Image, which decodes by itself) or a file component with `type="filepath"`, and then
  `incoming.picture(path, app.settings)`; nothing else opens a file. Shipped pictures: `examples.example_picture("scene-0.jpg")`.
- what is kept on the server for a visitor goes into `app.visitor(request).things["search"]`, never into a module or the tab's closure.
- choices that depend on the visitor (gallery names) are filled by `app.on_load(fn, inputs, outputs)`; `fn` may take the request.
- words of people, files and models reach HTML or Markdown only through `drawing.escape`.
- what another tab changes (a new gallery): `app.on_galleries(fn, outputs)` runs after any event given to `app.galleries_changed(event)`.

Floors: this room is the only one that knows Gradio.
"""

from __future__ import annotations

import atexit
import importlib
import importlib.util
import logging
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import gradio as gr  # noqa: E402

from sugar.errors import SettingsError  # noqa: E402
from sugar.settings import Settings  # noqa: E402
from sugar.ui.context import AppContext  # noqa: E402
from sugar.ui.drawing import status_line  # noqa: E402
from sugar.ui.faults import keep_words_out_of_the_log  # noqa: E402
from sugar.ui.loading import ModelLoader  # noqa: E402
from sugar.ui.look import CSS, HEAD, theme  # noqa: E402
from sugar.ui.message import SCRIPT  # noqa: E402
from sugar.ui.packed import PACKED  # noqa: E402
from sugar.ui.visitors import Visitors  # noqa: E402

__all__ = ["build_app", "launch", "load_model"]

log = logging.getLogger("sugar")
TABS = ("chat", "search", "gallery", "compare", "ask", "model")


def load_model(settings: Settings) -> ModelLoader:
    """The settings' model, loaded in the background as soon as `launch` has the page up: torch would slow its coming. Returns at once."""

    def load(name: str, progress: Any) -> Any:
        from sugar.core import Sugar

        adapter = settings.adapter if name == settings.model and settings.adapter else None
        return Sugar.from_pretrained(name, adapter=adapter, device=settings.device, precision=settings.precision, progress=progress)

    models = ModelLoader(load)
    models.go.clear()
    models.start(settings.model)
    return models


def build_app(settings: Settings, models: ModelLoader, tabs: Sequence[str] = TABS) -> gr.Blocks:
    """The page with all tabs. `demo.app_context` is what the tabs share."""
    root = Path(tempfile.mkdtemp(prefix="visitors-", dir=_cache()))
    app = AppContext(settings, models, Visitors(root))
    with gr.Blocks(title="Sugar", analytics_enabled=False, fill_width=False, delete_cache=(3600, 24 * 3600)) as demo:
        with gr.Column(elem_classes="sugar-head"):
            gr.HTML("<h1>Sugar</h1>", elem_classes="sugar-title")
            status = gr.HTML(status_line(models.state()), elem_classes="sugar-status", elem_id="status")
        with gr.Tabs(elem_id="tabs") as selector:
            for name in tabs:
                module = importlib.import_module(f"sugar.ui.{name}")
                with gr.Tab(module.TAB[1], id=module.TAB[0]):
                    module.build(app)
        timer = gr.Timer(1.0)

        def tick(request: gr.Request) -> list[Any]:
            """What the page shows of the model: the line always, the rest when another one stands."""
            state, seen = models.state(), app.visitor(request).things
            fresh = seen.get("generation") != models.generation
            seen["generation"] = models.generation
            filled: list[Any] = []
            for fill, outputs in app.fills:
                values = fill() if fresh else gr.skip()
                filled += values if isinstance(values, tuple) else [values] * len(outputs)
            busy = state.phase == "loading" or state.coming
            return [status_line(state), gr.Timer(1.0 if busy else 10.0), *filled]

        shown = [status, timer, *(output for _, outputs in app.fills for output in outputs)]
        quiet: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
        gr.on([timer.tick, demo.load], app.guarded(tick, uses_model=False), None, shown, **quiet)
        app.connect(demo, selector)

        def leave(request: gr.Request) -> None:
            app.visitors.leave(request.session_hash)

        demo.unload(leave)
    demo.app_context = app  # type: ignore[attr-defined]
    return demo


def _cache() -> Path:
    """The folder of uploads and served files: one for this app alone, so that no other app's end empties it, and gone with this one."""
    from gradio.utils import get_upload_folder

    if not os.environ.get("GRADIO_TEMP_DIR"):
        for left in Path(tempfile.gettempdir()).glob("sugar-cache-*"):  # of an app that was killed before it could tidy up
            if Path("/proc").is_dir() and not Path(f"/proc/{left.name.split('-')[2]}").exists():
                shutil.rmtree(left, ignore_errors=True)
        os.environ["GRADIO_TEMP_DIR"] = tempfile.mkdtemp(prefix=f"sugar-cache-{os.getpid()}-")
        atexit.register(shutil.rmtree, os.environ["GRADIO_TEMP_DIR"], ignore_errors=True)
    cache = Path(get_upload_folder())
    cache.mkdir(parents=True, exist_ok=True)
    return cache


def launch(demo: gr.Blocks, settings: Settings, *, block: bool = True) -> Any:
    """Serve the page and print its address. Raises SettingsError when MCP is asked for and its extra is not installed."""
    if settings.mcp and importlib.util.find_spec("mcp") is None:
        raise SettingsError('--mcp needs the optional extra. Run: pip install "gradio[mcp]==6.31.0"')
    if settings.shared and not settings.auth:
        log.warning("Strangers can reach this app and no password is set (--auth user:password). Galleries are private and temporary.")
    app: AppContext = demo.app_context  # type: ignore[attr-defined]
    logging.getLogger("httpx").setLevel(logging.WARNING)  # Gradio's own calls to itself, with addresses of visitors' files
    keep_words_out_of_the_log()
    demo.queue(max_size=settings.queue_size, default_concurrency_limit=8)
    user, _, password = settings.auth.partition(":")
    started = demo.launch(
        server_name=settings.host, server_port=settings.port or None, share=settings.share, auth=(user, password) if user else None,
        max_file_size=settings.max_upload_mb * 1_000_000, mcp_server=settings.mcp, theme=theme(), css=CSS, ssr_mode=False,
        prevent_thread_lock=True, show_error=True, footer_links=["api"], head=HEAD + SCRIPT, enable_monitoring=False,
        app_kwargs={"middleware": [PACKED]},
    )  # fmt: skip
    app.models.go.set()
    if block:
        demo.block_thread()
    return started
