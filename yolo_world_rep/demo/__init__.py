"""The whole story on images made on the fly, told by ``story``."""
