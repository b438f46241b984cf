"""The options say what the functions and classes that they explain say: names and defaults of arguments."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from detectron2.utils.registry import locate

from projects.diffu_base.config.options.base import is_call
from projects.diffu_base.config.options.catalog import EXPLAINED, name_of, options_of, takes

OURS = [name for name in EXPLAINED if name.startswith(("datasets_utils", "layers_diffu_detr", "projects"))]
HANDED_ON = {  # what a function does with its **arguments
    "datasets_utils.sampling.build_repeat_factor_loader": "datasets_utils.loader.build_train_loader",
    "projects.diffu_base.modeling.contrastive.metric_loss": None,
}


def parameters(name: str) -> dict[str, inspect.Parameter]:
    """Every parameter of a function or class, through all constructors that hand theirs on."""
    target = locate(name)
    callables: list[Callable[..., Any]] = [target]
    if isinstance(target, type):
        callables += [each.__init__ for each in target.__mro__[1:] if "__init__" in vars(each)]
    elif HANDED_ON.get(name):
        callables.append(locate(HANDED_ON[name]))
    found: dict[str, inspect.Parameter] = {}
    for each in callables:
        own = inspect.signature(each).parameters.values()
        variadic = [p for p in own if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        for parameter in own:
            if parameter not in variadic and parameter.name != "self":
                found.setdefault(parameter.name, parameter)
        if not variadic:
            break
    return found


def plain(value: Any) -> Any:
    """A default as options have it: lists for tuples, a call's name for an object or a function."""
    if is_call(value):
        return value["_target_"].rpartition(".")[2]
    if isinstance(value, str | int | float | None):
        return value
    if isinstance(value, Sequence):
        return list(value)
    return getattr(value, "__name__", type(value).__name__)


def test_our_own_arguments_are_all_explained():
    wrong = {}
    for name in OURS:
        options, taken = EXPLAINED[name], set(parameters(name))
        explained = set(options.model_fields)
        further = options.model_config.get("extra") == "allow"  # arguments that the function hands on
        if not (explained == taken or further and taken < explained):
            wrong[name] = explained ^ taken
    assert not wrong


def test_explained_arguments_of_others_exist():
    others = EXPLAINED.keys() - set(OURS)
    assert [(name, key) for name in others for key in EXPLAINED[name].model_fields if not takes(name, key)] == []


def test_defaults_are_those_of_the_signature():
    assert [wrong for name in EXPLAINED for wrong in other_defaults(name)] == []


def other_defaults(name: str) -> Iterator[str]:
    """The options whose default is not the signature's."""
    signature = parameters(name)
    for key, field in EXPLAINED[name].model_fields.items():
        if key not in signature or field.default is None and key == "model":
            continue
        if signature[key].default is inspect.Parameter.empty:
            same = field.is_required()
        else:
            same = plain(field.get_default()) == plain(signature[key].default)
        if not same:
            yield f"{name}: {key}"


def test_every_option_has_a_sentence():
    for name, options in EXPLAINED.items():
        texts = [options.__doc__ or "", *(field.description or "" for field in options.model_fields.values())]
        assert all(text[:1].isupper() or text[:1] == "`" for text in texts), name
        assert all(text.rstrip().endswith((".", "...")) for text in texts), name


def test_a_target_is_found_by_its_object_its_name_and_its_shortened_name():
    wanted = EXPLAINED["torch.optim.adamw.AdamW"]
    assert wanted is options_of("torch.optim.adamw.AdamW") is options_of("torch.optim.AdamW")
    assert wanted is options_of(locate("torch.optim.AdamW"))


def test_others_have_no_options():
    assert options_of("torch.nn.Identity") is None
    with pytest.raises(ValueError, match="no.such.Thing"):
        name_of("no.such.Thing")
