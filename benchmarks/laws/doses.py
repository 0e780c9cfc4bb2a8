"""How small a fault does each law catch? Every broken model at falling doses, 1 to 1e-12, against the laws it breaks.

Writes benchmarks/results/laws/doses.json. The dose multiplies the mistake as somebody would write it (dose 1).

    python -m benchmarks.laws.doses             some 10 minutes on one core
    python -m benchmarks.laws.doses --smoke     one model
"""

from __future__ import annotations

import argparse
import functools
from typing import Any

import torch
from tqdm import tqdm

from benchmarks.record import RESULTS, provenance, write
from pyg_mpnn.testing import FINDINGS, LAWS, Healthy, crystal, molecule
from tests.testing.controls import INDEPENDENT, OWN

SMALLEST = 12  # decades


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    models = INDEPENDENT[:1] if options.smoke else (*INDEPENDENT, *OWN)
    pairs = [(model, name) for model in models for name in model.breaks]
    records = [sweep(model, name) for model, name in tqdm(pairs, unit="pair")]
    assert all(record["smallest_dose"] is not None for record in records), "a broken model was not caught at dose 1"
    if not options.smoke:
        write(RESULTS / "laws" / "doses.json", provenance() | {"dtype": "float64", "records": records})


def sweep(model: type[Healthy], name: str) -> dict[str, Any]:
    """The smallest dose that one law catches, and what it measured there."""
    law = next(law for law in (*LAWS, *FINDINGS) if law.name == name)
    caught: dict[str, Any] = {"smallest_dose": None}
    for decade in range(SMALLEST + 1 if model.continuous else 1):
        dose = 10.0**-decade
        rebuild = functools.partial(model, dose)
        structures = [molecule()] if law in FINDINGS else [molecule(), crystal()]
        result = law(model(dose), structures, dtype=torch.float64, rebuild=rebuild)
        if result.verdict != "fail":
            break
        caught = {"smallest_dose": dose, "value": str(result.value), "unit": result.unit, "reason": result.reason}
    sight = "without sight of the laws" if model in INDEPENDENT else "with sight of the laws"
    mistake = " ".join((model.__doc__ or "").split())
    return {"law": name, "model": model.__name__, "mistake": mistake, "written": sight, **caught} | {
        "continuous": model.continuous
    }


if __name__ == "__main__":
    main()
