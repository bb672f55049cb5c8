"""Samples and conversations <-> token ids, pixels, and which token belongs to which slice.

    processor = Processor(hf_processor, model.config.image_token_id, family=model.config.model_type)
    layouts = [processor.embedding_layout(sample) for sample in samples]    # raw interleaving, no prompt
    batch = processor.collate(layouts)                                      # right-padded tensors + pixels
    hidden = model.model(**batch.inputs()).last_hidden_state                # (B, T, hidden)
    d = pool_slices(hidden, batch.slices)                                   # (number of slices, hidden): method.md A1

Embedding layout: <bos> when the tokenizer has one, then the slices in order, each tokenised on its own. An image slice owns
its image tokens (not the markers around them), a text slice owns its tokens. Chat layout: the checkpoint's own chat
template, tokenised as one string, exactly as `AutoProcessor` would. Special tokens that a person types are neutralised.

Works for llava, llava_next, idefics3, gemma3, qwen2_5_vl, qwen3_vl and internvl. Not covered: videos, audio, tools.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sugar.errors import InputError, ModelError
from sugar.sequence import Sample, Turn

__all__ = ["Batch", "Layout", "PreparedImage", "Processor", "ROPE_3D", "TYPE_IDS", "image_key", "merge_pixels", "pool_slices"]

VICUNA_TEMPLATE = (
    "{% for m in messages %}{% if m['role'] == 'system' %}{% for c in m['content'] %}{{ c['text'] }}{% endfor %} "
    "{% else %}{{ m['role'].upper() }}: {% for c in m['content'] %}{% if c['type'] == 'image' %}IMAGE_TOKEN\n"
    "{% else %}{{ c['text'] }}{% endif %}{% endfor %}{% if m['role'] == 'assistant' %}{{ eos_token }}{% else %} {% endif %}"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)
"""The template of the paper's base (Vicuna), for checkpoints that carry none."""

TOKEN_KEYS = {"input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids", "rows", "cols"}


ROPE_3D = {"qwen2_5_vl", "qwen3_vl"}
"""Families whose positions have three axes (time, height, width)."""

TYPE_IDS = {"gemma3": "token_type_ids", "qwen2_5_vl": "mm_token_type_ids", "qwen3_vl": "mm_token_type_ids"}
"""The argument by which a family is told which tokens are pictures."""


def image_key(image: Image.Image) -> str:
    """A content hash of a picture: the key under which its vision features are kept."""
    digest = hashlib.blake2b(f"{image.mode}{image.size}".encode(), digest_size=16)
    digest.update(image.tobytes())
    return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class PreparedImage:
    """A picture ready for the vision tower.

    key: content hash. text: the placeholder text that stands for it in a prompt. tokens: how many image tokens it has.
    grid: (t, h, w) patches for the families with 3-D positions, else None. pixels: inputs of the vision tower, each with a
    leading dimension of pictures or crops; empty when the features are known already. source: the picture itself, in case
    they are forgotten before they are used.
    """

    key: str
    text: str
    tokens: int
    grid: Tensor | None = None
    pixels: dict[str, Tensor] = field(default_factory=dict)
    source: Image.Image | None = None


@dataclass(frozen=True, eq=False)
class Layout:
    """One sequence: ids (T,), the pictures in order, and per slice (positions of its tokens, is it a picture)."""

    ids: list[int]
    images: list[PreparedImage]
    slices: list[tuple[np.ndarray, bool]]


class Processor:
    """A thin wrapper of a Hugging Face processor that knows the positions of slices.

    hf: an `AutoProcessor`, or one of `load.load_processor` for the families whose own needs torchvision.
    image_token_id: the id of the token that the model replaces by vision features (`config.image_token_id`).
    family: the checkpoint's `model_type`, one of `presets.FAMILIES`.
    """

    def __init__(self, hf: Any, image_token_id: int, family: str = "llava") -> None:
        self.hf = hf
        self.family = family
        self.tokenizer = hf.tokenizer
        self.image_token_id = int(image_token_id)
        self.image_token: str = hf.image_token
        self.pad_id: int = next(
            (i for i in (self.tokenizer.pad_token_id, self.tokenizer.eos_token_id, self.tokenizer.bos_token_id) if i is not None), 0
        )
        self._images_kwargs = dict(hf._merge_kwargs(tokenizer_init_kwargs=self.tokenizer.init_kwargs).get("images_kwargs", {}))
        self._images_kwargs["return_tensors"] = "pt"
        self._special = self._special_pattern()
        self._template = getattr(hf, "chat_template", None) or getattr(self.tokenizer, "chat_template", None)
        if isinstance(self._template, dict):
            self._template = self._template.get("default")
        if not self._template:
            self._template = VICUNA_TEMPLATE.replace("IMAGE_TOKEN", self.image_token)

    # -- texts ---------------------------------------------------------------------------------------------------------

    def _special_pattern(self) -> re.Pattern[str]:
        tokens = {t.content for t in self.tokenizer.added_tokens_decoder.values() if t.special} | set(self.tokenizer.all_special_tokens)
        names = ("image_token", "boi_token", "video_token", "fake_image_token", "global_image_tag", "start_image_token", "end_image_token")
        tokens |= {t for t in (getattr(self.hf, name, None) for name in names) if isinstance(t, str)}
        tokens.add(self.tokenizer.convert_ids_to_tokens(self.image_token_id))
        listed = [re.escape(t) for t in sorted(tokens, key=len, reverse=True) if t.strip() and len(t) > 1]
        return re.compile("|".join([*listed, r"<row_\d+_col_\d+>", f"(?i:{re.escape(self.image_token)})"]))

    def neutralise(self, text: str) -> str:
        """The text with every special token broken by a space (`<image>` -> `< image>`), so that nobody can type one.

        Tokenizers that drop a space would mend it, so the result is broken again until nothing matches.
        """
        while True:
            broken = self._special.sub(lambda m: f"{m.group()[0]} {m.group()[1:]}", text)
            if broken == text:
                return text
            text = broken

    def encode(self, text: str) -> list[int]:
        """Token ids of a plain text, special tokens neutralised, none added. Never empty, never an image token."""
        ids = self.tokenizer(self.neutralise(text), add_special_tokens=False)["input_ids"]
        ids = [i for i in ids if i != self.image_token_id]
        if not ids:
            raise InputError(f"The text {text!r} has no words that the model's tokenizer knows. Say it in other words.")
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids, special tokens left out."""
        return self.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)

    # -- pictures ------------------------------------------------------------------------------------------------------

    def prepare_image(self, image: Image.Image, key: str | None = None) -> PreparedImage:
        """Pixels for the vision tower and the placeholder text. Raises ModelError when the processor cannot place it."""
        processed = self.hf.image_processor([image.convert("RGB")], **self._images_kwargs)
        text = self.hf.replace_image_token(processed, image_idx=0)
        pixels = {k: v for k, v in processed.items() if k not in TOKEN_KEYS and isinstance(v, Tensor)}
        for unused in getattr(self.hf, "unused_input_names", ()):
            pixels.pop(unused, None)
        pixels.pop("num_patches", None)
        tokens = self.tokenizer(text, add_special_tokens=False)["input_ids"].count(self.image_token_id)
        if not tokens:
            raise ModelError("The checkpoint's processor places no image token. Its tokenizer and its configuration disagree.")
        return PreparedImage(key or image_key(image), text, tokens, pixels.get("image_grid_thw"), pixels)

    # -- layouts -------------------------------------------------------------------------------------------------------

    def embedding_layout(self, sample: Sample, images: Sequence[PreparedImage] | None = None) -> Layout:
        """<bos> + slices in order. `images`: the sample's pictures, when prepared before."""
        prepared = list(images) if images is not None else [self.prepare_image(image) for image in sample.images]
        ids: list[int] = [self.tokenizer.bos_token_id] if self.tokenizer.bos_token_id is not None else []
        slices: list[tuple[np.ndarray, bool]] = []
        pending = iter(prepared)
        for s in sample:
            piece = self._tokenise_alone(self._marked(next(pending).text)) if s.is_image else self.encode(s.text)
            positions = np.arange(len(ids), len(ids) + len(piece))
            if s.is_image:
                positions = positions[np.asarray(piece) == self.image_token_id]
            slices.append((positions, s.is_image))
            ids += piece
        return Layout(ids, prepared, slices)

    def _marked(self, text: str) -> str:
        """A picture's placeholder with the marks around it that the chat template, not the processor, writes (Qwen)."""
        return f"<|vision_start|>{text}<|vision_end|>" if self.family in ROPE_3D else text

    def render(self, turns: Sequence[Turn], *, generation_prompt: bool = True) -> str:
        """The conversation through the checkpoint's chat template, one image token per picture, in the order given.

        A template that has no system role gets the system text in front of the first message; one that moves pictures
        before the text (LLaVA-1.5's) gets them written where they belong.
        """
        messages = [{"role": turn.role, "content": [self._part(s) for s in turn.sample]} for turn in turns]
        text = self._apply(messages, generation_prompt)
        if text is None or not self._in_order(text, messages):
            text = self._apply(self._inline(self._merge_system(messages)), generation_prompt)
            if text is None or not self._in_order(text, self._inline(messages)):
                raise ModelError("The checkpoint's chat template cannot express this conversation. Use a model with another template.")
        return text

    def _part(self, s: Any) -> dict[str, str]:
        return {"type": "image"} if s.is_image else {"type": "text", "text": self.neutralise(s.text)}

    def _apply(self, messages: list[dict[str, Any]], generation_prompt: bool) -> str | None:
        from jinja2 import TemplateError

        try:
            return self.hf.apply_chat_template(messages, chat_template=self._template, add_generation_prompt=generation_prompt)
        except TemplateError:
            return None

    def _in_order(self, text: str, messages: list[dict[str, Any]]) -> bool:
        """Does the rendered text hold every part once, in the order of the messages?"""
        at = 0
        for message in messages:
            for part in message["content"]:
                wanted = self.image_token if part["type"] == "image" else part["text"].strip()
                found = text.find(wanted, at)
                if found < 0 or (part["type"] == "text" and self.image_token not in wanted and self.image_token in text[at:found]):
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
        inlined = []
        for message in messages:
            parts = [f"{self.image_token}\n" if p["type"] == "image" else p["text"] for p in message["content"]]
            text = "".join(p if p.endswith("\n") or i == len(parts) - 1 else f"{p}\n" for i, p in enumerate(parts))
            inlined.append({"role": message["role"], "content": [{"type": "text", "text": text}]})
        return inlined

    def chat_layout(
        self, turns: Sequence[Turn], *, images: Sequence[PreparedImage] | None = None, generation_prompt: bool = True
    ) -> Layout:
        """A conversation as one sequence; its slices are the pictures in order."""
        prepared = list(images) if images is not None else [self.prepare_image(i) for turn in turns for i in turn.sample.images]
        ids = self._tokenise(self._expand(self.render(turns, generation_prompt=generation_prompt), prepared))
        positions = np.flatnonzero(np.asarray(ids) == self.image_token_id)
        counts = [image.tokens for image in prepared]
        if len(positions) != sum(counts):
            raise InputError(
                f"The prompt holds {len(positions)} image tokens where {sum(counts)} were expected. Remove special tokens from it."
            )
        return Layout(ids, prepared, [(p, True) for p in np.split(positions, np.cumsum(counts)[:-1])] if counts else [])

    def answer_ids(self, turns: Sequence[Turn], prompt: Layout, answer: str, *, end: bool = False) -> list[int]:
        """Token ids of an answer after a prompt, as the chat template would write it; never empty.

        prompt: `chat_layout(turns)`. end: with the token that ends the answer.
        """
        if not answer.strip():
            raise InputError("An answer to score is empty. Give it some words.")
        before = self.render(turns)
        whole = self.render([*turns, Turn("assistant", Sample(answer))], generation_prompt=False)
        said = self.neutralise(answer).strip()
        lead, tail = " ", ""
        if whole.startswith(before.rstrip()) and said in whole[len(before.rstrip()) :]:
            rest = whole[len(before.rstrip()) :]
            lead, tail = rest.split(said, 1)
            before = before.rstrip()
        suffix = lead + said
        ids = self._tokenise(self._expand(before + suffix, prompt.images))
        shared = 0
        while shared < min(len(prompt.ids), len(ids) - 1) and prompt.ids[shared] == ids[shared]:
            shared += 1
        ids = ids[shared:] if shared == len(prompt.ids) else self._tokenise_alone(suffix)
        if end:
            closing = self._tokenise_alone(tail)[:1] if tail.strip() else []
            ids += closing or ([self.tokenizer.eos_token_id] if self.tokenizer.eos_token_id is not None else [])
        return ids

    def _tokenise_alone(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def _tokenise(self, text: str) -> list[int]:
        """A whole prompt: <bos> added unless the template wrote it, a closing <eos> that the tokenizer added removed."""
        bos, eos = self.tokenizer.bos_token, self.tokenizer.eos_token
        ids = self.tokenizer(text, add_special_tokens=not (bos and text.startswith(bos)))["input_ids"]
        if ids and ids[-1] == self.tokenizer.eos_token_id and not text.rstrip().endswith(eos):
            ids = ids[:-1]
        return ids

    def _expand(self, rendered: str, images: Sequence[PreparedImage]) -> str:
        pieces = rendered.split(self.image_token)
        if len(pieces) != len(images) + 1:
            raise InputError(f"The prompt holds {len(pieces) - 1} picture places for {len(images)} pictures. Remove image tokens from it.")
        return pieces[0] + "".join(image.text + piece for image, piece in zip(images, pieces[1:], strict=True))

    def collate(self, layouts: Sequence[Layout], side: str = "right") -> Batch:
        """Pad layouts to one batch: to the right for embeddings and training, to the left to continue several rows at once."""
        if side not in ("left", "right"):
            raise InputError(f"Padding goes to the left or the right, not {side!r}.")
        width = max(len(layout.ids) for layout in layouts)
        ids = torch.full((len(layouts), width), self.pad_id)
        mask = torch.zeros((len(layouts), width), dtype=torch.long)
        slices = []
        for row, layout in enumerate(layouts):
            shift = width - len(layout.ids) if side == "left" else 0
            ids[row, shift : shift + len(layout.ids)] = torch.tensor(layout.ids)
            mask[row, shift : shift + len(layout.ids)] = 1
            slices.append([(positions + shift, is_image) for positions, is_image in layout.slices])
        image_mask = (ids == self.image_token_id) & mask.bool()
        return Batch(ids, mask, image_mask, slices, [image for layout in layouts for image in layout.images], self.family)


def merge_pixels(images: Sequence[PreparedImage]) -> dict[str, Tensor]:
    """The vision tower's inputs of several pictures as one batch; families with a varying number of crops are zero-padded."""
    merged: dict[str, Tensor] = {}
    for name in images[0].pixels if images else ():
        tensors = [image.pixels[name] for image in images]
        if tensors[0].dim() >= 4 and len({t.shape[1:] for t in tensors}) > 1:  # (1, crops, ...)
            crops = max(t.shape[1] for t in tensors)
            tensors = [torch.cat([t, t.new_zeros(t.shape[0], crops - t.shape[1], *t.shape[2:])], 1) for t in tensors]
        merged[name] = torch.cat(tensors)
    return merged


@dataclass(frozen=True, eq=False)
class Batch:
    """Layouts padded to one length.

    input_ids, attention_mask, image_mask: (B, T) long, long, bool. slices: per row, per slice (positions, is_image), padding
    counted in. images: all pictures, row by row.
    """

    input_ids: Tensor
    attention_mask: Tensor
    image_mask: Tensor
    slices: list[list[tuple[np.ndarray, bool]]]
    images: list[PreparedImage]
    family: str = "llava"

    def inputs(self, device: str | torch.device = "cpu") -> dict[str, Tensor]:
        """Keyword arguments for a plain forward of a Transformers model, pixels included (training uses this)."""
        tensors = {"input_ids": self.input_ids, "attention_mask": self.attention_mask, **merge_pixels(self.images)}
        if self.family in TYPE_IDS:
            tensors[TYPE_IDS[self.family]] = self.image_mask.long()
        if self.family not in ROPE_3D:  # those work out their own
            tensors["position_ids"] = (self.attention_mask.cumsum(1) - 1).clamp(min=0)
        return {name: tensor.to(device) for name, tensor in tensors.items()}


def pool_slices(hidden: Tensor, slices: Sequence[Sequence[tuple[np.ndarray, bool]]]) -> Tensor:
    """Hidden states of slices: mean over a picture's tokens, the last token of a text (method.md A1).

    hidden: (B, T, D). slices: per row, per slice (positions, is_image). Returns (all slices, D), row by row, in hidden's
    type; the mean is taken in float32. Differentiable.
    """
    rows, columns, owners, weights = [], [], [], []
    count = 0
    for row, parts in enumerate(slices):
        for positions, is_image in parts:
            used = positions if is_image else positions[-1:]
            rows.append(np.full(len(used), row))
            columns.append(used)
            owners.append(np.full(len(used), count))
            weights.append(np.full(len(used), 1 / len(used), dtype=np.float32))
            count += 1
    if not count:
        return hidden.new_zeros(0, hidden.shape[-1])
    device = hidden.device
    index = [torch.as_tensor(np.concatenate(a), device=device) for a in (rows, columns, owners, weights)]
    picked = hidden[index[0], index[1]].float() * index[3][:, None]  # (used tokens, D)
    return torch.zeros(count, hidden.shape[-1], device=device).index_add(0, index[2], picked).to(hidden.dtype)
