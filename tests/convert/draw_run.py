"""Draw phantoms, the small network, and the run folder that `tbconv train` would have left of it."""

import numpy as np

from tbconv.contract.environment import provenance
from tbconv.contract.manifest import Calibration, DecisionRule, Labels, OperatingPoint
from tbconv.contract.preprocess import PreprocessSpec
from torch_train.data.phantom import draw_phantom
from torch_train.run_folder import (
    BASELINE,
    CALIBRATION_FILMS,
    HELDOUT_FILMS,
    WEIGHTS,
    Films,
    RunFacts,
    write_films,
    write_run,
)

N_CALIBRATION, N_HELDOUT, FIRST_HELDOUT = 8, 20, 700


def draw_squares(n, *, first_seed):
    """Draw phantoms, every other one positive: uint8 [N, 224, 224] and labels int64 [N]."""
    labels = np.arange(n) % 2
    spec = PreprocessSpec()
    phantoms = [draw_phantom(first_seed + index, positive=bool(label)) for index, label in enumerate(labels)]
    return np.stack([spec.model_input(phantom.pixels) for phantom in phantoms]), labels.astype(np.int64)


def draw_network(model_inputs, *, seed):
    """Return the small network: random weights, BatchNorm statistics of phantoms."""
    import torch

    from torch_train.model.network import XrayNetwork

    torch.manual_seed(seed)
    network = XrayNetwork("resnet10")
    images = torch.from_numpy(model_inputs)[:, None].float()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
                torch.nn.init.uniform_(module.weight, 0.5, 1.5)
                torch.nn.init.normal_(module.bias, 0.0, 0.2)
                module.momentum = 0.5
        for _ in range(4):
            network.train()(images)
    return network.eval()


def margins_of(network, model_inputs):
    """Return the margins of films, float [N]."""
    import torch

    with torch.inference_mode():
        logits = network(torch.from_numpy(model_inputs)[:, None].float()).numpy()
    return logits[:, 1] - logits[:, 0]


def threshold_of(margins):
    """Return the middle of the widest gap among the inner margins: no decision hangs on rounding."""
    inner = np.sort(margins)[len(margins) // 4 : -(len(margins) // 4)]
    widest = int(np.diff(inner).argmax())
    return float(inner[widest : widest + 2].mean())


def readout_of(margins):
    """Return a decision_rule with the threshold in the widest gap."""
    point = OperatingPoint(threshold_of(margins), 0.9, 0.9, 0.5, 10, 10, "5" * 64)
    return DecisionRule(Calibration(1.2, -0.3, 10, 10), point)


def write_drawn_run(run, *, seed=0, trained=True):
    """Write a finished run folder, and return it."""
    from torch_train.model.baseline import baseline_margins, fit_baseline
    from torch_train.results import write_baseline, write_weights

    calibration, calibration_labels = draw_squares(N_CALIBRATION, first_seed=500)
    heldout, labels = draw_squares(N_HELDOUT, first_seed=FIRST_HELDOUT)
    run.mkdir()
    baseline = fit_baseline(calibration, calibration_labels, seed=0)
    write_baseline(run / BASELINE, baseline)
    decision_rules = {"baseline": readout_of(baseline_margins(baseline, heldout))}
    if trained:
        network = draw_network(calibration, seed=seed)
        write_weights(run / WEIGHTS, network)
        decision_rules["trained"] = readout_of(margins_of(network, heldout))
    part = np.array(["test"] * 8 + ["validation"] * (N_HELDOUT - 8))
    write_films(run / CALIBRATION_FILMS, Films(calibration, calibration_labels, np.full(N_CALIBRATION, "train")))
    write_films(run / HELDOUT_FILMS, Films(heldout, labels, part))
    origin = {**provenance(), "gpu": None, "data_digest": "d" * 64, "split_digest": "5" * 64}
    arch = "resnet10" if trained else None
    write_run(run, RunFacts("drawn", arch, Labels("Normal", "Tuberculosis"), decision_rules, True, origin))
    return run
