"""Samples and conversations <-> token ids, pixels, and which token belongs to which slice.

    processor = Processor(hf_processor, model.config.image_token_id, family=model.config.model_type)
    layouts = [processor.embedding_layout(sample) for sample in samples]    # raw interleaving, no prompt
    prompt = processor.chat_layout(turns)  # a prompt that ends before the answer
    # the same tokens, and the answer's span
    row = processor.training_layout([*turns, Turn("assistant", answer)])
    batch = processor.collate(layouts)                                      # right-padded tensors and pixels

README.md in this folder explains the layouts. Not covered: videos, audio, tools.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from sugar.errors import InputError, ModelError
from sugar.model.families import ROPE_3D
from sugar.model.layout import Batch, Layout, PreparedImage, Span, collate, image_key
from sugar.model.template import ChatTemplate
from sugar.sequence import Sample, Turn

__all__ = ["Processor"]

TOKEN_KEYS = {"input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids", "rows", "cols"}
SPECIAL_NAMES = (
    "image_token",
    "boi_token",
    "video_token",
    "fake_image_token",
    "global_image_tag",
    "start_image_token",
    "end_image_token",
)


class Processor:
    """A thin wrapper of a Hugging Face processor that knows the positions of slices.

    hf: an `AutoProcessor`, or one of `load.load_processor` for the families whose own needs torchvision.
    image_token_id: the id of the token that the model replaces by vision features (`config.image_token_id`).
    family: the checkpoint's `model_type`, one of `families.FAMILIES`.
    """

    def __init__(self, hf: Any, image_token_id: int, family: str = "llava") -> None:
        self.hf = hf
        self.family = family
        self.tokenizer = hf.tokenizer
        self.image_token_id = int(image_token_id)
        self.image_token: str = hf.image_token
        tokens = self.tokenizer
        known = (tokens.pad_token_id, tokens.eos_token_id, tokens.bos_token_id)
        self.pad_id: int = next((i for i in known if i is not None), 0)
        self._images_kwargs = dict(
            hf._merge_kwargs(tokenizer_init_kwargs=self.tokenizer.init_kwargs).get("images_kwargs", {})
        )
        self._images_kwargs["return_tensors"] = "pt"
        self._special = self._special_pattern()
        self.template = ChatTemplate(hf, self.neutralise)

    # -- texts -----------------------------------------------------------------------------------

    def _special_pattern(self) -> re.Pattern[str]:
        tokens = {t.content for t in self.tokenizer.added_tokens_decoder.values() if t.special} | set(
            self.tokenizer.all_special_tokens
        )
        tokens |= {t for t in (getattr(self.hf, name, None) for name in SPECIAL_NAMES) if isinstance(t, str)}
        tokens.add(self.tokenizer.convert_ids_to_tokens(self.image_token_id))
        listed = [re.escape(t) for t in sorted(tokens, key=len, reverse=True) if t.strip() and len(t) > 1]
        return re.compile("|".join([*listed, r"<row_\d+_col_\d+>", f"(?i:{re.escape(self.image_token)})"]))

    def neutralise(self, text: str) -> str:
        """The text with every special token broken by a space (`<image>` -> `< image>`), so that nobody can
        type one.

        Tokenizers that drop a space would mend it, so the result is broken again until nothing matches.
        """
        while True:
            broken = self._special.sub(lambda m: f"{m.group()[0]} {m.group()[1:]}", text)
            if broken == text:
                return text
            text = broken

    def encode(self, text: str) -> list[int]:
        """Token ids of a plain text, special tokens neutralised, none added.

        Never empty, never an image token.
        """
        ids = self.tokenizer(self.neutralise(text), add_special_tokens=False)["input_ids"]
        ids = [i for i in ids if i != self.image_token_id]
        if not ids:
            raise InputError(
                f"The text {text!r} has no words that the model's tokenizer knows. Say it in other words."
            )
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids, special tokens left out."""
        return self.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)

    # -- pictures --------------------------------------------------------------------------------

    def prepare_image(self, image: Image.Image, key: str | None = None) -> PreparedImage:
        """Pixels for the vision tower and the placeholder text.

        Raises ModelError when the processor cannot place it.
        """
        processed = self.hf.image_processor([image.convert("RGB")], **self._images_kwargs)
        text = self.hf.replace_image_token(processed, image_idx=0)
        pixels = {k: v for k, v in processed.items() if k not in TOKEN_KEYS and isinstance(v, Tensor)}
        for unused in getattr(self.hf, "unused_input_names", ()):
            pixels.pop(unused, None)
        pixels.pop("num_patches", None)
        tokens = self.tokenizer(text, add_special_tokens=False)["input_ids"].count(self.image_token_id)
        if not tokens:
            raise ModelError(
                "The checkpoint's processor places no image token. Its tokenizer and its configuration "
                "disagree."
            )
        return PreparedImage(key or image_key(image), text, tokens, pixels.get("image_grid_thw"), pixels)

    # -- layouts ---------------------------------------------------------------------------------

    def embedding_layout(self, sample: Sample, images: Sequence[PreparedImage] | None = None) -> Layout:
        """<bos> + slices in order. `images`: the sample's pictures, when prepared before."""
        prepared = (
            list(images) if images is not None else [self.prepare_image(image) for image in sample.images]
        )
        ids: list[int] = [self.tokenizer.bos_token_id] if self.tokenizer.bos_token_id is not None else []
        slices: list[Span] = []
        pending = iter(prepared)
        for s in sample:
            piece = (
                self._tokenise_alone(self._marked(next(pending).text)) if s.is_image else self.encode(s.text)
            )
            positions = np.arange(len(ids), len(ids) + len(piece))
            if s.is_image:
                positions = positions[np.asarray(piece) == self.image_token_id]
            slices.append((positions, s.is_image))
            ids += piece
        return Layout(ids, prepared, slices)

    def _marked(self, text: str) -> str:
        """A picture's placeholder with the marks around it that the chat template, not the processor, writes
        (Qwen).
        """
        return f"<|vision_start|>{text}<|vision_end|>" if self.family in ROPE_3D else text

    def render(self, turns: Sequence[Turn], *, generation_prompt: bool = True) -> str:
        """The conversation through the checkpoint's chat template, one image token per picture, in the order
        given.
        """
        return self.template.render(turns, generation_prompt=generation_prompt)

    def chat_layout(
        self,
        turns: Sequence[Turn],
        *,
        images: Sequence[PreparedImage] | None = None,
        generation_prompt: bool = True,
    ) -> Layout:
        """A conversation as one sequence; its slices are the pictures in order."""
        prepared = (
            list(images)
            if images is not None
            else [self.prepare_image(i) for turn in turns for i in turn.sample.images]
        )
        ids = self._tokenise(self._expand(self.render(turns, generation_prompt=generation_prompt), prepared))
        positions = np.flatnonzero(np.asarray(ids) == self.image_token_id)
        counts = [image.tokens for image in prepared]
        if len(positions) != sum(counts):
            raise InputError(
                f"The prompt holds {len(positions)} image tokens where {sum(counts)} were expected. Remove "
                "special tokens from it."
            )
        return Layout(
            ids, prepared, [(p, True) for p in np.split(positions, np.cumsum(counts)[:-1])] if counts else []
        )

    def answer_ids(
        self, turns: Sequence[Turn], prompt: Layout, answer: str, *, end: bool = False
    ) -> list[int]:
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
            ids += closing or (
                [self.tokenizer.eos_token_id] if self.tokenizer.eos_token_id is not None else []
            )
        return ids

    def training_layout(
        self, turns: Sequence[Turn], *, images: Sequence[PreparedImage] | None = None
    ) -> Layout:
        """A conversation as a training row: the tokens of inference, and the spans of the assistant's
        answers.

        Each answer follows exactly the prompt that `chat_layout` makes of the turns before it, and ends with
        the token that ends a turn. Its slices are the pictures, as in `chat_layout`.

        Args:
            turns: a conversation that ends with the assistant's turn.
            images: its pictures, when prepared before.
        Raises:
            InputError: no answer, or a template that rewrites earlier turns, so that training would not match
                inference.
        """
        if not turns or turns[-1].role != "assistant":
            raise InputError("A training row ends with an answer (a turn of the role assistant).")
        if images is None:
            images = [self.prepare_image(i) for turn in turns for i in turn.sample.images]
        answers: list[tuple[int, int]] = []
        spoken: list[list[int]] = []
        for n, turn in enumerate(turns):
            if turn.role == "assistant":
                before = turns[:n]
                prompt = self.chat_layout(before, images=images[: sum(len(t.sample.images) for t in before)])
                spoken.append(self.answer_ids(before, prompt, turn.sample.text, end=True))
                answers.append((len(prompt), len(prompt) + len(spoken[-1])))
        ids = [*prompt.ids, *spoken[-1]]
        for n, ((start, stop), words) in enumerate(zip(answers, spoken, strict=True)):
            if ids[start:stop] != words:  # a template that ends no turn but the last (LLaVA-1.5's)
                stop, words = stop - 1, words[:-1]
                answers[n] = (start, stop)
            if not words or ids[start:stop] != words:
                raise InputError(
                    "The chat template rewrites earlier turns. Split the conversation: one answer in each "
                    "training row."
                )
        return Layout(ids, prompt.images, prompt.slices, tuple(answers))

    def _tokenise_alone(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def _tokenise(self, text: str) -> list[int]:
        """A whole prompt: <bos> added unless the template wrote it, a closing <eos> that the tokenizer added
        removed.
        """
        bos, eos = self.tokenizer.bos_token, self.tokenizer.eos_token
        ids = self.tokenizer(text, add_special_tokens=not (bos and text.startswith(bos)))["input_ids"]
        if ids and ids[-1] == self.tokenizer.eos_token_id and not text.rstrip().endswith(eos):
            ids = ids[:-1]
        return ids

    def _expand(self, rendered: str, images: Sequence[PreparedImage]) -> str:
        pieces = rendered.split(self.image_token)
        if len(pieces) != len(images) + 1:
            raise InputError(
                f"The prompt holds {len(pieces) - 1} picture places for {len(images)} pictures. Remove "
                "image tokens from it."
            )
        return pieces[0] + "".join(
            image.text + piece for image, piece in zip(images, pieces[1:], strict=True)
        )

    def collate(self, layouts: Sequence[Layout], side: str = "right") -> Batch:
        """Pad layouts to one batch: right for embeddings and training, left to continue several rows at
        once.
        """
        return collate(
            layouts, pad_id=self.pad_id, image_token_id=self.image_token_id, family=self.family, side=side
        )
