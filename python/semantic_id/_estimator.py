"""What scikit-learn asks of an estimator, without scikit-learn: parameters, transform, a repr, tags."""

import importlib
import inspect
from typing import Any, TypeVar

from ._arrays import CodeMatrix
from ._html import Level, model_html
from .core import BaseSemanticEncoder

Self = TypeVar("Self", bound="Estimator")


class Estimator(BaseSemanticEncoder):
    """An encoder whose parameters are the arguments of `__init__`, which only stores each under its name."""

    @classmethod
    def _parameters(cls) -> list[inspect.Parameter]:
        parameters = inspect.signature(cls.__init__).parameters
        return [p for name, p in parameters.items() if name != "self"]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the constructor's arguments as they were passed.

        Parameters
        ----------
        deep : bool, default=True
            Without effect: no parameter is an estimator.

        Returns
        -------
        params : dict
            Values by name.
        """
        return {p.name: self.__dict__[p.name] for p in self._parameters()}

    def set_params(self: Self, **params: Any) -> Self:
        """Change constructor arguments; they take effect at the next `fit`.

        Parameters
        ----------
        **params : dict
            Values by name.

        Returns
        -------
        self : object
            The estimator.

        Raises
        ------
        ValueError
            If there is no such parameter.
        """
        names = [p.name for p in self._parameters()]
        for name in params:
            if name not in names:
                raise ValueError(f"Invalid parameter {name!r} for estimator {self!r}. Valid parameters are: {names!r}.")
        for name, value in params.items():
            setattr(self, name, value)
        return self

    def transform(self, X: Any) -> CodeMatrix:
        """Return `encode` of `X`; scikit-learn's name for it.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Embeddings.

        Returns
        -------
        codes : ndarray of shape (n_samples, n_levels), dtype int32
            Their codes.
        """
        return self.encode(X)

    def fit_transform(self, X: Any, y: Any = None, **fit_params: Any) -> CodeMatrix:
        """Return ``fit(X, **fit_params).transform(X)``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Embeddings.
        y : object
            Not used; scikit-learn's pipelines pass it.
        **fit_params : dict
            Keywords of `fit`.

        Returns
        -------
        codes : ndarray of shape (n_samples, n_levels), dtype int32
            Their codes.
        """
        self.fit(X, **fit_params)
        return self.transform(X)

    def __repr__(self) -> str:
        shown = (
            f"{p.name}={self.__dict__[p.name]!r}"
            for p in self._parameters()
            if repr(self.__dict__.get(p.name, p.default)) != repr(p.default)
        )
        return f"{type(self).__name__}({', '.join(shown)})"

    def _described(self) -> tuple[str, list[Level]]:
        """Return whether it is fitted, to what and how well, and its codebooks."""
        raise NotImplementedError

    def _repr_html_(self) -> str:
        """Return what notebooks show: the state, how the codes are used, and the parameters."""
        values = [(p, self.__dict__.get(p.name, p.default)) for p in self._parameters()]
        return model_html(type(self).__name__, values, *self._described())

    def __sklearn_tags__(self) -> Any:
        """Describe the estimator to scikit-learn; only scikit-learn calls it, so only then is it imported."""
        utils = importlib.import_module("sklearn.utils")
        return utils.Tags(
            estimator_type=None,
            target_tags=utils.TargetTags(required=False),
            transformer_tags=utils.TransformerTags(preserves_dtype=[]),
            input_tags=utils.InputTags(),
        )
