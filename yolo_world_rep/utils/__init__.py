"""Small things that every room uses and that need no torch."""
