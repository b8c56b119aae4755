"""Ask a server with Triton's own gRPC client, in an environment that has it; writes what came back as JSON.

python ask_with_triton_grpc.py HOST:PORT MODEL IMAGE.npy FILM.png TOKEN
"""

import json
import queue
import sys
from pathlib import Path

import numpy as np
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException


def main(address, model, image_path, film_path, token):
    image = np.load(image_path)  # float32 [1, 224, 224, 1]
    film = np.array([Path(film_path).read_bytes()], dtype=np.object_)
    known = {"authorization": f"Bearer {token}"}
    with triton.InferenceServerClient(address) as client:
        metadata = client.get_model_metadata(model, headers=known, as_json=True)
        [version] = metadata["versions"]
        found = {
            "live": client.is_server_live(),
            "ready": client.is_server_ready(),
            "server": client.get_server_metadata(headers=known, as_json=True),
            "model_ready": client.is_model_ready(model, headers=known)
            and client.is_model_ready(model, version, headers=known),
            "metadata": metadata,
            "margins": {
                "FP32": ask(client, model, image, "FP32", known),
                "UINT8": ask(client, model, image.astype(np.uint8), "UINT8", known),
                "every output": ask(client, model, image, "FP32", known, outputs=False),
                "version": ask(client, model, image, "FP32", known, version=version),
                "film": ask(client, model, film, "BYTES", known),
                "two films": ask(client, model, np.concatenate([film, film]), "BYTES", known),
                "async": ask_later(client, model, image, known),
            },
            "errors": [
                error_of(client, "lungs", image, known),
                error_of(client, model, image[:, :100], known),
                error_of(client, model, image, {}),
            ],
        }
    sys.stdout.write(json.dumps(found))


def tensor(array, datatype):
    made = triton.InferInput("image", list(array.shape), datatype)
    made.set_data_from_numpy(array)
    return made


def ask(client, model, array, datatype, headers, *, outputs=True, version=""):
    names = ("logits", "probability", "evidence")
    wanted = [triton.InferRequestedOutput(name) for name in names] if outputs else None
    answer = client.infer(
        model,
        [tensor(array, datatype)],
        outputs=wanted,
        request_id="film-1",
        model_version=version,
        headers=headers,
    )
    assert answer.get_response().id == "film-1"
    return margins_of(answer)


def ask_later(client, model, array, headers):
    answers = queue.Queue()
    client.async_infer(
        model, [tensor(array, "FP32")], lambda result, error: answers.put((result, error)), headers=headers
    )
    result, error = answers.get(timeout=30)
    assert error is None, error
    return margins_of(result)


def margins_of(answer):
    logits, evidence = answer.as_numpy("logits"), answer.as_numpy("evidence")
    assert evidence.shape == (len(logits), 7, 7)
    assert answer.as_numpy("probability").shape == (len(logits), 1)
    return (logits[:, 1] - logits[:, 0]).tolist()


def error_of(client, model, array, headers):
    try:
        client.infer(model, [tensor(array, "FP32")], headers=headers)
    except InferenceServerException as error:
        return [error.status(), error.message()]
    return None


if __name__ == "__main__":
    main(*sys.argv[1:])
