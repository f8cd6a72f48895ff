"""RQ-VAEs under test: of this package, of semantic-id 0.2.5, and the same training written in plain PyTorch."""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Codes = npt.NDArray[Any]


class Autoencoder:
    """RQVAE of this package, or of semantic-id 0.2.5: whichever is installed here."""

    package = "semantic-id"

    def __init__(self, threads: int) -> None:
        import semantic_id

        self.api, self.torch = semantic_id, None
        if hasattr(semantic_id, "set_num_threads"):  # this package
            semantic_id.set_num_threads(threads)
            one = np.ones((1, 1), np.float32)
            semantic_id.RQKMeans(n_levels=1, n_clusters=1).fit(one)  # loads its library now, as the other's import does
        else:
            import torch

            torch.set_num_threads(threads)
            self.torch = torch

    def fit(self, x: Floats, levels: int, clusters: int, seed: int, **settings: Any) -> None:
        if self.torch is None:
            settings["random_state"] = seed
        else:
            self.torch.manual_seed(seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # so few epochs leave codes unused
            self.model = self.api.RQVAE(in_dim=x.shape[1], num_emb_list=[clusters] * levels, **settings).fit(x)

    def encode(self, x: Floats) -> Codes:
        return np.asarray(self.model.encode(x))

    def decode(self, codes: Codes) -> Floats:
        return np.asarray(self.model.decode(codes))

    def save(self, path: str) -> None:
        self.model.save(path)

    def load(self, path: str) -> None:
        self.model = self.api.RQVAE.load(path)


class PlainTorch:
    """The training loop one writes oneself: the same network, losses, optimiser and batches, and nothing else."""

    package = "torch"

    def __init__(self, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)
        self.torch = torch

    def fit(self, x: Floats, levels: int, clusters: int, seed: int, **settings: Any) -> None:
        torch = self.torch
        torch.manual_seed(seed)
        widths = [x.shape[1], *settings["layers"], settings["e_dim"]]
        encoder, decoder = self.network(widths), self.network(widths[::-1])
        books = [((torch.rand(clusters, widths[-1]) * 2 - 1) / clusters).requires_grad_() for _ in range(levels)]
        adam = torch.optim.AdamW([*encoder.parameters(), *decoder.parameters(), *books], lr=settings["lr"])
        data, mse = torch.from_numpy(x), torch.nn.functional.mse_loss
        for _ in range(settings["epochs"]):
            for rows in torch.randperm(len(x)).split(settings["batch_size"]):
                batch = data[rows]
                rest = encoder(batch)
                chosen, loss = torch.zeros_like(rest), 0
                for book in books:
                    with torch.no_grad():  # |r - c|² without |r|², which all c have in common
                        nearest = ((book * book).sum(1) - 2 * rest @ book.T).argmin(1)
                    code = book[nearest]
                    loss = loss + mse(code, rest.detach()) + 0.25 * mse(rest, code.detach())
                    code = rest + (code - rest).detach()
                    chosen, rest = chosen + code, rest - code
                total = mse(decoder(chosen), batch) + loss / levels
                adam.zero_grad()
                total.backward()
                adam.step()

    def network(self, widths: list[int]) -> Any:
        nn = self.torch.nn
        layers: list[Any] = []
        for i, (n, m) in enumerate(itertools.pairwise(widths)):
            layers += [nn.Linear(n, m)] if i == len(widths) - 2 else [nn.Linear(n, m), nn.ReLU()]
        return nn.Sequential(*layers)
