"""The comparison of convolutional neural networks that writes its own paper."""
