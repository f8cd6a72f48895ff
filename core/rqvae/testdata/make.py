"""Makes the fixtures beside it: training steps of an RQ-VAE in PyTorch, by autograd, from the formulas of the papers.

Run with any Python that has torch. Each file is in the safetensors format; its metadata has the settings.
Tensors: x, the batch; before/NAME, grad/NAME and after/NAME for each weight NAME, after/ being one step later and
last/ three steps later on the same batch; codes of the first step; losses of the three steps, total and reconstruction;
depth, how many levels each row goes through, where not all.
"""

import itertools
import json
import pathlib
import struct

import torch
from torch import nn


class MLP(nn.Module):
    def __init__(self, widths, bn):
        super().__init__()
        modules = []
        for i, (a, b) in enumerate(itertools.pairwise(widths)):
            modules += [nn.Dropout(0.0), nn.Linear(a, b)]
            if i < len(widths) - 2:
                modules += ([nn.BatchNorm1d(b)] if bn else []) + [nn.ReLU()]
        self.mlp_layers = nn.Sequential(*modules)

    def forward(self, x):
        return self.mlp_layers(x)


class Plus(nn.Module):
    def __init__(self, mlp):
        super().__init__()
        self.mlp = mlp

    def forward(self, x):
        return x + self.mlp(x)


def sinkhorn(d, eps, iters):
    d = d.double()
    mid = (d.max() + d.min()) / 2
    q = torch.exp(-(d - mid) / (d.max() - mid + 1e-5) / eps)
    q /= q.sum()
    for _ in range(iters):
        q /= q.sum(1, keepdim=True) * len(q)
        q /= q.sum(0, keepdim=True) * q.shape[1]
    return q.argmax(1)


def rotated(e, q):
    """Return q, as the rotation and scaling, both held, that take each e to its q (Fifty et al., ICLR 2025)."""
    a, b = (v.detach() / v.detach().norm(dim=1, keepdim=True) for v in (e, q))
    r = (a + b) / (a + b).norm(dim=1, keepdim=True)
    eye = torch.eye(e.shape[1])[None]
    turn = eye - 2 * r[:, :, None] * r[:, None, :] + 2 * b[:, :, None] * a[:, None, :]
    scale = q.detach().norm(dim=1, keepdim=True) / e.detach().norm(dim=1, keepdim=True)
    return scale * (turn @ e[:, :, None])[:, :, 0]


class Level(nn.Module):
    def __init__(self, k, dim):
        super().__init__()
        self.embedding = nn.Embedding(k, dim)


class RQ(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.s = s
        self.vq_layers = nn.ModuleList(Level(k, s["e_dim"]) for k in s["clusters"])
        self.means = self.depth = None

    def forward(self, z, loss):
        residual, total, losses, codes, chosen = z, 0, [], [], []
        for i, level in enumerate(self.vq_layers):
            on = self.depth > i  # the rows that go through the level
            d = ((residual.detach().double()[:, None] - level.embedding.weight.detach().double()[None]) ** 2).sum(2)
            eps = (self.s["epsilons"] or [0] * 9)[i]
            k = torch.full((len(z),), -1)
            k[on] = sinkhorn(d[on], eps, self.s["sinkhorn_iters"]) if eps > 0 else d[on].argmin(1)
            e, on = level.embedding(k.clamp(min=0)), on[:, None]
            losses.append(self.s["beta"] * loss(on * residual, on * e.detach()))
            if self.s.get("ema"):
                e = e.detach()
            else:
                losses[-1] = losses[-1] + loss(on * e, on * residual.detach())
            chosen.append((k, residual.detach().double()))
            e = rotated(residual, e) if self.s.get("rotate") else residual + (e - residual).detach()
            e = on * e
            residual, total = residual - e, total + e
            codes.append(k)
        self.chosen = chosen
        return total, torch.stack(losses).mean(), torch.stack(codes, 1)

    def average(self, rows):
        """Move codebooks to running means (van den Oord et al., 2017, A.1), their counts smoothed by Laplace's rule."""
        decay, small = self.s["ema"], 1e-5

        def smoothed(n):
            return (n + small) / (n.sum() + small * len(n)) * n.sum()

        if self.means is None:  # every vector the mean of its even share of a batch
            self.means = []
            for level in self.vq_layers:
                e = level.embedding.weight.detach().double()
                n = torch.full((len(e),), rows / len(e)).double()
                self.means.append((n, e * smoothed(n)[:, None]))
        for i, (level, (k, residual)) in enumerate(zip(self.vq_layers, self.chosen, strict=True)):
            n, m = self.means[i]
            chose = nn.functional.one_hot(k + 1, len(n) + 1)[:, 1:].double()
            n = decay * n + (1 - decay) * chose.sum(0)
            m = decay * m + (1 - decay) * chose.T @ residual
            level.embedding.weight.copy_(m / smoothed(n)[:, None])
            self.means[i] = n, m


class Model(nn.Module):
    def __init__(self, s):
        super().__init__()
        widths = [s["in_dim"], *s["layers"], s["e_dim"]]
        mlp = MLP(widths, s["bn"])
        self.encoder = Plus(mlp) if s["plus"] else mlp
        self.rq = RQ(s)
        self.decoder = MLP(widths[::-1], s["bn"])


def save(path, tensors, settings):
    header, at = {"__metadata__": {"settings": json.dumps(settings)}}, 0
    arrays = {name: t.detach().contiguous().numpy().astype("<f4") for name, t in tensors.items()}
    for name, a in arrays.items():
        header[name] = {"dtype": "F32", "shape": list(a.shape), "data_offsets": [at, at + a.nbytes]}
        at += a.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(a.tobytes() for a in arrays.values()))


def make(name, **changes):
    s = {
        "in_dim": 20,
        "layers": [16, 12],
        "e_dim": 8,
        "clusters": [7, 5, 6],
        "bn": False,
        "plus": False,
        "loss": "mse",
        "sum": False,
        "weight": 1.0,
        "beta": 0.25,
        "epsilons": None,
        "sinkhorn_iters": 50,
        "lr": 1e-2,
        "decay": 0.0,
    } | changes
    torch.manual_seed(len(name))
    model = Model(s)
    with torch.no_grad():
        for level in model.rq.vq_layers:
            level.embedding.weight.mul_(0.7)
    x = torch.randn(33, s["in_dim"])
    model.rq.depth = torch.full((33,), 9)
    per_row = s["in_dim"] if s["sum"] else 1
    criterion = nn.functional.l1_loss if s["loss"] == "l1" else nn.functional.mse_loss

    def quant(a, b):
        return nn.functional.mse_loss(a, b) * (s["e_dim"] if s["sum"] else 1)

    adam = torch.optim.AdamW(model.parameters(), lr=s["lr"], weight_decay=s["decay"])
    tensors, losses = {"x": x}, []
    if s.get("deep"):
        model.rq.depth = tensors["depth"] = torch.randint(1, len(s["clusters"]) + 1, (33,))

    def weights(prefix):
        for key, t in model.state_dict().items():
            if "num_batches" not in key:
                tensors[f"{prefix}/{key}"] = t.clone()

    weights("before")
    for step in range(3):
        z, quant_loss, codes = model.rq(model.encoder(x), quant)
        recon = criterion(model.decoder(z), x) * per_row
        total = recon + s["weight"] * quant_loss
        adam.zero_grad()
        total.backward()
        losses.append([total.item(), recon.item()])
        if step == 0:
            tensors["codes"] = codes
            tensors |= {f"grad/{key}": p.grad.clone() for key, p in model.named_parameters() if p.grad is not None}
        adam.step()
        if s.get("ema"):
            with torch.no_grad():
                model.rq.average(len(x))
        if step == 0:
            weights("after")
    weights("last")
    tensors["losses"] = torch.tensor(losses)
    save(pathlib.Path(__file__).with_name(f"{name}.safetensors"), tensors, s)


torch.set_num_threads(1)
make("plain")
make("norm", bn=True, decay=0.1)
make("l1sum", loss="l1", sum=True, weight=0.3, beta=0.5, layers=[16])
make("sinkhorn", epsilons=[0.05, 0.0, 0.01], decay=0.01)
make("plus", plus=True, e_dim=20)
make("rotate", rotate=True, bn=True, weight=0.4)
make("ema", ema=0.8, beta=0.7, decay=0.1)
make("deep", deep=True, rotate=True, epsilons=[0.0, 0.05, 0.0])
make("deepmeans", deep=True, ema=0.8, sum=True, beta=0.05)
