"""Hooks that a config can name."""
from .checkpoint_guard_hook import CheckpointGuardHook
from .epoch_seed_hook import EpochSeedHook

__all__ = ['CheckpointGuardHook', 'EpochSeedHook']
