"""The Triton kernels without a GPU: interpreted on tiny inputs, and compiled ahead of time for three
generations of cards.

Both run in a fresh process, since TRITON_INTERPRET is read when triton is imported.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")
ROOT = Path(__file__).resolve().parent.parent

INTERPRET = """
import numpy as np, sugar.dtw as D
from sugar.dtw import kernels
rng = np.random.default_rng(0)
def unit(n, kind):
    x = rng.normal(size=(n, 3))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(kind)
for lengths in ((1, 3, 5), (2, 17)):
    for kind, slack in ((np.float32, 2e-5), (np.float64, 1e-12)):
        X, Y = [unit(2, kind)], [unit(n, kind) for n in lengths]
        T = [D.TwoPart(x, x[:, ::-1].copy(), np.arange(len(x)) % 2 == 0) for x in Y]
        for score in (
            lambda p: D.cdist_gak(X, Y, 1.0, path=p),
            lambda p: D.cdist_gak(X, Y, delta=0.7, normalized=False, log=True, path=p),
            lambda p: D.cdist_soft_dtw(X, Y, 0.3, path=p), lambda p: D.cdist_dtw(X, Y, path=p),
            lambda p: D.cdist_gak(T[:1], T, delta=0.7, path=p).numpy(),
        ):
            got = score("triton")
            assert D.last_report().path == "triton"
            assert np.abs(got - score("torch")).max() < slack, (lengths, kind, got)
pair = [unit(3, np.float32)], [unit(4, np.float32)]
got = D.cdist_gak(*pair, 0.05, normalized=False, log=True, path="triton")
assert D.last_report().redone == 1 and np.isfinite(got).all() and got[0, 0] < -87
kernels.GRID_Y = 1  # as many launches as sequences
X, Y = [unit(n, np.float64) for n in (1, 2, 3)], [unit(2, np.float64)]
assert np.abs(D.cdist_dtw(X, Y, path="triton") - D.cdist_dtw(X, Y, path="torch")).max() < 1e-12
print("agreed")
"""

COMPILE = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from sugar.dtw import kernels
NUMBERS = ("dots", "squares_a", "squares_b", "out", "settings")
ROWS = ("offsets_a", "lengths_a", "offsets_b", "lengths_b")
for card in (80, 89, 90):
    for kernel, columns, pairs in ((kernels.short_rows, 8, 128), (kernels.long_rows, 32, 8)):
        for local in (0, 2):
            fixed = {"LOCAL": local, "PER_PAIR": local == 0, "COLUMNS": columns, "PAIRS": pairs}
            types = {**{n: "*fp32" for n in NUMBERS}, **{n: "*i64" for n in ROWS}}
            types |= {"width": "i32", "count_b": "i32"}
            types.update({n: "constexpr" for n in fixed})
            source = ASTSource(
                fn=kernel, signature={n: types[n] for n in kernel.arg_names},
                constexprs={(kernel.arg_names.index(n),): v for n, v in fixed.items()},
            )
            assert len(triton.compile(source, target=GPUTarget("cuda", card, 32)).asm["cubin"]) > 0
print("compiled")
"""


PRODUCT = """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
import numpy as np
from PIL import Image
from pictures import encoded
from toy import ToyModel
from sugar.dtw import last_report, scores
from sugar.gallery import Gallery
from sugar.retrieval import SearchOptions, search
from sugar.sequence import Sample
model, folder = ToyModel(), Path("in")
folder.mkdir()
captions = ["red", "a red star. at night", "blue", "", "green and red. big. bright"]
for n, caption in enumerate(captions):
    picture = Image.new("RGB", (32 + 9 * n, 24 + 5 * n), (250 - 50 * n, 40 * n, 20))
    (folder / f"{{n}}.png").write_bytes(encoded(picture))
    if caption:
        (folder / f"{{n}}.txt").write_text(caption)
query = Sample(["a red star", Image.new("RGB", (20, 20), (240, 30, 20)), "at night"])
found = {{}}
choose = scores.choose_path
with Gallery.create(Path("g"), model) as gallery:
    gallery.add(folder)
    for path in ("torch", "triton"):
        scores.choose_path = lambda asked, device, *rest, path=path: choose(path, device)
        hits = search(gallery, model, query, SearchOptions(k=5))
        assert last_report().path == path and last_report().pairs, last_report()
        found[path] = [hit.item for hit in hits], [hit.score for hit in hits]
assert found["torch"][0] == found["triton"][0] and len(set(np.round(found["torch"][1], 4))) > 2
assert np.abs(np.subtract(found["torch"][1], found["triton"][1])).max() < 2e-5, found
print("the same hits")
"""


def run(code, tmp_path, **environment):
    """The standard output of the code in a process of its own."""
    inherited = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    settings = {
        **inherited,
        "TRITON_CACHE_DIR": str(tmp_path),
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        **environment,
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=settings, cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_interpreted_kernels_match_the_reference(tmp_path):
    assert "agreed" in run(INTERPRET, tmp_path, TRITON_INTERPRET="1")


def test_a_search_in_a_gallery_by_the_kernels_finds_what_torch_finds(tmp_path):
    product = PRODUCT.format(tests=str(Path(__file__).parent))
    assert "the same hits" in run(product, tmp_path, TRITON_INTERPRET="1")


def test_kernels_compile_for_sm_80_89_and_90(tmp_path):
    assert "compiled" in run(COMPILE, tmp_path)
