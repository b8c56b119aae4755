"""Other teams' networks: torchvision's own, trained far enough to have BatchNorms of their own."""

import torch
from torchvision.models import get_model


def draw_net(arch, *, outputs=2, grey_stem=False, seed=3):
    """Return torchvision's network in eval mode, BatchNorm statistics from noise."""
    torch.manual_seed(seed)
    net = get_model(arch, weights=None, num_classes=outputs)
    if grey_stem:
        net.conv1 = torch.nn.Conv2d(1, 64, 7, 2, 3, bias=False)
    channels = 1 if grey_stem else 3
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, 0.0, 0.2)
    with torch.no_grad():
        net.train()(torch.randn(2, channels, 224, 224))
    return net.eval()


def grey_films(n=2, seed=5):
    """Return films float32 [n, 1, 224, 224], whole grey levels 0..255."""
    return torch.randint(0, 256, (n, 1, 224, 224), generator=torch.Generator().manual_seed(seed)).float()
