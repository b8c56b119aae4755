"""Draw two tiny networks with the outputs of the real ones, as TFLite files; run as a child process."""

import sys
from pathlib import Path

import numpy as np
import tensorflow as tf  # noqa: TID253  (this is a process of its own)


class TinyNetwork(tf.Module):
    """A convolution, a pooling to 7 x 7 and a linear head: margin = mean(evidence), as in the real network."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        draw = np.random.default_rng(seed)
        self.kernel = tf.Variable(draw.uniform(0, 0.2, (3, 3, 1, 4)).astype("float32"))
        self.head = tf.Variable(draw.uniform(2, 4, (1, 1, 4, 1)).astype("float32"))

    @tf.function(input_signature=[tf.TensorSpec([None, 224, 224, 1], tf.float32, name="image")])
    def answer(self, image):
        return self.outputs(image)

    def outputs(self, image):
        features = tf.nn.relu(tf.nn.conv2d(image / 255.0, self.kernel, 1, "SAME"))
        pooled = tf.nn.avg_pool2d(features, 32, 32, "VALID")
        evidence = tf.reshape(tf.nn.conv2d(pooled, self.head, 1, "VALID"), [-1, 7, 7]) - 4.2
        margin = self.mean(evidence)
        logits = tf.concat([-0.5 * margin, 0.5 * margin], 1)
        return {"logits": logits, "probability": tf.sigmoid(1.2 * margin - 0.3), "evidence": evidence}

    def mean(self, evidence):
        return tf.reduce_mean(evidence, [1, 2])[:, None]


class FixedNetwork(TinyNetwork):
    """The same network for one film at a time, as convert's own writer makes them."""

    def mean(self, evidence):
        """Sum in the order of a pooling: LiteRT's sum over an axis has another order on each kind of processor."""
        return tf.reshape(tf.nn.avg_pool2d(evidence[..., None], 7, 7, "VALID"), [-1, 1])

    @tf.function(input_signature=[tf.TensorSpec([1, 224, 224, 1], tf.float32, name="image")])
    def answer(self, image):
        return self.outputs(image)


class OddNetwork(TinyNetwork):
    """The same network, but one that goes wrong at a film whose first pixel is 7; or that always says the same."""

    def __init__(self, seed: int, wrong: float, *, constant: bool = False) -> None:
        super().__init__(seed)
        self.wrong = tf.constant(wrong)
        self.follows = tf.constant(0.0 if constant else 1.0)

    @tf.function(input_signature=[tf.TensorSpec([None, 224, 224, 1], tf.float32, name="image")])
    def answer(self, image):
        said = super().answer(image * self.follows)
        odd = tf.cast(tf.equal(image[:, 0, 0, :], 7.0), tf.float32)  # [N, 1]
        factor = tf.where(odd > 0, self.wrong, tf.ones_like(odd))
        evidence = said["evidence"] * factor[:, :, None]
        return {"logits": said["logits"] * factor, "probability": said["probability"], "evidence": evidence}


def films():
    draw = np.random.default_rng(1)
    for _ in range(16):
        film = tf.image.resize(draw.integers(0, 256, (1, 7, 7, 1)), (224, 224)).numpy().astype("float32")
        film[0, 0, :2, 0] = 0, 255  # both ends present: the uint8 input gets scale 1, zero point 0
        yield [film]


def draw_networks(folder: Path) -> None:
    tiny = {"model": TinyNetwork(5), "baseline": TinyNetwork(8)}
    fixed = {"fixed": FixedNetwork(5), "fixed_baseline": FixedNetwork(8)}
    for name, network in (tiny | fixed).items():
        saved = str(folder / f"{name}_saved")
        tf.saved_model.save(network, saved, signatures={"serving_default": network.answer})
        converter = tf.lite.TFLiteConverter.from_saved_model(saved)
        (folder / f"{name}_float32.tflite").write_bytes(converter.convert())
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = films
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.uint8
        converter.inference_output_type = tf.float32
        (folder / f"{name}_int8.tflite").write_bytes(converter.convert())
    odd = {
        "nan": OddNetwork(5, float("nan")),
        "far": OddNetwork(5, 1e6),
        "constant": OddNetwork(5, 1.0, constant=True),
        "other": TinyNetwork(6),
    }
    for name, network in odd.items():
        saved = str(folder / f"{name}_saved")
        tf.saved_model.save(network, saved, signatures={"serving_default": network.answer})
        converter = tf.lite.TFLiteConverter.from_saved_model(saved)
        (folder / f"{name}_float32.tflite").write_bytes(converter.convert())


if __name__ == "__main__":
    draw_networks(Path(sys.argv[1]))
