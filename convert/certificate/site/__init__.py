"""What a bundle does at a site: on its labelled films, in the results of a run, and how a run went."""
