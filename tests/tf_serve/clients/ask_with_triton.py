"""Ask a server with Triton's own HTTP client, in an environment that has it; writes what came back as JSON.

python ask_with_triton.py HOST:PORT MODEL IMAGE.npy FILM.png ADMIN_TOKEN
"""

import json
import sys
from pathlib import Path

import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException


def main(address, model, image_path, film_path, token):
    image = np.load(image_path)  # float32 [1, 224, 224, 1]
    film = np.array([Path(film_path).read_bytes()], dtype=np.object_)
    with triton.InferenceServerClient(address) as client:
        metadata = client.get_model_metadata(model)
        [version] = metadata["versions"]
        found = {
            "live": client.is_server_live(),
            "ready": client.is_server_ready(),
            "extensions": client.get_server_metadata()["extensions"],
            "model_ready": client.is_model_ready(model) and client.is_model_ready(model, version),
            "no_model_ready": client.is_model_ready("lungs"),
            "metadata": metadata,
            "margins": {
                "JSON": ask(client, model, image, "FP32", binary=False),
                "binary": ask(client, model, image, "FP32", binary=True),
                "UINT8": ask(client, model, image.astype(np.uint8), "UINT8", binary=True),
                "every output": ask(client, model, image, "FP32", binary=True, outputs=False),
                "version": ask(client, model, image, "FP32", binary=True, version=version),
                "film": ask(client, model, film, "BYTES", binary=True),
                "two films": ask(client, model, np.concatenate([film, film]), "BYTES", binary=True),
                "async": ask_later(client, model, image),
            },
            "errors": [error_of(client, "lungs", image), error_of(client, model, image[:, :100])],
            "index": client.get_model_repository_index(headers={"authorization": f"Bearer {token}"}),
            "denied": denied(client, model),
            "config": client.get_model_config(model),
            "config of the version": client.get_model_config(model, version),
            "statistics": client.get_inference_statistics(model),
            "statistics of the version": client.get_inference_statistics(model, version),
            "statistics of all": client.get_inference_statistics(),
        }
    sys.stdout.write(json.dumps(found))


def tensor(array, datatype, binary):
    made = triton.InferInput("image", list(array.shape), datatype)
    made.set_data_from_numpy(array, binary_data=binary)
    return made


def ask(client, model, array, datatype, *, binary, outputs=True, version=""):
    names = ("logits", "probability", "evidence")
    wanted = [triton.InferRequestedOutput(name, binary_data=binary) for name in names] if outputs else None
    answer = client.infer(
        model, [tensor(array, datatype, binary)], outputs=wanted, request_id="film-1", model_version=version
    )
    assert answer.get_response()["id"] == "film-1"
    return margins_of(answer)


def ask_later(client, model, array):
    return margins_of(client.async_infer(model, [tensor(array, "FP32", True)]).get_result())


def margins_of(answer):
    logits, evidence = answer.as_numpy("logits"), answer.as_numpy("evidence")
    assert evidence.shape == (len(logits), 7, 7)
    assert answer.as_numpy("probability").shape == (len(logits), 1)
    return (logits[:, 1] - logits[:, 0]).tolist()


def error_of(client, model, array):
    try:
        client.infer(model, [tensor(array, "FP32", True)])
    except InferenceServerException as error:
        return [error.status(), error.message()]
    return None


def denied(client, model):
    try:
        client.unload_model(model)
    except InferenceServerException as error:
        return error.status()
    return None


if __name__ == "__main__":
    main(*sys.argv[1:])
