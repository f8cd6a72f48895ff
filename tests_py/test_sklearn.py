"""A scikit-learn citizen, without needing scikit-learn."""

import numpy as np
import pytest
from semantic_id import RQKMeans
from sklearn.base import clone
from sklearn.model_selection import ParameterGrid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils.validation import check_is_fitted, has_fit_parameter

EXPECTED_FAILURES = {
    "check_sample_weight_equivalence_on_dense_data": "seeding draws rows by their number, so a row given twice and a "
    "row of weight 2 lead to different local optima, as in scikit-learn's own KMeans",
    "check_transformer_n_iter": "n_iter_ has one number for each level, the check wants a single one",
}


def test_check_estimator(python):
    out = python(
        f"""
        import warnings
        from sklearn.utils.estimator_checks import check_estimator
        from semantic_id import RQKMeans
        warnings.simplefilter("ignore")
        results = check_estimator(RQKMeans(n_levels=2, n_clusters=2), on_fail=None, on_skip=None,
                                  expected_failed_checks={EXPECTED_FAILURES!r})
        for r in results:
            print(r["check_name"], r["status"], repr(r["exception"])[:300])
        """,
        SCIPY_ARRAY_API="1",  # or it skips a check
    )
    results = [line.split(" ", 2) for line in out.splitlines()]
    assert len(results) > 40
    assert [r for r in results if r[1] not in ("passed", "xfail")] == []
    assert {r[0] for r in results if r[1] == "xfail"} == set(EXPECTED_FAILURES)


def test_clone_and_grid():
    model = RQKMeans(2, [3, 4], random_state=1)
    copy = clone(model)
    assert copy is not model
    assert copy.get_params() == model.get_params()
    for params in ParameterGrid({"n_levels": [1, 2], "n_clusters": [3, 5]}):
        assert (
            clone(RQKMeans(n_clusters=2)).set_params(**params).n_clusters == [params["n_clusters"]] * params["n_levels"]
        )


def test_pipeline(blobs):
    pipe = make_pipeline(StandardScaler(), RQKMeans(2, 5, random_state=0), OneHotEncoder(sparse_output=False))
    assert pipe.fit_transform(blobs).shape == (2000, 10)
    pipe.set_params(rqkmeans__n_clusters=3)
    assert pipe.fit_transform(blobs).shape == (2000, 6)
    weight = np.ones(2000)
    make_pipeline(StandardScaler(), RQKMeans(2, 5)).fit(blobs, rqkmeans__sample_weight=weight)
    assert has_fit_parameter(RQKMeans(), "sample_weight")


def test_check_is_fitted(blobs):
    model = RQKMeans(2, 5)
    with pytest.raises(ValueError, match="not fitted"):
        check_is_fitted(model)
    check_is_fitted(model.fit(blobs))
