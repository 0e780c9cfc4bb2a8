"""The models that are timed, each in a process of its own; these files import numpy, torch and their own package only."""
