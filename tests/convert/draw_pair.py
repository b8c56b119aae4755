"""Write one small network as Keras, H5, SavedModel, TFLite (float32, int8) and ONNX: draw_pair.py FOLDER."""

import json
import sys
from pathlib import Path

import numpy as np

SIZE, CHANNELS, CLASSES = 12, 3, 3


def main(folder):
    """Write the files, and the weights for PyTorch's module."""
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(3)
    image = keras.Input((SIZE, SIZE, CHANNELS), name="image")
    features = keras.layers.Conv2D(4, 3, activation="relu", name="conv")(image)
    logits = keras.layers.Dense(CLASSES, name="logits")(keras.layers.GlobalAveragePooling2D()(features))
    model = keras.Model(image, logits)
    model.save(folder / "model.keras")
    model.save(folder / "model.h5")
    model.export(folder / "saved_model", verbose=False)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder / "saved_model"))
    (folder / "model.tflite").write_bytes(converter.convert())
    films = np.random.default_rng(5).random((32, 1, SIZE, SIZE, CHANNELS), np.float32) * 255
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([film] for film in films)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    (folder / "model_int8.tflite").write_bytes(converter.convert())
    kernel, bias = (np.array(one) for one in model.get_layer("conv").get_weights())
    dense, shift = (np.array(one) for one in model.get_layer("logits").get_weights())
    weights = {"kernel": kernel.transpose(3, 2, 0, 1), "bias": bias, "dense": dense.T, "shift": shift}
    np.savez(folder / "weights.npz", **weights)
    write_onnx(folder / "model.onnx", weights)


def write_onnx(path, weights):
    """Write the same in ONNX's layout."""
    from onnx import TensorProto, helper, numpy_helper, save

    nodes = [
        helper.make_node("Conv", ["image", "kernel", "bias"], ["conv"]),
        helper.make_node("Relu", ["conv"], ["relu"]),
        helper.make_node("GlobalAveragePool", ["relu"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("Gemm", ["flat", "dense", "shift"], ["logits"], transB=1),
    ]
    takes = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", CHANNELS, SIZE, SIZE])
    gives = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", CLASSES])
    stored = [numpy_helper.from_array(np.ascontiguousarray(value), name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "drawn", [takes], [gives], stored)
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), str(path))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    sys.stdout.write(json.dumps({}) + "\n")
