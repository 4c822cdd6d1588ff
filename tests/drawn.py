"""Cases that hypothesis draws."""

from hypothesis import strategies as st

from crossgrad.networks.cases import Case

from .conftest import make_case


@st.composite
def cases(draw: st.DrawFn) -> Case:
    widths = draw(st.lists(st.integers(1, 9), min_size=2, max_size=6))
    return make_case(
        "-".join(map(str, widths)),
        draw(st.sampled_from(["float16", "float32", "float64"])),
        batch_size=draw(st.integers(1, 9)),
        seed=draw(st.integers(0, 99)),
        loss=draw(st.sampled_from(["mse", "mse-sum", "half-mse"])),
    )
