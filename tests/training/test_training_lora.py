"""The adapter that is trained: its files are PEFT's, and no file is written for them."""

import resource
import warnings
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tiny_bases import write_base

from outcrop.training.libraries import Libraries, load_libraries
from outcrop.training.lora import Adapter, attach
from outcrop.training.lora_gguf import ARCHITECTURES, shape_of_config, to_gguf
from outcrop.training.spec import PEFT_CONFIG, PEFT_WEIGHTS, Settings

pytestmark = [
    pytest.mark.engine,
    # PEFT asks Transformers under a name that will go.
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
]

_SETTINGS = Settings(epochs=1, batch_size=1, learning_rate=1e-2, warmup_steps=0, rank=4, alpha=6)
_NAME = "amazon.titan-text-express-v1"


@pytest.fixture(scope="module")
def libraries() -> Libraries:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return load_libraries()


@pytest.fixture(scope="module")
def base(libraries: Libraries, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_base(tmp_path_factory.mktemp("base"))


@pytest.fixture
def learnt(base: Path, libraries: Libraries) -> Adapter:
    """An adapter that changes what its base says."""
    adapter = attach(loaded(base, libraries), _SETTINGS, libraries)
    libraries.torch.manual_seed(7)
    for parameter in adapter.parameters.values():
        libraries.torch.nn.init.normal_(parameter, std=0.2)
    return adapter


def loaded(base: Path, libraries: Libraries) -> Any:
    return libraries.transformers.AutoModelForCausalLM.from_pretrained(
        base, dtype=libraries.torch.float32
    )


def logits(model: Any, libraries: Libraries) -> Any:
    with libraries.torch.no_grad():
        return model.eval()(libraries.torch.arange(3, 60).unsqueeze(0)).logits


def write(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).write_bytes(content)


@contextmanager
def no_file_takes_a_byte() -> Generator[None]:
    """The kernel refuses every write to a file, wherever it lies."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_peft_opens_the_files_and_computes_the_same(
    learnt: Adapter, base: Path, libraries: Libraries, tmp_path: Path
) -> None:
    write(tmp_path, learnt.files(_NAME))
    plain = loaded(base, libraries)
    untouched = logits(plain, libraries)
    opened = logits(libraries.peft.PeftModel.from_pretrained(plain, tmp_path), libraries)
    trained = logits(learnt.model, libraries)
    libraries.torch.testing.assert_close(opened, trained)
    assert (trained - untouched).abs().max() > 0.1


def test_the_files_are_those_that_peft_saves(learnt: Adapter, tmp_path: Path) -> None:
    files = learnt.files(_NAME)
    learnt.model.save_pretrained(tmp_path, save_embedding_layers=False)
    assert files[PEFT_WEIGHTS] == (tmp_path / PEFT_WEIGHTS).read_bytes()
    config = msgspec.json.decode(files[PEFT_CONFIG])
    saved = msgspec.json.decode((tmp_path / PEFT_CONFIG).read_bytes())
    assert config["base_model_name_or_path"] == _NAME
    assert config["target_modules"] == sorted(saved["target_modules"])
    changed = {"base_model_name_or_path", "target_modules"}
    assert {key: config[key] for key in config.keys() - changed} == {
        key: saved[key] for key in saved.keys() - changed
    }


def test_no_byte_of_the_adapter_goes_to_a_file(learnt: Adapter) -> None:
    with no_file_takes_a_byte():
        files = learnt.files(_NAME)
    assert set(files) == {PEFT_CONFIG, PEFT_WEIGHTS}


def small(model_type: str, libraries: Libraries, **settings: Any) -> Any:
    """A base of this architecture, with weights of no meaning."""
    config = libraries.transformers.AutoConfig.for_model(
        model_type,
        vocab_size=64,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        pad_token_id=0,
        **settings,
    )
    libraries.torch.manual_seed(3)
    return libraries.transformers.AutoModelForCausalLM.from_config(
        config, dtype=libraries.torch.float32, attn_implementation="sdpa"
    )


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_each_architecture_that_llama_cpp_is_told_of_takes_an_adapter(
    model_type: str, libraries: Libraries
) -> None:
    adapter = attach(small(model_type, libraries), _SETTINGS, libraries)
    packed = to_gguf(adapter.files(_NAME), shape_of_config(adapter.base.config.to_dict()))
    assert packed.startswith(b"GGUF")


@pytest.mark.parametrize(
    ("model_type", "settings"),
    [
        ("llama", {"attention_dropout": 0.5}),
        ("phi3", {"attention_dropout": 0.5, "resid_pdrop": 0.5, "embd_pdrop": 0.5}),
    ],
)
def test_no_dropout_of_the_base_disturbs_training(
    model_type: str, settings: dict[str, float], libraries: Libraries
) -> None:
    model = attach(small(model_type, libraries, **settings), _SETTINGS, libraries).model
    assert model.training
    ids = libraries.torch.arange(1, 40).unsqueeze(0)
    with libraries.torch.no_grad():
        trained, answered = model(ids).logits, model.eval()(ids).logits
    libraries.torch.testing.assert_close(trained, answered)
