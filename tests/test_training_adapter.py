"""Adapters on any base: rows as inference reads them, gradients in parts, several processes, resumption,
what comes out.

The models are tiny random ones (checkpoints.py). Not covered: losses, labels and schedule by
hand (test_training.py).
"""

from __future__ import annotations

import csv
import io
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import checkpoints
import numpy as np
import pytest
import torch
from PIL import Image

from sugar.__main__ import main
from sugar.core import Sugar
from sugar.errors import InputError, ModelError, SettingsError
from sugar.scenes import draw, long_caption, sample_scene, split_rng
from sugar.scenes.world import COLORS, KINDS
from sugar.sequence import Sample, Slice, Turn
from sugar.training import loop
from sugar.training.adapter import ADAPTER, AdapterConfig, AdapterTask
from sugar.training.data.example import captioned
from sugar.training.losses import Terms
from sugar.training.parallel import shard
from sugar.training.recipes import CARDS, OWN, PAPER, RECIPES, for_card
from sugar.training.sample_rows import SampleRows
from sugar.training.teachers import CachedEncoders, TripleFolders, WordEncoders, open_teachers
from sugar.training.whole import WholeTask

ROOT = Path(__file__).resolve().parents[1]
RENAMED = dict(zip(KINDS, KINDS[7:] + KINDS[:7], strict=True)) | dict(
    zip(COLORS, COLORS[3:] + COLORS[:3], strict=True)
)
"""A person who names things otherwise: what the embedded model knows is of little use."""


@pytest.fixture(autouse=True)
def one_thread() -> object:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def album(folder: Path, count: int, *, rename: bool = True) -> Path:
    """Drawn pictures with captions in other words."""
    folder.mkdir(parents=True)
    rng, rows = split_rng("tuning", 5), [("file_name", "caption")]
    for n in range(count):
        scene = sample_scene(rng)
        Image.fromarray(draw(scene)).save(folder / f"{n:03d}.png")
        words = long_caption(scene, rng, opening=False).words.replace(",", " ,").split()
        said = " ".join(RENAMED.get(w, w) if rename else w for w in words)
        rows.append((f"{n:03d}.png", said.replace(" ,", ",")))
    with (folder / "captions.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder


@pytest.fixture(scope="module")
def small_album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return album(tmp_path_factory.mktemp("data") / "album", 24)


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("bases")
    return {family: checkpoints.build(family, folder) for family in ("llava", "qwen3_vl", "idefics3")}


def config(
    out: Path, base: object, data: Path | str, own: AdapterConfig = OWN, **changes: object
) -> AdapterConfig:
    made = replace(
        own,
        out=str(out),
        base=str(base),
        data=(str(data),),
        vectors=str(out / "vectors"),
        teachers="words",
        steps=2,
        batch=4,
        micro_batch=3,
        rank=4,
        alpha=8,
        validate_every=0,
        trackers="",
        log_every=1,
        dimension=16,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def trained(run: loop.Run) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in run.trained().items()}


# --- rows ---------------------------------------------------------------------------------------------------


def test_training_rows_are_inference_prompts_token_by_token(bases: dict[str, Path]) -> None:
    """On one family; test_model_families.py compares a row's prompt and answer on every one."""
    model = Sugar.from_pretrained(bases["llava"], device="cpu")
    picture = Image.new("RGB", (32, 32), "red")
    rows = SampleRows(model.processor).rows(captioned(picture, ["a red star"]), [[0], [0]])
    image, text, answer = (row.layout for row in rows)
    for layout, sample in ((image, Sample(picture)), (text, Sample("a red star"))):
        assert layout.ids == model.processor.embedding_layout(sample).ids
    turns = [Turn("user", Sample([picture, "Describe the picture."]))]
    prompt = model.processor.chat_layout(turns)
    ((start, stop),) = answer.answers
    assert answer.ids[:start] == prompt.ids
    assert answer.ids[start:stop] == model.processor.answer_ids(turns, prompt, "a red star", end=True)
    assert stop == len(answer.ids)


# --- gradients ----------------------------------------------------------------------------------------------


def gradients(task: AdapterTask, step: int = 0) -> dict[str, torch.Tensor]:
    task.module.zero_grad(set_to_none=True)
    task.backward(task.reader(step), step)
    return {n: p.grad.clone() for n, p in task.module.named_parameters() if p.grad is not None}


def test_gradients_in_parts_are_those_of_one_pass(
    tmp_path: Path, small_album: Path, bases: dict[str, Path]
) -> None:
    """Against the plain way: every row in one graph, one loss, one backward pass."""
    task = AdapterTask(config(tmp_path, bases["llava"], small_album))
    with torch.no_grad():
        for name, p in task.module.named_parameters():
            if "lora_B" in name:
                p.normal_(0, 0.1, generator=torch.Generator().manual_seed(0))
    parts = gradients(task)
    data = task.reader(0)
    task.module.zero_grad(set_to_none=True)
    order = sorted(data.rows, key=lambda row: len(row.layout))
    hidden = task.module(order)
    embeddings = task.module.embeddings(order, hidden)
    indices = torch.tensor([p for row in order for p in row.indices])
    losses, _ = task.compare(embeddings[indices.argsort()], data.facts, task.target(data.facts))
    tokens = sum(row.weight(0.0) for row in data.rows)
    total = sum(task.weight(n) * v for n, v in losses.items()) + task._language(order, hidden, {}) / tokens
    total.backward()
    whole = {n: p.grad for n, p in task.module.named_parameters() if p.grad is not None}
    assert parts.keys() == whole.keys() and len(parts) > 4
    for name, value in whole.items():
        assert torch.allclose(parts[name], value, atol=1e-5, rtol=1e-4), name
    task.config = replace(task.config, checkpointing=True)
    task.sugar.model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
    task.sugar.model.train()
    again = gradients(task)
    assert all(torch.allclose(again[n], v, atol=1e-5, rtol=1e-4) for n, v in whole.items())


# --- every recipe on every family ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recipe", "family"),
    [("sugar", "llava"), ("sugar", "qwen3_vl"), ("sugar", "idefics3"), ("vladva", "llava")],
)
def test_recipes_run_on_every_family(
    recipe: str, family: str, tmp_path: Path, small_album: Path, bases: dict[str, Path]
) -> None:
    source = RECIPES[recipe]
    own = replace(source.configs["own"], **({"short": 200} if recipe == "vladva" else {}))
    folder = loop.train(
        source.task(config(tmp_path / "run", bases[family], small_album, own, steps=3, batch=3, warmup=1)),
        quiet=True,
    )
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().split("\n")[:-1]]
    assert lines[-1]["step"] == 3 and all(np.isfinite(v) for v in lines[-1]["losses"].values())
    assert "language" in lines[-1]["losses"] or recipe == "vladva"
    base = Sugar.from_pretrained(bases[family], device="cpu")
    opened = Sugar.from_pretrained(bases[family], adapter=folder, device="cpu")
    sample = Sample(Image.new("RGB", (32, 32), "red"))
    assert opened.encoder == ("prompt" if recipe == "vladva" else "sugar")
    alone = base.embed([sample]).pooled
    moved = opened.embed([sample]).pooled
    assert moved.shape != alone.shape or np.abs(moved - alone).max() > 1e-5


def test_a_base_from_nothing_is_trained_whole(tmp_path: Path, small_album: Path) -> None:
    own = RECIPES["whole"].configs["tiny"]
    task = WholeTask(config(tmp_path, "", small_album, own, steps=2, validate_every=2, held_out=0.2))
    before = {name: p.detach().clone() for name, p in task.module.named_parameters()}
    assert all(p.requires_grad for p in task.module.parameters())
    folder = loop.train(task, quiet=True)
    moved = {name for name, p in task.module.named_parameters() if not torch.equal(p, before[name])}
    for part in ("vision_tower", "multi_modal_projector", "language_model", "head"):
        assert any(part in name for name in moved)
    opened, sample = Sugar.from_pretrained(folder, device="cpu", precision="fp32"), Sample("a red star")
    assert np.allclose(opened.embed([sample]).pooled, task.sugar.embed([sample]).pooled, atol=1e-4)
    assert opened.encoder == "sugar" and "every weight" in opened.card
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert state["step"] == 2 and len(state["model"]) == len(before)


# --- the loop -----------------------------------------------------------------------------------------------


def test_a_killed_run_goes_on_bit_for_bit(tmp_path: Path, small_album: Path, bases: dict[str, Path]) -> None:
    """One process is killed in the middle by SIGKILL; what it left is taken up to the same weights."""
    whole = config(tmp_path / "whole", bases["llava"], small_album, steps=4, save_every=2)
    loop.train(AdapterTask(whole), quiet=True)
    code = (
        "import sys, os, signal\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "import torch; torch.set_num_threads(1)\n"
        "import pickle\n"
        "from sugar.training import loop\n"
        "from sugar.training.adapter import AdapterTask\n"
        f"config = pickle.loads({pickle.dumps(replace(whole, out=str(tmp_path / 'killed')))!r})\n"
        "def progress(step, steps, losses):\n"
        "    if step == 3: os.kill(os.getpid(), signal.SIGKILL)\n"
        "loop.train(AdapterTask(config), quiet=True, progress=progress)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == -signal.SIGKILL
    again = loop.Run(AdapterTask(replace(whole, out=str(tmp_path / "killed"))))
    assert again.resume() and again.step == 2
    loop.train(AdapterTask(replace(whole, out=str(tmp_path / "killed"))), quiet=True)
    one, two = (
        torch.load(tmp_path / name / "state.pt", weights_only=True)["model"] for name in ("whole", "killed")
    )
    assert one.keys() == two.keys() and all(torch.equal(one[k], two[k]) for k in one)


def test_a_run_reads_talks_without_pictures_and_goes_over_null_rows(
    tmp_path: Path, bases: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    """A batch may hold nothing to embed, null is no answer, and a guessed encoding is said."""
    talk = [{"from": "human", "value": "Wie hei\u00dft der Hund?"}, {"from": "gpt", "value": "B\u00e4rli"}]
    rows = [{"conversations": talk}, None, {"conversations": [talk[0], {"from": "gpt", "value": None}]}]
    lines = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows + rows[:1] * 5)
    (tmp_path / "talks.jsonl").write_bytes(lines.encode("cp1252"))
    changes = {"terms": Terms(similarity=0.0), "held_out": 0.0}
    task = AdapterTask(config(tmp_path / "run", bases["llava"], f"llava={tmp_path}", **changes))
    loop.train(task, quiet=True)
    reasons = [bad.reason for bad in task.reader.reader.bad.values()]
    assert sorted(reason[:13] for reason in reasons) == ["The row is nu", "Turn 2, of gp"]
    assert "read as Windows-1252" in caplog.text and "None" not in caplog.text


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[: len(data) // 2], "damaged or cut short.*Delete it to begin again"),
        (lambda data: b"", "is empty"),
        (lambda data: b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (lambda data: pickle.dumps({"step": print}), "damaged or cut short"),
        (lambda data: _saved({"step": 1}), "no state of such a run"),
        (lambda data: _saved([1]), "no state of such a run"),
    ],
    ids=["cut", "empty", "a pointer", "a pickle", "another state", "a list"],
)
def test_a_damaged_state_says_so(damage: Any, message: str, tmp_path: Path, state: loop.Run) -> None:
    file = Path(shutil.copy(state.out / "state.pt", tmp_path))
    file.write_bytes(damage(file.read_bytes()))
    run = copy(state)
    run.out = tmp_path
    with pytest.raises(ModelError, match=message):
        run.resume()


@pytest.mark.parametrize("other", [{"seed": 1}, {"rank": 8}])
def test_another_run_does_not_resume(other: dict, state: loop.Run, small_album: Path) -> None:
    with pytest.raises(SettingsError, match=next(iter(other))):
        loop.Run(AdapterTask(replace(state.config, **other))).resume()


def _saved(value: Any) -> bytes:
    out = io.BytesIO()
    torch.save(value, out)
    return out.getvalue()


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory, small_album: Path, bases: dict[str, Path]) -> loop.Run:
    """A run with its first state on disk."""
    run = loop.Run(AdapterTask(config(tmp_path_factory.mktemp("state"), bases["llava"], small_album)))
    run.save()
    return run


def test_what_a_worker_holds_can_be_pickled(tmp_path: Path, small_album: Path) -> None:
    task = AdapterTask(config(tmp_path, "sugar-tiny", small_album))
    here, there = task.reader(1), pickle.loads(pickle.dumps(loop._Steps(task.reader)))[1]
    assert [r.layout.ids for r in here.rows] == [r.layout.ids for r in there.rows]
    assert np.array_equal(here.facts.part1, there.facts.part1)


def test_the_best_checkpoint_is_kept_and_the_run_stops_early(
    tmp_path: Path, small_album: Path, bases: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = iter([10.0, 50.0, 40.0, 30.0])
    monkeypatch.setattr(AdapterTask, "validate", lambda self, step: {"R@1": next(figures)})
    settings = config(tmp_path, bases["llava"], small_album, steps=6, validate_every=1, patience=1)
    folder = loop.train(AdapterTask(settings), quiet=True)
    facts = json.loads((folder / "training.json").read_text())
    assert facts["best"] == {"step": 2, "figures": {"R@1": 50.0}} and facts["step"] == 2
    notes = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert any("stopped early" in line.get("note", "") for line in notes)
    assert (tmp_path / "curves.png").is_file() and "kept aside" in (folder / "README.md").read_text()


def test_stopping_by_the_caller_keeps_the_state_and_trackers_get_losses(
    tmp_path: Path, small_album: Path, bases: dict[str, Path]
) -> None:
    with pytest.raises(loop.Stopped):
        task = AdapterTask(config(tmp_path, bases["llava"], small_album, steps=5, trackers="tensorboard"))
        loop.train(task, quiet=True, progress=lambda step, steps, losses: step == 2)
    assert torch.load(tmp_path / "state.pt", weights_only=True)["step"] == 2
    assert list(tmp_path.rglob("events.out.tfevents.*"))


def test_the_paper_s_schedule_and_the_cards(tmp_path: Path) -> None:
    assert (PAPER.rank, PAPER.alpha, PAPER.rate, PAPER.optimizer) == (128, 256, 1e-4, "adamw")
    assert PAPER.terms == Terms() and PAPER.warmup / PAPER.steps == pytest.approx(0.03)
    assert for_card(PAPER, "12gb").base_precision == "nf4" and set(CARDS) == {"12gb", "24gb", "80gb"}
    with pytest.raises(SettingsError, match="48gb"):
        for_card(PAPER, "48gb")


def test_qlora_trains_on_a_four_bit_base(tmp_path: Path, small_album: Path, bases: dict[str, Path]) -> None:
    settings = config(tmp_path, bases["llava"], small_album, base_precision="nf4")
    run = loop.Run(AdapterTask(settings))
    before = trained(run)
    assert any("Linear4bit" in type(m).__name__ for m in run.task.module.modules())
    adapters = run.task.sugar.backbone.adapters
    adapters.use(None)
    run.task.sugar.embed([Sample([Slice("an answer before packs the weights")])])
    adapters.use(ADAPTER, trainable=True)
    run.train_step()
    run.train_step()
    assert any(not torch.equal(v, before[k]) for k, v in run.trained().items() if "lora_B" in k)


# --- teachers -----------------------------------------------------------------------------------------------


def test_teachers_are_computed_once_and_read_by_content(tmp_path: Path) -> None:
    folders = checkpoints.build_triple(tmp_path)
    encoders = open_teachers(",".join(map(str, folders)))
    assert isinstance(encoders, TripleFolders)
    slices = [Slice(Image.new("RGB", (32, 32), c)) for c in ("red", "blue")] + [Slice("a red star")]
    cached = CachedEncoders(encoders, tmp_path / "vectors")
    cached.prepare(slices, quiet=True)
    fresh = CachedEncoders(open_teachers(",".join(map(str, folders))), tmp_path / "vectors")
    got, wanted = fresh.encode(slices), encoders.encode(slices)
    assert fresh.computed == 0 and cached.computed == 3
    assert all(np.allclose(a, b, atol=2e-3) for a, b in zip(got, wanted, strict=True))
    again = fresh.encode([Slice(Image.new("RGB", (32, 32), "red"))])
    assert np.array_equal(again[0][0], got[0][0]) and fresh.computed == 0
    with (tmp_path / "vectors" / f"{encoders.name}.rows").open("ab") as file:
        file.write(b"torn")  # cut off in the middle of a row
    assert CachedEncoders(encoders, tmp_path / "vectors").encode(slices)[0].shape == got[0].shape


def test_words_as_teachers() -> None:
    words = WordEncoders()
    pictures = [Image.new("RGB", (8, 8), c) for c in ("red", "blue")]
    words.learn([captioned(p, [w]) for p, w in zip(pictures, ("a red star", "a blue cat"), strict=True)])
    part1, part2 = words.encode([Slice(pictures[0]), Slice("a red star"), Slice("a blue cat")])
    assert np.allclose(part1[0], part1[1]) and part2[0] @ part2[2] < part2[0] @ part2[1]
    assert np.allclose(np.linalg.norm(part1, axis=1), 1)
    with pytest.raises(InputError, match="no caption"):
        words.encode([Slice(Image.new("RGB", (8, 8), "green"))])
    with pytest.raises(SettingsError, match="not known"):
        open_teachers("oracle")


# --- a person's own pictures --------------------------------------------------------------------------------


def test_a_folder_of_captioned_pictures_teaches_the_model(tmp_path: Path) -> None:
    """One command: an adapter that the app loads, and that finds held-out pictures better than the base."""
    folder, out = album(tmp_path / "holiday", 120), tmp_path / "run"
    arguments = ["train", "--recipe", "sugar", "--config", "own", "--base", "sugar-tiny"]
    arguments += ["--data", str(folder), "--steps", "12", "--validate-every", "12"]
    arguments += ["--vectors", str(out / "vectors"), "--trackers", ""]
    assert main([*arguments, "--out", str(out), "--quiet"]) == 0
    taught = json.loads((out / "model" / "training.json").read_text())["best"]["figures"]["R@1"]
    task = AdapterTask(replace(OWN, data=(str(folder),), out=str(tmp_path / "base")))
    bare = task.validation.measure(0, adapter=None)
    assert bare is not None and taught > bare["R@1"] + 5
    opened = Sugar.from_pretrained("sugar-tiny", adapter=out / "model", device="cpu")
    again = task.validation.pairs
    texts, pictures = (opened.embed([p[k] for p in again]).pooled for k in (1, 0))
    found = (texts @ pictures.T).argmax(1) == np.arange(len(again))
    assert 100 * found.mean() > bare["text -> picture R@1"]


# --- several processes --------------------------------------------------------------------------------------

TWICE = """
import os, sys
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from sugar.__main__ import main
Accelerator.end_training = lambda self: None  # it would part the processes
assert main(sys.argv[2:] + ["--out", sys.argv[1] + "/two"]) == 0
AcceleratorState._reset_state()
os.environ |= {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}
assert main(sys.argv[2:] + ["--out", sys.argv[1] + "/sharded"]) == 0
"""


def test_two_processes_match_one(tmp_path: Path, small_album: Path, bases: dict[str, Path]) -> None:
    """The same global batch: same losses and same weights, with the base's layers shared out too. Of 5
    examples one process reads a micro-batch more than the other."""
    command = ["train", "--recipe", "sugar", "--config", "own", "--quiet", "--trackers", ""]
    command += ["--base", str(bases["llava"]), "--data", str(small_album)]
    command += ["--vectors", str(tmp_path / "vectors")]
    command += ["--steps", "3", "--batch", "5", "--micro-batch", "3", "--rank", "4", "--alpha", "8"]
    command += ["--log-every", "3", "--validate-every", "3", "--dimension", "16", "--held-out", "0.2"]
    assert main([*command, "--out", str(tmp_path / "one")]) == 0
    (tmp_path / "twice.py").write_text(TWICE, "utf-8")
    options = ["--multi_gpu", "--num_processes", "2", "--num_machines", "1"]  # on a CPU too
    options += ["--mixed_precision", "no", "--dynamo_backend", "no"]
    options += [str(tmp_path / "twice.py"), str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "accelerate.commands.launch", *options, *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stdout + done.stderr

    def result(name: str, processes: int) -> tuple[dict, dict]:
        hardware = json.loads((tmp_path / name / "model" / "training.json").read_text())["hardware"]
        assert f"{processes} process(es)" in hardware and ("FSDP" in hardware) == (name == "sharded")
        lines = [json.loads(x) for x in (tmp_path / name / "log.jsonl").read_text().split("\n")[:-1]]
        losses = next(line["losses"] for line in reversed(lines) if "losses" in line)
        return torch.load(tmp_path / name / "state.pt", weights_only=True)["model"], losses

    one, losses = result("one", 1)
    for name in ("two", "sharded"):
        two, others = result(name, 2)
        assert losses == pytest.approx(others, abs=1e-4) and len(losses) == 3
        assert all(torch.allclose(one[k], two[k], atol=1e-4) for k in one)


def test_fsdp_refuses_what_it_cannot_share_out(
    bases: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Sugar.from_pretrained(bases["llava"], device="cpu").model
    with pytest.raises(SettingsError, match="fsdp_version to 2"):
        shard(model)
    monkeypatch.setenv("FSDP_VERSION", "2")
    monkeypatch.setattr("torch.distributed.device_mesh.init_device_mesh", lambda *a: None)
    with pytest.raises(SettingsError, match="trains every weight"):
        shard(model.requires_grad_(True))
    with pytest.raises(SettingsError, match="no language layers"):
        shard(torch.nn.Linear(2, 2))


def test_the_launch_files_are_read_by_accelerate() -> None:
    from accelerate.commands.config.config_args import load_config_from_file

    folder = ROOT / "sugar" / "training" / "launch"
    sharded = load_config_from_file(str(folder / "fsdp.yaml"))
    zero = load_config_from_file(str(folder / "zero2.yaml"))
    assert str(sharded.distributed_type).endswith("FSDP") and sharded.fsdp_config["fsdp_version"] == 2
    assert str(zero.distributed_type).endswith("DEEPSPEED") and zero.deepspeed_config["zero_stage"] == 2
