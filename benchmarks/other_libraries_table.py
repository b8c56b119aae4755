"""Which networks benchmarks.other_libraries tries, and docs/networks.md's table of them, from its CSV alone."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from benchmarks.families_table import read_rows, refusal
from benchmarks.results import RESULTS
from tbconv.contract.statistics import exact_interval

CSV = RESULTS / "other_libraries.csv"
CLASSES = 5
VIT = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
PATCHES = VIT | {"image_size": 64, "patch_size": 16}
WINDOWS = {"embed_dim": 16, "depths": [2, 2], "num_heads": [2, 4], "window_size": 4, "image_size": 64, "patch_size": 4}
STAGES = {"hidden_sizes": [16, 32, 48, 64], "depths": [1, 1, 2, 1]}
PYRAMID = STAGES | {"num_attention_heads": [1, 2, 3, 4], "image_size": 64}
SCALED = {"layer_scale_init_value": 0.5}  # the library's 1e-5 leaves of a block next to nothing
# by class of configuration: its arguments; `side` is the image's where it is not 64
TRANSFORMERS: dict[str, dict[str, Any]] = {
    "Beit": PATCHES | {"use_relative_position_bias": True},
    "Bit": {"embedding_size": 16, "num_groups": 8} | STAGES,
    "CLIP": {"vision_config": PATCHES},
    "ConvNext": STAGES | SCALED,
    "ConvNextV2": STAGES,
    "Cvt": {"embed_dim": [16, 32, 48], "num_heads": [1, 2, 3], "depth": [1, 2, 10]},
    "Data2VecVision": PATCHES | {"use_shared_relative_position_bias": True},
    "DeiT": PATCHES,
    "Dinov2": PATCHES | {"layerscale_value": 0.5},
    "Dinov2WithRegisters": PATCHES | {"layerscale_value": 0.5},
    "DonutSwin": WINDOWS,
    "EfficientNet": {"image_size": 64, "width_coefficient": 0.25, "depth_coefficient": 0.2, "hidden_dim": 320},
    "FocalNet": {"embed_dim": 16, "hidden_sizes": [16, 32], "depths": [1, 1], "focal_levels": [2, 2]}
    | {"focal_windows": [3, 3], "image_size": 64},
    "HGNetV2": {},
    "Hiera": {"embed_dim": 16, "depths": [1, 1, 2, 1], "num_heads": [1, 1, 2, 2], "image_size": [64, 64]}
    | {"masked_unit_size": [8, 8]},
    "IJepa": PATCHES,
    "ImageGPT": {"n_embd": 32, "n_layer": 2, "n_head": 2, "vocab_size": 513, "n_positions": 64},
    "Levit": {"side": 224, "hidden_sizes": [32, 48, 64], "num_attention_heads": [2, 3, 4], "depths": [1, 1, 1]},
    "MetaClip2": {"vision_config": PATCHES},
    "MobileNetV1": {"depth_multiplier": 0.25},
    "MobileNetV2": {"depth_multiplier": 0.35},
    "MobileViT": {"image_size": 64, "hidden_sizes": [32, 48, 64], "neck_hidden_sizes": [8, 16, 24, 32, 40, 48, 96]},
    "MobileViTV2": {"image_size": 64, "width_multiplier": 0.5},
    "Perceiver": {"num_latents": 8, "d_latents": 32, "d_model": 261, "num_blocks": 1}
    | {"num_self_attends_per_block": 1, "num_self_attention_heads": 2, "num_cross_attention_heads": 1},
    "PoolFormer": STAGES | SCALED,
    "PPLCNet": {"scale": 0.25},
    "Pvt": PYRAMID,
    "PvtV2": PYRAMID | {"image_size": [64, 64]},
    "RegNet": {"embedding_size": 16, "groups_width": 8} | STAGES,
    "ResNet": {"embedding_size": 16} | STAGES,
    "Segformer": {"hidden_sizes": [16, 32, 48, 64], "depths": [1, 1, 1, 1], "num_attention_heads": [1, 2, 3, 4]},
    "Siglip": {"vision_config": PATCHES},
    "Siglip2": {"vision_config": VIT | {"patch_size": 16, "num_patches": 16}},
    "SwiftFormer": {"embed_dims": [16, 24, 32, 48], "depths": [1, 1, 1, 1], "image_size": 64} | SCALED,
    "Swin": WINDOWS,
    "Swinv2": WINDOWS,
    "TextNet": {},
    "TimmWrapper": {"architecture": "resnet18", "side": 96},
    "ViT": PATCHES,
    "ViTMSN": PATCHES,
}
PYTORCHCV = """
    resnet10 preresnet10 resnext14_16x4d sepreresnet10 cbam_resnet18 bam_resnet18 sknet50 diaresnet10 ibn_resnet50
    airnet50_1x64d_r2 condensenet74_c4_g4 peleenet darknet_tiny bagnet9 dla34 msdnet22 fishnet99 espnetv2_wd2
    hrnet_w18_small_v1 vovnet27s selecsls42 hardnet39ds sqnxt23_w1 shufflenet_g1_wd4 shufflenetv2b_wd2 menet108_8x1_g3
    mobilenetb_wd4 igcv3_wd4 ghostnet proxylessnas_mobile fbnet_cb xception bninception regnety002 mixnet_s
    efficientnet_b0b isqrtcovresnet18 resnesta18 scnet50 irevnet301 nin_cifar10 pyramidnet110_a48_cifar10 diracnet18v2
    darts
"""
MONAI = """DenseNet121|EfficientNetBN|resnet10|resnet50|SEResNet50|SEResNext50|SENet154|ViT|Classifier|
    Classifier (sigmoid)|Discriminator|Critic|Regressor|TorchVisionFCModel"""
XRAY = "DenseNet|DenseNet (op_threshs)|DenseNet (sigmoid)"
CLIP = "ModifiedResNet|VisionTransformer|VisionTransformer (averages)|VisionTransformer (attention pools)"
KERAS = """
    MobileNet MobileNetV2 MobileNetV3Small EfficientNetB0 EfficientNetV2B0 DenseNet121 NASNetMobile ResNet50 ResNet50V2
    Xception ConvNeXtTiny InceptionV3
"""
LISTS: dict[str, list[str]] = {
    "transformers": list(TRANSFORMERS),
    "monai": [one.strip() for one in MONAI.split("|")],
    "torchxrayvision": XRAY.split("|"),
    "ultralytics": ["yolov8n-cls", "yolov8-cls-resnet50", "yolo11n-cls", "yolo12n-cls", "yolo26n-cls"],
    "open_clip": CLIP.split("|"),
    "fastai": ["resnet18", "densenet121"],
    "keras": KERAS.split(),
    "pytorchcv": PYTORCHCV.split(),
}
NAMES = tuple(f"{library}:{name}" for library, names in LISTS.items() for name in names)
HEAD = """## Classifiers of other libraries

Written by `python -m benchmarks.other_libraries FILMS`, whose rows are in `benchmarks/results/other_libraries.csv`:
small networks of drawn weights, running statistics of 16 drawn films, judged as those of the families above. Those of
transformers are a folder of `save_pretrained` (`hf:FOLDER`), those of keras.applications an ONNX file of tf2onnx, and
all others a `.pt2` of torch.export. The reference of Keras's is Keras in float64.

**{converted} of {tried} tried convert ({low:.0%} to {high:.0%}, 95 %)**; {waiting} of the {listed} in the list were not
tried. Those that were are no sample, the smallest first, and it is no figure of first attempts: ViT, ViT-MSN, DeiT,
DINOv2, BEiT, Swin and PP-LCNet were refused until rules were mended for them. Rows are of several commits (`commit` in
the CSV), and small configurations say nothing of memory or time.
"""
COLUMNS = ("library", "network", "side", "parameters", "proof TFLite / Keras", "steps ONNX / TFLite / Keras", "flips")


def other_library_lines() -> list[str]:
    """Return the section of docs/networks.md as lines; nothing where nothing was tried."""
    rows = read_rows(CSV)
    if not rows:
        return []
    converted, refused = [[row for row in rows if (row["converts"] == "yes") is wanted] for wanted in (True, False)]
    low, high = exact_interval(len(converted), len(rows))
    waiting = len(set(NAMES) - {row["network"] for row in rows})
    head = HEAD.format(
        converted=len(converted), tried=len(rows), low=low, high=high, waiting=waiting or "none", listed=len(NAMES)
    )
    lines = ["", *head.splitlines(), "", f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}"]
    by_library: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in converted:
        by_library[row["library"]].append(row)
    lines += [f"| {' | '.join(cells(row))} |" for those in by_library.values() for row in those]
    if refused:
        lines += ["", "Refused:", "", "| network | side | at | operations | reason |", "|---|---|---|---|---|"]
        lines += [f"| {' | '.join(refusal(row))} |" for row in refused]
    return lines


def cells(row: dict[str, str]) -> list[str]:
    """Return the cells of a network that converts."""
    found = [row["library"], row["network"].partition(":")[2], row["side"], f"{int(row['parameters']):,}"]
    found += [f"{row['proof_tflite'].lower()} / {row['proof_keras'].lower()}"]
    found += [" / ".join(row[f"steps_{one}"] for one in ("onnx", "tflite", "keras"))]
    return [*found, f"{row['flips']} ({row['sides']})"]
