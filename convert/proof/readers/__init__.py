"""Files of each format in the normal form: what a reader does not know ends in `NoRuleError`, never in a guess."""
