"""Two models on the same films: which decisions a change alters, held to margins given beforehand."""
