"""Optimizer constructors that a config can name."""
from .yolow_v5_optim_constructor import YOLOWv5OptimizerConstructor

__all__ = ['YOLOWv5OptimizerConstructor']
