"""A conversation through a checkpoint's chat template, with every picture where it belongs.

    template = ChatTemplate(hf_processor, neutralise)
    # 'USER: <image>\\nwhat is it? ASSISTANT:'
    template.render([Turn("user", Sample([picture, "what is it?"]))])

A stranger's template is tried in a child process, with limits of time and memory, before it is used.
Jinja's sandbox keeps it from files and code, not from loops in loops or strings that double. Not covered: one
that runs wild on certain words only; token ids (processor.py).
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

from sugar.errors import ModelError
from sugar.model.checkpoint import reason
from sugar.sequence import Turn

log = logging.getLogger("sugar")

VICUNA_TEMPLATE = (
    "{% for m in messages %}{% if m['role'] == 'system' %}"
    "{% for c in m['content'] %}{{ c['text'] }}{% endfor %} "
    "{% else %}{{ m['role'].upper() }}: {% for c in m['content'] %}{% if c['type'] == 'image' %}IMAGE_TOKEN\n"
    "{% else %}{{ c['text'] }}{% endif %}{% endfor %}"
    "{% if m['role'] == 'assistant' %}{{ eos_token }}{% else %} {% endif %}"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)
"""The template of the paper's base (Vicuna), for checkpoints that carry none."""


class ChatTemplate:
    """The template of one Hugging Face processor. neutralise: breaks special tokens in what people typed."""

    def __init__(self, hf: Any, neutralise: Callable[[str], str]) -> None:
        self.hf, self.neutralise = hf, neutralise
        self.image_token: str = hf.image_token
        template = getattr(hf, "chat_template", None) or getattr(hf.tokenizer, "chat_template", None)
        if isinstance(template, dict):
            template = template.get("default")
        if template:
            try_template(template)
        self._failed = ""
        self._template = template or VICUNA_TEMPLATE.replace("IMAGE_TOKEN", self.image_token)
        thinks = (
            "enable_thinking" in self._template
        )  # Qwen3.5 and Gemma 4: no thinking aloud before an answer
        self._switches = {"enable_thinking": False} if thinks else {}

    def render(self, turns: Sequence[Turn], *, generation_prompt: bool = True) -> str:
        """The conversation as text, one image token per picture, in the order given.

        A template without a system role gets the system text in front of the first message. A template that
        moves pictures before the text (LLaVA-1.5's) gets them written where they belong. Raises ModelError
        when neither helps.
        """
        messages = [{"role": turn.role, "content": [self._part(s) for s in turn.sample]} for turn in turns]
        text = self._apply(messages, generation_prompt)
        if text is None or not self._in_order(text, messages):
            inlined = self._inline(self._merge_system(messages))
            text = self._apply(inlined, generation_prompt)
            if text is None or not self._in_order(text, self._inline(messages)):
                raise ModelError(
                    f"The checkpoint's chat template cannot express this conversation{self._failed}. Use a "
                    "model with another template."
                )
        return text

    def _part(self, s: Any) -> dict[str, str]:
        return {"type": "image"} if s.is_image else {"type": "text", "text": self.neutralise(s.text)}

    def _apply(self, messages: list[dict[str, Any]], generation_prompt: bool) -> str | None:
        try:
            return self.hf.apply_chat_template(
                messages,
                chat_template=self._template,
                add_generation_prompt=generation_prompt,
                **self._switches,
            )
        except Exception as error:  # a template is a program: TemplateError, TypeError, OverflowError, ...
            self._failed = f" ({reason(error)})"
            return None

    def _in_order(self, text: str, messages: list[dict[str, Any]]) -> bool:
        """Does the rendered text hold every part once, in the order of the messages?"""
        at = 0
        for message in messages:
            for part in message["content"]:
                is_text = part["type"] == "text"
                wanted = part["text"].strip() if is_text else self.image_token
                found = text.find(wanted, at)
                between = text[at : max(found, 0)]
                if found < 0 or (is_text and self.image_token not in wanted and self.image_token in between):
                    return False
                at = found + len(wanted)
        return self.image_token not in text[at:]

    @staticmethod
    def _merge_system(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        system = [part for m in messages if m["role"] == "system" for part in m["content"]]
        rest = [dict(m) for m in messages if m["role"] != "system"]
        if system and rest:
            rest[0]["content"] = [*system, {"type": "text", "text": "\n"}, *rest[0]["content"]]
        return rest

    def _inline(self, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The same messages as one text each, with the image tokens written into it."""
        inlined = []
        for message in messages:
            parts = [
                f"{self.image_token}\n" if p["type"] == "image" else p["text"] for p in message["content"]
            ]
            last = len(parts) - 1
            text = "".join(p if p.endswith("\n") or i == last else f"{p}\n" for i, p in enumerate(parts))
            inlined.append({"role": message["role"], "content": [{"type": "text", "text": text}]})
        return inlined


# -- the trial of a stranger's template ------------------------------------------------------------

SECONDS, PATIENCE = 5, 120  # of the child's processor time; on the clock, for a busy machine
BYTES = 1 << 30
LONGEST = 1_000_000
TOO_MUCH = 3
_ended: set[str] = set()

CHILD = f"""
import json, sys
try:
    import resource
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, ({SECONDS}, {SECONDS}))
    resource.setrlimit(resource.RLIMIT_AS, ({BYTES}, {BYTES}))
except (ImportError, ValueError, OSError):  # Windows; macOS has no limit of addresses
    pass
from jinja2 import nodes
from jinja2.exceptions import TemplateError
from jinja2.ext import Extension
from jinja2.sandbox import ImmutableSandboxedEnvironment

class Generation(Extension):  # a tag of Transformers
    tags = {{"generation"}}
    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)
    def _body(self, caller):
        return caller()

def refuse(message):
    raise TemplateError(message)

def said(role, *parts):
    kinds = [{{"type": "image"}} if p is None else {{"type": "text", "text": p}} for p in parts]
    return {{"role": role, "content": kinds}}

text, picture = said("user", "What is it?"), said("user", None, "What is it?", None)
answer, system = said("assistant", "A star."), said("system", "Be brief.")
conversations = [[text], [picture], [text, answer], [system, text], [system, picture, answer]]
conversations += [[picture, answer, text], [picture, answer, text, answer, picture] * 4]
tokens = {{"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}}
env = ImmutableSandboxedEnvironment(
    trim_blocks=True, lstrip_blocks=True, extensions=[Generation, "jinja2.ext.loopcontrols"]
)
env.filters["tojson"] = lambda value, **_: json.dumps(value)
env.globals |= {{"raise_exception": refuse, "strftime_now": lambda form: form}}
try:
    template = env.from_string(json.loads(sys.stdin.read()))
    for messages in conversations:
        for prompt in (False, True):
            try:
                given = dict(messages=messages, add_generation_prompt=prompt, tools=None, documents=None)
                if len(template.render(**given, **tokens)) > {LONGEST}:
                    sys.exit({TOO_MUCH})
            except MemoryError:
                raise
            except Exception:  # it takes no such conversation, which is said when one comes
                pass
except MemoryError:
    sys.exit({TOO_MUCH})
except Exception:  # no template at all: the same
    pass
"""


def try_template(template: object) -> None:
    """Raises ModelError for a template that is no text, or does not end soon on short conversations."""
    if not isinstance(template, str) or len(template) > LONGEST:
        raise ModelError("The checkpoint's chat template is no text of a usable length. Download it again.")
    if template in _ended:
        return
    ended = True
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-c", CHILD],
            input=json.dumps(template).encode(),
            capture_output=True,
            timeout=PATIENCE,
        )
        ended = done.returncode != TOO_MUCH and done.returncode >= 0
        if ended and done.returncode:
            log.warning(
                "the chat template could not be tried: %s", done.stderr.decode(errors="replace")[-300:]
            )
    except subprocess.TimeoutExpired:
        ended = False
    except OSError as error:
        log.warning("the chat template could not be tried: %s", error)
    if not ended:
        raise ModelError(
            f"The checkpoint's chat template does not end within {SECONDS} seconds, {BYTES >> 20} MB and "
            f"{LONGEST:,} characters on a short conversation. Correct chat_template.jinja, or use another "
            "checkpoint."
        )
    _ended.add(template)
