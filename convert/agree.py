"""Whether everything that is written in a bundle says the same: the one place that holds all of it side by side.

Digests tell that a file is the one that was sealed, parity that it answers as PyTorch does. Neither
sees a threshold that was retrained while an older one travels on in the `.tflite` file.
"""

from __future__ import annotations

from convert.agree_certificate import certificate_problems
from convert.agree_run import run_problems
from convert.isolate import run_step
from convert.metadata_schema import GRAYSCALE
from tbconv.contract.agreement import answer_problems, appended_files, appended_problems, differences
from tbconv.contract.bundle import Bundle
from tbconv.contract.golden import GOLDEN, read_golden
from tbconv.contract.manifest import Artefact
from torch_train.run_folder import BASELINE, WEIGHTS


def disagreements(bundle: Bundle) -> dict[str, str]:
    """Return, by path, what in a bundle contradicts its manifest; empty where all agree.

    Threshold, calibration, labels and preprocessing inside each `.tflite` file; the calibration inside each graph, from
    its golden answers alone; the run's split, figures and configuration; what the certificate is bound to. What an
    older bundle does not record is not asked.

    Args:
        bundle: its digests are taken for checked.

    Raises:
        BundleError: a file that is asked is missing or damaged.
    """
    found: dict[str, list[str]] = {}
    golden = read_golden(bundle.path(GOLDEN))
    asked = (appended_problems, _metadata_problems, run_problems, certificate_problems)
    for part in (*(ask(bundle) for ask in asked), answer_problems(bundle, golden)):
        for path, problem in part.items():
            found.setdefault(path, []).append(problem)
    return {path: "; ".join(problems) for path, problems in sorted(found.items())}


def _metadata_problems(bundle: Bundle) -> dict[str, str]:
    """Hold the metadata flatbuffers, which Android's extractor reads, to the manifest."""
    files = [one for one in bundle.manifest.artefacts if one.format == "tflite"]
    telling = [one for one in files if appended_files(bundle.root / one.path)]
    if not telling:
        return {}
    told = run_step("convert.tflite_claims", {"files": [str(bundle.root / one.path) for one in telling]})
    found = {one.path: _claimed(bundle, one, told[str(bundle.root / one.path)]) for one in telling}
    return {path: "; ".join(problems) for path, problems in found.items() if problems}


def _claimed(bundle: Bundle, artefact: Artefact, told: dict[str, object]) -> list[str]:
    if "problem" in told:
        return [str(told["problem"])]
    manifest, weights = bundle.manifest, WEIGHTS if artefact.network == "trained" else BASELINE
    named: dict[str, object] = {"name": f"{manifest.name} ({artefact.network})"}
    if weights in manifest.files:
        named["version"] = manifest.files[weights].sha256
    return differences(told, named, of="its metadata:") + _claimed_input(manifest.preprocessing.size, told)


def _claimed_input(size: int, told: dict[str, object]) -> list[str]:
    """Hold what a client makes of a film by the metadata: its size, one grey channel, no normalisation of its own."""
    match told:
        case {"subgraph_metadata": [{"input_tensor_metadata": [image]}]}:
            pass
        case _:
            return ["its metadata: describes no single input"]
    picture = {"color_space": GRAYSCALE, "default_size": {"width": size, "height": size}}
    meant = {"content": {"content_properties": {"ImageProperties": picture}}, "stats": {"min": [0.0], "max": [255.0]}}
    problems = differences(image, meant, of="its metadata: image")
    units = [{"options": {"NormalizationOptions": {"mean": [0.0], "std": [1.0]}}}]
    return problems + differences(image, {"process_units": units}, of="its metadata: image")
