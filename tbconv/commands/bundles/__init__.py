"""`tbconv show | retune | push | sign | upgrade`: what is done with a bundle that is there."""
