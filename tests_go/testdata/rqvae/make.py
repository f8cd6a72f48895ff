"""Makes the files here that must load for ever: run once, in an environment with PyTorch and semantic-id 0.2.5.

- semantic-id-0.2.5: saved by that package, with batch norm; beside it what it holds, rows, and their codes by it.
- odd.pt: tensors that share memory, begin within it or step through it, and of every type we read; by torch.save.
"""

import json
from pathlib import Path

import numpy as np
import torch
from semantic_id import RQVAE

here = Path(__file__).parent


def held(state):
    return {
        name: {
            "shape": list(t.shape),
            "values": t.to(torch.int64 if not t.is_floating_point() else torch.float64).flatten().tolist(),
        }
        for name, t in state.items()
    }


def write(name, **values):
    (here / name).write_text(json.dumps(values) + "\n")


torch.manual_seed(7)
x = np.random.default_rng(7).normal(size=(60, 6)).astype(np.float32)
model = RQVAE(
    6,
    [4, 3],
    3,
    [5, 4],
    bn=True,
    lr=1e-2,
    beta=0.5,
    sk_epsilons=[0.0, 0.01],
    sk_iters=20,
    batch_size=20,
    epochs=8,
    kmeans_init=True,
)
model.fit(x)
model.save(here / "semantic-id-0.2.5")
state = torch.load(here / "semantic-id-0.2.5" / "model.pt", weights_only=True)
write("semantic-id-0.2.5.json", tensors=held(state), x=x.tolist(), codes=np.asarray(model.encode(x)).tolist())

base = torch.arange(24, dtype=torch.float32).reshape(4, 6) / 8
odd = {
    "transposed": base.T,
    "part": base[1:3, 2:5],
    "steps": base[::2, ::3],
    "the same again": base,
    "number": torch.tensor(2.5),
    "empty": torch.zeros(0, 3),
    "one row many times over": torch.tensor([[1.0, 2.0]]).T,
    "double": torch.tensor([1 / 3, 1e-40, -0.0], dtype=torch.float64),
    "half": torch.tensor([1 / 3, 65504.0, 6e-8, -6.1e-5, -0.0], dtype=torch.float16),
    "bfloat16": torch.tensor([1 / 3, 3e38, -1e-40], dtype=torch.bfloat16),
    "int64": torch.tensor([2**62, -5]),
    "int32": torch.tensor([[-7, 2**31 - 1]], dtype=torch.int32),
}
torch.save(odd, here / "odd.pt")
torch.save(odd, here / "odd-protocol-4.pt", pickle_protocol=4)
write("odd.json", tensors=held({name: t if t.dtype != torch.float64 else t.float() for name, t in odd.items()}))
