"""PyTorch -> ONNX: the network of a run, a library's classifier, a file that `torch.export.save` wrote."""
