"""Matcher, class loss and pair weights of Align-DETR (Cai et al. 2023), objects for the criterion's slots."""
