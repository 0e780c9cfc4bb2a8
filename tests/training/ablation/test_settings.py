from __future__ import annotations

from collections.abc import Callable

import pytest

from pyg_mpnn import Potential
from pyg_mpnn.data import LabelNames
from pyg_mpnn.models.sizes import SIZES
from pyg_mpnn.training.ablation import AblationSettings, make_variants
from pyg_mpnn.training.ablation.settings import BLOCKS


@pytest.mark.slow
@pytest.mark.parametrize("model", [{}, {"num_layers": 5, "num_radial": 6, "l_max": 4}], ids=["size", "own reference"])
@pytest.mark.parametrize("size", SIZES)
def test_every_variant_differs_from_the_reference_in_its_block_alone(size: str, model: dict[str, int]) -> None:
    reference, *others = make_variants(size, 4.0, model=model)
    base = Potential.from_size(size, cutoff=reference.cutoffs, **reference.model).config
    assert {name: base["representation"][name] for name in model} == model
    assert {variant.block for variant in others} == set(BLOCKS)
    for variant in others:
        own = Potential.from_size(size, cutoff=variant.cutoffs, **variant.model).config["representation"]
        changed = {name for name in own if own[name] != base["representation"][name]}
        assert changed == {"cutoff" if variant.block == "scales" else variant.block}, variant.name
        assert max(variant.cutoffs) == 4.0


def test_names_are_unique_also_as_files_and_those_of_the_question() -> None:
    variants = make_variants("base", 5.0)
    assert len({variant.slug for variant in variants}) == len(variants)
    names = {variant.name for variant in variants}
    assert {"attention sigmoid", "attention softmax", "l_max 1", "l_max 3", "directions radial"} <= names
    assert {"scales 3 + 5 A", "scales 2 + 3.5 + 5 A", "directions raw with random rotations"} <= names
    assert {"edge_dim 32", "edge_dim 128", "hidden_channels 64", "num_layers 1", "num_layers 3"} <= names


def test_raw_directions_are_trained_with_rotations() -> None:
    raw = next(variant for variant in make_variants("small", 5.0) if "raw" in variant.name)
    assert Potential.from_size("small", **raw.model).symmetry == "unconstrained"  # what makes the training rotate


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match=r"'only' must hold blocks of attention, .*, got 'heads'"):
        make_variants("small", 5.0, ["heads"])
    with pytest.raises(ValueError, match="'size' must be one of"):
        make_variants("huge", 5.0)


def test_a_cell_is_trained_as_the_settings_say(settings: Callable[..., AblationSettings]) -> None:
    own = settings(only=["scales"], minutes=2.0, learning_rate=1e-3, cutoff=4.0)
    training = own.training(own.variants[1], 3, "there")
    assert (training.cutoff, training.seed, training.minutes, training.learning_rate) == ((2.4, 4.0), 3, 2.0, 1e-3)
    assert (training.compile, training.out, training.batch_size) == ("off", "there", 2)
    named = settings(energy_key="a", forces_key="b", stress_key="c")
    assert named.labels == named.training(named.variants[0], 0, "there").labels == LabelNames("a", "b", "c")
    assert settings(virial_key="d").labels == LabelNames(virial="d")


def test_arguments_of_the_potential_hold_for_every_variant(settings: Callable[..., AblationSettings]) -> None:
    own = settings(only=["num_layers"], model={"num_layers": 4, "num_radial": 6})
    models = [own.training(variant, 0, "there").model for variant in own.variants]
    assert [(model["num_layers"], model["num_radial"]) for model in models] == [(4, 6), (3, 6), (5, 6)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": 0}, "'seeds' must be at least 1, got 0"),
        ({"budget_minutes": 0.0}, "'budget_minutes' must be positive, got 0"),
        ({"minutes": -1.0}, "'minutes' must be positive, got -1"),
        ({"only": ["width"]}, "'only' must hold blocks"),
        ({"device": "gpu"}, "'device' must be auto, cpu, cuda"),
    ],
)
def test_bad_settings_are_refused(
    settings: Callable[..., AblationSettings], changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        settings(**changes)
