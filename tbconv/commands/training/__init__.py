"""`tbconv data | train | adopt | evaluate | audit`: films in, weights and figures of them out."""
