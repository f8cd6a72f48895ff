"""Models are copied, pickled, and used before and after; what belongs to the native library stays behind."""

import copy
import gc
import io
import pickle

import joblib
import numpy as np
import pytest
from semantic_id import RQKMeans, _native

WAYS = {
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
    **{f"pickle {n}": lambda m, n=n: pickle.loads(pickle.dumps(m, n)) for n in range(2, 6)},
    "joblib": lambda m: through_joblib(m),
}


def through_joblib(model):
    file = io.BytesIO()
    joblib.dump(model, file)
    file.seek(0)
    return joblib.load(file)


@pytest.mark.parametrize("way", WAYS)
def test_copies_are_the_same_model(model, blobs, way):
    codes = model.encode(blobs)  # so that there is a native model
    other = WAYS[way](model)
    assert vars(other).keys() == vars(model).keys()
    assert other.get_params() == model.get_params()
    np.testing.assert_array_equal(other.encode(blobs), codes)
    assert not any(b.flags.writeable for b in other.codebooks_)
    assert other._quantizer() is not model._quantizer()


@pytest.mark.parametrize("way", WAYS)
def test_writeable_codebooks_stay_so(blobs, way):
    model = RQKMeans(2, 5, random_state=0).fit(blobs)
    model.codebooks_[1] = model.codebooks_[1].copy()
    assert [b.flags.writeable for b in WAYS[way](model).codebooks_] == [False, True]
    assert [b.flags.writeable for b in model.codebooks_] == [False, True]


@pytest.mark.parametrize("way", WAYS)
def test_unfitted_models_are_copied_too(way):
    other = WAYS[way](RQKMeans(2, [3, 4]))
    assert repr(other) == "RQKMeans(n_levels=2, n_clusters=[3, 4])"
    assert not hasattr(other, "codebooks_")


def test_joblib_with_memory_mapped_arrays(model, blobs, tmp_path):
    joblib.dump(model, tmp_path / "model.joblib")
    other = joblib.load(tmp_path / "model.joblib", mmap_mode="r")
    np.testing.assert_array_equal(other.encode(blobs), model.encode(blobs))
    assert other._quantizer() is other._quantizer()


def test_a_pickle_is_as_large_as_its_codebooks(model, blobs):
    model.encode(blobs)
    assert len(pickle.dumps(model)) < sum(b.nbytes for b in model.codebooks_) + 2000


def test_the_native_model_is_made_once_and_freed(model, blobs, monkeypatch):
    freed = []
    monkeypatch.setattr(_native, "_free", lambda handle, pid: freed.append(handle))
    other = copy.deepcopy(model)
    other.encode(blobs)
    handle = other._quantizer().handle
    assert other._quantizer().handle == handle
    del other
    gc.collect()
    assert freed == [handle]


def test_a_finalizer_in_another_process_leaves_the_library_alone(monkeypatch):
    monkeypatch.setattr(_native, "_lib", None)  # any call would fail
    _native._free(1, pid=-1)


def test_a_handle_that_is_gone(model, blobs):
    quantizer = copy.deepcopy(model)._quantizer()
    _native._lib.QuantizerFree(quantizer.handle)
    with pytest.raises(_native.SemanticIdError, match="no such model handle"):
        quantizer.encode(blobs, None, verbose=False)


def test_files_and_copies_never_load_the_library(python, model, tmp_path):
    model.save(tmp_path / "model")
    (tmp_path / "model.pickle").write_bytes(pickle.dumps(model))
    python(
        f"""
        import copy, pickle, sys
        import numpy as np
        from semantic_id import RQKMeans, set_num_threads
        set_num_threads(2)
        model = RQKMeans.load({str(tmp_path / "model")!r})
        model.save({str(tmp_path / "other")!r})
        with open({str(tmp_path / "model.pickle")!r}, "rb") as f:
            model = pickle.load(f)
        model = copy.deepcopy(pickle.loads(pickle.dumps(model)))
        repr(model), model.get_params(), model.codebooks_
        try:
            model.encode(np.zeros((1, 5)), device="cuda")
        except RuntimeError:
            pass

        def loaded():
            with open("/proc/self/maps") as maps:
                mapped = "_gopy" in maps.read()
            assert mapped == any(m.startswith("semantic_id._gopy") for m in sys.modules)
            return mapped

        assert not loaded()
        model.encode(np.zeros((1, 12)))
        assert loaded()
        """
    )
