"""Each rewrite of the normal form is an identity: both ways to write it are one term, and its value is numpy's."""

import math

import numpy as np
import pytest

from convert.proof.compare import compare
from convert.proof.evaluate import evaluate
from convert.proof.explain import Declared
from convert.proof.normal import NONE, ONE, ZERO, NormalForm, NoRuleError, Stored, View, number
from convert.proof.readers import choices, compositions
from convert.proof.readers.places import optional
from convert.proof.readers.tensorflow import bound, select
from convert.proof.readers.tflite import _power as power

SEEDS = range(4)
SHAPE = (6, 5, 4)
CLOSE = 1e-12  # of float64, relative to the largest


def draws(seed, *shape):
    return np.random.default_rng([seed, *shape]).normal(size=shape)


def form_of(build, seed, shape=SHAPE):
    form = NormalForm()
    form.outputs = {"answer": build(form, form.input((1, *shape)), seed)}
    return form


def value(form, film):
    return evaluate(form, film)["answer"][0]


def conv(form, view, kernel, bias=None, strides=(1, 1), dilations=(1, 1), pads=NONE, groups=1):
    bias = ZERO if bias is None else number(bias)
    return compositions.conv(form, view, number(kernel), bias, strides, dilations, pads, groups)


def last(view):
    return view.transpose(0, 2, 3, 1)


def first(view):
    return view.transpose(0, 3, 1, 2)


def copied(view, axis):
    return view.map(lambda at: np.concatenate([at, at], axis))


def above(form, view, bound=0.3):
    return choices.compare(form, view, View(np.float32(bound)), "greater")


def quotient(form, view, change=1.0):
    """s * P(s * s) / Q(s * s), s being a quarter of a number between -4 and 4; `change` multiplies one factor."""
    side = form.clip(form.affine(view, number(0.25)), -1, 1)
    square, both = form.binary("mul", side, side), []
    for factors in (compositions.ERF_ABOVE, compositions.ERF_BELOW):
        *rest, top = (View(np.array([one], np.float32)) for one in factors)  # as a file has them
        made = form.binary("mul", square, top.map(lambda at: at * np.float32(change)))
        for at, one in reversed(list(enumerate(rest))):
            made = form.binary("add", made, one)
            made = form.binary("mul", square, made) if at else made
        both.append(made)
    return compositions.quotient(form, form.binary("mul", side, both[0]), both[1])


def normalised_by_tensorflow(form, view, seed, *, weights=True, sign=-1):
    """x * (gamma / deviation) + (beta - mean * (gamma / deviation))"""
    mean = form.mean(view, (3,), keep=True)
    far = form.binary("add", view, compositions.negative(form, mean))
    variance = form.mean(compositions.multiply(form, far, far), (3,), keep=True)
    factor = form.each(form.each(form.affine(variance, ONE, number(0.1)), "sqrt"), "reciprocal")
    factor = form.affine(factor, number(draws(seed, 4))) if weights else factor
    rest = compositions.multiply(form, form.affine(mean, number(sign)), factor)
    rest = form.affine(rest, ONE, number(draws(seed, 1, 4)[0])) if weights else rest
    return compositions.add(form, compositions.multiply(form, view, factor), rest)


def two_readers(form, view, seed, *, rows_first=False, other=2):
    """Read some channels as an image and as rows, in either order, and add what a convolution and a matrix give."""
    part, rest = view.map(lambda at: at[..., :2]), view.map(lambda at: at[..., other - 2 : other])

    def rows():
        return form.clip(form.matmul(rest, number(draws(seed, 2, 3)), ZERO), low=0)

    def image():
        return form.clip(conv(form, part, draws(seed, 3, 3, 2, 3), pads=(1, 1, 1, 1)), low=0)

    made = [rows(), image()] if rows_first else [image(), rows()]
    return form.clip(form.binary("add", *made), high=1)


def scaled_kernel(form, view, seed):
    kernel, scale, offset = draws(seed, 3, 3, 4, 6), draws(seed, 6), draws(seed, 1, 6)[0]
    return conv(form, view, kernel * scale, draws(seed, 6, 1)[:, 0] * scale + offset)


def kernel_then_scale(form, view, seed):
    kernel, scale, offset = draws(seed, 3, 3, 4, 6), draws(seed, 6), draws(seed, 1, 6)[0]
    return form.affine(conv(form, view, kernel, draws(seed, 6, 1)[:, 0]), number(scale), number(offset))


def silu(form, view, seed):
    return form.binary("mul", view, form.each(view, "sigmoid"))


# name: (one way, another way, what numpy computes of a film)
PAIRS = {
    "scale and shift behind a convolution": (kernel_then_scale, scaled_kernel),
    "two scales and shifts": (
        lambda f, v, s: f.affine(f.affine(v, number(draws(s, 4)), number(draws(s, 4, 1).T[0])), number(3), number(-1)),
        lambda f, v, s: f.affine(v, number(3 * draws(s, 4)), number(3 * draws(s, 4, 1).T[0] - 1)),
    ),
    "borders of their own and of the convolution": (
        lambda f, v, s: conv(f, f.pad(v, (1, 2, 0, 1)), draws(s, 3, 3, 4, 2), pads=(0, 0, 1, 0)),
        lambda f, v, s: conv(f, v, draws(s, 3, 3, 4, 2), pads=(1, 2, 1, 1)),
    ),
    "channels first and last": (
        lambda f, v, s: last(first(conv(f, last(first(v)), draws(s, 3, 3, 4, 2)))),
        lambda f, v, s: conv(f, v, draws(s, 3, 3, 4, 2)),
    ),
    "a scale in channels first": (
        lambda f, v, s: last(f.affine(first(v), number(draws(s, 1, 4, 1, 1)))),
        lambda f, v, s: f.affine(v, number(draws(s, 1, 4, 1, 1).reshape(4))),
    ),
    "a convolution of one place and a matrix": (
        lambda f, v, s: conv(f, v, draws(s, 4, 3).reshape(1, 1, 4, 3)),
        lambda f, v, s: f.matmul(v.reshape(30, 4), number(draws(s, 4, 3)), ZERO).reshape(1, 6, 5, 3),
    ),
    "a convolution of the whole image and a matrix": (
        lambda f, v, s: conv(f, v, draws(s, 6, 5, 4, 3)).reshape(1, 3),
        lambda f, v, s: f.matmul(v.reshape(1, 120), number(draws(s, 6, 5, 4, 3).reshape(120, 3)), ZERO),
    ),
    "the order in which an image is flattened": (
        lambda f, v, s: f.matmul(first(v).reshape(1, 120), number(draws(s, 120, 3)), ZERO),
        lambda f, v, s: f.matmul(
            v.reshape(1, 120), number(draws(s, 120, 3).reshape(4, 6, 5, 3).transpose(1, 2, 0, 3).reshape(120, 3)), ZERO
        ),
    ),
    "scale and shift before a matrix": (
        lambda f, v, s: f.matmul(
            f.affine(v, number(draws(s, 4)), number(draws(s, 1, 4)[0])).reshape(30, 4), number(draws(s, 4, 3)), ZERO
        ),
        lambda f, v, s: f.matmul(
            v.reshape(30, 4), number(draws(s, 4)[:, None] * draws(s, 4, 3)), number(draws(s, 1, 4)[0] @ draws(s, 4, 3))
        ),
    ),
    "a depthwise convolution of one place and a scale": (
        lambda f, v, s: conv(f, v, draws(s, 4).reshape(1, 1, 1, 4), draws(s, 1, 4)[0], groups=4),
        lambda f, v, s: f.affine(v, number(draws(s, 4)), number(draws(s, 1, 4)[0])),
    ),
    "a matrix of one number and a scale": (
        lambda f, v, s: conv(f, v.map(lambda at: at[..., :1]), draws(s, 1).reshape(1, 1, 1, 1), draws(s, 1, 1)[0]),
        lambda f, v, s: f.affine(v.map(lambda at: at[..., :1]), number(draws(s, 1)), number(draws(s, 1, 1)[0])),
    ),
    "ends within ends": (
        lambda f, v, s: f.clip(f.clip(v, -1, 2), 0, 3),
        lambda f, v, s: f.clip(v, 0, 2),
    ),
    "a ReLU of what is not negative": (
        lambda f, v, s: f.clip(f.pool(f.clip(v, low=0), "max", (2, 2), (1, 1)), low=0),
        lambda f, v, s: f.pool(f.clip(v, low=0), "max", (2, 2), (1, 1)),
    ),
    "shifted ends": (
        lambda f, v, s: f.affine(f.clip(f.affine(v, ONE, number(0.5)), 0, 1.25), ONE, number(-0.5)),
        lambda f, v, s: f.clip(v, -0.5, 0.75),
    ),
    "mirrored ends": (
        lambda f, v, s: f.affine(f.clip(f.affine(v, number(-1), number(0.5)), low=0), number(-1), number(0.5)),
        lambda f, v, s: f.clip(v, high=0.5),
    ),
    "hard swish, divided at its end": (
        lambda f, v, s: f.affine(f.binary("mul", v, f.clip(f.affine(v, ONE, number(3)), 0, 6)), number(1 / 6)),
        lambda f, v, s: f.binary("mul", v, compositions.hard_sigmoid(f, v, 1 / 6, 0.5)),
    ),
    "factors of a product": (
        lambda f, v, s: f.binary("mul", f.each(v, "sigmoid"), v),
        silu,
    ),
    "a difference": (
        lambda f, v, s: f.binary("add", f.each(v, "tanh"), compositions.negative(f, v)),
        lambda f, v, s: f.binary("add", f.affine(v, number(-1)), f.each(v, "tanh")),
    ),
    "a quotient": (
        lambda f, v, s: compositions.divide(f, v, View(np.abs(draws(s, 4)) + 1)),
        lambda f, v, s: f.affine(v, number(1 / (np.abs(draws(s, 4)) + 1))),
    ),
    "an average of everything": (
        lambda f, v, s: f.pool(v, "average", (6, 5), (1, 1)).reshape(1, 4),
        lambda f, v, s: f.mean(v, (1, 2), keep=False),
    ),
    "means in channels first": (
        lambda f, v, s: f.mean(first(v), (2, 3), keep=True).reshape(1, 4),
        lambda f, v, s: f.mean(v, (1, 2), keep=False),
    ),
    "zeros that count in an average": (
        lambda f, v, s: f.pool(f.pad(v, (1, 1, 1, 1)), "average", (3, 3), (2, 2)),
        lambda f, v, s: f.pool(v, "average", (3, 3), (2, 2), (1, 1, 1, 1)),
    ),
    "zeros that cannot win": (
        lambda f, v, s: f.pool(f.pad(f.clip(v, low=0), (1, 1, 1, 1)), "max", (3, 3), (2, 2)),
        lambda f, v, s: f.pool(f.clip(v, low=0), "max", (3, 3), (2, 2), (1, 1, 1, 1)),
    ),
    "a lowest border of a largest value": (
        lambda f, v, s: f.pool(f.pad(v, (1, 1, 1, 1), -3.5e38), "max", (3, 3), (2, 2)),
        lambda f, v, s: f.pool(v, "max", (3, 3), (2, 2), (1, 1, 1, 1)),
    ),
    "one image as several channels": (
        lambda f, v, s: last(f.affine(f.concat([first(v)] * 3, 1), number(draws(s, 1, 12, 1, 1)))),
        lambda f, v, s: f.affine(f.concat([v] * 3, 3), number(draws(s, 1, 12, 1, 1).reshape(12))),
    ),
    "joined in channels first": (
        lambda f, v, s: last(f.concat([first(f.clip(v, low=0)), first(f.each(v, "tanh"))], 1)),
        lambda f, v, s: f.concat([f.clip(v, low=0), f.each(v, "tanh")], 3),
    ),
    "ELU by what LiteRT has": (
        lambda f, v, s: f.binary(
            "add", f.clip(v, low=0), f.affine(f.clip(f.each(v, "elu"), high=0), number(np.float32(1.5)))
        ),
        lambda f, v, s: compositions.elu(f, v, 1.5),
    ),
    "ELU by a choice": (
        lambda f, v, s: select(
            f,
            f.each(v, "greater", bound=number(0)),
            f.each(v, "elu"),
            f.affine(f.each(v, "elu"), number(np.float32(1.5))),
        ),
        lambda f, v, s: compositions.elu(f, v, 1.5),
    ),
    "GELU by its two functions": (
        lambda f, v, s: f.affine(
            f.binary("mul", v, f.affine(compositions.erf(f, compositions.divide(f, v, View(np.sqrt(2)))), ONE, ONE)),
            number(0.5),
        ),
        lambda f, v, s: compositions.multiply(
            f,
            f.affine(v, number(0.5)),
            f.affine(compositions.erf(f, f.affine(v, number(-np.sqrt(0.5)))), number(-1), ONE),
        ),
    ),
    "a factor of a product's side": (
        lambda f, v, s: compositions.multiply(f, f.affine(v, number(3)), f.each(v, "exp")),
        lambda f, v, s: f.affine(f.binary("mul", v, f.each(v, "exp")), number(3)),
    ),
    "a stride with a dilation": (
        lambda f, v, s: conv(f, v, draws(s, 2, 2, 4, 2), strides=(2, 1), dilations=(2, 1)),
        lambda f, v, s: f.pool(conv(f, v, draws(s, 2, 2, 4, 2), dilations=(2, 1)), "max", (1, 1), (2, 1)),
    ),
    "edges that cannot win": (
        lambda f, v, s: f.pool(
            v.map(lambda at: np.pad(at, ((0, 0), (1, 0), (0, 2), (0, 0)), "edge")), "max", (3, 3), (2, 2)
        ),
        lambda f, v, s: f.pool(v, "max", (3, 3), (2, 2), (1, 0, 0, 2)),
    ),
    "zeros that don't count in an average": (
        lambda f, v, s: compositions.pool(f, v, "average", (3, 3), (3, 4), (1, 1, 1, 1)),
        lambda f, v, s: f.affine(
            f.pool(f.pad(v, (1, 1, 1, 1)), "average", (3, 3), (3, 4)),
            number(np.array([[9 / 4, 9 / 6], [9 / 6, 1]])[:, :1, None]),
        ),
    ),
    "a slope below zero": (
        lambda f, v, s: compositions.prelu(f, v, number(draws(s, 4))),
        lambda f, v, s: f.binary(
            "add", f.clip(v, low=0), f.affine(f.clip(f.affine(v, number(-1)), low=0), number(-draws(s, 4)))
        ),
    ),
    "nothing of a tensor": (
        lambda f, v, s: f.clip(v, high=0.25),
        lambda f, v, s: bound(f, v, f.affine(v, ZERO, number(0.25)), low=False),
    ),
    "a bound below that is implied": (
        lambda f, v, s: f.clip(f.each(v, "sigmoid"), 0, 0.6),
        lambda f, v, s: f.clip(f.clip(f.each(v, "sigmoid"), low=0), high=0.6),
    ),
    "a bound below what can be": (
        lambda f, v, s: f.clip(f.each(v, "sigmoid"), -1, 0.6),
        lambda f, v, s: f.clip(f.each(v, "sigmoid"), high=0.6),
    ),
    "copies along two axes, in either order": (
        lambda f, v, s: f.clip(f.each(copied(copied(v, 3), 1), "tanh"), low=0),
        lambda f, v, s: f.clip(f.each(last(copied(copied(first(v), 1), 2)), "tanh"), low=0),
    ),
    "a normalisation as TensorFlow writes it": (
        normalised_by_tensorflow,
        lambda f, v, s: compositions.layer_norm(f, v, (3,), 0.1, number(draws(s, 4)), number(draws(s, 1, 4)[0])),
    ),
    "the same without weights": (
        lambda f, v, s: normalised_by_tensorflow(f, v, s, weights=False),
        lambda f, v, s: compositions.standardise(f, v, (3,), 0.1),
    ),
    "a normalisation of channels first": (
        lambda f, v, s: last(compositions.standardise(f, first(v), (1,), 0.1)),
        lambda f, v, s: compositions.standardise(f, v, (3,), 0.1),
    ),
    "a product with the right side turned twice": (
        lambda f, v, s: compositions.product(f, v, f.each(v, "tanh").transpose(0, 1, 3, 2)),
        lambda f, v, s: compositions.product(f, v, f.each(v.transpose(0, 3, 1, 2), "tanh").transpose(0, 2, 1, 3)),
    ),
    "stored rows beside computed ones": (
        lambda f, v, s: compositions.join(f, [View(draws(s, 1, 6, 1, 4)), f.clip(v, low=0)], 2),
        lambda f, v, s: last(compositions.join(f, [first(View(draws(s, 1, 6, 1, 4))), f.clip(first(v), low=0)], 3)),
    ),
    "a normalisation of groups in another order": (
        lambda f, v, s: last(compositions.group_norm(f, first(v), 2, 0.1, number(draws(s, 4)), number(draws(s, 2)))),
        lambda f, v, s: f.affine(
            compositions.standardise(f, v.reshape(1, 30, 2, 2), (1, 3), 0.1).reshape(1, *SHAPE),
            number(draws(s, 4)),
            number(np.repeat(draws(s, 2), 2)),
        ),
    ),
    "a softmax over channels": (
        lambda f, v, s: last(compositions.softmax(f, first(v), 1)),
        lambda f, v, s: compositions.softmax(f, v),
    ),
    "places read as an image and as rows, in either order": (
        two_readers,
        lambda f, v, s: two_readers(f, v, s, rows_first=True),
    ),
    "a comparison with its sides exchanged": (
        lambda f, v, s: choices.compare(f, View(np.float32(0.3)), v, "less"),
        lambda f, v, s: above(f, v),
    ),
    "a choice in channels first": (
        lambda f, v, s: last(choices.choose(f, above(f, first(v)), first(v), View(draws(s, 4, 1, 1)))),
        lambda f, v, s: choices.choose(f, above(f, v), v, View(draws(s, 4, 1, 1).reshape(4))),
    ),
    "a choice by what is one a channel": (
        lambda f, v, s: last(
            choices.choose(f, above(f, f.mean(first(v), (2, 3), keep=True), 0), first(v), f.each(first(v), "tanh"))
        ),
        lambda f, v, s: choices.choose(f, above(f, f.mean(v, (1, 2), keep=True), 0), v, f.each(v, "tanh")),
    ),
    "a number of true or false that is one": (
        lambda f, v, s: choices.to_bool(f, choices.contrary(f, above(f, v))),
        lambda f, v, s: choices.contrary(f, above(f, v)),
    ),
    "a sum of products by other letters": (
        lambda f, v, s: compositions.einsum(f, v, f.each(v, "tanh"), "nhwc,nhvc->nhwv"),
        lambda f, v, s: compositions.product(f, v, f.each(v, "tanh").transpose(0, 1, 3, 2)),
    ),
    "a sum of what comes before": (
        lambda f, v, s: compositions.cumulated(f, v, 3, {"reverse": 1}),
        lambda f, v, s: f.matmul(v, number(np.tril(np.ones((4, 4)))), ZERO),
    ),
    "a stored matrix on the left": (
        lambda f, v, s: compositions.product(f, View(draws(s, 3, 5)), v),
        lambda f, v, s: f.matmul(v.transpose(0, 1, 3, 2), number(draws(s, 3, 5).T), ZERO).transpose(0, 1, 3, 2),
    ),
    "the error function by polynomials": (
        lambda f, v, s: quotient(f, f.clip(v, -0.5, 9)),
        lambda f, v, s: compositions.erf(f, f.clip(v, -0.5, 5)),
    ),
    "weights of a product of numbers": (
        lambda f, v, s: f.affine(v, f.binary("mul", View(draws(s, 4)), View(draws(s, 4) ** 2)).stored),
        lambda f, v, s: f.affine(v, number(draws(s, 4) ** 3)),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_both_ways_are_one_term_and_one_value(name):
    for seed in SEEDS:
        one, other = (form_of(build, seed) for build in PAIRS[name])
        match = compare(one, other, Declared())
        assert match.first is None, (name, match.why)
        film = draws(seed, *SHAPE)
        right = value(one, film)
        assert np.ptp(right) > 0, name
        assert np.abs(value(other, film) - right).max() <= CLOSE * np.abs(right).max(), name


# What looks like a rule and is none: a border before a maximum of what may be negative, and so on.
NO_RULE = {
    "a bound below of what may be negative": (
        lambda f, v, s: f.clip(f.each(v, "tanh"), 0, 0.6),
        lambda f, v, s: f.clip(f.each(v, "tanh"), high=0.6),
    ),
    "zeros that may win": (
        lambda f, v, s: f.pool(f.pad(v, (1, 1, 1, 1)), "max", (3, 3), (2, 2)),
        lambda f, v, s: f.pool(v, "max", (3, 3), (2, 2), (1, 1, 1, 1)),
    ),
    "zeros that count and those that do not": (
        lambda f, v, s: compositions.pool(f, v, "average", (3, 3), (2, 2), (1, 1, 1, 1)),
        lambda f, v, s: f.pool(v, "average", (3, 3), (2, 2), (1, 1, 1, 1)),
    ),
    "a shift before a border": (
        lambda f, v, s: conv(f, f.affine(v, ONE, number(1)), draws(s, 3, 3, 4, 2), pads=(1, 1, 1, 1)),
        lambda f, v, s: conv(f, v, draws(s, 3, 3, 4, 2), draws(s, 3, 3, 4, 2).sum((0, 1, 2)), pads=(1, 1, 1, 1)),
    ),
    "a ReLU and a scale below zero": (
        lambda f, v, s: f.affine(f.clip(v, low=0), number(-2)),
        lambda f, v, s: f.clip(f.affine(v, number(-2)), low=0),
    ),
    "rows and columns": (
        lambda f, v, s: v.transpose(0, 2, 1, 3).reshape(1, 120),
        lambda f, v, s: v.reshape(1, 120),
    ),
    "a border around an image that is read in other sizes": (
        lambda f, v, s: conv(f, f.pad(v, (0, 1, 0, 1)).reshape(1, 7, 6, 4), draws(s, 2, 2, 4, 2)).reshape(1, 60),
        lambda f, v, s: conv(f, f.pad(v, (0, 1, 0, 1)), draws(s, 2, 2, 4, 2)).reshape(1, 60),
    ),
    "a border of a border in other sizes": (
        lambda f, v, s: f.pad(f.pad(v, (0, 1, 0, 1)).reshape(1, 7, 6, 4), (1, 1, 0, 0)).reshape(1, 224),
        lambda f, v, s: f.pad(f.pad(v, (0, 1, 0, 1)), (1, 1, 0, 0)).reshape(1, 224),
    ),
    "zeros that can't win, in other sizes": (
        lambda f, v, s: f.pool(
            f.pad(f.clip(v, low=0), (0, 1, 0, 1)).reshape(1, 7, 6, 4), "max", (2, 2), (1, 1)
        ).reshape(1, 120),
        lambda f, v, s: f.pool(f.pad(f.clip(v, low=0), (0, 1, 0, 1)), "max", (2, 2), (1, 1)).reshape(1, 120),
    ),
    "an image read in other sizes": (
        lambda f, v, s: conv(f, v.reshape(1, 5, 6, 4), draws(s, 2, 2, 4, 2)).reshape(1, 40),
        lambda f, v, s: conv(f, v, draws(s, 2, 2, 4, 2)).reshape(1, 40),
    ),
    "a mean of other places": (
        lambda f, v, s: f.mean(v.reshape(1, 60, 2), (1,), keep=False),
        lambda f, v, s: f.mean(v.reshape(1, 2, 60), (2,), keep=False),
    ),
    "edges that can't be all": (
        lambda f, v, s: f.pool(
            v.map(lambda at: np.pad(at, ((0, 0), (1, 0), (0, 0), (0, 0)), "reflect")), "max", (2, 2), (2, 2)
        ),
        lambda f, v, s: f.pool(v, "max", (2, 2), (2, 2), (1, 0, 0, 0)),
    ),
    "a normalisation whose mean is added": (
        lambda f, v, s: normalised_by_tensorflow(f, v, s, sign=1),
        normalised_by_tensorflow,
    ),
    "a normalisation by another epsilon": (
        lambda f, v, s: compositions.standardise(f, v, (3,), 50),
        lambda f, v, s: compositions.standardise(f, v, (3,), 20),
    ),
    "a normalisation over other places": (
        lambda f, v, s: compositions.standardise(f, v, (1,), 0.1),
        lambda f, v, s: compositions.standardise(f, v, (2,), 0.1),
    ),
    "a product and one with its right side turned": (
        lambda f, v, s: compositions.product(f, v.reshape(1, 30, 4), v.reshape(1, 4, 30)).reshape(1, 900),
        lambda f, v, s: compositions.product(f, v.reshape(1, 30, 4), v.reshape(1, 30, 4).transpose(0, 2, 1)).reshape(
            1, 900
        ),
    ),
    "other stored rows": (
        lambda f, v, s: compositions.join(f, [View(draws(s, 1, 6, 1, 4)), f.clip(v, low=0)], 2),
        lambda f, v, s: compositions.join(f, [View(draws(s, 1, 6, 1, 4) + 1), f.clip(v, low=0)], 2),
    ),
    "erf of the other sign": (
        lambda f, v, s: compositions.erf(f, f.affine(v, number(-0.5))),
        lambda f, v, s: compositions.erf(f, f.affine(v, number(0.5))),
    ),
    "other places read as rows": (
        two_readers,
        lambda f, v, s: two_readers(f, v, s, rows_first=True, other=4),
    ),
    "a choice with its sides exchanged": (
        lambda f, v, s: choices.choose(f, above(f, v), v, View(np.zeros(()))),
        lambda f, v, s: choices.choose(f, above(f, v), View(np.zeros(())), v),
    ),
    "a comparison and its contrary": (lambda f, v, s: above(f, v), lambda f, v, s: choices.contrary(f, above(f, v))),
    "sums before and behind": (
        lambda f, v, s: compositions.cumulated(f, v, 3, {"exclusive": 1}),
        lambda f, v, s: compositions.cumulated(f, v, 3, {}),
    ),
    "a quotient of other polynomials": (
        lambda f, v, s: quotient(f, v, change=1.01),
        lambda f, v, s: compositions.erf(f, v),
    ),
    "ReLU6 and ReLU": (lambda f, v, s: f.clip(v, 0, 6), lambda f, v, s: f.clip(v, low=0)),
    "a gate and its square": (silu, lambda f, v, s: f.binary("mul", silu(f, v, s), f.each(v, "sigmoid"))),
}


@pytest.mark.parametrize("name", NO_RULE)
def test_what_is_not_equal_is_not_made_equal(name):
    for seed in SEEDS:
        one, other = (form_of(build, seed) for build in NO_RULE[name])
        assert compare(one, other, Declared()).first is not None, name
        film = 20 * draws(seed, *SHAPE) - 12  # mostly below zero, where borders of zeros win
        assert np.abs(value(one, film) - value(other, film)).max() > 1e-3, name


def test_values_are_those_of_numpy():
    film = draws(1, *SHAPE)
    form = form_of(lambda f, v, s: f.clip(f.affine(v, number(2), number(1)), 0, 3), 1)
    assert np.allclose(value(form, film), np.clip(2 * film + 1, 0, 3), rtol=0, atol=1e-15)
    form = form_of(lambda f, v, s: f.pool(v, "max", (2, 2), (2, 1)), 1)
    assert value(form, film)[1, 2, 3] == film[2:4, 2:4, 3].max()
    form = form_of(lambda f, v, s: conv(f, v, draws(2, 3, 2, 2, 6), strides=(2, 1), dilations=(1, 2), groups=2), 1)
    kernel = draws(2, 3, 2, 2, 6)
    wanted = sum(film[2 + i, 1 + 2 * j, 2:4] @ kernel[i, j, :, 3:] for i in range(3) for j in range(2))
    assert np.allclose(value(form, film)[1, 1, 3:], wanted, rtol=1e-12)


def test_what_no_rule_knows_says_so():
    form = NormalForm()
    view = form.input((1, *SHAPE))
    for broken in (
        lambda: form.clip(view, 1, 0),
        lambda: form.conv(view, number(np.zeros((3, 3, 3, 2))), ZERO, (1, 1), (1, 1), NONE, 1),
        lambda: form.matmul(view, number(np.zeros((5, 2))), ZERO),
        lambda: form.pad(view, (-1, 0, 0, 0)),
        lambda: select(form, view, view, view),
        lambda: form.pool(view, "max", (9, 9), (1, 1)),
        lambda: view.stored,
        lambda: form.add("input", (), (1 << 29,)),
    ):
        with pytest.raises(NoRuleError):
            broken()


STORED = View(draws(0, 1, *SHAPE))


@pytest.mark.parametrize(
    "made",
    [
        lambda f, v: f.each(STORED, "sin"),
        lambda f, v: f.clip(STORED, 0, 1),
        lambda f, v: f.affine(STORED, number(2)),
        lambda f, v: compositions.power(f, STORED, 1.5),
        lambda f, v: compositions.erf(f, STORED),
        lambda f, v: compositions.softmax(f, STORED),
        lambda f, v: compositions.divide(f, View(np.float32(1)), f.clip(STORED, 0, 1)),
        lambda f, v: choices.compare(f, STORED, STORED, "less"),
        lambda f, v: choices.compare(f, STORED, View(np.float32(0)), "equal"),
        lambda f, v: choices.contrary(f, STORED),
        lambda f, v: choices.sign(f, STORED),
        lambda f, v: bound(f, STORED, STORED, low=True),
        lambda f, v: select(f, STORED, v, v),
    ],
)
def test_what_is_computed_of_stored_numbers_alone_is_not_taken_for_the_films(made):
    form = NormalForm()
    with pytest.raises(NoRuleError):
        made(form, form.input((1, *SHAPE)))


def test_stored_numbers_are_read_as_they_were_multiplied_and_computed_ones_are_no_numbers():
    form = NormalForm()
    film = form.input((1, 2))
    twice = form.binary("mul", View(np.float32([3, 5])), View(np.float32(2)))
    assert twice.array.tolist() == [6, 10]
    assert compositions.divide(form, twice, View(np.float32(4))).array.tolist() == [1.5, 2.5]
    assert View(np.int64([7])).array.dtype == np.int64
    for read in (lambda: film.array, lambda: optional([film], 0), lambda: twice.source):
        with pytest.raises(NoRuleError):
            read()


def test_one_power_is_read_however_often_it_is_stored_and_several_are_not():
    form = NormalForm()
    film = form.input((1, 2, 3))
    made = power(form, film, View(np.full((1, 1, 3), 1.5, np.float32)))
    assert made.term == power(form, film, View(np.float32(1.5))).term
    for exponents in (np.float32([1.5, 1.5, 2.5]), np.full((4, 2, 3), 1.5, np.float32)):
        with pytest.raises(NoRuleError, match="several powers"):
            power(form, film, View(exponents))


def test_a_choice_that_does_not_stretch_is_read_of_equal_sizes_and_of_one_condition_alone():
    form = NormalForm()
    film = form.input((1, 3, 3))
    truths = above(form, film)
    other, rows = compositions.negative(form, film), truths.map(lambda at: at[0, 0])
    for where in (truths, truths.map(lambda at: at[:, :1, :1])):
        made, wide = (select(form, where, film, other, stretches=stretches) for stretches in (False, True))
        assert made.term == wide.term
    with pytest.raises(NoRuleError, match="it chooses by"):
        select(form, rows, film, other, stretches=False)
    with pytest.raises(NoRuleError, match="it chooses by"):
        select(form, truths, film, View(np.zeros(3, np.float32)), stretches=False)
    select(form, rows, film, other)


# --- numbers ---


def compared(wanted, stored, declared=None, bias=None, wanted_bias=None):
    """Compare one matrix of a file with that of the ONNX graph."""
    forms = []
    for kernel, shift in ((wanted, wanted_bias), (stored, bias)):
        form = NormalForm()
        view = form.input((1, kernel.base.shape[0]))
        form.outputs = {"answer": form.matmul(view, kernel, ZERO if shift is None else shift)}
        forms.append(form)
    return compare(*forms, declared or Declared())


@pytest.mark.parametrize(("steps", "equal"), [(0, True), (1, True), (7, True), (9, False), (1000, False)])
def test_a_float32_weight_may_be_eight_steps_away(steps, equal):
    wanted = draws(3, 6, 5).astype(np.float32)
    stored = wanted.copy()
    stored[2, 3] += steps * np.spacing(stored[2, 3])
    match = compared(number(wanted), Stored(stored))
    assert (match.first is None) == equal
    assert match.found.steps == pytest.approx(steps if equal else 0)
    if not equal:
        assert f"weight[2, 3] is {stored[2, 3]:.9g}" in match.why


@pytest.mark.parametrize("off", [0, 2e-3])
def test_a_shift_before_rounded_weights_is_compared_as_exactly_as_one_before_others(off):
    forms = []
    for moved, rounded in ((0, False), (off, True)):
        form = NormalForm()
        view = form.affine(
            form.input((1, 64)), number(draws(1, 64)), number(draws(2, 64) + moved * (np.arange(64) == 9))
        )
        scale = np.abs(draws(3, 64, 5)).max(0) / 127
        kernel = Stored(np.rint(draws(3, 64, 5) / scale).astype(np.int8), scale) if rounded else number(draws(3, 64, 5))
        form.outputs = {"answer": form.matmul(view, kernel, ZERO)}
        forms.append(form)
    assert (compare(*forms, Declared()).first is None) == (off == 0)


@pytest.mark.parametrize("off", [0, 1, -1])
def test_a_float16_weight_is_the_one_rounding(off):
    wanted = draws(4, 6, 5)
    stored = wanted.astype(np.float16)
    stored[1, 1] = np.nextafter(stored[1, 1], np.float16(np.inf * off)) if off else stored[1, 1]
    assert (compared(number(wanted), Stored(stored)).first is None) == (off == 0)


@pytest.mark.parametrize(
    ("off", "declared", "equal"), [(0, False, True), (1, False, False), (1, True, True), (2, True, False)]
)
def test_an_int8_weight_is_the_nearest_step_or_by_a_declared_search_the_second(off, declared, equal):
    wanted = np.array([[127.0, 3.3], [-20.4, 127.0], [50.2, -9.45]])
    steps = np.rint(wanted).astype(np.int8)
    steps[0, 1] += off
    match = compared(
        number(wanted * 0.01), Stored(steps, np.full((1, 2), 0.01)), Declared(None if declared else frozenset())
    )
    assert (match.first is None) == equal
    assert match.found.second == (off if equal else 0)


@pytest.mark.parametrize(
    ("off", "declared", "equal"), [(0, 0, True), (3, 0, False), (3, 3, True), (3, 2, False), (0, 3, False)]
)
def test_a_bias_is_within_half_a_step_of_what_it_is_declared_to_be(off, declared, equal):
    wanted, exact = np.eye(3) * 127, np.array([1000.2, -30.4, 7.0])
    bias = np.rint(exact).astype(np.int32)
    bias[1] += off
    told = Declared(biases={"b": {1: declared}} if declared else {})
    kernel = Stored((wanted).astype(np.int8), np.full((1, 3), 0.5))
    stored = Stored(told.undone("b", bias), np.full(3, 0.25), name="b")
    match = compared(number(wanted * 0.5), kernel, told, stored, number(exact * 0.25))
    assert (match.first is None) == equal


def test_a_bias_may_be_off_by_what_rounding_its_terms_costs():
    terms = Stored(np.array([1e-3]), unit=np.array([100.0]))  # 100.001 - 100
    off = number(1e-3 + 3 * float(np.spacing(np.float32(100))))
    assert compared(number([[1.0]]), number([[1.0]]), None, off, terms).first is None
    assert compared(number([[1.0]]), number([[1.0]]), None, off, number([1e-3])).first is not None


def equalized(factor, second=None, between=lambda form, view: form.clip(view, low=0)):
    """Return two networks of two layers, one with channels moved by factors."""
    one, other = draws(5, 3, 3, 4, 6), draws(5, 3, 3, 6, 2)
    second = factor if second is None else second
    forms = []
    for moved, back, integer in ((np.ones(6), np.ones(6), False), (factor, second, True)):
        form = NormalForm()
        kernels = [number(one * moved), number(other / back[:, None])]
        if integer:
            scales = [np.abs(each.base).max((0, 1, 2)) / 127 for each in kernels]
            kernels = [
                Stored(np.rint(each.base / scale).astype(np.int8), scale)
                for each, scale in zip(kernels, scales, strict=True)
            ]
        view = form.conv(form.input((1, *SHAPE)), kernels[0], ZERO, (1, 1), (1, 1), (1, 1, 1, 1), 1)
        view = between(form, view)
        form.outputs = {"answer": form.conv(view, kernels[1], ZERO, (1, 1), (1, 1), NONE, 1)}
        forms.append(form)
    return compare(*forms, Declared())


POWERS = np.array([1.0, 2, 0.25, 8, 1, 0.5])


def test_channels_may_be_moved_by_powers_of_two_through_a_relu():
    match = equalized(POWERS)
    assert (match.first, match.equalized) == (None, 2)
    assert equalized(POWERS, between=lambda f, v: f.pool(f.clip(v, low=0), "max", (2, 2), (1, 1))).first is None


@pytest.mark.parametrize(
    ("factor", "second", "between"),
    [
        (POWERS, POWERS[::-1].copy(), lambda f, v: f.clip(v, low=0)),
        (POWERS, np.ones(6), lambda f, v: f.clip(v, low=0)),
        (POWERS, POWERS, lambda f, v: f.clip(v, 0, 6)),
        (POWERS, POWERS, lambda f, v: f.each(v, "tanh")),
        (POWERS * 1.3, POWERS * 1.3, lambda f, v: f.clip(v, low=0)),
    ],
    ids=["back by others", "not back", "through ReLU6", "through tanh", "no powers of two"],
)
def test_other_factors_are_not_taken(factor, second, between):
    assert equalized(factor, second, between).first is not None


def test_integers_may_end_at_the_bound_of_an_activation():
    def file(top):
        return form_of(lambda f, v, s: f.clip(v, 0, math.inf, top), 0)

    onnx = form_of(lambda f, v, s: f.clip(v, 0, 0.7), 0)
    near, far = (Stored(np.array([end]), coarse=np.array([0.003])) for end in (0.701, 0.71))
    assert compare(onnx, file(near), Declared()).first is None
    assert compare(onnx, file(far), Declared()).first is not None
    assert compare(onnx, file(None), Declared()).first is not None
    assert compare(form_of(lambda f, v, s: f.clip(v, low=0), 0), file(near), Declared()).first is None
