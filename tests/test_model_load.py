"""Presets, precision and memory, damaged and foreign folders, and downloads from a hub that runs in this
process.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import checkpoints
import huggingface_hub
import pytest
import torch
from PIL import Image

from sugar.core import Sugar
from sugar.errors import ModelError
from sugar.model import checkpoint, families, hub, load, presets, template
from sugar.model.adapters import EmbeddingHead
from sugar.sequence import Sample
from sugar.services.model_slot import open_slot
from sugar.settings import Settings


@pytest.fixture(scope="module")
def llava() -> Path:
    return checkpoints.built("llava")


# -- presets and memory --------------------------------------------------------------------------


def test_the_table_is_whole() -> None:
    for name, p in presets.PRESETS.items():
        assert p.name == name and p.family in families.FAMILIES and p.licence and p.good_for
        assert p.memory("nf4") <= p.memory("bf16") < p.memory("fp32")
        if p.repository:
            assert (
                abs(p.download_gb - p.parameters * {"nf4": 0.65, "fp32": 4}.get(p.stored, 2))
                < 0.1 * p.download_gb
            )
    assert presets.PRESETS["llava-1.5-7b"].memory("nf4") < 6.5
    for free, cuda, name in (
        (40, True, "qwen2.5-vl-7b"),
        (7.2, True, "qwen3-vl-4b"),
        (4, True, "qwen3.5-2b"),
        (1, True, "sugar-photo"),
        (40, False, "smolvlm2-500m"),
        (2, False, "smolvlm-256m"),
    ):
        assert presets.first(free, cuda=cuda) == name
    assert (
        presets.find("llava-hf/llava-1.5-7b-hf") is presets.PRESETS["llava-1.5-7b"]
        and presets.find("nobody/nothing") is None
    )
    assert all(name in presets.table() for name in presets.PRESETS)


def test_precision_follows_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load.torch.cuda, "is_bf16_supported", lambda: True)

    def choose(free: float, device: str = "cuda", precision: str = "auto", stored: str = "full") -> str:
        monkeypatch.setattr(load, "free_memory", lambda _: free)
        return load.choose_precision("llava-1.5-7b", 7.06, 0.58, device, precision, stored)[0]

    assert choose(24) == "bf16" and choose(7.5) == "nf4" and choose(7.5, stored="nf4") == "nf4"
    assert choose(64, "cpu") == "fp32" and choose(20, "cpu") == "bf16" and choose(20, "cpu", "nf4") == "nf4"
    monkeypatch.setattr(load.torch.cuda, "is_bf16_supported", lambda: False)
    assert choose(24) == "fp16"
    with pytest.raises(
        ModelError, match=r"needs about 5\.8 GB as fp16 or nf4 and cuda has 4\.0 GB free.*smolvlm-256m"
    ) as seen:
        choose(4)
    assert "gemma-3-4b" not in str(seen.value)
    with pytest.raises(ModelError, match="It would fit as bf16 or fp16 or nf4"):
        choose(20, "cpu", "fp32")
    with pytest.raises(ModelError, match="'int3' is not known"):
        choose(64, "cpu", "int3")
    with pytest.raises(ModelError, match="'cuda' was asked for|not known"):
        load.pick_device("cuda") if not load.torch.cuda.is_available() else load.pick_device("tpu")
    assert load.free_memory("cpu") > 0.1


def test_the_choice_is_shown(llava: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Sugar.from_pretrained(llava, device="cpu")
    assert model.precision == "fp32" and "the widest that fits" in model.why and model.device == "cpu"
    assert Sugar.from_pretrained(llava, precision="bf16").model.dtype == torch.bfloat16
    monkeypatch.setattr(load, "free_memory", lambda _: 1e-6)
    with pytest.raises(ModelError, match="These fit: none of the presets"):
        Sugar.from_pretrained(llava)


# -- folders -------------------------------------------------------------------------------------


def copy(folder: Path, to: Path) -> Path:
    to.mkdir()
    for path in folder.iterdir():
        (to / path.name).write_bytes(path.read_bytes())
    return to


def test_a_bad_folder_says_what_is_wrong(llava: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no folder ../nowhere.*preset .sugar-photo"):
        Sugar.from_pretrained("./nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=r"no config\.json"):
        Sugar.from_pretrained(tmp_path / "empty")
    foreign = copy(llava, tmp_path / "foreign")
    (foreign / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(ModelError, match="'bert' checkpoint. Sugar serves llava,"):
        Sugar.from_pretrained(foreign)
    (foreign / "config.json").write_text("{")
    with pytest.raises(ModelError, match="not valid JSON"):
        Sugar.from_pretrained(foreign)
    pickled = copy(llava, tmp_path / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    with pytest.raises(ModelError, match="can run code when opened"):
        Sugar.from_pretrained(pickled)
    cut = copy(llava, tmp_path / "cut")
    (cut / "model.safetensors").write_bytes((cut / "model.safetensors").read_bytes()[:1000])
    with pytest.raises(ModelError, match="is damaged"):
        Sugar.from_pretrained(cut)
    future = copy(llava, tmp_path / "future")
    (future / "sugar.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(ModelError, match="format 99; this Sugar reads format 1"):
        Sugar.from_pretrained(future)
    headless = copy(llava, tmp_path / "headless")
    checkpoint.write_settings(headless, name="x", encoder="sugar", head={"dimension": 4})
    with pytest.raises(ModelError, match=r"head\.safetensors is missing"):
        Sugar.from_pretrained(headless)
    with pytest.raises(ModelError, match="no embedding head"):
        Sugar.from_pretrained(llava, encoder="sugar")
    with pytest.raises(ModelError, match="Encoder 'magic' is not known"):
        Sugar.from_pretrained(llava, encoder="magic")


NESTED = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
WILD = {
    "after a picture": "{% for m in messages %}{% if m['content'][0]['type'] == 'image' %}"
    + NESTED
    + "{% endif %}{% endfor %}",
    "in a later turn": "{% if messages|length > 2 %}" + NESTED + "{% endif %}",
    "macros": "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "a string that doubles": "{% set n = namespace(x='x') %}{% for a in range(60) %}"
    "{% set n.x = n.x ~ n.x %}{% endfor %}",
    "a long string": "{{ 'x' * 10 ** 11 }}",
    "a wide format": "{{ '%900000000d' % 1 }}",
    "a power": "{{ 10 ** (10 ** 9) }}",
    "much text": "{% for a in range(99999) %}twelve words.{% endfor %}",
    "no text": 7,
    "a long template": "x" * 2_000_000,
}


@pytest.mark.parametrize("what", WILD)
def test_a_template_that_does_not_end_is_refused_at_load(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = template.CHILD.replace("RLIMIT_CPU, (5, 5)", "RLIMIT_CPU, (1, 1)")
    monkeypatch.setattr(template, "CHILD", quick)
    with pytest.raises(ModelError, match="chat template"):
        template.try_template(WILD[what])


@pytest.mark.parametrize(
    "text",
    [
        "{{ raise_exception('no system role') }}",
        "{{ messages[0]['content'] + 'text' }}",
        "{% for i in range(10 ** 9) %}{% endfor %}",
        "{% if",
        "{% generation %}{{ messages|tojson(indent=2) }}{% break %}{% endgeneration %}",
    ],
)
def test_a_template_that_fails_is_no_danger(llava: Path, tmp_path: Path, text: str) -> None:
    folder = copy(llava, tmp_path / "odd")
    (folder / "chat_template.jinja").write_text(text)
    model = Sugar.from_pretrained(folder)
    with pytest.raises(ModelError, match=r"cannot express this conversation"):
        list(model.generate(Sample("what is it?"), max_new_tokens=1))


def test_a_checkpoint_with_a_wild_template_does_not_hang(llava: Path, tmp_path: Path) -> None:
    folder = copy(llava, tmp_path / "wild")
    (folder / "chat_template.jinja").write_text(WILD["a long string"])
    with pytest.raises(ModelError, match="does not end"):
        Sugar.from_pretrained(folder)


def test_code_in_a_checkpoint_is_never_run(
    llava: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tricky = copy(llava, tmp_path / "tricky")
    config = json.loads((tricky / "config.json").read_text())
    (tricky / "config.json").write_text(
        json.dumps({**config, "auto_map": {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}})
    )
    (tricky / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()")
    with caplog.at_level("WARNING", "sugar"):
        Sugar.from_pretrained(tricky)
    assert "never runs it" in caplog.text and not (tmp_path / "ran").exists()


def test_fingerprints_know_what_decides_embeddings(llava: Path, tmp_path: Path) -> None:
    folder = copy(llava, tmp_path / "a")
    first = checkpoint.fingerprint([folder], "sugar")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(
        json.dumps({**config, "dtype": "bfloat16", "transformers_version": "9"})
    )
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# Words")
    assert checkpoint.fingerprint([folder], "sugar") == first and checkpoint.card(folder) == "# Words"
    assert checkpoint.fingerprint([folder], "prompt") != first
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder / "model.safetensors").write_bytes(bytes(weights))
    assert checkpoint.fingerprint([folder], "sugar") != first
    model = Sugar.from_pretrained(llava)
    model.save_pretrained(tmp_path / "saved")
    assert Sugar.from_pretrained(tmp_path / "saved").fingerprint == model.fingerprint


def test_weights_are_saved_in_the_precision_they_came_in(llava: Path, tmp_path: Path) -> None:
    half = Sugar.from_pretrained(llava, precision="bf16")
    half._stored_dtype = torch.bfloat16
    half.save_pretrained(tmp_path / "half")
    wide = Sugar.from_pretrained(tmp_path / "half")
    assert wide.precision == "fp32" and wide.model.dtype == torch.float32
    wide.save_pretrained(tmp_path / "again")
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("half", "again")]
    assert sizes[0] == sizes[1] and Sugar.from_pretrained(tmp_path / "again").fingerprint == wide.fingerprint


# -- a hub in this process -----------------------------------------------------------------------


class Hub:
    """The few answers of the hub that a download asks for.

    Cut: file names whose first body breaks off in the middle.
    """

    def __init__(self, folders: dict[str, Path]) -> None:
        self.folders, self.cut, self.asked = folders, set[str](), list[str]()
        self.corrupt = False
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args: Any) -> None: ...

            def refuse(self, code: int, kind: str) -> None:
                self.send_response(code)
                self.send_header("X-Error-Code", kind)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def do_HEAD(self) -> None:
                self.do_GET()

            def do_GET(self) -> None:
                parts = self.path.split("?")[0].strip("/").split("/")
                api = parts[0] == "api"
                repository = "/".join(parts[2:4] if api else parts[:2])
                if repository == "shy/gated":
                    return self.refuse(403, "GatedRepo")
                if repository not in owner.folders:
                    return self.refuse(404, "RepoNotFound")
                if "missing-revision" in self.path:
                    return self.refuse(404, "RevisionNotFound")
                folder = owner.folders[repository]
                if api:
                    return self.listing(folder, repository, tree=parts[4] == "tree")
                return self.file(folder / "/".join(parts[4:]))

            def listing(self, folder: Path, repository: str, tree: bool) -> None:
                siblings = []
                for path in sorted(folder.iterdir()):
                    entry: dict[str, Any] = {"rfilename": path.name, "size": path.stat().st_size}
                    entry |= {"type": "file", "path": path.name, "oid": "0" * 40}
                    if path.suffix == ".safetensors":
                        sha = hashlib.sha256(path.read_bytes() + (b"x" if owner.corrupt else b"")).hexdigest()
                        entry["lfs"] = {
                            "sha256": sha,
                            "oid": sha,
                            "size": path.stat().st_size,
                            "pointerSize": 1,
                        }
                    siblings.append(entry)
                whole = {
                    "id": repository,
                    "sha": "0" * 40,
                    "siblings": siblings,
                    "private": False,
                    "tags": [],
                }
                body = json.dumps(siblings if tree else whole).encode()
                self.reply(body, {"Content-Type": "application/json"})

            def file(self, path: Path) -> None:
                if not path.is_file():
                    return self.refuse(404, "EntryNotFound")
                owner.asked.append(f"{self.command} {path.name} {self.headers.get('Range', '')}".strip())
                data = path.read_bytes()
                start = (
                    int(self.headers["Range"].removeprefix("bytes=").split("-")[0])
                    if "Range" in self.headers
                    else 0
                )
                broken = self.command == "GET" and path.name in owner.cut
                etag = f'"{hashlib.md5(data).hexdigest()}"'
                self.reply(
                    data[start:],
                    {"ETag": etag, "X-Repo-Commit": "0" * 40, "Accept-Ranges": "bytes"},
                    206 if start else 200,
                    broken,
                )
                if broken:
                    owner.cut.discard(path.name)

            def reply(
                self, body: bytes, headers: dict[str, str], code: int = 200, broken: bool = False
            ) -> None:
                self.send_response(code)
                for key, value in headers.items():
                    self.send_header(key, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body[: len(body) // 2] if broken else body)
                if broken:
                    self.wfile.flush()
                    self.connection.close()

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def fake_hub(llava: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    pickled = copy(llava, tmp_path / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    made = Hub({"me/llava": copy(llava, tmp_path / "served"), "old/pickles": pickled})
    monkeypatch.setenv("HF_ENDPOINT", made.address)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_a_repository_is_downloaded_once_with_progress_and_opens(
    fake_hub: Hub, llava: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (fake_hub.folders["me/llava"] / "evil.py").write_text("raise SystemExit")
    seen: list[hub.DownloadProgress] = []
    model = Sugar.from_pretrained("me/llava", progress=seen.append)
    assert model.fingerprint == Sugar.from_pretrained(llava).fingerprint
    assert seen[-1].done == seen[-1].total > 0 and [p.done for p in seen] == sorted(p.done for p in seen)
    assert not any("evil" in line for line in fake_hub.asked), "code is not fetched"
    order = [line.split()[1] for line in fake_hub.asked if line.startswith("GET")]
    assert order[0] == "config.json", "the check comes before the weights"
    fetched = len(order)
    Sugar.from_pretrained("me/llava")
    assert len([line for line in fake_hub.asked if line.startswith("GET")]) == fetched, (
        "nothing is fetched twice"
    )
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    fake_hub.asked.clear()
    assert (
        len(Sugar.from_pretrained("me/llava").embed([Sample(Image.new("RGB", (9, 9)))])) == 1
        and not fake_hub.asked
    )
    with pytest.raises(ModelError, match="has not been downloaded to this machine"):
        Sugar.from_pretrained("me/other")


def test_a_broken_download_resumes(fake_hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "DOWNLOAD_CHUNK_SIZE", 4096)
    fake_hub.cut.add("model.safetensors")
    Sugar.from_pretrained("me/llava")
    assert any("model.safetensors bytes=" in line for line in fake_hub.asked)


@pytest.mark.parametrize("family", families.FAMILIES)
@pytest.mark.parametrize("old", [True, False], ids=["old", "new"])
def test_a_repository_of_either_generation_answers_as_the_folder_does(
    fake_hub: Hub, family: str, old: bool, tmp_path: Path
) -> None:
    fake_hub.folders["them/model"] = checkpoints.as_on_the_hub(family, tmp_path / "hub", old=old)
    model, plain = Sugar.from_pretrained("them/model"), Sugar.from_pretrained(checkpoints.built(family))
    question = Sample([Image.linear_gradient("L"), "what is it?"])
    for each in (model, plain):
        each.generator.ends = set()
    assert list(model.generate(question, max_new_tokens=4)) == list(
        plain.generate(question, max_new_tokens=4)
    )
    assert model.score(question, ["a star"]) == pytest.approx(plain.score(question, ["a star"]), abs=1e-4)
    assert model.family == family and model.repository == "them/model"
    special = [set(each.processor.tokenizer.all_special_ids) for each in (model, plain)]
    assert special[0] >= special[1], "no token of these files became one that a person can type"


def test_a_newcomer_s_model_from_nothing_to_an_answer(
    fake_hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--model owner/name` in 4 bits, cut off in the middle; a revision; no network; a shard that is gone."""
    monkeypatch.setattr(huggingface_hub.constants, "DOWNLOAD_CHUNK_SIZE", 4096)
    fake_hub.folders["them/model"] = checkpoints.as_on_the_hub("qwen2_vl", tmp_path / "hub", old=True)
    shard = "model-00002-of-00002.safetensors"
    fake_hub.cut.add(shard)
    settings = Settings.read(["--model", "them/model", "--precision", "nf4"])

    def started() -> Sugar:
        slot = open_slot(settings)
        slot.go.set()
        return slot.get()

    model = started()
    assert any(f"{shard} bytes=" in line for line in fake_hub.asked), "it went on where it was cut"
    assert model.precision == "nf4"
    said = list(model.generate(Sample([Image.linear_gradient("L"), "what?"]), max_new_tokens=4))
    assert load.fetch("them/model", "v1").samefile(load.fetch("them/model"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    fake_hub.asked.clear()
    again = started()
    assert list(again.generate(Sample([Image.linear_gradient("L"), "what?"]), max_new_tokens=4)) == said
    assert not fake_hub.asked
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    (fake_hub.folders["them/model"] / shard).unlink()
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "another"))
    with pytest.raises(ModelError, match=f"{shard} is missing. Download or save it again"):
        Sugar.from_pretrained("them/model")


def test_damage_is_noticed(fake_hub: Hub) -> None:
    fake_hub.corrupt = True
    with pytest.raises(ModelError, match="SHA-256 differs"):
        Sugar.from_pretrained("me/llava")
    fake_hub.corrupt = False
    Sugar.from_pretrained("me/llava")


def test_refusals_of_the_hub_are_explained(fake_hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    for repository, words in {
        "shy/gated": "licence must be accepted",
        "me/nothing": "no repository 'me/nothing'",
        "old/pickles": r"no safetensors, only pytorch_model\.bin",
    }.items():
        with pytest.raises(ModelError, match=words):
            Sugar.from_pretrained(repository)
    with pytest.raises(ModelError, match="no revision 'missing-revision'"):
        load.fetch("me/llava", "missing-revision")
    monkeypatch.setattr(load, "free_memory", lambda _: 1e-4)
    fake_hub.asked.clear()
    with pytest.raises(ModelError, match="needs about"):
        Sugar.from_pretrained("me/llava")
    assert not any("model.safetensors" in line for line in fake_hub.asked), (
        "refused before the weights are fetched"
    )
    fake_hub.asked.clear()
    with pytest.raises(ModelError, match="llava-1.5-7b needs about"):
        Sugar.from_pretrained("llava-1.5-7b")
    assert not fake_hub.asked, "a preset is refused before anything is asked"


def test_adapters_travel_through_the_hub(
    fake_hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Sugar.from_pretrained("me/llava")
    model.new_adapter("mine", EmbeddingHead(checkpoints.HIDDEN, 8, 4), rank=2, alpha=4)
    pushed: dict[str, Any] = {}

    def upload(self: Any, *, repo_id: str, folder_path: str, **_: Any) -> None:
        fake_hub.folders[repo_id] = copy(Path(folder_path), tmp_path / "pushed")

    monkeypatch.setattr(
        huggingface_hub.HfApi,
        "create_repo",
        lambda self, name, **kw: pushed.update(name=name, **kw) or f"https://hub/{name}",
    )
    monkeypatch.setattr(huggingface_hub.HfApi, "upload_folder", upload)
    assert model.push_adapter("me/mine", "mine", card="Trained on nothing.") == "https://hub/me/mine"
    assert pushed == {"name": "me/mine", "private": True, "exist_ok": True}
    assert "base_model: me/llava" in (tmp_path / "pushed" / "README.md").read_text()
    again = Sugar.from_pretrained("me/llava", adapter="me/mine")
    assert (
        again.adapter == "mine" and again.dimension == 4 and len(again.embed([Sample("a star")]).pooled) == 1
    )
    with pytest.raises(ModelError, match="no repository 'me/nothing'"):
        model.load_adapter("me/nothing")
    with pytest.raises(ModelError, match="No adapter named 'other'"):
        model.push_adapter("me/other", "other")
