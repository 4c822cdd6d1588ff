"""PyTorch: the network in torch.nn.functional's words, differentiated by autograd."""

from .engine import TorchBackend

__all__ = ["TorchBackend"]
