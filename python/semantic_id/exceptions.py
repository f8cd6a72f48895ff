"""The exceptions and warnings of semantic-id."""


class SemanticIdError(Exception):
    """Base class of the errors that only semantic-id raises."""


class NotFittedError(SemanticIdError, ValueError):
    """The model was used before `fit` or `load`. It is also a ValueError, as in scikit-learn."""


class ShapeMismatchError(SemanticIdError, ValueError):
    """An array has the wrong number of dimensions, rows or columns."""


class CodeError(SemanticIdError, ValueError, IndexError):
    """A code is below 0 or not below the number of centroids of its level."""


class DeviceError(SemanticIdError, RuntimeError):
    """The device asked for is not there."""


class ModelFileError(SemanticIdError, ValueError):
    """A model file is truncated, altered, foreign, or of a newer version."""


class DivergenceError(SemanticIdError, ArithmeticError):
    """In training a loss, gradient or weight was no longer a finite number. The model has the last good weights."""


class NativeLibraryError(SemanticIdError, ImportError):
    """The native library of semantic-id is missing, cannot run here, or has another version."""


class ForkError(SemanticIdError, RuntimeError):
    """The native library was used before this process was forked, and cannot be used after it."""


class StoreError(SemanticIdError):
    """A store of ids failed. Nothing was given out."""


class StoreLockedError(StoreError, TimeoutError):
    """Another program held the database for longer than the timeout."""


class StoreReadOnlyError(StoreError, PermissionError):
    """The database cannot be opened for writing."""


class StoreCorruptError(StoreError, ValueError):
    """The database, or a saved store, is damaged or not one."""


class ConvergenceWarning(UserWarning):
    """A fit used up `max_iter`, or met fewer distinct rows than clusters."""


class ModelChangedWarning(UserWarning):
    """Items got ids by another model than the items before them, under one version."""


class CollapseWarning(UserWarning):
    """In training a level uses few of its code vectors."""


class UndefinedMetricWarning(UserWarning):
    """A metric has no value for this data, and is NaN."""


class ApproximationWarning(UserWarning):
    """A result is near the best one, but not proved to be it."""
