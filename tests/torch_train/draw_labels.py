"""Draw sets of several labels and networks that know them: bright squares, and a last layer fitted to them."""

import csv

import numpy as np
import torch
from PIL import Image
from team_networks import draw_net

NIH = ("Image Index", "Finding Labels", "Follow-up #", "Patient ID", "Patient Age", "Patient Gender", "View Position")
LABELS = ("Nodule", "Mass", "Hernia")
CORNERS = {"Nodule": (4, 4), "Mass": (4, 40), "Hernia": (40, 22)}


def draw_film(place, labels, seed):
    """Draw noise with a bright square for each label, each in a place of its own; uint8 [64, 64]."""
    pixels = np.random.default_rng(seed).integers(20, 90, (64, 64)).astype(np.uint8)
    for label in labels:
        y, x = CORNERS[label]
        pixels[y : y + 20, x : x + 20] += 140
    place.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(place)
    return pixels


def fit_head(net, folder, names, wanted):
    """Fit the last layer of a network of random features, so that it knows the labels; weights as torch has them."""
    images = np.stack([np.asarray(Image.open(folder / name).resize((224, 224)), np.float32) / 255 for name in names])
    with torch.inference_mode():
        inputs = torch.from_numpy(images)[:, None].repeat(1, 3, 1, 1)
        features = torch.nn.Sequential(*list(net.children())[:-1])(inputs).flatten(1).double().numpy()
    centred = features - features.mean(0)
    truth = 2.0 * np.array(wanted, np.float64) - 1
    ridge = centred @ centred.T + 1e-3 * np.trace(centred @ centred.T) / len(names) * np.eye(len(names))
    weight = (centred.T @ np.linalg.solve(ridge, truth - truth.mean(0))).T
    with torch.no_grad():
        net.fc.weight.copy_(torch.from_numpy(weight))
        net.fc.bias.copy_(torch.from_numpy(truth.mean(0) - weight @ features.mean(0)))
    return net


def draw_several(root, *, films=72, seed=0):
    """Draw films of half as many patients as NIH's set names them, and a checkpoint that knows their labels.

    Returns:
        By the name of each film its labels, 0 or 1 each.
    """
    has = np.random.default_rng(seed).random((films, 3)) < (0.5, 0.4, 0.3)
    rows = []
    for number, row in enumerate(has):
        labels = [label for label, one in zip(LABELS, row, strict=True) if one]
        name = f"{number // 2:08d}_{number % 2:03d}.png"
        draw_film(root / "films" / name, labels, number)
        rows.append((name, "|".join(labels) or "No Finding", number % 2, number // 2, "058Y", "M", "PA"))
    with (root / "films" / "Data_Entry_2017.csv").open("w", newline="") as file:
        csv.writer(file).writerows([NIH, *rows])
    names = [row[0] for row in rows]
    net = fit_head(draw_net("resnet18", outputs=3), root / "films", names, has)
    torch.save(net.state_dict(), root / "net.pt")
    return dict(zip(names, has.astype(int).tolist(), strict=True))
