"""Child of test_idioms.py: a small network around each of many PyTorch idioms, exported by both exporters.

usage: draw_idioms.py FOLDER [NAME ...]
"""

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

CHANNELS, SIDE, CLASSES, FILMS = 8, 12, 2, 3


class Of(nn.Module):
    """A function of a tensor and modules."""

    def __init__(self, function, *modules):
        super().__init__()
        self.inner, self.function = nn.ModuleList(modules), function

    def forward(self, x):
        return self.function(x, *self.inner)


class Attention(nn.Module):
    def __init__(self, fused):
        super().__init__()
        self.qkv, self.out, self.fused = nn.Linear(CHANNELS, 3 * CHANNELS), nn.Linear(CHANNELS, CHANNELS), fused

    def forward(self, x):
        tokens = x.flatten(2).transpose(1, 2)
        count, places, width = tokens.shape
        query, key, value = self.qkv(tokens).reshape(count, places, 3, 2, width // 2).permute(2, 0, 3, 1, 4).unbind(0)
        if self.fused:
            mixed = F.scaled_dot_product_attention(query, key, value)
        else:
            mixed = ((query @ key.transpose(-2, -1)) * (width // 2) ** -0.5).softmax(-1) @ value
        return tokens + self.out(mixed.transpose(1, 2).reshape(count, places, width))


class Parameters(nn.Module):
    """A learnt tensor that a function combines with what it reads."""

    def __init__(self, function, *sizes):
        super().__init__()
        self.stored, self.function = nn.Parameter(torch.randn(*sizes) / 3), function

    def forward(self, x):
        return self.function(x, self.stored)


def attend(x, attention):
    tokens = x.flatten(2).transpose(1, 2)
    return attention(tokens, tokens, tokens, need_weights=False)[0]


def shuffle(x, groups):
    count, channels, high, wide = x.shape
    return x.view(count, groups, channels // groups, high, wide).transpose(1, 2).reshape(count, channels, high, wide)


def windows(x, size=4):
    count, channels, high, wide = x.shape
    x = x.view(count, channels, high // size, size, wide // size, size).permute(0, 2, 4, 3, 5, 1)
    return x.reshape(-1, size * size, channels)


def unwindows(x, size=4, side=SIDE):
    x = x.view(-1, side // size, side // size, size, size, CHANNELS).permute(0, 5, 1, 3, 2, 4)
    return x.reshape(-1, CHANNELS, side, side)


def idioms():
    """Return the table: a module of [N, 8, 12, 12] by name."""
    c = CHANNELS
    plain = {
        "relu": nn.ReLU(),
        "relu6": nn.ReLU6(),
        "leaky_relu": nn.LeakyReLU(0.2),
        "prelu": nn.PReLU(),
        "prelu_of_channels": nn.PReLU(c),
        "elu": nn.ELU(),
        "celu": nn.CELU(),
        "selu": nn.SELU(),
        "gelu": nn.GELU(),
        "gelu_by_tanh": nn.GELU(approximate="tanh"),
        "silu": nn.SiLU(),
        "mish": nn.Mish(),
        "softplus": nn.Softplus(),
        "softsign": nn.Softsign(),
        "tanh": nn.Tanh(),
        "tanhshrink": nn.Tanhshrink(),
        "sigmoid": nn.Sigmoid(),
        "log_sigmoid": nn.LogSigmoid(),
        "hard_swish": nn.Hardswish(),
        "hard_sigmoid": nn.Hardsigmoid(),
        "hard_tanh": nn.Hardtanh(-2, 2),
        "hardshrink": nn.Hardshrink(),
        "softshrink": nn.Softshrink(),
        "threshold": nn.Threshold(0.1, 0.0),
        "glu": nn.GLU(1),
        "batch_norm": nn.BatchNorm2d(c),
        "instance_norm": nn.InstanceNorm2d(c),
        "instance_norm_affine": nn.InstanceNorm2d(c, affine=True),
        "group_norm": nn.GroupNorm(2, c),
        "group_norm_of_one": nn.GroupNorm(1, c),
        "layer_norm_of_images": nn.LayerNorm([c, SIDE, SIDE]),
        "local_response": nn.LocalResponseNorm(3),
        "dropout": nn.Dropout(),
        "dropout_of_channels": nn.Dropout2d(),
        "identity": nn.Identity(),
        "max_pool": nn.MaxPool2d(2),
        "max_pool_with_pads": nn.MaxPool2d(3, 2, 1),
        "max_pool_ceil": nn.MaxPool2d(3, 2, ceil_mode=True),
        "average_pool": nn.AvgPool2d(2),
        "average_pool_with_pads": nn.AvgPool2d(3, 2, 1),
        "average_pool_uncounted": nn.AvgPool2d(3, 2, 1, count_include_pad=False),
        "lp_pool": nn.LPPool2d(2, 2),
        "adaptive_average": nn.AdaptiveAvgPool2d(1),
        "adaptive_average_of_4": nn.AdaptiveAvgPool2d(4),
        "adaptive_max": nn.AdaptiveMaxPool2d(1),
        "conv": nn.Conv2d(c, 4, 3),
        "conv_with_stride": nn.Conv2d(c, 4, 3, 2, 1),
        "conv_dilated": nn.Conv2d(c, 4, 3, dilation=2),
        "conv_in_groups": nn.Conv2d(c, 4, 3, groups=2),
        "conv_depthwise": nn.Conv2d(c, c, 3, padding=1, groups=c),
        "conv_same": nn.Conv2d(c, 4, 3, padding="same"),
        "conv_reflected": nn.Conv2d(c, 4, 3, padding=1, padding_mode="reflect"),
        "conv_replicated": nn.Conv2d(c, 4, 3, padding=1, padding_mode="replicate"),
        "conv_circular": nn.Conv2d(c, 4, 3, padding=1, padding_mode="circular"),
        "conv_asymmetric": nn.Sequential(nn.Conv2d(c, 4, (1, 5)), nn.Conv2d(4, 4, (5, 1))),
        "conv_transpose": nn.ConvTranspose2d(c, 4, 2, 2),
        "conv_transpose_with_pads": nn.ConvTranspose2d(c, 4, 3, 2, 1, 1),
        "pixel_shuffle": nn.PixelShuffle(2),
        "pixel_unshuffle": nn.PixelUnshuffle(2),
        "channel_shuffle": nn.ChannelShuffle(2),
        "zero_pad": nn.ZeroPad2d((1, 2, 0, 1)),
        "constant_pad": nn.ConstantPad2d(1, 0.5),
        "reflection_pad": nn.ReflectionPad2d(2),
        "replication_pad": nn.ReplicationPad2d(2),
        "upsample_nearest": nn.Upsample(scale_factor=2),
        "upsample_bilinear": nn.Upsample(scale_factor=2, mode="bilinear"),
        "upsample_to_corners": nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
        "flatten": nn.Flatten(),
        "unflatten": nn.Unflatten(1, (2, 4)),
        "softmax_of_channels": nn.Softmax(1),
        "softmax_of_columns": nn.Softmax(-1),
        "softmin": nn.Softmin(1),
        "log_softmax": nn.LogSoftmax(1),
        "attention": Attention(fused=False),
        "attention_fused": Attention(fused=True),
    }
    of_functions = {
        "chunk": lambda x: torch.cat(x.chunk(2, 1)[::-1], 1),
        "split": lambda x: torch.cat([x.split([3, 5], 1)[1], x[:, :2]], 1),
        "unbind": lambda x: torch.stack(x.unbind(1)[:3], 1),
        "slice_steps": lambda x: x[:, :, ::2, 1::2],
        "focus": lambda x: torch.cat([x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2]], 1),
        "flip": lambda x: x.flip(3),
        "roll": lambda x: torch.roll(x, (2, 3), (2, 3)),
        "narrow": lambda x: x.narrow(1, 2, 4),
        "index_select": lambda x: x[:, [0, 2, 3, 7]],
        "index_repeated": lambda x: x[:, [1, 1, 5]],
        "repeat": lambda x: x[:, :1].repeat(1, 3, 1, 1),
        "expand": lambda x: x[:, :1].expand(-1, 3, -1, -1),
        "repeat_interleave": lambda x: x.repeat_interleave(2, 1),
        "stack_and_sum": lambda x: torch.stack([x, x.relu(), x.tanh()], 0).sum(0),
        "stack_and_max": lambda x: torch.stack([x, x.relu(), x.tanh()], 1).amax(1),
        "permute_twice": lambda x: x.permute(0, 2, 3, 1).relu().permute(0, 3, 1, 2),
        "squeeze": lambda x: x.mean((2, 3), keepdim=True).squeeze(-1).squeeze(-1),
        "squeeze_all": lambda x: x.amax((2, 3), keepdim=True).squeeze(),
        "view_and_mean": lambda x: x.view(x.size(0), x.size(1), -1).mean(-1),
        "view_of_batch": lambda x: x.contiguous().view(x.shape[0], -1),
        "flatten_and_max": lambda x: x.flatten(2).max(2).values,
        "mean_of_channels": lambda x: x.mean(1, keepdim=True) * x,
        "max_of_channels": lambda x: x.amax(1, keepdim=True) + x,
        "deviation": lambda x: x.std((2, 3)),
        "variance": lambda x: x.var((2, 3), unbiased=False),
        "norm": lambda x: x.flatten(2).norm(dim=2),
        "normalize": lambda x: F.normalize(x.mean((2, 3)), dim=1),
        "normalize_channels": lambda x: F.normalize(x, dim=1),
        "sum": lambda x: x.sum((2, 3)),
        "minimum": lambda x: torch.minimum(x, x.tanh()),
        "amin": lambda x: x.amin((2, 3)),
        "clamp": lambda x: x.clamp(-1, 1),
        "clamp_below": lambda x: x.clamp(min=0.1),
        "abs": torch.abs,
        "neg": torch.neg,
        "exp": lambda x: torch.exp(-x.abs()),
        "log": lambda x: torch.log(x.abs() + 1),
        "log1p": lambda x: torch.log1p(x.abs()),
        "sqrt": lambda x: torch.sqrt(x.abs() + 1),
        "rsqrt": lambda x: torch.rsqrt(x.abs() + 1),
        "reciprocal": lambda x: torch.reciprocal(x.abs() + 1),
        "square": torch.square,
        "pow": lambda x: x.pow(3),
        "erf": torch.erf,
        "sin": torch.sin,
        "divide": lambda x: x / (x.abs() + 1),
        "one_over": lambda x: 1 / (x.abs() + 1),
        "one_minus": lambda x: 1 - x.sigmoid(),
        "where": lambda x: torch.where(x > 0, x, 0.1 * x),
        "mask": lambda x: x * (x > 0.2).float(),
        "swish_written_out": lambda x: x * torch.sigmoid(1.702 * x),
        "softmax_pool": lambda x: (x.flatten(2) * x.flatten(2).softmax(-1)).sum(-1),
        "gem_pool": lambda x: F.avg_pool2d(x.clamp(min=1e-3).pow(3), SIDE).pow(1 / 3),
        "channel_shuffle_written_out": lambda x: shuffle(x, 4),
        "windows": lambda x: unwindows(windows(x) * 2),
        "interpolate": lambda x: F.interpolate(x, size=(6, 6), mode="bilinear"),
        "interpolate_like": lambda x: F.interpolate(F.avg_pool2d(x, 4), size=x.shape[2:], mode="nearest"),
        "pad_channels": lambda x: F.pad(x, (0, 0, 0, 0, 2, 2)),
        "gram": lambda x: x.flatten(2) @ x.flatten(2).transpose(1, 2) / SIDE**2,
        "bmm": lambda x: torch.bmm(x.flatten(2), x.flatten(2).transpose(1, 2)) / SIDE**2,
        "einsum": lambda x: torch.einsum("nchw,ndhw->ncd", x, x) / SIDE**2,
        "outer": lambda x: x.mean(3, keepdim=True) * x.mean(2, keepdim=True),
        "concat_pools": lambda x: torch.cat([x.mean((2, 3)), x.amax((2, 3))], 1),
        "pyramid_pool": lambda x: torch.cat([F.adaptive_avg_pool2d(x, n).flatten(1) for n in (1, 2, 3)], 1),
        "unfold": lambda x: F.unfold(x, 2, stride=2),
        "cumsum": lambda x: x.cumsum(1),
        "topk": lambda x: x.flatten(1).topk(5, 1).values,
        "type_as": lambda x: x * torch.ones(1, CHANNELS, 1, 1).type_as(x),
        "positions": lambda x: x + torch.linspace(-1, 1, SIDE).view(1, 1, 1, SIDE),
    }
    with_modules = {
        "layer_norm_of_channels": Of(lambda x, n: n(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), nn.LayerNorm(c)),
        "linear_of_places": Of(lambda x, n: n(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), nn.Linear(c, 6)),
        "residual": Of(lambda x, n: x + n(x), nn.Conv2d(c, c, 3, padding=1)),
        "dense_block": Of(lambda x, n: torch.cat([x, n(x)], 1), nn.Conv2d(c, 4, 3, padding=1)),
        "squeeze_and_excite": Of(
            lambda x, a, b: x * b(a(x.mean((2, 3), keepdim=True)).relu()).sigmoid(),
            nn.Conv2d(c, 2, 1),
            nn.Conv2d(2, c, 1),
        ),
        "squeeze_and_excite_by_linear": Of(
            lambda x, a, b: x * b(a(x.mean((2, 3))).relu()).sigmoid()[:, :, None, None],
            nn.Linear(c, 2),
            nn.Linear(2, c),
        ),
        "spatial_attention": Of(
            lambda x, n: x * n(torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)).sigmoid(),
            nn.Conv2d(2, 1, 7, padding=3),
        ),
        "efficient_channel_attention": Of(
            lambda x, n: x * n(x.mean((2, 3)).unsqueeze(1)).sigmoid().view(-1, CHANNELS, 1, 1),
            nn.Conv1d(1, 1, 3, padding=1),
        ),
        "coordinate_attention": Of(
            lambda x, n: x * n(x.mean(3, keepdim=True)).sigmoid() * n(x.mean(2, keepdim=True)).sigmoid(),
            nn.Conv2d(c, c, 1),
        ),
        "multihead": Of(attend, nn.MultiheadAttention(c, 2, batch_first=True)),
        "transformer_layer": Of(
            lambda x, n: n(x.flatten(2).transpose(1, 2)), nn.TransformerEncoderLayer(c, 2, 16, batch_first=True)
        ),
        "maxout": Of(lambda x, n: n(x).unflatten(1, (2, 4)).amax(1), nn.Conv2d(c, 8, 1)),
        "mixer": Of(lambda x, n: n(x.flatten(2)).unflatten(2, (SIDE, SIDE)), nn.Linear(SIDE**2, SIDE**2)),
        "weight_norm": torch.nn.utils.parametrizations.weight_norm(nn.Conv2d(c, 4, 3)),
        "layer_scale": Parameters(lambda x, p: x * p, c, 1, 1),
        "position_embedding": Parameters(lambda x, p: x.flatten(2).transpose(1, 2) + p, 1, SIDE**2, c),
        "class_token": Parameters(
            lambda x, p: torch.cat([p.expand(x.size(0), -1, -1), x.flatten(2).transpose(1, 2)], 1)[:, 0], 1, 1, c
        ),
        "learnt_query": Parameters(lambda x, p: (p @ x.flatten(2)).softmax(-1) @ x.flatten(2).transpose(1, 2), 1, 2, c),
        "cosine_head": Parameters(lambda x, p: F.normalize(x.mean((2, 3)), dim=1) @ F.normalize(p, dim=1).t(), 5, c),
        "prototypes": Parameters(lambda x, p: -torch.cdist(x.mean((2, 3))[:, None], p[None]).flatten(1), 5, c),
    }
    return plain | {name: Of(function) for name, function in of_functions.items()} | with_modules


class Network(nn.Module):
    """A convolution, the idiom, and a classifier of whatever it gives."""

    def __init__(self, idiom):
        super().__init__()
        self.stem, self.idiom = nn.Conv2d(3, CHANNELS, 3, padding=1), idiom
        self.head = nn.LazyLinear(CLASSES)

    def forward(self, image):
        made = self.idiom(self.stem(image))
        made = made.mean((2, 3)) if made.dim() == 4 else made.flatten(1)
        return self.head(made)


def export(network, image, path, *, dynamo):
    names = {"input_names": ["image"], "output_names": ["logits"]}
    if dynamo:
        batch = ({0: torch.export.Dim("N", max=64)},)
        torch.onnx.export(
            network,
            (image,),
            path,
            dynamo=True,
            opset_version=18,
            dynamic_shapes=batch,
            external_data=False,
            verbose=False,
            **names,
        )
    else:
        torch.onnx.export(
            network, (image,), path, dynamo=False, opset_version=17, dynamic_axes={"image": {0: "N"}}, **names
        )


def main(folder, wanted):
    warnings.simplefilter("ignore")
    found, table = {}, idioms()
    films = np.random.default_rng(2).normal(size=(FILMS, 3, SIDE, SIDE)).astype(np.float32)
    np.save(folder / "films.npy", films)
    for name in wanted or table:
        torch.manual_seed(0)
        network, image, found[name] = Network(table[name]).eval(), torch.from_numpy(films), {}
        with torch.no_grad():
            np.save(folder / f"{name}.npy", network(image).numpy())
        for exporter in ("dynamo", "torchscript"):
            try:
                export(network, image, str(folder / f"{name}.{exporter}.onnx"), dynamo=exporter == "dynamo")
                found[name][exporter] = ""
            except Exception as error:  # noqa: BLE001  (each exporter raises its own; the idiom is then not its)
                found[name][exporter] = f"{type(error).__name__}: {error}".splitlines()[0][:200]
    sys.stdout.write("\n" + json.dumps(found) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
