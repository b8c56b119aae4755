"""The serving half: LiteRT, numpy and an ASGI stack; neither torch nor TensorFlow."""
