"""The PyTorch half: films -> weights -> operating point -> the first half of a bundle."""
