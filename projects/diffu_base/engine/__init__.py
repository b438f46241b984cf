"""The parts of tools/train_net.py, on top of detectron2's trainer, hooks and checkpointer."""
