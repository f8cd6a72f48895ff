"""The quantizers."""

from .rq_kmeans import RQKMeans
from .rq_vae import RQVAE

__all__ = ["RQVAE", "RQKMeans"]
