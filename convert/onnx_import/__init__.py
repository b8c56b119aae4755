"""An ONNX file that others exported: wrapped, converted, and held against ONNX Runtime on the file itself."""
