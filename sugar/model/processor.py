"""Samples and conversations <-> token ids, pixels, and which token belongs to which slice.

    processor = Processor(hf_processor, model.config.image_token_id, family=model.config.model_type)
    layouts = [processor.embedding_layout(sample) for sample in samples]    # raw interleaving, no prompt
    prompt = processor.chat_layout(turns)  # a prompt that ends before the answer
    # the same tokens, and the answer's span
    row = processor.training_layout([*turns, Turn("assistant", answer)])
    batch = processor.collate(layouts)                                      # right-padded tensors and pixels
    d = pool_slices(hidden, batch.slices)            # (number of slices, hidden): METHOD.md A1

README.md in this folder explains the layouts. Not covered: running a model over them (backbone.py), videos,
audio, tools.
"""

from __future__ import annotations

import bisect
import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sugar.errors import InputError, ModelError
from sugar.model.families import FAMILIES, Family
from sugar.model.owner import owner
from sugar.model.presets import Prompts
from sugar.model.template import ChatTemplate
from sugar.sequence import Sample, Slice, Turn

# -- sequences with known positions ----------------------------------------------------------------

Span = tuple[np.ndarray, bool]
"""A slice in a sequence: the positions of its tokens, and whether it is a picture."""


def image_key(image: Image.Image) -> str:
    """A content hash of a picture, of its own for each owner: the key of what is kept of it."""
    digest = hashlib.blake2b(f"{image.mode}{image.size}".encode(), digest_size=16, key=owner().encode()[:64])
    digest.update(image.tobytes())
    return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class PreparedImage:
    """A picture ready for the vision tower.

    key: content hash. text: the placeholder text that stands for it in a prompt. tokens: how many image
    tokens it has.
    grid: (t, h, w) patches for the families with 3-D positions, else None. pixels: inputs of the vision
    tower, each with a leading dimension of pictures or crops; empty when the features are known already.
    source: the picture itself, in case the features are dropped before they are used.
    """

    key: str
    text: str
    tokens: int
    grid: Tensor | None = None
    pixels: dict[str, Tensor] = field(default_factory=dict)
    source: Image.Image | None = None


@dataclass(frozen=True, eq=False)
class Layout:
    """One sequence of T tokens.

    ids: T token ids. images: its pictures in order. slices: the span of each slice. answers: (start, stop) of
    the tokens that a training row learns, each including the token that ends the answer; empty for a prompt.
    """

    ids: list[int]
    images: list[PreparedImage]
    slices: list[Span]
    answers: tuple[tuple[int, int], ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def picture_positions(self) -> list[np.ndarray]:
        """Per picture the positions of its tokens."""
        return [positions for positions, is_image in self.slices if is_image]


@dataclass(frozen=True, eq=False)
class Batch:
    """Layouts padded to one length.

    input_ids, attention_mask, image_mask: (B, T) long, long, bool. slices: per row the spans, padding counted
    in. images: all pictures, row by row.
    """

    input_ids: Tensor
    attention_mask: Tensor
    image_mask: Tensor
    slices: list[list[Span]]
    images: list[PreparedImage]
    family: Family

    @property
    def padded(self) -> bool:
        return not bool(self.attention_mask.all())

    def inputs(self, device: str | torch.device = "cpu") -> dict[str, Tensor]:
        """Keyword arguments for a forward of a plain Transformers model, pixels included."""
        tensors = {
            "input_ids": self.input_ids,
            "attention_mask": self.attention_mask,
            **merge_pixels(self.images),
        }
        if self.family.type_ids:
            tensors[self.family.type_ids] = self.image_mask.long()
        if not self.family.positions_3d:  # those work out their own
            tensors["position_ids"] = (self.attention_mask.cumsum(1) - 1).clamp(min=0)
        return {name: tensor.to(device) for name, tensor in tensors.items()}


def merge_pixels(images: Sequence[PreparedImage]) -> dict[str, Tensor]:
    """The vision tower's inputs of several pictures as one batch.

    A varying number of crops is padded with zeros.
    """
    merged: dict[str, Tensor] = {}
    for name in images[0].pixels if images else ():
        tensors = [image.pixels[name] for image in images]
        if tensors[0].dim() >= 4 and len({t.shape[1:] for t in tensors}) > 1:  # (1, crops, ...)
            crops = max(t.shape[1] for t in tensors)
            tensors = [
                torch.cat([t, t.new_zeros(t.shape[0], crops - t.shape[1], *t.shape[2:])], 1) for t in tensors
            ]
        merged[name] = torch.cat(tensors)
    return merged


def pool_slices(hidden: Tensor, slices: Sequence[Sequence[Span]]) -> Tensor:
    """Hidden states of slices: the mean over a picture's tokens, the last token of a text (METHOD.md A1).

    Differentiable.

    Args:
        hidden: (B, T, D), any float type.
        slices: per row the spans of its slices.
    Returns:
        (all slices, D), row by row, in hidden's type; the mean is taken in float32.
    """
    rows, columns, owners, weights = [], [], [], []
    count = 0
    for row, spans in enumerate(slices):
        for positions, is_image in spans:
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


MARK = "\ufdd0"
"""A noncharacter, which no text holds: where a slice ends while its place in a prompt is looked for."""

# -- the processor ---------------------------------------------------------------------------------

TOKEN_KEYS = {"input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids", "rows", "cols"}
SPECIAL_NAMES = (
    "image_token",
    "boi_token",
    "video_token",
    "fake_image_token",
    "global_image_tag",
    "start_image_token",
    "image_start_token",
    "image_thumbnail_token",
    "end_image_token",
)


def neutraliser(hf: Any) -> Callable[[str], str]:
    """What breaks every special token in a text by a space (`<image>` -> `< image>`), so that nobody can type
    one.

    Tokenizers that drop a space would mend it, so the result is broken again until nothing matches.
    """
    tokenizer = hf.tokenizer
    tokens = {t.content for t in tokenizer.added_tokens_decoder.values() if t.special}
    tokens |= {*tokenizer.all_special_tokens, hf.image_token}
    tokens |= {t for t in (getattr(hf, name, None) for name in SPECIAL_NAMES) if isinstance(t, str)}
    listed = [re.escape(t) for t in sorted(tokens, key=len, reverse=True) if t.strip() and len(t) > 1]
    special = re.compile(
        "|".join([*listed, r"<(?:row|\|img_row)_\d+_col_\d+\|?>", f"(?i:{re.escape(hf.image_token)})"])
    )

    return partial(_broken, special)  # a part of what worker processes are sent


def _broken(special: re.Pattern[str], text: str) -> str:
    while (broken := special.sub(lambda m: f"{m.group()[0]} {m.group()[1:]}", text)) != text:
        text = broken
    return text


class Processor:
    """A thin wrapper of a Hugging Face processor that knows the positions of slices.

    hf: an `AutoProcessor`, or one of `load.load_processor` for the families whose own needs torchvision.
    image_token_id: the id of the token that the model replaces by vision features (`config.image_token_id`).
    family: the checkpoint's `model_type`, one of `FAMILIES`.
    neutralise(text): the text without special tokens.
    render(turns, generation_prompt=True): a conversation through the checkpoint's chat template, one image
    token per picture, in the order given.
    """

    def __init__(self, hf: Any, image_token_id: int, family: str = "llava") -> None:
        self.hf = hf
        self.family = FAMILIES[family]
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
        self.neutralise = neutraliser(hf)
        self.render = ChatTemplate(hf, self.neutralise).render

    # -- texts -----------------------------------------------------------------------------------

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
        marked = {"use_image_special_tokens": True} if hasattr(self.hf, "use_image_special_tokens") else {}
        text = self.hf.replace_image_token(processed, image_idx=0, **marked)
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
        before, after = self.family.marks
        for s in sample:
            piece = (
                self._tokenise_alone(f"{before}{next(pending).text}{after}")
                if s.is_image
                else self.encode(s.text)
            )
            positions = np.arange(len(ids), len(ids) + len(piece))
            if s.is_image:
                positions = positions[np.asarray(piece) == self.image_token_id]
            slices.append((positions, s.is_image))
            ids += piece
        return Layout(ids, prepared, slices)

    def prompt_layout(self, sample: Sample, prompts: Prompts, images: Sequence[PreparedImage]) -> Layout:
        """A sample in the words that an adapter was trained on; its one slice is the last token."""
        texts = [self.neutralise(s.text) for s in sample if not s.is_image]
        ids = self._tokenise(prompts.written([image.text for image in images], texts))
        return Layout(ids, list(images), [(np.array([len(ids) - 1]), False)])

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
        self, turns: Sequence[Turn], *, images: Sequence[PreparedImage] | None = None, texts: bool = True
    ) -> Layout:
        """A conversation as a training row: the tokens of inference, and the spans of the assistant's
        answers.

        Each answer follows exactly the prompt that `chat_layout` makes of the turns before it, and ends with
        the token that ends a turn. Its slices are those of the turns in order, system prompts left out: a
        picture's tokens, a text's last token.

        Args:
            turns: a conversation that ends with the assistant's turn.
            images: its pictures, when prepared before.
            texts: look for the ends of the texts; without, its slices are the pictures, as in `chat_layout`.
        Raises:
            InputError: no answer, or a template that rewrites turns, so that training would not match
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
        slices = prompt.slices
        if texts:
            said = self.answer_ids(turns[:-1], prompt, turns[-1].sample.text)  # without the closing token
            last = np.array([len(prompt) + len(said) - 1])
            slices = [*self._slice_ends(turns[:-1], prompt), (last, False)]
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
        return Layout(ids, prompt.images, slices, tuple(answers))

    def _slice_ends(self, turns: Sequence[Turn], prompt: Layout) -> list[Span]:
        """The slices of turns within their prompt: the pictures' tokens, the last token of each text.

        Each text is rendered once more with a mark at its end, so the template itself says where it lies.
        """

        def marked(s: Slice) -> Slice:
            end = len(s.text.rstrip()) if not s.is_image else 0
            return s if s.is_image else Slice(s.text[:end] + MARK + s.text[end:])

        told = [
            Turn(t.role, Sample([s if t.role == "system" else marked(s) for s in t.sample])) for t in turns
        ]
        pieces = self._expand(self.render(told), prompt.images).split(MARK)
        text = "".join(pieces)
        slices = [s for t in turns if t.role != "system" for s in t.sample]
        texts = sum(not s.is_image for s in slices)
        if text != self._expand(self.render(turns), prompt.images) or len(pieces) != texts + 1:
            raise InputError(
                "The chat template rewrites what is said. Train with --terms.conversations false."
            )
        bos = self.tokenizer.bos_token
        found = self.tokenizer(
            text,
            add_special_tokens=not (bos and text.startswith(bos)),
            return_offsets_mapping=True,
        )["offset_mapping"]
        starts = [start for start, stop in found if stop > start]
        where = [n for n, (start, stop) in enumerate(found) if stop > start]
        ends = iter(np.cumsum([len(piece) for piece in pieces[:-1]]).tolist())
        pictures = iter(prompt.slices)
        return [
            next(pictures)
            if s.is_image
            else (np.array([where[bisect.bisect_left(starts, next(ends)) - 1]]), False)
            for s in slices
        ]

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
        """Pad layouts to one batch: to the right for embeddings and training, to the left to continue several
        rows at once.
        """
        width = max(len(layout) for layout in layouts)
        ids = torch.full((len(layouts), width), self.pad_id)
        mask = torch.zeros((len(layouts), width), dtype=torch.long)
        slices = []
        for row, layout in enumerate(layouts):
            offset = width - len(layout) if side == "left" else 0
            ids[row, offset : offset + len(layout)] = torch.tensor(layout.ids)
            mask[row, offset : offset + len(layout)] = 1
            slices.append([(positions + offset, is_image) for positions, is_image in layout.slices])
        image_mask = (ids == self.image_token_id) & mask.bool()
        images = [image for layout in layouts for image in layout.images]
        return Batch(ids, mask, image_mask, slices, images, self.family)

    # -- words ---------------------------------------------------------------------------------------

    def unknown_words(self, text: str) -> tuple[str, ...]:
        """The words of a text that the tokenizer reads as its unknown token, or spells letter by letter: as
        spaces separate them, in order, each once.
        """
        words = list(dict.fromkeys(text.split()))
        if not words:
            return ()
        rows = self.tokenizer(words, add_special_tokens=False)["input_ids"]
        unknown = self.tokenizer.unk_token_id
        return tuple(
            word
            for word, ids in zip(words, rows, strict=True)
            if (unknown is not None and unknown in ids)
            or _spelt(word, self.tokenizer.convert_ids_to_tokens(ids))
        )


def _spelt(word: str, pieces: list[str]) -> bool:
    """Whether most pieces of a Latin word are single letters: no part of it is in the vocabulary."""
    letters = [p.removeprefix("##").strip("\u2581\u0120") for p in pieces]
    single = sum(len(p) == 1 and p.isalpha() for p in letters)
    return word.isascii() and len(word) > 2 and 2 * single > len(pieces)
