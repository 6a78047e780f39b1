"""The whole story on images made on the fly.

``world`` (images, words) -> ``training`` (the trainer in a process of its
own) -> ``evaluation`` -> ``timing`` -> ``picture``; ``story`` tells it from
beginning to end.
"""
