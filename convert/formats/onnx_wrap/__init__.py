"""Third-party ONNX files: judged, brought to one image of float32 behind preprocessing, and written as model.onnx."""
