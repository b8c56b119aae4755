"""How a network is trained: steps, epochs, checkpoints, several processes."""
