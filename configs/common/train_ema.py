"""Training as the released diffusion models had it: clipped gradients, and averaged weights, which are evaluated."""

from .train import train

train.clip_grad.enabled = True
train.model_ema.enabled = True
train.model_ema.use_ema_weights_for_eval_only = True
