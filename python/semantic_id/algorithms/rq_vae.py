"""The residual-quantized autoencoder; not there yet."""

from typing import Any

from .._later import not_yet
from ..core import BaseSemanticEncoder

__all__ = ["RQVAE"]


class RQVAE(BaseSemanticEncoder):
    """Residual-quantized variational autoencoder. It has not landed yet: making one raises NotImplementedError.

    Parameters
    ----------
    *args, **kwargs : object
        Not used.
    """

    def __new__(
        cls, *args: Any, **kwargs: Any
    ) -> "RQVAE":  # __init__ is too late: an abstract method is an error first
        raise not_yet("RQVAE", "the RQ-VAE part")

    @classmethod
    def load(cls, path: str, *, device: str = "cpu") -> Any:
        """Raise NotImplementedError.

        Parameters
        ----------
        path : str
            Not used.
        device : str, default="cpu"
            Not used.
        """
        raise not_yet("RQVAE.load", "the RQ-VAE part")
