r"""
Your own block, basis and output
================================

Three classes, one potential of them, trained, saved and loaded like ours. The same classes in a file are flags of
``pyg-mpnn train`` (:doc:`/own_parts`).
"""

# %%
# A layer
# -------
#
# A layer of :class:`pyg_mpnn.models.MPNN` is called with the features of the atoms, the edges, their radial functions,
# the cutoff function and the directions, and returns new features. This one is the convolution of SchNet, written with
# PyG's ``MessagePassing``. Three things make it safe: messages are multiplied by the cutoff function, so that nothing
# jumps when a neighbour comes or goes, ``size`` is given, so that atoms without neighbours are kept, and ``ends``
# takes a pair of senders and receivers apart, as ghost atoms and ``memory="low"`` give them.
#
# .. literalinclude:: ../tutorials/my_parts.py
#    :pyobject: Convolution
#
# The three classes are in a file of their own, ``my_parts.py`` beside this page: a saved model names its code, and a
# class that was typed into a session has no name that could be found again.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from my_parts import Chebyshev, Convolution, Gyration
from torch import Tensor

from pyg_mpnn import Potential
from pyg_mpnn.data import ethanol
from pyg_mpnn.models import MPNN
from pyg_mpnn.training import TrainingSettings, train

torch.manual_seed(0)

# %%
# A basis
# -------
#
# It maps distances to ``num_radial`` functions. Here Chebyshev polynomials of the distance.
#
# .. literalinclude:: ../tutorials/my_parts.py
#    :pyobject: Chebyshev

dist = torch.linspace(0.01, 4.0, 200)
plt.figure(figsize=(6, 3), layout="constrained")
plt.plot(dist, Chebyshev(4.0, 6)(dist))
plt.xlabel("distance (Å)")
plt.show()


# %%
# An output
# ---------
#
# The radius of gyration, as an example of a quantity of a structure that is neither an energy nor made of one. What it
# is called in the structures is its name in the model.
#
# .. literalinclude:: ../tutorials/my_parts.py
#    :pyobject: Gyration


def gyration(pos: Tensor) -> Tensor:
    return (pos - pos.mean(dim=0)).square().sum(dim=1).mean().sqrt().reshape(1)


# %%
# The potential
# -------------

representation = MPNN(
    cutoff=4.0,
    hidden_channels=64,
    num_radial=8,
    directions="radial",
    basis=Chebyshev,
    layers=[Convolution(64, 8), Convolution(64, 8)],
)
potential = Potential(representation, outputs={"gyration": Gyration()})

frames = ethanol("train")[:200]
for frame in frames:
    frame.gyration = gyration(frame.pos)
folder = Path(tempfile.mkdtemp())
settings = TrainingSettings(
    data="ethanol with radii of gyration", out=f"{folder}/own", epochs=8, batch_size=4, valid_size=40, compile="off"
)
result = train(settings, potential, frames=frames)

# %%
# Loaded again. A file says what it is made of by name; your code runs only where you trust it.

trusted = [Convolution, Chebyshev, Gyration]
loaded = Potential.load(folder / "own/best.ckpt", trust=trusted)
test = ethanol("test")[:50]
true = torch.cat([gyration(frame.pos) for frame in test])
predicted = torch.cat([loaded(frame).gyration for frame in test]).detach()
print(f"radius of gyration: MAE {(predicted - true).abs().mean():.4f} Å, spread {true.std():.4f} Å")

# %%
# Energies do not change when the molecule turns, to rounding in float64. ``pyg-mpnn check --model own/best.ckpt
# --trust my_parts.py`` holds it to all :doc:`laws </laws>`.

loaded.double()
z, pos = test[0].z, test[0].pos
orthogonal = torch.linalg.qr(torch.randn(3, 3, dtype=pos.dtype)).Q
torch.testing.assert_close(loaded(z, pos @ orthogonal).energy, loaded(z, pos).energy, rtol=0, atol=1e-8)
