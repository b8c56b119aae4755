"""Ask a server with KServe's own client, in an environment that has it; writes what came back as JSON.

python ask_with_kserve.py URL MODEL IMAGE.npy FILM.png
"""

import asyncio
import base64
import json
import sys
from pathlib import Path

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest
from kserve.inference_client import RESTConfig


async def main(url, model, image_path, film_path):
    image = np.load(image_path)  # float32 [1, 224, 224, 1]
    film = base64.b64encode(Path(film_path).read_bytes()).decode()
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as client:
        found = {
            "live": await client.is_server_live(url),
            "ready": await client.is_server_ready(url),
            "model_ready": await client.is_model_ready(url, model),
            "no_model_ready": await client.is_model_ready(url, "lungs"),
            "margins": {
                "JSON": await ask(client, url, model, image, binary=False),
                "binary": await ask(client, url, model, image, binary=True),
                "base64": await ask_film(client, url, model, film),
            },
            "error": await error_of(client, url, image),
        }
    async with InferenceRESTClient(RESTConfig(protocol="v1")) as client:
        rows = await client.infer(url, {"instances": image.tolist()}, model_name=model)
        found["margins"]["v1 rows"] = [row["logits"][1] - row["logits"][0] for row in rows["predictions"]]
        rows = await client.infer(url, {"instances": [{"b64": film}]}, model_name=model)
        found["margins"]["v1 base64"] = [row["logits"][1] - row["logits"][0] for row in rows["predictions"]]
    sys.stdout.write(json.dumps(found))


async def ask(client, url, model, image, *, binary):
    tensor = InferInput("image", list(image.shape), "FP32")
    tensor.set_data_from_numpy(image, binary_data=binary)
    parameters = {"binary_data_output": binary}
    return margins_of(await client.infer(url, request(model, tensor, parameters), model_name=model))


async def ask_film(client, url, model, film):
    tensor = InferInput("image", [1], "BYTES", data=[film])
    return margins_of(await client.infer(url, request(model, tensor, None), model_name=model))


def request(model, tensor, parameters):
    return InferRequest(model_name=model, infer_inputs=[tensor], request_id="film-1", parameters=parameters)


def margins_of(answer):
    assert answer.id == "film-1"
    outputs = {output.name: output.as_numpy() for output in answer.outputs}
    logits = outputs["logits"]
    assert outputs["evidence"].shape == (len(logits), 7, 7)
    return (logits[:, 1] - logits[:, 0]).tolist()


async def error_of(client, url, image):
    try:
        await ask(client, url, "lungs", image, binary=True)
    except httpx.HTTPStatusError as error:
        return [error.response.status_code, str(error)]
    return None


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
