"""From a text-conditioned checkpoint to a text-free one.

folding (pure math) <- state_dict (conversion) <- verification <- checkpoint
(files).
"""
