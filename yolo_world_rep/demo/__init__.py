"""Everything on generated images, step by step in ``story``."""
