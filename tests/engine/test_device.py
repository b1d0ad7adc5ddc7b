import pytest
import torch

from napari_regcon.engine import device as module
from napari_regcon.engine.device import choose_device, free_memory, is_out_of_memory
from napari_regcon.errors import DeviceError, InputError


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


def test_the_cpu_is_described_with_its_threads():
    device = choose_device("cpu")
    threads = torch.get_num_threads()
    assert device.torch_device == torch.device("cpu")
    assert device.label == f"CPU, {threads} thread" + ("s" if threads > 1 else "")
    assert torch.ones(2, device=device.torch_device).sum().item() == 2


def test_auto_falls_back_to_the_cpu_and_says_why(no_gpu):
    device = choose_device("auto")
    assert device.torch_device.type == "cpu"
    assert "GPU" in device.reason or "CUDA" in device.reason


def test_auto_takes_the_gpu_that_works_and_skips_the_one_that_does_not(monkeypatch):
    monkeypatch.setattr(
        module, "_problem", lambda kind: "The driver is too old." if kind == "cuda" else ""
    )
    assert choose_device("auto").torch_device.type == "mps"


def test_a_gpu_that_is_found_but_does_not_compute_is_not_used(monkeypatch, no_gpu):
    def fails(*args, **kwargs):
        raise RuntimeError("no kernel image is available for execution on the device\nmore")

    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.mps, "is_built", lambda: False)
    monkeypatch.setattr(torch, "ones", fails)
    device = choose_device("auto")
    assert device.torch_device.type == "cpu"
    assert "no kernel image" in device.reason
    assert "more" not in device.reason
    with pytest.raises(DeviceError, match="no kernel image"):
        choose_device("cuda")


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_a_missing_device_asked_for_by_name_is_an_error_with_a_next_step(name, no_gpu):
    with pytest.raises(DeviceError, match=name) as caught:
        choose_device(name)
    assert "'cpu'" in caught.value.next_step


def test_an_unknown_name_is_refused_with_the_choices():
    with pytest.raises(InputError, match="auto, cpu, cuda, mps"):
        choose_device("tpu")


@pytest.mark.gpu
def test_the_gpu_computes_and_is_described():
    if not (torch.cuda.is_available() or torch.backends.mps.is_available()):
        pytest.skip("no GPU here")
    device = choose_device("auto")
    assert device.torch_device.type in ("cuda", "mps")
    assert torch.ones(2, device=device.torch_device).sum().item() == 2
    free_memory(device)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (MemoryError(), True),
        (RuntimeError("shape mismatch"), False),
        (ValueError("out of memory"), False),
        (KeyboardInterrupt(), False),
    ],
)
def test_out_of_memory_is_told_from_other_errors(error, expected):
    assert is_out_of_memory(error) is expected


def test_memory_can_be_freed_on_the_cpu():
    free_memory(choose_device("cpu"))
    free_memory(torch.device("cpu"))
