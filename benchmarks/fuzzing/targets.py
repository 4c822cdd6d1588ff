"""Every target by its name."""

from .benches import BENCHES
from .commands import COMMANDS
from .files import IMAGES, NETWORKS, PARAMETERS
from .models import ONNX
from .runs import IDS, INFOS, PLANS, RECORDS

TARGETS = {
    "network": NETWORKS,
    "parameters": PARAMETERS,
    "onnx": ONNX,
    "mnist": IMAGES,
    "sweep": PLANS,
    "ids": IDS,
    "run": INFOS,
    "records": RECORDS,
    "bench": BENCHES,
    "cli": COMMANDS,
}
