"""Message-passing blocks, each a drop-in PyG layer."""

from __future__ import annotations

from pyg_mpnn.layers.attention import Attention, SigmoidAttention, SoftmaxAttention
from pyg_mpnn.layers.channel_mixing import ChannelMixing
from pyg_mpnn.layers.density import DensityUpdate, DirectionalDensity
from pyg_mpnn.layers.edge_block import EdgeBlock, ends
from pyg_mpnn.layers.edge_mlp import EdgeMLP
from pyg_mpnn.layers.embedding import AtomEmbedding
from pyg_mpnn.layers.equivariant_product import EquivariantProduct, coupling_paths
from pyg_mpnn.layers.filter_convolution import FilterConvolution
from pyg_mpnn.layers.gather_density import GatherDensity
from pyg_mpnn.layers.interaction import Interaction, MultiScale
from pyg_mpnn.layers.learned_features import ContractedFeatures, LearnedFeatures, RadialFeatures, RawFeatures
from pyg_mpnn.layers.message_layer import MessageLayer
from pyg_mpnn.layers.messages import Messages
from pyg_mpnn.layers.node_update import NodeUpdate
from pyg_mpnn.layers.powers import Contraction, DensityPowers
from pyg_mpnn.layers.product_interaction import ProductInteraction, ProductUpdate
from pyg_mpnn.layers.vector_convolution import VectorConvolution, VectorUpdate

__all__ = [
    "AtomEmbedding",
    "DirectionalDensity",
    "LearnedFeatures",
    "ContractedFeatures",
    "RawFeatures",
    "RadialFeatures",
    "Contraction",
    "EdgeMLP",
    "Attention",
    "SigmoidAttention",
    "SoftmaxAttention",
    "Messages",
    "DensityUpdate",
    "DensityPowers",
    "NodeUpdate",
    "MessageLayer",
    "Interaction",
    "MultiScale",
    "FilterConvolution",
    "VectorConvolution",
    "VectorUpdate",
    "ChannelMixing",
    "EquivariantProduct",
    "coupling_paths",
    "EdgeBlock",
    "ends",
    "ProductUpdate",
    "GatherDensity",
    "ProductInteraction",
]
