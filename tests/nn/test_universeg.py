"""UniverSeg against its formulas, and its factorised form against the plain one."""

import numpy as np
import pytest
import torch
import universeg_transcription as transcription
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from napari_regcon.errors import InputError, WeightsError
from napari_regcon.nn.cross_block import CrossBlock, two_convolutions
from napari_regcon.nn.universeg import UniverSeg, load_universeg


def network(width=64, seed=0):
    torch.manual_seed(seed)
    made = UniverSeg(width)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if name.endswith("bias"):  # zeros would hide a bias that is added twice
                parameter.normal_(std=0.2)
    return made.eval()


def task(n_queries=1, n_examples=3, shape=(16, 16), seed=1, **kind):
    generator = torch.Generator().manual_seed(seed)
    draw = lambda *s: torch.rand(*s, *shape, generator=generator, **kind)  # noqa: E731
    labels = (draw(n_queries, n_examples, 1) > 0.6).to(kind.get("dtype", torch.float32))
    return draw(n_queries, 1), draw(n_queries, n_examples, 1), labels


def largest(a, b):
    return (a - b).abs().max().item()


@pytest.fixture(scope="module")
def full():
    return network()


# ------------------------------------------------------------------------ the network itself


def test_tensors_have_the_released_names_and_shapes():
    state = UniverSeg().state_dict()
    assert len(state) == 44
    assert sum(t.numel() for t in state.values()) == 1_182_785
    parts = ("cross.cross_conv", "target.vmapped.conv", "support.vmapped.conv")
    blocks = [f"enc_blocks.{i}" for i in range(4)] + [f"dec_blocks.{i}" for i in range(3)]
    expected = {f"{b}.{p}.{k}" for b in blocks for p in parts for k in ("weight", "bias")}
    assert set(state) == expected | {"out_conv.conv.weight", "out_conv.conv.bias"}
    inputs = [state[f"{b}.cross.cross_conv.weight"].shape[1] for b in blocks]
    assert inputs == [3, 128, 128, 128, 256, 256, 256]
    assert state["dec_blocks.2.target.vmapped.conv.weight"].shape == (64, 64, 3, 3)
    assert state["out_conv.conv.weight"].shape == (1, 64, 1, 1)


@pytest.mark.parametrize("factorised", [True, False])
@pytest.mark.parametrize(
    ("n_queries", "n_examples", "shape"),
    [(1, 1, (16, 16)), (1, 2, (32, 16)), (2, 3, (16, 24)), (1, 7, (16, 16)), (3, 1, (16, 16))],
)
def test_agrees_with_a_transcription_of_the_formulas(
    full, n_queries, n_examples, shape, factorised
):
    query, images, labels = task(n_queries, n_examples, shape)
    with torch.inference_mode():
        found = full(query, images, labels, factorised=factorised)
    assert found.shape == query.shape
    expected = [
        transcription.universeg(full.state_dict(), *(t.numpy() for t in one))
        for one in zip(query, images, labels, strict=True)
    ]
    assert np.std(expected) > 0.05  # a network that says nothing would agree too
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("n_examples", [1, 4])
def test_agrees_with_the_transcription_at_the_trained_size(full, n_examples):
    query, images, labels = task(1, n_examples, (128, 128))
    with torch.inference_mode():
        found = full(query, images, labels)
    expected = transcription.universeg(full.state_dict(), query[0], images[0], labels[0])
    np.testing.assert_allclose(found[0].numpy(), expected, atol=1e-5, rtol=0)


@settings(max_examples=15, deadline=None)
@given(
    st.integers(1, 3),
    st.integers(1, 6),
    st.integers(1, 4),
    st.integers(1, 4),
    st.none() | st.integers(1, 7),
    st.booleans(),
)
def test_forms_agree_for_any_size_and_chunk(n_queries, n_examples, rows, columns, chunk, offload):
    small = network(width=5).double()
    given_task = task(n_queries, n_examples, (8 * rows, 8 * columns), dtype=torch.float64)
    with torch.inference_mode():
        plain = small(*given_task, factorised=False)
        found = small(*given_task, chunk=chunk, offload=offload)
    assert largest(found, plain) < 1e-11


def test_order_and_repeats_of_examples_do_not_matter(full):
    query, images, labels = task(n_examples=3)
    with torch.inference_mode():
        once = full(query, images, labels)
        turned = full(query, images.flip(1), labels.flip(1))
        twice = full(query, images.repeat(1, 2, 1, 1, 1), labels.repeat(1, 2, 1, 1, 1))
    assert largest(once, turned) < 1e-5
    assert largest(once, twice) < 1e-5


@settings(max_examples=25, deadline=None)
@given(
    st.integers(3, 9),
    st.integers(3, 9),
    st.integers(1, 3),
    st.tuples(st.booleans(), st.booleans()),
)
def test_two_convolutions_as_one_are_exact_to_the_border(rows, columns, channels, biases):
    generator = torch.Generator().manual_seed(rows * columns)
    draw = lambda *s: torch.randn(*s, generator=generator, dtype=torch.float64)  # noqa: E731
    images, kernels = draw(2, channels, rows, columns), (draw(6, channels, 3, 3), draw(4, 6, 3, 3))
    first, second = (
        (kernel, draw(len(kernel)) if has_bias else None)
        for kernel, has_bias in zip(kernels, biases, strict=True)
    )
    stepwise = functional.conv2d(functional.conv2d(images, *first, padding=1), *second, padding=1)
    torch.testing.assert_close(two_convolutions(images, first, second), stepwise)


# ----------------------------------------------------------------------- what is saved by it


def test_gradients_of_both_forms_agree():
    both = []
    for factorised in (True, False):
        small = network(width=4).double()
        inputs = [t.requires_grad_() for t in task(2, 3, (16, 8), dtype=torch.float64)]
        logits = small(*inputs, factorised=factorised, chunk=2)
        functional.softplus(logits).mean().backward()
        both.append([t.grad for t in (*inputs, *small.parameters())])
    for one, other in zip(*both, strict=True):
        if one is None:  # the support path of the last block leads nowhere
            assert other is None or not other.any()
        else:
            assert one.abs().max() > 0
            torch.testing.assert_close(one, other, atol=1e-12, rtol=1e-9)


def test_encoded_support_serves_many_queries(full):
    queries, images, labels = task(n_queries=4, n_examples=5)
    with torch.inference_mode():
        encoded = full.encode_support(images[:1], labels[:1], chunk=2)
        one_by_one = torch.cat([full.segment(query[None], encoded) for query in queries])
        together = full.segment(queries, encoded)
        shared = full(queries, images[:1], labels[:1])
        apart = full(queries, *(t[:1].expand(4, -1, -1, -1, -1) for t in (images, labels)))
    assert [part.shape[1] for part in encoded.parts] == [2, 2, 1]
    assert encoded.nbytes == (5 + 1) * 64 * 16 * 16 * 4
    for found in (one_by_one, together, shared):
        assert largest(found, apart) < 1e-5


def test_no_more_than_a_chunk_is_worked_on_at_a_time(monkeypatch):
    small, sizes = network(width=3), []
    step = CrossBlock.next_support

    def spy(self, query_half, support):
        sizes.append(support.shape[1])
        return step(self, query_half, support)

    monkeypatch.setattr(CrossBlock, "next_support", spy)
    with torch.inference_mode():
        small(*task(n_examples=7), chunk=3)
    assert sizes == [3, 3, 1] * 5  # five blocks: the first is encoded, the last needs a mean


def test_kept_features_leave_the_device_only_where_asked(monkeypatch):
    moved, to_memory = [], torch.Tensor.cpu

    def spy(tensor):
        moved.append(tensor.shape)
        return to_memory(tensor)

    monkeypatch.setattr(torch.Tensor, "cpu", spy)
    small, given_task = network(width=3), task(n_examples=4)
    with torch.inference_mode():
        inside = small(*given_task, chunk=2)
        assert not moved
        outside = small(*given_task, chunk=2, offload=True)
    # Three levels of pooled features, two of skips, two of decoded ones, in two parts each.
    assert len(moved) == 14
    assert torch.equal(inside, outside)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_memory_of_the_device_is_bounded(full):
    given_task = [t.cuda() for t in task(n_examples=32, shape=(128, 128))]
    on_gpu, peaks, results = UniverSeg().cuda().eval(), [], []
    on_gpu.load_state_dict(full.state_dict())
    for options in ({}, {"chunk": 2}, {"chunk": 2, "offload": True}):
        torch.cuda.reset_peak_memory_stats()
        with torch.inference_mode():
            results.append(on_gpu(*given_task, **options))
        peaks.append(torch.cuda.max_memory_allocated())
    assert peaks[0] > peaks[1] > peaks[2]
    assert largest(results[0], results[2]) < 1e-2  # convolutions there are in TF32


@pytest.mark.parametrize(("n_examples", "at_least"), [(1, 1.2), (4, 2.4), (16, 4.0), (64, 4.9)])
def test_factorised_form_does_less_work(full, n_examples, at_least):
    counts = []
    meta = UniverSeg().to("meta")
    query, images, labels = (t.to("meta") for t in task(1, n_examples, (128, 128)))
    encoded = meta.encode_support(images, labels)
    for form in (
        lambda: meta(query, images, labels, factorised=False),
        lambda: meta.segment(query, encoded),
    ):
        with FlopCounterMode(display=False) as counter:
            form()
        counts.append(counter.get_total_flops())
    assert counts[0] / counts[1] > at_least


def test_half_precision_stays_near(full):
    given_task = task(n_examples=9, shape=(32, 32))
    with torch.inference_mode():
        exact = full(*given_task)
        with torch.autocast("cpu", torch.bfloat16):
            near = full(*given_task)
            encoded = full.encode_support(*given_task[1:])
    assert encoded.parts[0].dtype == torch.bfloat16
    assert 0 < largest(exact, near.float()) < 0.05 * exact.abs().max().item()


# ------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("query", "images", "labels", "what"),
    [
        ((1, 1, 16, 20), (1, 2, 1, 16, 20), (1, 2, 1, 16, 20), "multiples of 8"),
        ((1, 1, 20, 16), (1, 2, 1, 16, 16), (1, 2, 1, 16, 16), "The query is 20 x 16 pixels"),
        ((1, 1, 16, 16), (1, 2, 1, 24, 16), (1, 2, 1, 24, 16), "the support is 24 x 16 pixels"),
        ((1, 3, 16, 16), (1, 2, 1, 16, 16), (1, 2, 1, 16, 16), "The query has the shape"),
        ((1, 16, 16), (1, 2, 1, 16, 16), (1, 2, 1, 16, 16), "The query has the shape"),
        ((1, 1, 16, 16), (1, 2, 3, 16, 16), (1, 2, 1, 16, 16), "The support images have"),
        ((1, 1, 16, 16), (1, 2, 1, 16, 16), (1, 2, 16, 16), "The support labels have"),
        ((1, 1, 16, 16), (1, 0, 1, 16, 16), (1, 0, 1, 16, 16), "at least one example"),
        ((1, 1, 16, 16), (1, 2, 1, 16, 16), (1, 3, 1, 16, 16), "one label image for each"),
        ((3, 1, 16, 16), (2, 2, 1, 16, 16), (2, 2, 1, 16, 16), "3 queries, but 2 support sets"),
    ],
)
@pytest.mark.parametrize("factorised", [True, False])
def test_wrong_shapes_are_explained(query, images, labels, what, factorised):
    small = network(width=2)
    with pytest.raises(InputError, match=what):
        small(torch.rand(query), torch.rand(images), torch.rand(labels), factorised=factorised)


def test_a_query_must_fit_the_encoded_support():
    small = network(width=2)
    encoded = small.encode_support(*task(n_queries=2)[1:])
    with pytest.raises(InputError, match="16 x 16"):
        small.segment(torch.rand(2, 1, 24, 24), encoded)
    with pytest.raises(InputError, match="3 queries, but 2 support sets"):
        small.segment(torch.rand(3, 1, 16, 16), encoded)


# --------------------------------------------------------------------------------- weights


@pytest.mark.parametrize("width", [64, 32])
def test_a_state_dict_makes_the_same_network(width):
    original = network(width)
    loaded = load_universeg(original.state_dict())
    assert loaded.width == width
    assert not loaded.training
    given_task = task()
    with torch.inference_mode():
        assert torch.equal(loaded(*given_task), original(*given_task))


def test_half_precision_weights_are_read_as_float32():
    state = {name: t.half() for name, t in network(8).state_dict().items()}
    assert {p.dtype for p in load_universeg(state).parameters()} == {torch.float32}


def broken(**changes):
    state = {**network(8).state_dict(), **changes}
    return {name: tensor for name, tensor in state.items() if tensor is not None}


BIAS = "dec_blocks.1.cross.cross_conv.bias"


@pytest.mark.parametrize(
    ("state", "what"),
    [
        (broken(**{BIAS: None}), f"1 tensor missing \\({BIAS}\\)"),
        (broken(extra=torch.zeros(1)), r"1 tensor not part of the network \(extra\)"),
        (broken(**{BIAS: torch.zeros(9)}), rf"of another shape \({BIAS} \(9,\) instead of \(8,\)"),
        (broken(**{BIAS: torch.full((8,), torch.nan)}), rf"1 tensor not finite \({BIAS}\)"),
        (broken(**{BIAS: torch.zeros(8, dtype=torch.int64)}), "1 tensor not floating point"),
        ({f"module.{k}": v for k, v in broken().items()}, r"44 tensors \(module.dec_blocks"),
        ({}, "no tensors"),
        ({"enc_blocks.0.cross.cross_conv.weight": torch.zeros(())}, "is no UniverSeg network"),
        (
            {"enc_blocks.0.cross.cross_conv.weight": torch.zeros(10**6, 1, 1, 1)},
            "is no UniverSeg network",
        ),
        (
            {"enc_blocks.0.cross.cross_conv.weight": torch.zeros(8, 3, 3, 3), "fc": torch.ones(1)},
            "43 tensors missing",
        ),
    ],
)
def test_foreign_or_damaged_weights_are_explained(state, what):
    with pytest.raises(WeightsError, match=what) as caught:
        load_universeg(state, name="mine.pt")
    assert "mine.pt" in str(caught.value)
    assert "44 tensors" in str(caught.value)
