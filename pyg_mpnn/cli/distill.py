"""``pyg-mpnn distill``: a fast student of a teacher."""

from __future__ import annotations

from pyg_mpnn.learning import DistillResult, DistillSettings, distill


def distill_command(settings: DistillSettings) -> DistillResult:
    """Train a fast student on the energies, forces and, of crystals, stresses of a teacher, and compare the two.

    The teacher is a trained potential of this package (a file, or the folder of a training or a committee) or any ASE
    calculator. It labels the structures of a file, and draws more by its own dynamics with --sample. Structures that it
    has no label for (it raises, hangs, dies, gives NaN) go to failures.xyz with the reason. Each label is on the disk
    at once; after a kill the same command with --resume goes on and computes none twice.

    At the end: the error of the student against the teacher, on structures that it labelled and that were not trained
    on; with --test both errors against reference labels; and how many times faster the student is, measured.

    examples:

      a small student of a large potential, structures drawn by its own dynamics at two temperatures:

      pyg-mpnn distill --teacher large/best.ckpt --structures aspirin.npz --max-structures 950 --sample 5000
          --temperature 300 500 --size small --minutes 20 --test test.npz --out student

      of a committee's mean, beside the labels that it was trained on itself:

      pyg-mpnn distill --teacher committee --structures train.xyz --truth train.xyz --sample 5000 --out student

      of another program, or a foundation model:

      pyg-mpnn distill --teacher ase.calculators.emt:EMT --structures copper.xyz --sample 500 --timestep 4 --out student

    Args:
        settings: Teacher, structures, and student.

    Returns:
        The student and how it compares.

    Units:
        A, eV, fs, K; errors in meV and meV/A.
    """
    return distill(settings)
