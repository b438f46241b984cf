"""Training and evaluation of runs, on top of detectron2's trainer, hooks and checkpointer."""
