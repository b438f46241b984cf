"""What a person with an image, a checkpoint or a folder uses: model folders, `from_pretrained`, prediction."""
