"""What a person does in the Chat tab, for tests with a browser."""

from __future__ import annotations

import re
from typing import Any

from conftest import ASSETS


def talk(page: Any) -> Any:
    return page.locator("#talk")


def send(page: Any, words: str, *files: str) -> None:
    if files:
        page.set_input_files("#message input[type=file]", [str(ASSETS / "examples" / f) for f in files])
        page.locator("#message img").nth(len(files) - 1).wait_for()
    page.fill("#message textarea", words)
    page.press("#message textarea", "Enter")


def ready(page: Any) -> None:
    """The box can send: nothing is under way."""
    page.locator("#message button.submit-button").wait_for()


def answered(page: Any, words: str) -> None:
    talk(page).get_by_text(re.compile(re.escape(words))).last.wait_for()
    ready(page)


def talk_at_length(page: Any) -> None:
    """Ask for an answer of three minutes, so that it is under way however slow the machine is."""
    page.get_by_text("Options", exact=True).first.click()
    page.locator("input[type=number][aria-label*='Longest answer']").fill("4000")
    send(page, "talk at length")
    talk(page).get_by_text("word5").wait_for()


def held(page: Any) -> None:
    """The page took Enter and says that the message goes when the answer ends."""
    page.locator("#message[data-held]").wait_for()


def stop(page: Any) -> None:
    page.locator("#message button.stop-button").click()


def box(page: Any) -> str:
    """What is typed in the message box."""
    return page.input_value("#message textarea")
