"""tslearn 0.10.0's own examples, run against `sugar.dtw` by changing the import.

tslearn's wheel ships no test files, but the docstrings of its metrics hold doctests. They are executed here
as they stand in the installed package, with our functions under tslearn's names. What is left out is listed
with its reason; a case that tslearn adds or drops fails the count.

Known differences, none hidden by these cases: `be=`, `n_jobs=`, `verbose=` are accepted and do nothing; no
gradients; a pair gives a float also for tensors; faults raise AlignmentError (a ValueError) also where
tslearn raises ZeroDivisionError or warns; gamma = 0 is refused; no windows; nan padding is
understood in a dataset given as one array, refused in a single sequence.
"""

import doctest
import importlib
import inspect
import re

import numpy as np
import pytest
import torch

import sugar.dtw as scorer
from sugar.errors import AlignmentError

pytest.importorskip("tslearn.metrics")
MODULES = ("_dtw", "_gak", "_soft_dtw", "_masks", "dtw_variants", "softdtw_variants")


def dtw_path_from_metric(s1, s2=None, metric="precomputed"):
    """How code with a metric of its own moves over: hand the distances to `dtw_path_from_phi`, whose cost is
    a sum too.
    """
    if callable(metric):
        s1 = [[metric(x, y) for y in s2] for x in s1]
    elif metric == "sqeuclidean":
        s1 = scorer.squared_euclidean(torch.as_tensor(s1), torch.as_tensor(s2))
    return scorer.dtw_path_from_phi(s1)


OURS = {name: getattr(scorer, name) for name in scorer.__all__} | {
    "dtw_path_from_metric": dtw_path_from_metric,
}
GRADIENT = "gradients are not offered: the line calls backward() or prints .grad"
BACKEND = (
    "the rest of the docstring hangs on be='pytorch'; ours goes by the tensors "
    "(test_tensors_without_a_backend_argument)"
)
CASES = {  # docstring: (examples run, examples left out, why)
    "_dtw.cdist_dtw": (2, 0, ""),
    "_dtw.dtw": (2, 13, BACKEND),
    "_dtw.dtw_path": (4, 0, ""),
    "_dtw.dtw_path_from_metric": (12, 0, ""),
    "_gak.cdist_gak": (2, 0, ""),
    "_gak.gak": (2, 0, ""),
    "_gak.sigma_gak": (2, 0, ""),
    "_soft_dtw.cdist_soft_dtw": (8, 2, GRADIENT),
    "_soft_dtw.soft_dtw": (11, 4, GRADIENT),
    "softdtw_variants.cdist_soft_dtw": (2, 8, BACKEND),
    "softdtw_variants.gamma_soft_dtw": (2, 0, ""),
    "softdtw_variants.soft_dtw": (2, 13, BACKEND),
}
NOT_OFFERED = {
    "_gak.unnormalized_gak": "`gak(normalized=False)`",
    "_masks.compute_mask": "no windows: sequences of slices are short, and GAK sums over all paths",
    "_masks.itakura_mask": "no windows",
    "_masks.sakoe_chiba_mask": "no windows",
    "dtw_variants.dtw_subsequence_path": "the first run of `subsequence_dtw`",
    "_soft_dtw.cdist_soft_dtw_normalized": "the search ranks by normalised GAK",
    "_soft_dtw.soft_dtw_alignment": "an expected alignment; `dtw_path` gives the cheapest one",
    "_soft_dtw.soft_dtw_normalized": "the search ranks by normalised GAK",
    "dtw_variants.dtw_limited_warping_length": "another measure",
    "dtw_variants.dtw_path_limited_warping_length": "another measure",
    "dtw_variants.lb_envelope": "a lower bound for pruning; all pairs are computed",
    "dtw_variants.lb_keogh": "a lower bound for pruning; all pairs are computed",
    "dtw_variants.lcss": "another measure",
    "dtw_variants.lcss_path": "another measure",
    "dtw_variants.lcss_path_from_metric": "another measure",
    "dtw_variants.subsequence_path": "traces a cost table, which `subsequence_dtw` keeps to itself",
    "softdtw_variants.SquaredEuclidean.__init__": "a class around `squared_euclidean`, for gradients",
    "softdtw_variants.cdist_soft_dtw_normalized": "the search ranks by normalised GAK",
    "softdtw_variants.soft_dtw_alignment": "an expected alignment; `dtw_path` gives the cheapest one",
}
NUMBER = re.compile(r"-?\d+(\.\d*)?(e[+-]?\d+)?(\.\.\.)?")


class ByValue(doctest.OutputChecker):
    """Equal text but for whitespace, what torch says of gradients and types, and numbers, which must agree
    as far as printed.
    """

    def check_output(self, want, got, optionflags):
        plain_want, plain_got = (
            re.sub(r"\s+|,\s*(dtype|grad_fn)=[\w.<>]+", "", text) for text in (want, got)
        )
        plain_want = re.sub(r"^tensor\(([-\d.]+)\)$", r"\1", plain_want)  # a pair is a float here
        wanted, gotten = ([m.group() for m in NUMBER.finditer(text)] for text in (plain_want, plain_got))
        return NUMBER.sub("#", plain_want) == NUMBER.sub("#", plain_got) and all(
            map(self.agree, wanted, gotten)
        )

    @staticmethod
    def agree(want, got):
        shown = want.removesuffix("...")
        if "." not in shown:
            return want == got
        decimals = len(shown.partition(".")[2])
        return abs(float(got) - float(shown)) <= (10.0**-decimals if want != shown or decimals >= 4 else 1e-8)


def docstrings():
    """{module.function: its doctest} of the installed tslearn."""
    found = {}
    for module in MODULES:
        loaded = importlib.import_module(f"tslearn.metrics.{module}")
        for test in doctest.DocTestFinder().find(loaded, name=module, globs={}):
            if test.examples:
                found[test.name] = test
    return found


@pytest.fixture(scope="module")
def cases():
    return docstrings()


def test_every_docstring_is_run_or_accounted_for(cases):
    assert set(cases) == CASES.keys() | NOT_OFFERED.keys()


@pytest.mark.parametrize("name", CASES)
def test_docstring_of_tslearn(cases, name):
    run, left_out, why = CASES[name]
    test, examples = cases[name], cases[name].examples
    if why == BACKEND:
        chosen = examples[: next(i for i, e in enumerate(examples) if "import torch" in e.source)]
    elif why == GRADIENT:
        chosen = [e for e in examples if not re.search(r"\.backward\(|\.grad\b", e.source)]
    else:
        chosen = examples
    assert (len(chosen), len(examples) - len(chosen)) == (run, left_out)
    report = []
    changed = doctest.DocTest(chosen, dict(OURS), test.name, test.filename, test.lineno, test.docstring)
    failed = doctest.DocTestRunner(ByValue(), verbose=False).run(changed, out=report.append).failed
    assert not failed, "".join(report)


@pytest.mark.parametrize("name", ["cdist_dtw", "cdist_gak", "cdist_soft_dtw", "gamma_soft_dtw", "sigma_gak"])
def test_keywords_of_tslearn_are_accepted(name):
    """Its parameters by name, but for the windows, which are not offered."""
    theirs = inspect.signature(getattr(importlib.import_module("tslearn.metrics"), name)).parameters
    windows = {"global_constraint", "sakoe_chiba_radius", "itakura_max_slope"}
    assert set(theirs) - windows <= set(inspect.signature(getattr(scorer, name)).parameters)
    for pair in ("gak", "soft_dtw", "dtw"):
        assert getattr(scorer, pair)(s1=[1.0, 2.0], s2=[1.0, 3.0], be="numpy") >= 0


@pytest.mark.parametrize("seed", range(3))
def test_estimates_are_tslearn_s_for_one_seed(seed):
    metrics = importlib.import_module("tslearn.metrics")
    ragged = [np.random.default_rng(seed).normal(size=(n, 2)) for n in (3, 5, 2)]
    for name in ("sigma_gak", "gamma_soft_dtw"):
        wanted = getattr(metrics, name)(ragged, n_samples=7, random_state=seed)
        assert getattr(scorer, name)(ragged, n_samples=7, random_state=seed) == pytest.approx(float(wanted))


KINDS = {"list": lambda v: np.asarray(v).tolist(), "numpy": np.asarray, "torch": torch.as_tensor}


def test_tensors_without_a_backend_argument():
    s1, s2 = torch.tensor([[1.0], [2.0], [3.0]], requires_grad=True), torch.tensor([[3.0], [4.0], [-3.0]])
    assert scorer.dtw(s1, s2) == pytest.approx(6.4807, abs=5e-5)
    assert scorer.dtw(s1.repeat(1, 2), s2.repeat(1, 2)) == pytest.approx(9.1652, abs=5e-5)
    matrix = scorer.cdist_soft_dtw(torch.stack([s1, s1]), torch.stack([s2, s2]))
    torch.testing.assert_close(matrix, torch.full((2, 2), 41.1876, dtype=torch.float64), atol=5e-5, rtol=0)


@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor], ids=["numpy", "torch"])
def test_padded_datasets_mean_their_ragged_sequences(kind):
    ragged = [[1, 2, 3, 4], [1, 2, 3], [2, 5, 6, 7, 8, 9], [3]]
    padded = importlib.import_module("tslearn.utils").to_time_series_dataset(ragged)
    for name in ("cdist_dtw", "cdist_gak", "cdist_soft_dtw"):
        ours = getattr(scorer, name)
        np.testing.assert_array_equal(ours(kind(padded)), ours(ragged))
        np.testing.assert_array_equal(ours(kind(padded[:, :, 0]), ragged), ours(ragged, list(ragged)))


@pytest.mark.parametrize(
    "where", [(0, 1), (1, slice(None)), (2, slice(0, 2))], ids=["inside", "throughout", "at the start"]
)
def test_nan_that_is_not_padding_is_refused(where):
    dataset = np.arange(12.0).reshape(3, 4, 1)
    dataset[where] = np.nan
    with pytest.raises(AlignmentError, match="nan"):
        scorer.cdist_dtw(dataset)
    two = np.ones((2, 3, 2))
    two[1, 2, 0] = np.nan
    with pytest.raises(AlignmentError, match="nan"):
        scorer.cdist_gak(two)
