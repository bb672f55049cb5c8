"""What tests share: a cache of their own, the app on the toy model in this process, and a real browser.

    def test_x(app): app.url, app.model, app.settings  # one per session: a person's own machine, all tabs
    def test_y(shared_app): ...  # the same as strangers would meet it on a shared host
    def test_z(window): window.open('Chat')  # a fresh Chromium window; console errors fail the test
    client = connect(app)                                               # gradio_client

Nothing is written outside pytest's temporary folders. The browser is /usr/bin/chromium (SUGAR_CHROMIUM names
another).
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # workers share the cores, as do the processes that they start

import pytest
from PIL import Image
from toy import ToyModel

from sugar.scenes import sample_scene, split_rng
from sugar.scenes.draw import picture

ASSETS = Path(__file__).resolve().parents[1] / "assets"
CHROMIUM = os.environ.pop("SUGAR_CHROMIUM", "/usr/bin/chromium")
ARTIFACTS = Path(os.environ.get("CI_ARTIFACTS", "")) if os.environ.get("CI_ARTIFACTS") else None


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kills", type=int, default=2, help="of each kind of work on a gallery")


def pytest_configure(config: pytest.Config) -> None:
    """Gradio's cache, and whatever else asks for a temporary folder of the app, lives and dies with the
    session.
    """
    config.stash_folder = tempfile.mkdtemp(prefix="sugar-tests-")  # type: ignore[attr-defined]
    os.environ["GRADIO_TEMP_DIR"] = str(Path(config.stash_folder) / "cache")  # type: ignore[attr-defined]
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_OFFLINE"] = "1"
    for name in [n for n in os.environ if n.startswith("SUGAR_")]:
        del os.environ[name]


def pytest_unconfigure(config: pytest.Config) -> None:
    for served in SERVED:
        served.demo.close()
    shutil.rmtree(config.stash_folder, ignore_errors=True)  # type: ignore[attr-defined]


class Talker(ToyModel):
    """The toy model as the page meets it. Asked to talk "at length" it says 4000 words, 10 ms each.

    `running` counts answers under way, `said` the words of the last one. The name of the embedded model
    brings the page's note about drawn scenes.
    """

    name = "sugar-tiny"
    encoder = "sugar"
    profile = replace(
        ToyModel.profile,
        good_at="Words and mean colours.",
        larger="smolvlm-256m",
        examples={
            "chat": [
                {"files": ["examples/scene-0.jpg"], "text": "what is in the picture?"},
                {
                    "files": ["examples/before.jpg", "examples/after.jpg"],
                    "text": "what differs between these two?",
                },
            ],
            "search": [
                {"mode": "Pictures", "rows": [{"text": "a red star at night"}]},
                {
                    "mode": "Pictures",
                    "rows": [{"file": "examples/before.jpg"}, {"text": "make the key blue"}],
                },
                {
                    "mode": "Story",
                    "rows": [{"text": t} for t in ("a tree", "it becomes big", "a balloon comes")],
                },
                {"mode": "Every position", "rows": [{"text": "a tree"}, {"text": "it becomes big"}]},
            ],
            "compare": [
                {
                    "files": ["examples/pair-0-0.jpg", "examples/pair-0-1.jpg"],
                    "captions": ["a blue tree below a mushroom", "a mushroom below a blue tree"],
                },
                {
                    "files": ["examples/pair-1-0.jpg", "examples/pair-1-1.jpg"],
                    "captions": ["a pink balloon", "a green balloon"],
                },
                {"files": ["examples/before.jpg", "examples/after.jpg"], "captions": []},
            ],
        },
    )

    def __init__(self, fingerprint: str = "toy-1") -> None:
        super().__init__(fingerprint)
        self.running, self.said = 0, 0

    def generate(self, conversation: Any, **kwargs: Any) -> Iterator[str]:
        sample = conversation if hasattr(conversation, "slices") else conversation[-1].sample
        stop = kwargs.get("stop")
        self.said = 0
        self.running += 1
        try:
            if "at length" in sample.text:
                for n in range(min(4000, kwargs.get("max_new_tokens", 128))):
                    if stop is not None and stop.is_set():
                        return
                    time.sleep(0.05)
                    self.said += 1
                    yield f"word{n} "
            else:
                yield from super().generate(conversation, **kwargs)
        finally:
            self.running -= 1


@dataclass
class Served:
    """A running app. `gate`: cleared, the next model load waits until it is set."""

    url: str
    demo: Any
    model: Talker
    settings: Any
    models: Any

    @property
    def context(self) -> Any:
        return self.demo.app_context


SERVED: list[Served] = []
"""Every app of the session; closed together at its end, because the end of one empties the cache that all of
this process share.
"""


GERMAN = {
    "chat": {"TITLE": "Gespräch", "PLACEHOLDER": "Frag etwas"},
    "search": {"MODES": {"story": "Eine Geschichte"}},
    "frame": {"MODEL_READY": "<b>{name}</b> ist bereit"},
}
"""A language of the tests: a label, a hint, a choice, and a text that the server draws."""


def serve(folder: Path, load: Any = None, **changes: Any) -> Served:
    """Build and launch an app on a free port, on a toy model unless `load(name, progress)` says otherwise."""
    # heavy imports add loggers: not in the app's threads, while pytest walks over all loggers
    import sugar.rag  # noqa: F401
    import sugar.retrieval  # noqa: F401
    from sugar.services.model_slot import ModelSlot
    from sugar.settings import Settings
    from sugar.ui import build_app, launch
    from sugar.ui.text import LANGUAGES

    LANGUAGES["de"] = GERMAN
    model = Talker()
    settings = replace(
        Settings(port=0, gallery=str(folder / "galleries"), per_minute=100_000, max_tokens=4000), **changes
    )
    (folder / "galleries").mkdir(parents=True, exist_ok=True)
    models = ModelSlot(load or (lambda name, progress: model))
    models.start("sugar-tiny")
    demo = build_app(settings, models)
    launch(demo, settings, block=False)
    SERVED.append(Served(f"http://127.0.0.1:{demo.server_port}", demo, model, settings, models))
    return SERVED[-1]


@pytest.fixture(scope="session")
def app(tmp_path_factory: pytest.TempPathFactory) -> Served:
    return serve(tmp_path_factory.mktemp("app"))


@pytest.fixture(scope="session")
def shared_app(tmp_path_factory: pytest.TempPathFactory) -> Served:
    """As on a shared host: anybody's, so galleries are private and the model cannot be exchanged."""
    return serve(tmp_path_factory.mktemp("shared"), host="0.0.0.0", per_minute=1000)


def connect(served: Served) -> Any:
    """A gradio_client: one more visitor."""
    from gradio_client import Client

    return Client(served.url, verbose=False)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=60_000)  # a busy machine is slow, not wrong
    with sync_playwright() as play:
        chromium = play.chromium.launch(
            executable_path=CHROMIUM,
            # a window behind another is served as one in front: all of them are behind something here
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--disable-renderer-backgrounding",
            ],
        )
        yield chromium
        chromium.close()


CONTEXTS: dict[str, Any] = {}
"""Browser contexts by their options: windows of one context share the browser's cache, and each is still a
visitor of its own.
"""


def draw_photos(folder: Path, count: int) -> None:
    """Drawn scenes, drawn-001.jpg and on, each taken three days after the one before."""
    rng, day = split_rng("test", 900), datetime(2025, 1, 2, 9, 0)
    for number in range(1, count + 1):
        exif = Image.Exif()
        taken = day + timedelta(days=3 * number)
        exif.get_ifd(0x8769)[0x9003] = taken.strftime("%Y:%m:%d %H:%M:%S")  # DateTimeOriginal
        picture(sample_scene(rng), 384).save(folder / f"drawn-{number:03d}.jpg", exif=exif)


class Window:
    """One visitor's browser window. Requests to other places and errors on the console are remembered."""

    def __init__(self, browser: Any, served: Served, **options: Any) -> None:
        self.served = served
        self.outside: list[str] = []
        self.errors: list[str] = []
        if repr(options) not in CONTEXTS:
            CONTEXTS[repr(options)] = browser.new_context(
                **{"viewport": {"width": 1180, "height": 900}, "accept_downloads": True, **options}
            )
        self.page = CONTEXTS[repr(options)].new_page()
        self.page.set_default_timeout(60_000)
        self.page.on("request", self._request)
        self.page.on(
            "response", lambda r: self.errors.append(f"{r.status} {r.url}") if r.status >= 400 else None
        )
        self.page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)
        self.page.on("pageerror", lambda e: self.errors.append(str(e)))

    def _request(self, request: Any) -> None:
        if not request.url.startswith((self.served.url, "data:", "blob:", "about:")):
            self.outside.append(request.url)

    def open(self, tab: str = "Chat") -> Any:
        """Go to the app and to a tab; waits until the model stands and the page answers."""
        self.page.goto(self.served.url)
        self.page.get_by_role("tab", name=tab, exact=True).click()
        self.page.locator("#status b").wait_for()
        return self.page

    def go(self, address: str = "") -> None:
        """Go to an address, or load the page again. Streams that this cuts are no errors of the page."""
        before = len(self.errors)
        self.page.goto(address) if address else self.page.reload()
        cut = ("AbortError: ", "Unexpected error Connection errored out")
        self.errors[before:] = [e for e in self.errors[before:] if not e.startswith(cut)]

    def close(self) -> None:
        self.page.close()


@pytest.fixture
def window(browser: Any, app: Served) -> Iterator[Window]:
    """A desktop window on `app`, closed afterwards.

    Fails the test when the page asked another host or logged an error.
    """
    opened = Window(browser, app)
    yield opened
    opened.close()
    assert opened.outside == []
    assert opened.errors == []


def screenshot(page: Any, name: str) -> None:
    """Kept where CI collects artefacts (CI_ARTIFACTS); nowhere else."""
    if ARTIFACTS is not None:
        ARTIFACTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=ARTIFACTS / f"{name}.png", full_page=True)


def eventually(condition: Any, seconds: float = 30.0) -> bool:
    """Wait until a condition holds; False when it does not in time."""
    waiting = threading.Event()
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        waiting.wait(0.02)
    return True
