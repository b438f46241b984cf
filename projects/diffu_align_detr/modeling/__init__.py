"""Matcher, class loss and pair weights of Align-DETR (Cai et al. 2023), which fill slots of the criterion."""
