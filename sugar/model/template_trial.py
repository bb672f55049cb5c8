"""A stranger's chat template is tried in a child process, with limits of time and memory, before it is used.

    try_template(text)           # at once for one that was tried before; ModelError when it does not end

Jinja's sandbox keeps a template from files and code, not from loops in loops or strings that double. The
child renders short conversations of every shape. Not covered: one that runs wild on certain words only.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys

from sugar.errors import ModelError

__all__ = ["try_template"]

log = logging.getLogger("sugar")

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
