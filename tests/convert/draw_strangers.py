"""SavedModels, Keras files and H5 files that reach for the machine of whoever opens them; run in a process of its own.

    python draw_strangers.py FOLDER SECRET MARKER

SECRET is a file that some read, MARKER one that some write. Prints the names of what it made.
"""

import json
import shutil
import sys
import zipfile
from pathlib import Path

import h5py
import keras  # noqa: TID253  (a process of its own)
import numpy as np
import tensorflow as tf  # noqa: TID253

FOLDER, SECRET, MARKER = map(str, sys.argv[1:4])
SPEC = tf.TensorSpec((None, 224, 224, 1), tf.float32, name="image")


def outputs(image, extra=0.0):
    logits = tf.reduce_mean(image, [1, 2, 3])[:, None] * tf.ones((1, 2)) + extra
    return {"logits": logits, "probability": logits[:, :1], "evidence": tf.reshape(image[:, :49, 0, 0], (-1, 7, 7))}


def save(name, answer):
    module = tf.Module()
    module.weight = tf.Variable(1.0)
    serve = tf.function(answer, input_signature=[SPEC], autograph=False)
    tf.saved_model.save(module, f"{FOLDER}/{name}", signatures={"serving_default": serve})


def writes(image):
    with tf.control_dependencies([tf.io.write_file(MARKER, "written by WriteFile")]):
        return outputs(image)


def reads(image):
    return outputs(image, tf.cast(tf.strings.length(tf.io.read_file(SECRET)), tf.float32))


def nested(image):
    @tf.function(autograph=False)
    def inner(text):
        return tf.cond(tf.constant(True), lambda: tf.io.write_file(MARKER, text), tf.no_op)

    with tf.control_dependencies([tf.function(lambda: inner(tf.constant("x")), autograph=False)()]):
        return outputs(image)


def python(image):
    return outputs(image, tf.py_function(lambda: Path(MARKER).write_text("python") or 0.0, [], tf.float32))


def merges(image):
    merge = tf.raw_ops.MergeV2Checkpoints(
        checkpoint_prefixes=[f"{FOLDER}/good/variables/variables"], destination_prefix=MARKER, delete_old_dirs=False
    )
    with tf.control_dependencies([merge]):
        return outputs(image)


def saves(image):
    write = tf.raw_ops.SaveV2(prefix=MARKER, tensor_names=["a"], shape_and_slices=[""], tensors=[tf.constant(1.0)])
    with tf.control_dependencies([write]):
        return outputs(image)


def queues(image):
    reader = tf.raw_ops.WholeFileReaderV2(container="", shared_name="r")
    queue = tf.raw_ops.FIFOQueueV2(component_types=[tf.string])
    with tf.control_dependencies([tf.raw_ops.QueueEnqueueV2(handle=queue, components=[tf.constant(SECRET)])]):
        _, value = tf.raw_ops.ReaderReadV2(reader_handle=reader, queue_handle=queue)
    return outputs(image, tf.cast(tf.strings.length(value), tf.float32))


def prints(image):
    with tf.control_dependencies([tf.print("x", output_stream=f"file://{MARKER}")]):
        return outputs(image)


for name, answer in {
    "good": outputs,
    "writes": writes,
    "reads": reads,
    "nested": nested,
    "python": python,
    "merges": merges,
    "saves": saves,
    "queues": queues,
    "prints": prints,
}.items():
    save(name, answer)


def edited(name, change, *, of="good"):
    shutil.copytree(f"{FOLDER}/{of}", f"{FOLDER}/{name}")
    change(Path(FOLDER, name))


def proto(change):
    from tensorflow.core.protobuf import saved_model_pb2

    def edit(folder):
        saved = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
        change(saved)
        (folder / "saved_model.pb").write_bytes(saved.SerializeToString())

    return edit


def call_saver(saved):
    """Let the serving function call the function that TensorFlow saves variables by."""
    [graph] = saved.meta_graphs
    saver = next(one.signature.name for one in graph.graph_def.library.function if "traced_save" in one.signature.name)
    serving = next(one for one in graph.graph_def.library.function if "signature_wrapper" in one.signature.name)
    serving.node_def[0].attr["f"].func.name = saver


def export_saver(saved):
    """Let an object of the model be the function that saves."""
    [graph] = saved.meta_graphs
    saver = next(one.signature.name for one in graph.graph_def.library.function if "traced_save" in one.signature.name)
    for one in graph.object_graph_def.nodes:
        if one.HasField("bare_concrete_function"):
            one.bare_concrete_function.concrete_function_name = saver


def own_saver(saved):
    """Name a saver's node after the signature's: what it calls would be taken for a saver."""
    [graph] = saved.meta_graphs
    graph.saver_def.save_tensor_name = "StatefulPartitionedCall:0"


def without_objects(saved):
    """Make it a graph of TensorFlow 1, whose loader runs initial operations and savers."""
    saved.meta_graphs[0].ClearField("object_graph_def")


def second(saved):
    saved.meta_graphs.add().CopyFrom(saved.meta_graphs[0])


def missing(saved):
    library = saved.meta_graphs[0].graph_def.library.function
    serving = next(one for one in library if "signature_wrapper" in one.signature.name)
    serving.node_def[0].attr["f"].func.name = "WriteFile"


def constant(saved):
    """Return a constant of the graph; where there is none, TensorFlow has changed."""
    [graph] = saved.meta_graphs
    nodes = [*graph.graph_def.node, *(node for one in graph.graph_def.library.function for node in one.node_def)]
    return next(node for node in nodes if node.op == "Const")


def opaque(saved):
    """Let a constant hold a variant and say so."""
    node = constant(saved)
    node.attr["dtype"].type = node.attr["value"].tensor.dtype = 21  # DT_VARIANT


def other_kind(saved):
    """Let a constant hold a variant, whose makers read what is in it, and call it numbers."""
    constant(saved).attr["value"].tensor.dtype = 21


def in_a_call(saved):
    """Hand a variant to a function."""
    library = saved.meta_graphs[0].graph_def.library.function
    serving = next(one for one in library if "signature_wrapper" in one.signature.name)
    serving.node_def[0].attr["f"].func.attr["more"].list.tensor.add(dtype=21)


def of_a_function(saved):
    saved.meta_graphs[0].graph_def.library.function[0].attr["more"].tensor.dtype = 21


edited("opaque", proto(opaque))
edited("other-kind", proto(other_kind))
edited("in-a-call", proto(in_a_call))
edited("of-a-function", proto(of_a_function))
edited("call-saver", proto(call_saver))
edited("export-saver", proto(export_saver))
edited("own-saver", proto(own_saver), of="writes")
edited("tensorflow-1", proto(without_objects))
edited("two-graphs", proto(second))
edited("missing-function", proto(missing))
edited("asset", lambda folder: (folder / "assets").mkdir(exist_ok=True) or (folder / "assets" / "a").write_text("x"))
edited(
    "assets-extra", lambda folder: (folder / "assets.extra").mkdir() or (folder / "assets.extra" / "a").write_text("x")
)
edited("keras-metadata", lambda folder: (folder / "keras_metadata.pb").write_text("x"))
edited("chunked", lambda folder: (folder / "saved_model.cpb").write_bytes(b"x"))


def link(folder):
    (folder / "variables" / "variables.index").unlink()
    (folder / "variables" / "variables.index").symlink_to(SECRET)


edited("link", link)


def keras_model(middle=None):
    image = keras.Input((224, 224, 1), name="image")
    x = keras.layers.GlobalAveragePooling2D()(image)
    x = x if middle is None else middle(x)
    logits = keras.layers.Dense(2, name="dense")(x)
    probability = keras.layers.Dense(1, name="other", activation="sigmoid")(x)
    return keras.Model(image, {"logits": logits, "probability": probability})


def code(x):
    import pathlib

    pathlib.Path(MARKER).write_text("lambda")
    return x


keras_model().save(f"{FOLDER}/good.keras")
keras_model().save(f"{FOLDER}/good.h5")
evil = keras_model(keras.layers.Lambda(code, output_shape=(1,)))
evil.save(f"{FOLDER}/lambda.keras")
evil.save(f"{FOLDER}/lambda.h5")
Path(MARKER).unlink(missing_ok=True)  # making it ran it


def rezip(name, change, *, pack=zipfile.ZIP_STORED):
    with zipfile.ZipFile(f"{FOLDER}/good.keras") as old:
        entries = {one: old.read(one) for one in old.namelist()}
    change(entries)
    with zipfile.ZipFile(f"{FOLDER}/{name}.keras", "w", pack) as new:
        for key, data in entries.items():
            new.writestr(key, data)


def configured(change):
    def edit(entries):
        config = json.loads(entries["config.json"])
        change(config)
        entries["config.json"] = json.dumps(config).encode()

    return edit


def first_dense(config):
    return next(one for one in config["config"]["layers"] if one["class_name"] == "Dense")


rezip("imports", configured(lambda c: first_dense(c).update(module="os", class_name="system", registered_name=None)))
rezip("registered", configured(lambda c: first_dense(c).update(registered_name="mine>Dense")))
rezip("torch", configured(lambda c: first_dense(c).update(module="keras.layers", class_name="TorchModuleWrapper")))
rezip(
    "activation",
    configured(
        lambda c: first_dense(c)["config"].update(
            activation={"module": "builtins", "class_name": "function", "config": "eval", "registered_name": "function"}
        )
    ),
)
rezip("compiled", configured(lambda c: c.update(compile_config={"optimizer": "adam"})))
rezip("deep", lambda entries: entries.update({"config.json": b"[" * 100_000}))
rezip("above", lambda entries: entries.update({"../../escaped": b"x"}))
rezip("asset", lambda entries: entries.update({"assets/a.txt": b"x"}))
rezip("packed", lambda entries: None, pack=zipfile.ZIP_DEFLATED)


def weights(change):
    def edit(entries):
        place = Path(FOLDER, "weights.h5")
        place.write_bytes(entries["model.weights.h5"])
        with h5py.File(place, "r+") as file:
            change(file)
        entries["model.weights.h5"] = place.read_bytes()
        place.unlink()

    return edit


def outside(file):
    file["extra"] = h5py.ExternalLink(f"{FOLDER}/good.h5", "/model_weights")


def virtual(file):
    layout = h5py.VirtualLayout((4,), np.uint8)
    layout[:] = h5py.VirtualSource(f"{FOLDER}/good.h5", "x", (4,))
    file.create_virtual_dataset("extra", layout)


def raw(file):
    file.create_dataset("extra", (16,), np.uint8, external=[(SECRET, 0, 16)])


def soft(file):
    file["extra"] = h5py.SoftLink("/nowhere")


def huge(file):
    file.create_dataset("extra", (2**50,), np.float32)


def filtered(file):
    file.create_dataset("extra", data=np.zeros(100_000), compression="gzip")


ODD = {"external-link": outside, "virtual": virtual, "raw": raw, "soft-link": soft, "huge": huge, "filtered": filtered}
for name, change in ODD.items():
    rezip(name, weights(change))
    shutil.copy(f"{FOLDER}/good.h5", f"{FOLDER}/{name}.h5")
    with h5py.File(f"{FOLDER}/{name}.h5", "r+") as opened:
        change(opened)
Path(FOLDER, "linked.h5").symlink_to(f"{FOLDER}/good.h5")
sys.stdout.write(json.dumps(sorted(path.name for path in Path(FOLDER).iterdir())) + "\n")
