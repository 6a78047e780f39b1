"""Configs: what follows from them, new ones, and those of the original.

``variables`` (and ``bindings``) keep what a config derives from its
variables true after ``--cfg-options``; ``new_config`` writes one for data of
one's own, which ``composition`` says in the terms of ``recipes`` and
``schedule``; ``migration`` rewrites the original's.
"""
