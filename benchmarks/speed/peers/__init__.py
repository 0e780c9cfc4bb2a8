"""The models that are timed, each in a process of its own. A file imports numpy, torch and its own package only."""
