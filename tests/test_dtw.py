"""The alignment scorer against its float64 reference, the vectors of the method, and tslearn's conventions,
on every CPU path.
"""

import importlib.util
import math
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import sugar.dtw as scorer
from sugar.dtw import reference, scores
from sugar.errors import AlignmentError

NUMBA = [
    pytest.param(
        "numba",
        marks=pytest.mark.skipif(
            importlib.util.find_spec("numba") is None, reason="the extra is not installed"
        ),
    )
]
PATHS = ["torch", *NUMBA]


def unit(*rows):
    array = np.array(rows, dtype=float)
    return array / np.linalg.norm(array, axis=1, keepdims=True)


def ragged(rng, count, longest, width, kind=np.float64):
    """`count` sequences of unit slices, 1 to `longest` long."""
    return [
        unit(*rng.normal(size=(int(rng.integers(1, longest + 1)), width))).astype(kind) for _ in range(count)
    ]


def two_part(rng, n):
    return scorer.TwoPart(unit(*rng.normal(size=(n, 3))), unit(*rng.normal(size=(n, 4))), rng.random(n) < 0.5)


def by_reference(X, Y, sigma=None, delta=None):
    """Normalised GAK (N, M) by the float64 loops, one pair at a time."""
    out = np.empty((len(X), len(Y)))
    for i, x in enumerate(X):
        for j, y in enumerate(Y):
            pairs = ((x, y), (x, x), (y, y))
            grids = [
                scorer.slices.slice_distance(scorer.scores.double(a), scorer.scores.double(b))
                for a, b in pairs
            ]
            out[i, j] = reference.gak(
                *(g.tolist() for g in grids), sigma or delta * math.sqrt((len(x) + len(y)) / 2)
            )
    return out


X3, Y2 = unit((1, 0, 0), (1, 1, 0), (0, 1, 1)), unit((1, 0, 0.5), (0, 1, 0))
A = scorer.TwoPart(unit((1, 0), (1, 1)), unit((1, 0), (1, 0.2)), [True, False])
B = scorer.TwoPart(unit((1, 0), (0, 1), (1, 2)), unit((0, 1), (1, 1), (1, 0)), [False, True, False])


@pytest.mark.parametrize("path", PATHS)
def test_vectors_of_the_method(path):
    near = lambda value: pytest.approx(value, abs=1e-9)  # noqa: E731
    assert scorer.gak([1, 2, 3], [1, 2, 2, 3], sigma=2, path=path) == near(0.839336907936809)
    assert scorer.gak([1, 2, 3], [1, 2, 2, 3], 2, normalized=False, path=path) == near(15.358189998480222)
    assert scorer.gak([1, 2, 3], [1, 2, 2, 3, 4], sigma=1, path=path) == near(0.2733855908733379)
    assert scorer.gak([1, 2, 3], [1, 2, 2, 3, 4], normalized=False, path=path) == near(3.166011071272157)
    assert scorer.gak([1, 2, 2, 3], [1, 2, 3, 4], sigma=2, path=path) == near(0.6562966099203164)
    for delta, value in ((0.3, 0.016738449), (0.5, 0.189035868), (1.0, 0.563221551)):
        assert scorer.gak(X3, Y2, delta=delta, path=path) == near(value)
    sigma = 0.5 * math.sqrt(2.5)
    logs = [
        scorer.gak(a, b, sigma, normalized=False, log=True, path=path)
        for a, b in ((X3, Y2), (X3, X3), (Y2, Y2))
    ]
    assert logs == [near(-0.965760544), near(1.197529370), near(0.202586554)]
    for delta, log, value in ((0.5, -2.167106339, 0.033017872), (1.0, 0.383647415, 0.285325512)):
        assert scorer.gak(A, B, delta=delta, normalized=False, log=True, path=path) == near(log)
        assert scorer.gak(A, B, delta=delta, path=path) == near(value)


def test_triple_kernel_vector():
    phi = scorer.triple_kernel(A.part1, A.part2, A.is_image, B.part1, B.part2, B.is_image)
    np.testing.assert_allclose(phi, [[2, 2, 0], [0.585786, 0.335899, 0.102633]], atol=1e-6)


@pytest.mark.parametrize("path", PATHS)
def test_delannoy_numbers_of_equal_sequences(path):
    counts = [scorer.gak(np.zeros(n), np.zeros(n), normalized=False, path=path) for n in (1, 2, 3, 4)]
    np.testing.assert_allclose(counts, [1, 3, 13, 63], rtol=1e-12)


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_every_path_matches_reference_and_tslearn(seed):
    metrics = pytest.importorskip("tslearn.metrics")
    rng = np.random.default_rng(seed)
    X, Y = ([rng.normal(size=(int(rng.integers(1, 8)), 2)) for _ in range(3)] for _ in range(2))
    functions = {
        "gak": (lambda p: scorer.cdist_gak(X, Y, 1.3, path=p), lambda a, b: metrics.gak(a, b, 1.3)),
        "delta": (
            lambda p: scorer.cdist_gak(X, Y, delta=0.7, path=p),
            lambda a, b: metrics.gak(a, b, 0.7 * math.sqrt((len(a) + len(b)) / 2)),
        ),
        "soft": (
            lambda p: scorer.cdist_soft_dtw(X, Y, 0.3, path=p),
            lambda a, b: metrics.soft_dtw(a, b, 0.3),
        ),
        "dtw": (lambda p: scorer.cdist_dtw(X, Y, path=p), lambda a, b: metrics.dtw(a, b)),
    }
    for ours, theirs in functions.values():
        wanted = np.array([[theirs(a, b) for b in Y] for a in X])
        for path in ("torch",) + (("numba",) if importlib.util.find_spec("numba") else ()):
            np.testing.assert_allclose(ours(path), wanted, atol=1e-10)


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_paths_and_searches_match_tslearn(seed):
    metrics = pytest.importorskip("tslearn.metrics")
    rng = np.random.default_rng(seed)
    query, long = (
        rng.normal(size=(int(rng.integers(1, 6)), 2)),
        rng.normal(size=(int(rng.integers(5, 30)), 2)),
    )
    for ours, theirs in (
        (scorer.dtw_path(query, long), metrics.dtw_path(query, long)),
        (scorer.dtw_path(long, long[::-1].copy()), metrics.dtw_path(long, long[::-1].copy())),
    ):
        assert ours[0] == [tuple(map(int, step)) for step in theirs[0]]
        assert ours[1] == pytest.approx(theirs[1], abs=1e-10)
    wanted = reference.subsequence_dtw(
        scorer.squared_euclidean(*map(torch.from_numpy, (query, long))).tolist(), 3
    )
    best, cost = metrics.dtw_subsequence_path(query, long)
    assert wanted[0][1] == [tuple(map(int, step)) for step in best]
    assert wanted[0][0] == pytest.approx(cost**2, abs=1e-10)
    for path in ("torch",) + (("numba",) if importlib.util.find_spec("numba") else ()):
        runs = scorer.subsequence_dtw(query, long, 3, path=path)
        assert [run.path for run in runs] == [p for _, p in wanted]
        assert [run.cost for run in runs] == pytest.approx([c for c, _ in wanted])


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_symmetry_identity_permutation_and_chunks(seed):
    rng = np.random.default_rng(seed)
    X, Y = ragged(rng, 6, 9, 3), ragged(rng, 7, 5, 3)
    for path in ["torch"] + (["numba"] if importlib.util.find_spec("numba") else []):
        K = scorer.cdist_gak(X, delta=0.7, path=path)
        np.testing.assert_allclose(K, K.T, atol=1e-12)
        np.testing.assert_array_equal(np.diag(K), 1.0)
        assert K.min() >= 0 and K.max() <= 1 + 1e-12
        full = scorer.cdist_gak(X, Y, delta=0.7, path=path)
        order = rng.permutation(len(Y))
        np.testing.assert_allclose(
            scorer.cdist_gak(X, [Y[i] for i in order], delta=0.7, path=path), full[:, order], atol=1e-12
        )
        np.testing.assert_allclose(
            scorer.cdist_gak(X, Y, delta=0.7, path=path, max_bytes=1), full, atol=1e-12
        )
        packed = scorer.PackedSequences.from_list(Y)
        np.testing.assert_allclose(scorer.cdist_gak(X, packed, delta=0.7, path=path), full, atol=1e-12)


def test_one_dataset_in_blocks_equals_two():
    rng = np.random.default_rng(3)
    X = ragged(rng, 140, 4, 3)
    for options in ({"sigma": 0.8}, {"delta": 0.7}):
        np.testing.assert_allclose(
            scorer.cdist_gak(X, **options), scorer.cdist_gak(X, list(X), **options), atol=1e-12
        )


@pytest.mark.parametrize(
    "lengths, sigma", [((60, 60), 0.1), ((410, 410), 50.0), ((3, 4), 0.01), ((1, 1), 0.001), ((450, 1), 1.0)]
)
def test_nothing_is_lost_far_apart_or_long(lengths, sigma):
    """Underflow and overflow of the linear recursion are redone in logs, and said.

    (The redo is one for all paths.)
    """
    path = "numba" if importlib.util.find_spec("numba") else "torch"
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=(n, 2)) for n in lengths)
    got = scorer.gak(a, b, sigma, normalized=False, log=True, path=path)
    redone = scorer.last_report().redone
    phi = scorer.squared_euclidean(torch.from_numpy(a), torch.from_numpy(b)).tolist()
    wanted = reference.log_gak(phi, sigma)
    assert got == pytest.approx(wanted, rel=1e-10)
    assert redone == (abs(wanted) > 600)
    if max(lengths) < 100:
        assert math.isfinite(scorer.gak(a, b, sigma, log=True, path=path))


@pytest.mark.parametrize("path", PATHS)
def test_what_must_underflow_is_zero_and_its_logarithm_is_not(path):
    rng = np.random.default_rng(0)
    a, b, near = rng.normal(size=(60, 2)), rng.normal(size=(50, 2)), rng.normal(size=(3, 2))
    K = scorer.cdist_gak([a, near], [b, near + 0.01], 0.1, path=path)
    assert K[0, 0] == 0.0 and K[1, 1] > 0.9
    logs = scorer.cdist_gak([a, near], [b, near + 0.01], 0.1, log=True, path=path)
    assert np.isfinite(logs).all() and logs[0, 0] < -800
    np.testing.assert_allclose(np.exp(logs), K, rtol=1e-9)


def test_a_pair_of_long_sequences_goes_to_numba():
    pytest.importorskip("numba")
    rng = np.random.default_rng(0)
    scorer.gak(rng.normal(size=(120, 2)), rng.normal(size=(110, 2)), 0.3)
    assert scorer.last_report().path == "numba"


@pytest.mark.parametrize("fault", ["", "wrong", "raises"])
def test_triton_is_checked_at_its_first_use(fault, monkeypatch, caplog):
    """Against torch on 64 pairs, by a stand-in for the kernels: no card is at hand."""

    def cross(a, b, recursion, max_bytes):
        if fault == "raises":
            raise RuntimeError("no ptxas")
        logs = scores._values(a, b, recursion, "torch", max_bytes, -math.inf)
        return logs + (0.1 if fault else 0.0), True

    monkeypatch.setattr(scores, "_faults", {})
    monkeypatch.setitem(sys.modules, "sugar.dtw.kernels", SimpleNamespace(cross=cross))
    found = [scores._fault_of_triton(torch.device("cpu"), long) for long in (False, True, True)]
    wanted = {"": "", "wrong": "differ from torch by 0.1", "raises": "no ptxas"}[fault]
    assert all(wanted in reason and bool(reason) == bool(fault) for reason in found)
    assert scorer.path_fault() == found[0] and len(caplog.records) == (2 if fault else 0)


@pytest.mark.parametrize(
    "kind, slack",
    [(torch.float64, 1e-12), (torch.float32, 1e-5), (torch.bfloat16, 5e-2), (torch.float16, 1e-2)],
)
def test_types(kind, slack):
    rng = np.random.default_rng(1)
    X = ragged(rng, 5, 6, 8)
    got = scorer.cdist_gak([torch.from_numpy(x).to(kind) for x in X], delta=0.7)
    assert isinstance(got, torch.Tensor) and got.dtype == torch.float64
    np.testing.assert_allclose(got.numpy(), scorer.cdist_gak(X, delta=0.7), atol=slack)
    assert isinstance(scorer.cdist_gak([[1, 2], [3, 4]]), np.ndarray)


def test_packed_sequences_give_what_lists_give():
    rng = np.random.default_rng(4)
    X = [two_part(rng, n) for n in (3, 1, 5, 2, 2, 4)]
    query = two_part(rng, 3)
    packed = scorer.PackedSequences.from_list(X)
    assert len(packed) == 6 and packed.nbytes > 0
    truth = by_reference([query], X, delta=0.7)
    for _ in range(2):  # the second call reads the self-kernels that the first one kept
        np.testing.assert_allclose(scorer.cdist_gak([query], packed, delta=0.7), truth, atol=1e-12)
    narrow = scorer.cdist_gak([query], packed.to(torch.float32), delta=0.7)
    np.testing.assert_allclose(narrow, truth, atol=1e-5)


def test_a_search_neither_repacks_nor_forgets_self_kernels(monkeypatch):
    rng = np.random.default_rng(5)
    packed = scorer.PackedSequences.from_list(ragged(rng, 30, 6, 4))
    query = ragged(rng, 1, 6, 4)
    first = scorer.cdist_gak(query, packed, delta=0.7)
    computed = []
    inner = scores._compute_self
    monkeypatch.setattr(scores, "_compute_self", lambda a, *rest: computed.append(a) or inner(a, *rest))
    packs = []
    pack = scorer.PackedSequences.from_list.__func__
    monkeypatch.setattr(
        scorer.PackedSequences,
        "from_list",
        classmethod(lambda cls, given: packs.append(len(given)) or pack(cls, given)),
    )
    np.testing.assert_array_equal(scorer.cdist_gak(query, packed, delta=0.7), first)
    assert packed not in computed and packs == [1]


def test_label_matrix_entry_by_entry():
    rng = np.random.default_rng(6)
    batch = [two_part(rng, n) for n in (1, 4, 3)]
    drawn = [[0], [3, 0, 1], [2, 0]]
    target = scorer.label_matrix(batch, drawn, delta=0.7)
    self = scorer.label_matrix(batch, drawn, delta=0.7, normalized="self")
    places = [(s, i) for s, row in enumerate(drawn) for i in row]
    assert target.shape == (6, 6) and target.dtype == torch.float64
    for p, (s, i) in enumerate(places):
        for q, (t, j) in enumerate(places):
            x, y = batch[s][: i + 1], batch[t][: j + 1]
            cosine = (
                1
                - float(
                    scorer.triple_kernel(x.part1, x.part2, x.is_image, y.part1, y.part2, y.is_image)[0, 0]
                )
                / 2
            )
            plain = 1.0 if s == t else cosine
            wanted = plain if s == t or i == j == 0 else by_reference([x], [y], delta=0.7)[0, 0]
            assert float(self[p, q]) == pytest.approx(wanted, abs=1e-10)
            if s != t and i + j:
                paths = reference.log_kernel_sum([[0.0] * (j + 1)] * (i + 1))  # Delannoy's number
                log = scorer.gak(x, y, delta=0.7, normalized=False, log=True)
                wanted = math.exp(log - paths)
                assert scorer.gak(x, y, delta=0.7, normalized="paths") == pytest.approx(wanted)
            assert float(target[p, q]) == pytest.approx(wanted, abs=1e-10)
    assert scorer.label_matrix([b[:2] for b in batch[1:]]).shape == (2, 2)


def test_search_in_a_long_sequence():
    rng = np.random.default_rng(7)
    long, story = rng.normal(size=(5000, 8)), rng.normal(size=(9, 8))
    long[1000:1009], long[3000:3009] = story, story + 0.01
    first, second = scorer.subsequence_dtw(story, long, 5, max_cost=0.1)
    assert (first.start, first.stop, second.start, second.stop) == (1000, 1009, 3000, 3009)
    assert first.cost == pytest.approx(0, abs=1e-9) and second.cost == pytest.approx(9 * 8 * 1e-4)
    assert (
        len(scorer.subsequence_dtw(story, long[:2], 9)) <= 2
    )  # a query longer than the sequence, and no slices left


BAD = {
    "empty sequence": lambda: scorer.gak(np.zeros((0, 3)), X3),
    "no numbers": lambda: scorer.gak(np.zeros((3, 0)), X3),
    "three axes": lambda: scorer.gak(np.zeros((1, 2, 3)), X3),
    "words": lambda: scorer.gak(["a"], X3),
    "nan": lambda: scorer.cdist_gak([X3 * np.nan], [X3]),
    "inf": lambda: scorer.subsequence_dtw(X3, X3 / 0.0 if False else np.full((4, 3), np.inf)),
    "dimensions": lambda: scorer.cdist_dtw([X3], [np.zeros((2, 2))]),
    "dimensions of a pair": lambda: scorer.dtw_path(X3, np.zeros((2, 2))),
    "ragged dimensions": lambda: scorer.cdist_gak([X3, np.zeros((2, 2))]),
    "flags": lambda: scorer.TwoPart(X3, X3, [True]),
    "mixed forms": lambda: scorer.gak(A, X3),
    "mixed dataset": lambda: scorer.cdist_gak([A, X3]),
    "empty dataset": lambda: scorer.cdist_gak([]),
    "no dataset": lambda: scorer.cdist_gak(3),
    "sigma 0": lambda: scorer.gak(X3, Y2, 0),
    "sigma nan": lambda: scorer.gak(X3, Y2, float("nan")),
    "delta": lambda: scorer.gak(X3, Y2, delta=-1),
    "gamma": lambda: scorer.soft_dtw(X3, Y2, 0.0),
    "gamma word": lambda: scorer.soft_dtw(X3, Y2, "x"),
    "path": lambda: scorer.gak(X3, Y2, path="cuda"),
    "triton on the CPU": lambda: scorer.gak(X3, Y2, path="triton"),
    "bytes": lambda: scorer.cdist_gak([X3], max_bytes=0),
    "k": lambda: scorer.subsequence_dtw(X3, Y2, 0),
    "max_cost": lambda: scorer.subsequence_dtw(X3, Y2, max_cost=math.nan),
    "negative phi": lambda: scorer.dtw_path_from_phi([[-1.0]]),
    "phi without a path": lambda: scorer.dtw_path_from_phi([[math.inf]]),
    "labels of nothing": lambda: scorer.label_matrix([]),
    "labels not unit": lambda: scorer.label_matrix([torch.ones(2, 2)]),
    "labels out of range": lambda: scorer.label_matrix([torch.eye(2)], [[2]]),
    "labels not drawn": lambda: scorer.label_matrix([torch.eye(2)], [[]]),
    "labels for others": lambda: scorer.label_matrix([torch.eye(2)], [[0], [0]]),
    "labels nan": lambda: scorer.label_matrix([torch.eye(2) * math.nan]),
    "labels of dimensions": lambda: scorer.label_matrix([torch.eye(2), torch.eye(3)]),
    "labels of another kind": lambda: scorer.label_matrix([torch.eye(2)], normalized="roots"),
    "normalised otherwise": lambda: scorer.gak(X3, Y2, normalized="roots"),
    "a sigma without a square": lambda: scorer.gak(X3, Y2, 1e-170),
    "a sigma beyond all": lambda: scorer.gak(X3, Y2, 1e200),
    "delta without a square": lambda: scorer.label_matrix([torch.eye(2)], delta=1e-170),
    "sigma of two parts": lambda: scorer.sigma_gak([A, B]),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_a_clear_error(case):
    with pytest.raises(AlignmentError) as caught:
        BAD[case]()
    assert len(str(caught.value)) > 20 and isinstance(caught.value, ValueError)


def test_public_names_are_documented():
    page = (Path(scorer.__file__).parent / "README.md").read_text("utf-8")
    for name in scorer.__all__:
        assert f"`{name}`" in page and getattr(scorer, name).__doc__
