#!/bin/bash
# Recipes to screen for docs/research_log.md: the decoder alone, on a trained DiffuDINO's encoder.
#   docs/research/screen.sh CHECKPOINT DIR [SEED]
# CHECKPOINT is the demo's model_final.pth (make demo). Each recipe takes a minute or two on a CPU core.
set -eu
checkpoint=$1 folder=$2 seed=${3:-0}

starts='model.diffused_queries'
ldm='layers_diffu_detr.ldm'
chain="{_target_: $ldm.ddim.DDIMSampler, num_steps: 2, times: [33, 0], last_time: -1, update: {_target_: $ldm.ddim.DDIMUpdate}, start: '\${model.sampler.start}'}"
rollout="{_target_: layers_diffu_detr.training_starts.RolledOutQueries, sampler: $chain}"
two_passes="model.sampler.times=[33,0] model.sampler.update._target_=$ldm.ddim.DDIMUpdate model.sampler.ensemble._target_=$ldm.ensemble.LastPass"

screen() {  # NAME CONFIG "evaluations" overrides...
    local name=$1 config=$2 evaluations=$3
    shift 3
    if grep -qs "^ \"$name, seed $seed\"" "$folder/screening.json"; then return; fi
    python tools/screen_decoder.py --config-file "diffu_dino/demo/$config" --checkpoint "$checkpoint" \
        --output-dir "$folder" --name "$name, seed $seed" --seed "$seed" --evaluations $evaluations "$@"
}

screen 'released training' digits '1 3'
screen 'distinct starts' digits-distinct '1'
screen 'box noise 0.5' digits-distinct '1' \
    "$starts.noise={_target_: $ldm.box_noise.RelativeNoise, scale: 0.5}"
screen 'box noise 0.2' digits-distinct '1' \
    "$starts.noise={_target_: $ldm.box_noise.RelativeNoise, scale: 0.2}"
screen 'image noise' digits-distinct '1' "$starts.noise={_target_: $ldm.box_noise.ImageNoise}"
screen 'rolled out' digits-distinct '1 2' "$starts=null" "$starts=$rollout" $two_passes
screen 'rolled out, state as content' digits-distinct '1 2' "$starts=null" "$starts=$rollout" $two_passes \
    'model.transformer.self_conditioning={_target_: layers_diffu_detr.content.StateAsContent}'
screen 'rolled out, state added' digits-distinct '1 2' "$starts=null" "$starts=$rollout" $two_passes \
    'model.transformer.self_conditioning={_target_: layers_diffu_detr.content.StateAddedToContent, embed_dim: "${...embed_dim}"}'
screen 'sampled content' digits-distinct '1' \
    'model.transformer.box_content={_target_: layers_diffu_detr.content.SampledContent}'
screen 'rolled out, sampled content' digits-distinct '1 2' "$starts=null" "$starts=$rollout" $two_passes \
    'model.transformer.box_content={_target_: layers_diffu_detr.content.SampledContent}'
screen 'rolled out, 2 layers' digits-distinct '1 2' "$starts=null" "$starts=$rollout" $two_passes \
    model.transformer.decoder.num_layers=2
screen 'rolled out, 1 layer' digits-distinct '1 2' "$starts=null" "$starts=$rollout" $two_passes \
    model.transformer.decoder.num_layers=1
screen '6 layers' digits-distinct '1' model.transformer.decoder.num_layers=6
screen 'half diffused truth' digits-distinct '1' "$starts=null" \
    "$starts={_target_: layers_diffu_detr.training_starts.MixedQueries, starts: [{_target_: layers_diffu_detr.training_starts.ProposalQueries, start: '\${model.sampler.start}'}, {_target_: layers_diffu_detr.denoising.DiffusedQueries, filler: {_target_: layers_diffu_detr.denoising.NoisyFiller}}]}"
screen 'duplicated truth' digits '1 3' "$starts=null" \
    "$starts={_target_: layers_diffu_detr.training_starts.DuplicatedQueries, filler: {_target_: layers_diffu_detr.denoising.NoisyFiller}}"
screen 'IoU-aware cross entropy' digits-distinct '1' model.criterion.class_loss=null \
    'model.criterion.class_loss={_target_: projects.diffu_align_detr.modeling.losses.IABCELoss}'
screen 'additive conditioning' digits-distinct '1' \
    model.transformer.decoder.conditioning._target_=layers_diffu_detr.conditioning.AdditiveConditioning
screen '24 queries' digits-distinct '1' model.sampler.start.most=24
screen 'IoU 0.5, 80 queries' digits-distinct '1' model.sampler.start.most=80 model.sampler.start.iou_threshold=0.5
