"""``pyg-mpnn learn``: from a teacher and a structure to a potential with a certificate."""

from __future__ import annotations

from pyg_mpnn.learning import LearnResult, LearnSettings, learn


def learn_command(settings: LearnSettings) -> LearnResult:
    """Learn a potential from any ASE calculator, and certify it; the exit code is 0 if the target is reached, else 3.

    Rounds of: sample (displaced and strained structures at first, then dynamics of the student at rising temperatures,
    stopped where it knows too little), select (large error bars, far from each other and from all that have labels),
    label (the teacher, in processes of its own), train (a committee, from the weights of the round before), test (new
    dynamics of the student at --temperature, labelled by the teacher; this calibrates its error bars too). When the
    error there is below --target-force-error, a longer dynamics with labels of its own is the certificate.

    Labels that fail are set aside in failures.xyz with the reason. Each label is on the disk at once; after a kill, or
    with a larger budget, the same command with --resume goes on and computes none twice.

    example:

      pyg-mpnn learn --teacher ase.calculators.emt:EMT --structures copper.xyz --out run --timestep 4 --minutes 20

    Args:
        settings: Whom to learn from, how well, and at what price.

    Returns:
        The student and what it is worth.

    Units:
        A, eV, fs, K; errors in meV/A.
    """
    return learn(settings)
