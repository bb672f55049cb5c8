"""Tiny random checkpoints of every family, saved as plain Transformers folders: what the tests of the model
room open.

    # config, safetensors, tokenizer, picture processor, chat template; to be read only
    folder = built("qwen3_vl")

Widths are a few dozen, so that each builds and runs in a fraction of a second. The tokenizer is byte level
without merges: any text can be written, and token counts are easy to check by hand.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from sugar.model.adapters import EmbeddingHead
from sugar.model.checkpoint import write_settings
from sugar.model.families import FAMILIES  # noqa: F401  (what the tests go through)
from sugar.model.lfm2 import Lfm2VlImageProcessorPil

LLAVA_TEMPLATE = (
    "{% for m in messages %}{% if m['role'] != 'system' %}{{ m['role'].upper() }}: "
    "{% for c in m['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\n' }}{% endfor %}"
    "{% for c in m['content'] | selectattr('type', 'equalto', 'text') %}{{ c['text'] }}{% endfor %}"
    "{% if m['role'] == 'assistant' %}{{ eos_token }}{% else %}{{ ' ' }}{% endif %}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
IDEFICS_TEMPLATE = (
    "<|im_start|>{% for m in messages %}{{ m['role'] | capitalize }}"
    "{% if m['content'][0]['type'] == 'image' %}{{ ':' }}{% else %}{{ ': ' }}{% endif %}"
    "{% for line in m['content'] %}{% if line['type'] == 'text' %}{{ line['text'] }}"
    "{% elif line['type'] == 'image' %}"
    "{{ '<image>' }}{% endif %}{% endfor %}<end_of_utterance>\n{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
GEMMA_TEMPLATE = (
    "{{ bos_token }}"
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    "{% for m in messages %}{% set role = 'model' if m['role'] == 'assistant' else m['role'] %}"
    "{{ '<start_of_turn>' + role + '\n' }}"
    "{% for c in m['content'] %}{% if c['type'] == 'image' %}{{ '<start_of_image>' }}"
    "{% else %}{{ c['text'] | trim }}{% endif %}{% endfor %}"
    "{{ '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
CHATML_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
    "{% for c in m['content'] %}{% if c['type'] == 'image' %}IMAGE"
    "{% else %}{{ c['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def tokenizer(special: list[str], **roles: str) -> transformers.PreTrainedTokenizerFast:
    """A byte-level tokenizer of 256 bytes and the special tokens after them."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(letters)}, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    extra = {k: v for k, v in roles.items() if k not in ("bos_token", "eos_token", "pad_token")}
    basic = {k: v for k, v in roles.items() if k in ("bos_token", "eos_token", "pad_token")}
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, **basic, **({"extra_special_tokens": extra} if extra else {})
    )
    fast.add_special_tokens(
        {"additional_special_tokens": [t for t in special if t not in roles.values()]}, False
    )
    return fast


HIDDEN = 64
"""Width of the language models: the least that bitsandbytes packs on a CPU."""

TEXT: dict[str, Any] = dict(
    hidden_size=HIDDEN,
    intermediate_size=64,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=4096,
)


VISION: dict[str, Any] = dict(
    hidden_size=24,
    intermediate_size=32,
    num_hidden_layers=2,
    num_attention_heads=2,
    image_size=32,
    patch_size=8,
)


LLAVA = dict(patch_size=8, vision_feature_select_strategy="default", num_additional_image_tokens=1)
"""What the processors of LLaVA and LLaVA-NeXT are told of the tower."""


def _llava_config(t: Any) -> dict[str, Any]:
    text = dict(model_type="llama", vocab_size=len(t), **TEXT)
    ids = t.convert_tokens_to_ids("<image>")
    return dict(
        vision_config=dict(model_type="clip_vision_model", **VISION), text_config=text, image_token_index=ids
    )


def _llava(t: Any) -> tuple[Any, Any]:
    pictures = transformers.CLIPImageProcessorPil(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    )
    processor = transformers.LlavaProcessor(pictures, t, chat_template=LLAVA_TEMPLATE, **LLAVA)
    config = transformers.LlavaConfig(**_llava_config(t))
    return transformers.LlavaForConditionalGeneration(config), processor


def _llava_next(t: Any) -> tuple[Any, Any]:
    pinpoints = [[32, 64], [64, 32], [64, 64]]
    pictures = transformers.LlavaNextImageProcessorPil(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}, image_grid_pinpoints=pinpoints
    )
    processor = transformers.LlavaNextProcessor(pictures, t, chat_template=LLAVA_TEMPLATE, **LLAVA)
    config = transformers.LlavaNextConfig(image_grid_pinpoints=pinpoints, **_llava_config(t))
    return transformers.LlavaNextForConditionalGeneration(config), processor


def _idefics3(t: Any, family: str = "idefics3") -> tuple[Any, Any]:
    kind = transformers.SmolVLMConfig if family == "smolvlm" else transformers.Idefics3Config
    config = kind(
        vision_config=dict(VISION),
        text_config=dict(model_type="llama", vocab_size=len(t), pad_token_id=t.pad_token_id, **TEXT),
        image_token_id=t.convert_tokens_to_ids("<image>"),
        scale_factor=2,
        pad_token_id=t.pad_token_id,
    )
    sizes: Any = dict(size={"longest_edge": 64}, max_image_size={"longest_edge": 32})
    if family == "smolvlm":
        pictures = transformers.SmolVLMImageProcessorPil(**sizes)
        return transformers.SmolVLMForConditionalGeneration(config), (pictures, IDEFICS_TEMPLATE)
    pictures = transformers.Idefics3ImageProcessorPil(**sizes)
    processor = transformers.Idefics3Processor(pictures, t, image_seq_len=4, chat_template=IDEFICS_TEMPLATE)
    return transformers.Idefics3ForConditionalGeneration(config), processor


def _gemma3(t: Any) -> tuple[Any, Any]:
    config = transformers.Gemma3Config(
        vision_config=dict(model_type="siglip_vision_model", vision_use_head=False, **VISION),
        text_config=dict(
            vocab_size=len(t),
            head_dim=16,
            sliding_window=24,
            layer_types=["sliding_attention", "full_attention"],
            **TEXT,
        ),
        mm_tokens_per_image=4,
        image_token_index=t.convert_tokens_to_ids("<image_soft_token>"),
        boi_token_index=t.convert_tokens_to_ids("<start_of_image>"),
        eoi_token_index=t.convert_tokens_to_ids("<end_of_image>"),
    )
    pictures = transformers.Gemma3ImageProcessorPil(size={"height": 32, "width": 32})
    processor = transformers.Gemma3Processor(pictures, t, image_seq_length=4, chat_template=GEMMA_TEMPLATE)
    return transformers.Gemma3ForConditionalGeneration(config), processor


GEMMA4_VISION: dict[str, Any] = dict(
    model_type="gemma4_vision",
    hidden_size=24,
    intermediate_size=32,
    num_hidden_layers=2,
    num_attention_heads=2,
    num_key_value_heads=2,
    head_dim=12,
    patch_size=4,
    position_embedding_size=256,
)


def _gemma4(t: Any) -> tuple[Any, Any]:
    """Keys and values shared by the last layers, per-layer inputs, a wide MLP there, no audio: as E2B is."""
    text = TEXT | dict(num_hidden_layers=4, num_kv_shared_layers=2, use_double_wide_mlp=True)
    ids = {"image_token_id": "<|image|>", "boi_token_id": "<|image>", "eoi_token_id": "<image|>"}
    config = transformers.Gemma4Config(
        text_config=text
        | dict(
            vocab_size=len(t),
            vocab_size_per_layer_input=len(t),
            hidden_size_per_layer_input=8,
            head_dim=16,
            global_head_dim=32,
            sliding_window=24,
            layer_types=["sliding_attention", "full_attention"] * 2,
            pad_token_id=t.pad_token_id,
            final_logit_softcapping=30.0,
        ),
        vision_config=GEMMA4_VISION,
        audio_config=None,
        video_token_id=t.convert_tokens_to_ids("<|video|>"),
        **{name: t.convert_tokens_to_ids(token) for name, token in ids.items()},
    )
    pictures = transformers.Gemma4ImageProcessorPil(patch_size=4, max_soft_tokens=70)
    template = GEMMA_TEMPLATE.replace("<start_of_image>", "<|image|>").replace("<start_of_turn>", "<|turn>")
    return transformers.Gemma4ForConditionalGeneration(config), (
        pictures,
        template.replace("<end_of_turn>", "<turn|>"),
    )


def _qwen(t: Any, family: str) -> tuple[Any, Any]:
    ids = {f"{n}_token_id": t.convert_tokens_to_ids(f"<|{n}_pad|>") for n in ("image", "video")}
    ids |= {f"vision_{n}_token_id": t.convert_tokens_to_ids(f"<|vision_{n}|>") for n in ("start", "end")}
    text = dict(vocab_size=len(t), **TEXT)
    rope: dict[str, Any] = {"rope_type": "default", "mrope_section": [4, 2, 2], "rope_theta": 1e4}
    vision: dict[str, Any] = dict(hidden_size=24, intermediate_size=32, depth=2, num_heads=2, patch_size=8)
    vision |= dict(out_hidden_size=HIDDEN, spatial_merge_size=2)
    if family == "qwen3_vl":
        text |= dict(head_dim=16, rope_parameters=rope | {"mrope_interleaved": True})
        vision |= dict(num_position_embeddings=16, deepstack_visual_indexes=[0])
        model = transformers.Qwen3VLForConditionalGeneration(
            transformers.Qwen3VLConfig(vision_config=vision, text_config=text, **ids)
        )
    elif family == "qwen3_5":  # three layers of gated deltas to one of attention, as all sizes have it
        rope |= {"mrope_section": [2, 1, 1], "mrope_interleaved": True, "partial_rotary_factor": 0.5}
        text |= dict(head_dim=16, rope_parameters=rope, num_hidden_layers=4)
        text |= dict(linear_num_key_heads=2, linear_num_value_heads=4)
        text |= dict(linear_key_head_dim=16, linear_value_head_dim=16)
        vision |= dict(num_position_embeddings=16)
        model = transformers.Qwen3_5ForConditionalGeneration(
            transformers.Qwen3_5Config(vision_config=vision, text_config=text, **ids)
        )
    elif family == "qwen2_vl":
        text |= dict(rope_parameters=rope)
        vision = dict(embed_dim=24, hidden_size=HIDDEN, mlp_ratio=2, depth=2, num_heads=2, patch_size=8)
        model = transformers.Qwen2VLForConditionalGeneration(
            transformers.Qwen2VLConfig(vision_config=vision, text_config=text, **ids)
        )
    else:
        text |= dict(rope_parameters=rope)
        vision |= dict(fullatt_block_indexes=[1], window_size=32)
        model = transformers.Qwen2_5_VLForConditionalGeneration(
            transformers.Qwen2_5_VLConfig(vision_config=vision, text_config=text, **ids)
        )
    pictures = transformers.Qwen2VLImageProcessorPil(
        patch_size=8,
        merge_size=2,
        temporal_patch_size=2,
        size={"shortest_edge": 32 * 32, "longest_edge": 64 * 64},
    )
    return model, (pictures, CHATML_TEMPLATE.replace("IMAGE", "<|vision_start|><|image_pad|><|vision_end|>"))


def _internvl(t: Any) -> tuple[Any, Any]:
    config = transformers.InternVLConfig(
        vision_config=VISION | dict(image_size=[32, 32], patch_size=[8, 8]),
        text_config=dict(model_type="qwen2", vocab_size=len(t), **TEXT),
        image_token_id=t.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=4,
    )
    pictures = transformers.GotOcr2ImageProcessorPil(
        size={"height": 32, "width": 32}, crop_to_patches=True, min_patches=1, max_patches=4
    )
    return transformers.InternVLForConditionalGeneration(config), (
        pictures,
        CHATML_TEMPLATE.replace("IMAGE", "<IMG_CONTEXT>\n"),
    )


def _lfm2_vl(t: Any) -> tuple[Any, Any]:
    config = transformers.Lfm2VlConfig(
        vision_config=dict(
            model_type="siglip2_vision_model",
            hidden_size=24,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            patch_size=8,
            num_patches=64,
        ),
        text_config=dict(
            model_type="lfm2", vocab_size=len(t), layer_types=["conv", "full_attention"], **TEXT
        ),
        image_token_id=t.convert_tokens_to_ids("<image>"),
        projector_hidden_size=32,
    )
    pictures = Lfm2VlImageProcessorPil(
        encoder_patch_size=8, tile_size=32, min_image_tokens=4, max_image_tokens=8, max_tiles=4
    )
    template = "{{ bos_token }}" + CHATML_TEMPLATE.replace("IMAGE", "<image>")
    return transformers.Lfm2VlForConditionalGeneration(config), (pictures, template)


def _tokenizer_of(family: str) -> transformers.PreTrainedTokenizerFast:
    if family in ("llava", "llava_next"):
        return tokenizer([], image_token="<image>", bos_token="<s>", eos_token="</s>", pad_token="<pad>")
    if family in ("idefics3", "smolvlm"):
        grid = [f"<row_{r}_col_{c}>" for r in range(1, 7) for c in range(1, 7)]
        special = ["<fake_token_around_image>", "<image>", "<end_of_utterance>", "<global-img>", *grid]
        return tokenizer(
            special, bos_token="<|im_start|>", eos_token="<end_of_utterance>", pad_token="<|im_end|>"
        )
    if family == "gemma3":
        roles = dict(
            image_token="<image_soft_token>", boi_token="<start_of_image>", eoi_token="<end_of_image>"
        )
        return tokenizer(
            ["<start_of_turn>", "<end_of_turn>"],
            bos_token="<bos>",
            eos_token="<eos>",
            pad_token="<pad>",
            **roles,
        )
    if family == "gemma4":
        roles = dict(image_token="<|image|>", boi_token="<|image>", eoi_token="<image|>")
        roles |= dict(audio_token="<|audio|>", boa_token="<|audio>", eoa_token="<audio|>")
        return tokenizer(
            ["<|turn>", "<turn|>", "<|video|>"],
            bos_token="<bos>",
            eos_token="<eos>",
            pad_token="<pad>",
            **roles,
        )
    if family == "lfm2_vl":
        grid = [f"<|img_row_{r}_col_{c}|>" for r in range(1, 5) for c in range(1, 5)]
        special = ["<|im_start|>", "<image>", "<|image_start|>", "<|image_end|>", "<|img_thumbnail|>", *grid]
        return tokenizer(special, bos_token="<|startoftext|>", eos_token="<|im_end|>", pad_token="<|pad|>")
    if family == "internvl":
        roles = dict(
            start_image_token="<img>",
            end_image_token="</img>",
            context_image_token="<IMG_CONTEXT>",
            video_token="<video>",
        )
        return tokenizer(["<|im_start|>"], eos_token="<|im_end|>", pad_token="<|endoftext|>", **roles)
    special = ["<|im_start|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
    return tokenizer(special, eos_token="<|im_end|>", pad_token="<|endoftext|>")


_session: list[tempfile.TemporaryDirectory[str]] = []
"""The folder of `built`, which goes with the process."""


def built(family: str, *, head: bool = False) -> Path:
    """The tiny checkpoint of a family, made once a process; with a random embedding head if asked for."""
    if not _session:
        _session.append(tempfile.TemporaryDirectory(prefix="sugar-checkpoints-"))
    own = Path(_session[0].name) / ("headed" if head else "plain")
    if not (own / family).is_dir():
        build(family, own)
        if head:
            torch.manual_seed(1)
            made = EmbeddingHead(HIDDEN, 32, 16)
            made.save(own / family)
            write_settings(own / family, name=family, encoder="sugar", head=made.sizes)
    return own / family


def build(family: str, folder: Path, *, seed: int = 0) -> Path:
    """Save a tiny random checkpoint of a family into `folder/family` and return that folder."""
    torch.manual_seed(seed)
    folder = folder / family
    t = _tokenizer_of(family)
    maker = {
        "llava": _llava,
        "llava_next": _llava_next,
        "idefics3": _idefics3,
        "smolvlm": lambda t: _idefics3(t, "smolvlm"),
        "gemma3": _gemma3,
        "gemma4": _gemma4,
        "internvl": _internvl,
        "lfm2_vl": _lfm2_vl,
    }.get(family)
    model, processor = maker(t) if maker else _qwen(t, family)
    text = model.config.get_text_config()
    for key in ("bos_token_id", "eos_token_id", "pad_token_id"):
        setattr(text, key, getattr(t, key))
        setattr(model.generation_config, key, getattr(t, key))
    with torch.no_grad():  # random weights as they come say little: make what is seen matter
        for p in model.parameters():
            if p.dim() > 1:
                p.mul_(3.0)
    model.save_pretrained(folder)
    if isinstance(processor, tuple):  # their own processors need torchvision, so the parts are saved
        pictures, t.chat_template = processor
        pictures.save_pretrained(folder)
        t.save_pretrained(folder)
        if family in ("internvl", "smolvlm"):
            length = {"internvl": "image_seq_length", "smolvlm": "image_seq_len"}[family]
            (folder / "processor_config.json").write_text(json.dumps({length: 4}))
    else:
        processor.save_pretrained(folder)
    return folder


def as_on_the_hub(family: str, folder: Path, *, old: bool) -> Path:
    """The tiny checkpoint of a family with the files that its repository has: two shards and their index.

    old: names of tensors, settings of pictures, special tokens and the chat template as releases before 5
    wrote them, each in its own file; otherwise the names of today, and one file for all of the processor.
    """
    plain = built(family)
    folder.mkdir()
    for path in plain.iterdir():
        if path.name.startswith(("tokenizer", "config", "generation")):
            (folder / path.name).write_bytes(path.read_bytes())
    tensors = load_file(plain / "model.safetensors")
    if not old:
        model = transformers.AutoModelForImageTextToText.from_pretrained(plain)
        tied = model.get_output_embeddings().weight is model.get_input_embeddings().weight
        tensors = {k: v for k, v in model.state_dict().items() if not (tied and k == "lm_head.weight")}
    names, where = sorted(tensors), {}
    for number, part in enumerate((names[::2], names[1::2]), 1):
        file = f"model-0000{number}-of-00002.safetensors"
        save_file({k: tensors[k].contiguous() for k in part}, folder / file, metadata={"format": "pt"})
        where |= dict.fromkeys(part, file)
    index = {"metadata": {"total_size": 1}, "weight_map": where}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    settings = [plain / name for name in ("processor_config.json", "preprocessor_config.json")]
    whole, pictures = (json.loads(p.read_text()) if p.is_file() else {} for p in settings)
    pictures = whole.pop("image_processor", {}) | pictures
    template = (plain / "chat_template.jinja").read_text()
    if old:
        pictures["image_processor_type"] = pictures["image_processor_type"].removesuffix("Pil")
        (folder / "preprocessor_config.json").write_text(json.dumps(pictures))
        (folder / "chat_template.json").write_text(json.dumps({"chat_template": template}))
        _old_tokenizer(folder)
    else:
        whole["image_processor"] = pictures
        (folder / "chat_template.jinja").write_text(template)
    if whole:
        (folder / "processor_config.json").write_text(json.dumps(whole))
    return folder


def _old_tokenizer(folder: Path) -> None:
    """Rewrite a tokenizer's files as releases before 5 did: `added_tokens.json`, `special_tokens_map.json`,
    and a configuration that lists what was added under its ids.
    """
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text())
    added = json.loads((folder / "tokenizer.json").read_text())["added_tokens"]
    roles = {k: v for k, v in config.items() if k in ("bos_token", "eos_token", "pad_token")}
    others = [t["content"] for t in added if t["content"] not in roles.values()]
    special = roles | {"additional_special_tokens": others}
    (folder / "special_tokens_map.json").write_text(json.dumps(special))
    (folder / "added_tokens.json").write_text(json.dumps({t["content"]: t["id"] for t in added}))
    del config["backend"], config["extra_special_tokens"]
    config |= special | {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
    decoder = {str(t["id"]): {k: v for k, v in t.items() if k != "id"} for t in added}
    path.write_text(json.dumps(config | {"added_tokens_decoder": decoder}))


def build_triple(folder: Path, *, seed: int = 0) -> tuple[Path, Path, Path]:
    """Tiny random DINOv2, CLIP and BGE (BERT) checkpoints in `folder`; their folders."""
    torch.manual_seed(seed)
    small: dict[str, Any] = dict(
        hidden_size=24, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2
    )
    side = {"height": 32, "width": 32}
    dino, clip, bge = folder / "dino", folder / "clip", folder / "bge"
    transformers.Dinov2Model(transformers.Dinov2Config(image_size=32, patch_size=8, **small)).save_pretrained(
        dino
    )
    transformers.BitImageProcessorPil(size={"shortest_edge": 32}, crop_size=side).save_pretrained(dino)
    t = tokenizer([], bos_token="<s>", eos_token="</s>", pad_token="<pad>")
    text = dict(
        vocab_size=len(t),
        max_position_embeddings=77,
        bos_token_id=t.bos_token_id,
        eos_token_id=t.eos_token_id,
        **small,
    )
    model = transformers.CLIPModel(
        transformers.CLIPConfig(
            text_config=text, vision_config=dict(image_size=32, patch_size=8, **small), projection_dim=16
        )
    )
    model.save_pretrained(clip)
    transformers.CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=side).save_pretrained(clip)
    t.save_pretrained(clip)
    transformers.BertModel(
        transformers.BertConfig(vocab_size=len(t), max_position_embeddings=128, **small)
    ).save_pretrained(bge)
    t.save_pretrained(bge)
    return dino, clip, bge


def build_embedding_gemma(folder: Path, *, seed: int = 0) -> Path:
    """A tiny random EmbeddingGemma 2 with its ears, saved as the hub has it; its folder."""
    torch.manual_seed(seed)
    t = _tokenizer_of("gemma4")
    ids = {"image_token_id": "<|image|>", "boi_token_id": "<|image>", "eoi_token_id": "<image|>"}
    ids |= {"audio_token_id": "<|audio|>", "video_token_id": "<|video|>"}
    text = dict(TEXT, vocab_size=len(t), hidden_size_per_layer_input=8, embedding_dim=32, head_dim=16)
    text |= dict(global_head_dim=32, sliding_window=24, pad_token_id=t.pad_token_id)
    config = transformers.EmbeddingGemma2Config(
        text_config=text | {"layer_types": ["sliding_attention", "full_attention"]},
        vision_config=GEMMA4_VISION,
        audio_config=dict(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, output_proj_dims=16),
        **{name: t.convert_tokens_to_ids(token) for name, token in ids.items()},
    )
    transformers.EmbeddingGemma2Model(config).save_pretrained(folder)
    transformers.Gemma4ImageProcessorPil(patch_size=4, max_soft_tokens=70).save_pretrained(folder)
    t.save_pretrained(folder)
    return folder


def small(seed: int = 0) -> tuple[Any, Any, Any]:
    """(LLaVA, head, processor): the embedded model's shape with a few dozen channels and random weights."""
    from sugar.model.tiny import TinyConfig, build

    vision = {"vision_size": 48, "vision_layers": 2, "vision_mlp": 96, "vision_heads": 3}
    sizes = TinyConfig(**vision, hidden_size=48, layers=2, mlp=96, heads=3, head_hidden=64, head_size=48)
    torch.manual_seed(seed)
    shipped = Path(__file__).resolve().parents[1] / "assets" / "sugar-tiny" / "tokenizer.json"
    words = [w for w in json.loads(shipped.read_text("utf-8"))["model"]["vocab"] if not w.startswith("<")]
    llava, processor = build(sizes, words)
    return llava, EmbeddingHead(sizes.hidden_size, sizes.head_hidden, sizes.head_size), processor
