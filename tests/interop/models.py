"""Networks of plain PyTorch as people write them, at small widths."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class MLP(nn.Module):
    """Functional activations, dropout, batch norm, a flatten by view."""

    def __init__(self, width: int = 6) -> None:
        super().__init__()
        self.first = nn.Linear(64, width)
        self.norm = nn.BatchNorm1d(width, eps=1e-3, momentum=0.2)
        self.second = nn.Linear(width, width, bias=False)
        self.dropout = nn.Dropout(0.3)
        self.last = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = x.view(x.size(0), -1)
        x = functional.relu(self.norm(self.first(x)))
        x = self.dropout(torch.tanh(self.second(x)))
        return self.last(x)


class VGG(nn.Module):
    """Stacks of convolutions from a list, pools, a classifier with dropout."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for step in (width, "pool", 2 * width, 2 * width, "pool"):
            if step == "pool":
                layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
            else:
                assert isinstance(step, int)
                layers += [
                    nn.Conv2d(channels, step, 3, padding=1),
                    nn.BatchNorm2d(step),
                    nn.ReLU(inplace=True),
                ]
                channels = step
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d((2, 2))
        self.classifier = nn.Sequential(
            nn.Linear(channels * 4, 12),
            nn.ReLU(True),
            nn.Dropout(),
            nn.Linear(12, 12),
            nn.ReLU(True),
            nn.Linear(12, 10),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.avgpool(self.features(x))
        return self.classifier(torch.flatten(x, 1))


class BasicBlock(nn.Module):
    """Two convolutions beside a shortcut; one activation module, called twice."""

    def __init__(self, channels: int, features: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, features, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(features)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(features, features, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(features)
        self.downsample: nn.Module | None = None
        if stride != 1 or channels != features:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels, features, 1, stride, bias=False), nn.BatchNorm2d(features)
            )

    def forward(self, x: Tensor) -> Tensor:
        identity = x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.downsample is not None:
            identity = self.downsample(x)
        out += identity
        return self.relu(out)


class ResNet18(nn.Module):
    """The ResNet-18 of torchvision at a width of 8 instead of 64."""

    def __init__(self, width: int = 8, classes: int = 10, channels: int = 3) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = nn.Sequential(BasicBlock(width, width), BasicBlock(width, width))
        self.layer2 = nn.Sequential(BasicBlock(width, 2 * width, 2), BasicBlock(2 * width, 2 * width))
        self.layer3 = nn.Sequential(BasicBlock(2 * width, 4 * width, 2), BasicBlock(4 * width, 4 * width))
        self.layer4 = nn.Sequential(BasicBlock(4 * width, 8 * width, 2), BasicBlock(8 * width, 8 * width))
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(8 * width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(torch.flatten(self.avgpool(x), 1))


class DenseLayer(nn.Module):
    """Norm, activation and convolution of all that came before, concatenated."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, 2 * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(2 * growth)
        self.conv2 = nn.Conv2d(2 * growth, growth, 3, padding=1, bias=False)

    def forward(self, features: list[Tensor]) -> Tensor:
        x = self.conv1(functional.relu(self.norm1(torch.cat(features, 1))))
        return self.conv2(functional.relu(self.norm2(x)))


class DenseNet(nn.Module):
    """Two dense blocks with a transition between; the mean over space at the end."""

    def __init__(self, growth: int = 3) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1, bias=False)
        self.block1 = nn.ModuleList(DenseLayer(6 + growth * place, growth) for place in range(3))
        channels = 6 + 3 * growth
        self.transition = nn.Sequential(
            nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, 8, 1, bias=False), nn.AvgPool2d(2)
        )
        self.block2 = nn.ModuleList(DenseLayer(8 + growth * place, growth) for place in range(2))
        self.norm = nn.BatchNorm2d(8 + 2 * growth)
        self.classifier = nn.Linear(8 + 2 * growth, 10)

    def forward(self, x: Tensor) -> Tensor:
        features = [self.stem(x)]
        for layer in self.block1:
            features.append(layer(features))
        features = [self.transition(torch.cat(features, 1))]
        for layer in self.block2:
            features.append(layer(features))
        x = functional.relu(self.norm(torch.cat(features, dim=1)))
        return self.classifier(x.mean(dim=[2, 3]))


class UNet(nn.Module):
    """Down and up again with skips.

    Args:
        up: what brings the bottom back to the size of the top: None keeps the size all the way (dilated convolutions),
            else a module that doubles it.
    """

    def __init__(self, width: int = 4, up: nn.Module | None = None) -> None:
        super().__init__()
        self.down1 = nn.Sequential(nn.Conv2d(1, width, 3, padding=1), nn.LeakyReLU(0.01))
        self.pool = nn.MaxPool2d(2) if up is not None else nn.Identity()
        self.down2 = nn.Sequential(nn.Conv2d(width, 2 * width, 3, padding=1), nn.ELU())
        self.bottom = nn.Conv2d(2 * width, 2 * width, 3, padding=2, dilation=2)
        self.up = nn.Identity() if up is None else up
        self.joint = nn.Conv2d(3 * width, width, 3, padding=1)
        self.head = nn.Conv2d(width, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        top = self.down1(x)
        below = self.down2(self.pool(top))
        below = below + functional.silu(self.bottom(below))
        joint = torch.cat((self.up(below), top), dim=1)
        return self.head(functional.gelu(self.joint(joint)))


class TransposedUNet(nn.Module):
    """Down and up again by transposed convolutions: a module, one without a bias before a norm, a function."""

    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.down1 = nn.Sequential(nn.Conv2d(1, width, 3, padding=1), nn.GELU())
        self.down2 = nn.Sequential(nn.Conv2d(width, 2 * width, 3, stride=2, padding=1), nn.GELU())
        self.bottom = nn.Sequential(nn.Conv2d(2 * width, 3 * width, 3, stride=2, padding=1), nn.GELU())
        self.up2 = nn.ConvTranspose2d(3 * width, 2 * width, 2, stride=2)
        self.joint2 = nn.Conv2d(4 * width, 2 * width, 3, padding=1)
        self.up1 = nn.Sequential(
            nn.ConvTranspose2d(2 * width, width, 3, stride=2, padding=1, output_padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.Tanh(),
        )
        self.joint1 = nn.Conv2d(2 * width, width, 3, padding=1)
        self.kernel = nn.Parameter(torch.randn(width, 2, 3, 3) / 3)

    def forward(self, x: Tensor) -> Tensor:
        top = self.down1(x)
        middle = self.down2(top)
        up = functional.gelu(self.up2(self.bottom(middle)))
        up = functional.gelu(self.joint2(torch.cat((up, middle), dim=1)))
        up = functional.gelu(self.joint1(torch.cat((self.up1(up), top), dim=1)))
        return functional.conv_transpose2d(up, self.kernel, padding=1)


class SequenceDecoder(nn.Module):
    """A code is spread over a sequence; dilated, and with more cut off than the kernel adds."""

    def __init__(self) -> None:
        super().__init__()
        self.spread = nn.ConvTranspose1d(6, 5, 4, stride=4)
        self.finer = nn.ConvTranspose1d(5, 4, 3, stride=2, padding=2, dilation=2, output_padding=1)
        self.last = nn.ConvTranspose1d(4, 2, 1, padding=1)
        self.head = nn.Linear(2 * 6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.silu(self.spread(x))
        x = functional.silu(self.last(functional.silu(self.finer(x))))
        return self.head(x.flatten(1))


class MixerBlock(nn.Module):
    """Tokens are mixed by linear layers across a transposed image, then channels."""

    def __init__(self, tokens: int, channels: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.tokens = nn.Sequential(nn.Linear(tokens, 8), nn.GELU(), nn.Linear(8, tokens))
        self.channels = nn.Sequential(nn.Linear(channels, 8), nn.GELU(), nn.Linear(8, channels))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.tokens(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        return x + self.channels(self.norm2(x))


class Mixer(nn.Module):
    """An MLP-Mixer: patches, blocks, a norm, the mean over the tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, 6, 2, stride=2)
        self.blocks = nn.ModuleList([MixerBlock(16, 6), MixerBlock(16, 6)])
        self.norm, self.head = nn.LayerNorm(6), nn.Linear(6, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x).mean(1))


class ConvMixer(nn.Module):
    """A mixer of depthwise and pointwise convolutions over a sequence, as the language has it."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv1d(8, 6, 1)
        self.tokens = nn.Conv1d(6, 6, 7, padding="same", groups=6)
        self.norm = nn.GroupNorm(2, 6, eps=1e-4)
        self.hidden = nn.Conv1d(6, 12, 1)
        self.back = nn.Conv1d(12, 6, 1)
        self.pool = nn.AvgPool1d(2)
        self.whole = nn.LayerNorm([6, 4])
        self.head = nn.Linear(24, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        x = torch.add(x, functional.gelu(self.tokens(x)))
        x = x + self.back(functional.gelu(self.hidden(self.norm(x))))
        x = self.whole(self.pool(x))
        return self.head(x.reshape(x.shape[0], -1))


class Several(nn.Module):
    """Two inputs, a dict of outputs, an optional argument that is left out."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = nn.Conv2d(1, 2, 3, stride=2)
        self.told = nn.Linear(5, 4)
        self.hidden = nn.Linear(2 * 9 + 4, 6)
        self.digit, self.size = nn.Linear(6, 10), nn.Linear(6, 1)

    def forward(self, picture: Tensor, numbers: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
        seen = functional.softplus(self.seen(picture))
        if mask is not None:
            seen = seen * mask
        both = torch.cat([seen.flatten(start_dim=1), functional.selu(self.told(numbers))], dim=-1)
        hidden = torch.sigmoid(self.hidden(both))
        return {"size": self.size(hidden), "digit": self.digit(hidden), "told": hidden}
