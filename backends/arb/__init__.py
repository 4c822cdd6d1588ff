"""The certified oracle: the network in ball arithmetic, every quantity with a proved bound of its error."""

from .certificate import Certified, TooCostly, certify
from .cost import predicted_seconds
from .enclosures import Enclosure
from .engine import ArbBackend

__all__ = ["ArbBackend", "Certified", "Enclosure", "TooCostly", "certify", "predicted_seconds"]
