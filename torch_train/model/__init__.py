"""Networks: the classifier, any torchvision backbone, the baseline, and what is deployed of them."""
