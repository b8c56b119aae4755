"""Where formats part: layer by layer over a bundle, and along one film."""
