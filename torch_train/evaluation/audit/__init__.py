"""Does a shortcut explain the score? Probes of films and of a trained network, each with a rule of its own."""
