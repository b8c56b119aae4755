"""Answer one film with a .tflite file alone: pip install ai-edge-litert pillow; predict.py MODEL FILM."""

import json
import sys
import zipfile

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

model, film = sys.argv[1:]
inside = zipfile.ZipFile(model)  # labels, preprocessing and threshold travel in the file
labels = inside.read("labels.txt").decode().splitlines()
size = json.loads(inside.read("preprocessing.json"))["size"]
decision = json.loads(inside.read("operating_point.json"))
grey = Image.open(film)
if grey.mode not in ("L", "RGB"):
    sys.exit(f"{film} is {grey.mode}; this example reads 8 bits, tbconv predict also 10 to 16")
model_input = Image.new("L", (max(grey.size), max(grey.size)))  # black
model_input.paste(grey.convert("L"), ((model_input.width - grey.width) // 2, (model_input.height - grey.height) // 2))
runner = Interpreter(model).get_signature_runner("serving_default")
dtype = runner.get_input_details()["image"]["dtype"]  # uint8 in the int8 file, float32 in the others
image = np.asarray(model_input.resize((size, size), Image.Resampling.BILINEAR), dtype)[None, ..., None]
negative, positive = runner(image=image)["logits"][0]  # by name: their order differs between converters
margin, threshold = float(positive - negative), decision["operating_point"]["margin"]
answer = {"margin": margin, "threshold": threshold, "refer": margin >= threshold, "looked for": labels[1]}
json.dump(answer | {"limits": decision["limits"]}, sys.stdout, indent=2)
