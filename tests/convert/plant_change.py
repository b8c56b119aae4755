"""Plant one change into a bundle: plant_change.py BUNDLE CHANGE [honest]; an honest mistake writes its digests anew."""

import io
import json
import sys
import zipfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))  # benchmarks are installed nowhere

from benchmarks.fault_injection.faults.onnx_edit import constant, put
from benchmarks.fault_injection.faults.tflite_edit import edited, read, write
from convert.formats.tflite import metadata
from tbconv.contract.bundle import CERTIFICATE, MANIFEST, read_bundle, seal
from tbconv.contract.files import sha256_file, write_json
from tbconv.contract.golden import GOLDEN_FILMS, GoldenFilm, read_golden_films, write_golden_films

FLOAT32, INT8, ONNX = "model_float32.tflite", "model_int8.tflite", "model.onnx"


def change_json(path, change):
    value = json.loads(path.read_text())
    change(value)
    write_json(path, value)


def change_onnx(path, change):
    import onnx

    model = onnx.load(str(path))
    change(model)
    onnx.save(model, str(path))


def convolutions(model):
    """Return the weights of every convolution of a TFLite model."""
    graph = model.subgraphs[0]
    kernels = [graph.tensors[one.inputs[1]] for one in graph.operators if len(one.inputs) == 3]
    return [one for one in kernels if len(one.shape) == 4]


def one_filter(model, _):
    kernel = convolutions(model)[4]
    values = read(model, kernel)
    values[3] *= 0.5
    write(model, kernel, values)


def all_filters(model, _):
    """Move every convolution a little, as another seed of training would."""
    for number, kernel in enumerate(convolutions(model)):
        values = read(model, kernel)
        write(model, kernel, (values * (1 + 0.02 * (-1) ** number)).astype(values.dtype))


def change_tflite(path, change):
    path.write_bytes(edited(change)(path.read_bytes(), 1.0))


def weights(bundle):
    change_tflite(bundle / FLOAT32, one_filter)
    return FLOAT32


def threshold(bundle):
    def change(manifest):
        manifest["decision_rules"]["trained"]["operating_point"]["margin"] += 0.5

    change_json(bundle / MANIFEST, change)


def resize(bundle):
    """Let the films be recorded as another resizer made them."""
    from tbconv.contract.golden import FAULTS

    def resized(film):
        other = FAULTS["resized with bicubic"](film.data, len(film.model_input))
        return GoldenFilm(film.name, film.data, other, film.levels)

    films = read_golden_films(bundle / GOLDEN_FILMS)
    write_golden_films(bundle / GOLDEN_FILMS, [resized(film) for film in films])
    return GOLDEN_FILMS


def labels(bundle):
    change_json(bundle / MANIFEST, lambda manifest: manifest["labels"].update(positive="Pneumonia"))


def order(bundle):
    """Give the positive class first, as a folder's alphabet would."""

    def swap(model):
        from onnx import helper, numpy_helper

        last = next(one for one in model.graph.node if "logits" in one.output)
        last.output[0] = "in_order"
        turned = helper.make_node("Gather", ["in_order", "turned"], ["logits"], "logits.turned", axis=1)
        model.graph.initializer.append(numpy_helper.from_array(np.array([1, 0]), "turned"))
        model.graph.node.append(turned)

    change_onnx(bundle / ONNX, swap)
    return ONNX


def normalisation(bundle):
    """Divide grey levels by 255 once more."""

    def change(model):
        put(model, "network.std", constant(model, "network.std") * np.float32(255))

    change_onnx(bundle / ONNX, change)
    return ONNX


def opset(bundle):
    def change(model):
        [standard] = [one for one in model.opset_import if one.domain == ""]
        standard.version += 1

    change_onnx(bundle / ONNX, change)
    return ONNX


def dtype(bundle):
    """Say of the int8 file that it takes float32."""

    def change(manifest):
        [row] = [one for one in manifest["artefacts"] if one["path"] == INT8]
        row["inputs"][0]["dtype"] = "float32"

    change_json(bundle / MANIFEST, change)


def stale_file(bundle):
    """Leave the file of an earlier training in its place, which says so."""
    change_tflite(bundle / FLOAT32, all_filters)
    version = read_bundle(bundle).manifest.files["weights.safetensors"].sha256.encode()
    data, other = (bundle / FLOAT32).read_bytes(), b"0" * len(version)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        files = {one.filename: archive.read(one) for one in archive.infolist()}
    model = metadata._without_files(data)
    assert model.count(version) == 1
    assert sum(one.count(version) for one in files.values()) == 1
    files = {name: one.replace(version, other) for name, one in files.items()}
    (bundle / FLOAT32).write_bytes(metadata._append(model.replace(version, other), files))
    return FLOAT32


def altered_certificate(bundle):
    """Let the certificate say BOUNDED of a file that too few films were run on."""
    change_json(bundle / CERTIFICATE, lambda value: value["artefacts"][INT8].update(verdict="BOUNDED"))
    return CERTIFICATE


CHANGES = {
    one.__name__: one
    for one in (
        *(weights, threshold, resize, labels, order),
        *(normalisation, opset, dtype, stale_file, altered_certificate),
    )
}


def reseal(bundle, path):
    """Write every digest anew, the certificate's of the changed file too."""
    digest = sha256_file(bundle / path) if path and (bundle / path).is_file() else None

    def change(certificate):
        if path in certificate["artefacts"]:
            certificate["artefacts"][path]["sha256"] = digest

    change_json(bundle / CERTIFICATE, change)
    seal(bundle, read_bundle(bundle).manifest)


def main(bundle, change, honest=""):
    """Plant it."""
    path = CHANGES[change](bundle)
    if honest:
        reseal(bundle, path)
    sys.stdout.write(json.dumps({"changed": path or MANIFEST}) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
