"""The whole story on images made on the fly.

``world`` (images, words) -> ``training`` (the trainer in a process of its
own) -> ``networks`` (what folding changed) -> ``picture``; ``story`` tells it
from beginning to end.
"""
