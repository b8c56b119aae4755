"""Child of test_chain.py: load a Keras file as a stranger would, answer films, and train one step.

usage: check_h5.py FILE GOLDEN ANSWERS
"""

import json
import sys

import numpy as np


def main(path, golden, answers):
    import keras

    from tbconv.contract.golden import stored_inputs

    keras.utils.set_random_seed(0)
    films = stored_inputs(np.load(golden))[..., None].astype(np.float32)
    model = keras.models.load_model(path)
    told = model.predict_on_batch(films)
    np.savez(answers, **{name: np.asarray(array) for name, array in told.items()})
    before = [np.array(weight) for weight in model.trainable_weights]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(1e-3), loss={"logits": loss})
    batch, labels = films[-8:], np.arange(8) % 2
    found = float(np.ravel(model.train_on_batch(batch, {"logits": labels}))[0])
    moved = sum(
        bool(np.any(np.array(weight) != old)) for weight, old in zip(model.trainable_weights, before, strict=True)
    )
    kinds = [type(layer).__name__ for layer in model.layers]
    facts = {
        "kinds": {kind: kinds.count(kind) for kind in set(kinds)},
        "outputs": sorted(told),
        "loss": found,
        "moved": moved,
        "weights": len(before),
        "finite": all(bool(np.isfinite(np.array(weight)).all()) for weight in model.trainable_weights),
        "epsilons": sorted({layer.epsilon for layer in model.layers if type(layer).__name__ == "BatchNormalization"}),
    }
    sys.stdout.write(json.dumps(facts) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
