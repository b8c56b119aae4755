"""tbconv: train in PyTorch, deploy in TensorFlow, prove that nothing changed."""

__version__ = "0.1.0"
