"""Optimizer wrappers and constructors that a config can name."""
from .cpu_amp_optim_wrapper import CPUAmpOptimWrapper
from .yolow_v5_optim_constructor import YOLOWv5OptimizerConstructor

__all__ = ['CPUAmpOptimWrapper', 'YOLOWv5OptimizerConstructor']
