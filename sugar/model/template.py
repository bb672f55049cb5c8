"""A conversation through a checkpoint's chat template, with every picture where it belongs.

    template = ChatTemplate(hf_processor, neutralise)
    # 'USER: <image>\\nwhat is it? ASSISTANT:'
    template.render([Turn("user", Sample([picture, "what is it?"]))])

Not covered: token ids (processor.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sugar.errors import ModelError
from sugar.model.files import reason
from sugar.model.template_trial import try_template
from sugar.sequence import Turn

__all__ = ["ChatTemplate"]

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
                messages, chat_template=self._template, add_generation_prompt=generation_prompt
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
