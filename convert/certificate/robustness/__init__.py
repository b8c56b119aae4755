"""How far harmless changes of a film move the decisions of a run or a bundle: `tbconv audit --robustness`."""
