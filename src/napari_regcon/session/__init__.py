"""What a user is doing: classes, support, predictions, history. No torch, no napari, no Qt."""
