"""A statement about every input: a converted file is the ONNX graph up to proven rewrites and rounding of weights."""
