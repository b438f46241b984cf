"""Settings of tools/train_net.py. Key names are detrex's where it has the setting."""

train = dict(
    output_dir="./output",
    init_checkpoint="",  # initial weights: a path, detectron2:// or https:// address; "" starts from scratch
    start_over=False,  # True: move the previous run of output_dir into output_dir/previous_N and begin anew
    max_iter=90000,
    device="auto",  # "auto": CUDA where it is there and --num-gpus is not 0, else the CPU; or "cuda", "cpu"
    seed=-1,  # -1: drawn, logged and saved in config.yaml
    tf32=None,  # True or False allows or forbids TF32 everywhere; None keeps PyTorch's choice
    cudnn_benchmark=False,
    channels_last=True,  # convolutions' weights and maps as NHWC, which their kernels prefer
    activation_checkpointing=False,  # True: transformer layers are computed again in the backward pass, to save memory
    compile=False,  # True: torch.compile of the transformer's layers
    # dtype: or "float16", which adds a gradient scaler; evaluate: evaluation runs under autocast too
    amp=dict(enabled=False, dtype="bfloat16", evaluate=False),
    ddp=dict(broadcast_buffers=False, find_unused_parameters=False, fp16_compression=False),
    clip_grad=dict(enabled=False, params=dict(max_norm=0.1, norm_type=2)),
    accumulation_steps=1,  # passes that a batch is cut into; total_batch_size stays the batch of one update
    checkpointer=dict(
        period=5000,
        max_to_keep=5,  # periodic checkpoints; model_final.pth and model_best.pth come on top
        best_metric="",  # such as "bbox/AP": keeps model_best.pth
        best_mode="max",
    ),
    eval_period=5000,  # 0: only after the last iteration
    log_period=20,
    wandb=dict(enabled=False, params=dict(project="diffu_detr", name=None, dir="${train.output_dir}")),
    model_ema=dict(
        enabled=False,
        decay=0.999,
        use_ema_weights_for_eval_only=False,  # the weights that --eval-only, and evaluation during training, use
        eval_both=False,  # evaluation during training reports the other weights too, as bbox_ema or bbox_raw
    ),
)
