"""What several families of models share: detector, matcher, criterion, losses, masks, backbones."""
