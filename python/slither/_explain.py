# SPDX-License-Identifier: MIT
"""What to do about an object that cannot travel, or about results of the wrong shape. Imported when the first one is met."""

# The first entry that matches a type or one of its bases, by module and name so that nothing is imported, is the advice.
ADVICE = {
    "builtins.set": "send list(value) or sorted(value)",
    "builtins.frozenset": "send list(value) or sorted(value)",
    "builtins.complex": "send [value.real, value.imag], or an array of complex numbers",
    "builtins.range": "send list(value)",
    "builtins.generator": "send list(value)",
    "builtins.map": "send list(value)",
    "builtins.filter": "send list(value)",
    "builtins.zip": "send list(value)",
    "builtins.dict_keys": "send list(value)",
    "builtins.dict_values": "send list(value)",
    "builtins.dict_items": "send dict(value)",
    "builtins.mappingproxy": "send dict(value)",
    "builtins.coroutine": "await it in the function; a function that is itself async is awaited for you",
    "builtins.function": "send what it returns, or its name",
    "builtins.type": "send value.__name__",
    "builtins.module": "send value.__name__",
    "builtins.BaseException": "send str(value), or return slither.error(str(value)) for the item",
    "decimal.Decimal": "send str(value) to keep it exact, or float(value)",
    "fractions.Fraction": "send [value.numerator, value.denominator], or float(value)",
    "uuid.UUID": "send str(value) or value.bytes",
    "pathlib.PurePath": "send str(value)",
    "pathlib._local.PurePath": "send str(value)",
    "datetime.date": "send value.isoformat(), or an aware datetime.datetime",
    "datetime.time": "send value.isoformat()",
    "datetime.timedelta": "send value.total_seconds()",
    "enum.Enum": "send value.value or value.name",
    "collections.deque": "send list(value)",
    "re.Pattern": "send value.pattern",
    "numpy.datetime64": "send an aware datetime.datetime, or value.astype('datetime64[us]').astype('int64')",
    "numpy.timedelta64": "send value.astype('timedelta64[us]').astype('int64')",
    "numpy.complexfloating": "send [value.real, value.imag], or an array of complex numbers",
    "numpy.longdouble": "send float(value)",
    "numpy.ndarray": "its element type has no counterpart; convert it with astype(), or send value.tolist()",
    "pandas.DataFrame": "send value.to_dict('records') or value.to_numpy()",
    "pandas.core.frame.DataFrame": "send value.to_dict('records') or value.to_numpy()",
    "pandas.core.series.Series": "send value.tolist() or value.to_numpy()",
    "polars.dataframe.frame.DataFrame": "send value.to_dicts()",
    "polars.series.series.Series": "send value.to_list() or value.to_numpy()",
    "torch.Tensor": "send value.detach().cpu().numpy()",
    "PIL.Image.Image": "send numpy.asarray(value)",
    "io.IOBase": "send what is in it, for example value.read()",
}

TRAVELS = "None, bool, int, float, str, bytes, list, tuple, dict, aware datetime and arrays travel"

PLACE_STEPS_MAX = 12
STEP_SIZE_MAX = 80


def type_name(kind):
    return kind.__qualname__ if kind.__module__ == "builtins" else "%s.%s" % (kind.__module__, kind.__qualname__)


def advice(value):
    kind = type(value)
    if hasattr(kind, "__dataclass_fields__"):
        return "send dataclasses.asdict(value)"
    for base in kind.__mro__[:-1]:
        found = ADVICE.get("%s.%s" % (base.__module__, base.__qualname__))
        if found is not None:
            return found
    if callable(getattr(kind, "model_dump", None)):
        return "send value.model_dump(mode='json')"
    if hasattr(kind, "__array__"):
        return "send numpy.asarray(value)"
    return "make it one of what travels (%s)" % TRAVELS


def not_serializable(value):
    """Called by the extension with an object of a type that cannot travel."""
    return "an object of type %s cannot travel; %s" % (type_name(type(value)), advice(value))


def placed(steps, text):
    """Called by the extension with the steps to what cannot travel, innermost first."""
    shown = [step_text(step) for step in steps[:-PLACE_STEPS_MAX - 1:-1]]
    if len(steps) > PLACE_STEPS_MAX:
        shown.append("...")
    return "%s: %s" % ("".join(shown), text)


def step_text(step):
    try:
        text = '"%s"' % step if isinstance(step, str) and step.isprintable() and '"' not in step else ascii(step)
    except Exception:
        text = "<%s>" % type_name(type(step))
    return "[%s]" % (text if len(text) <= STEP_SIZE_MAX else text[:STEP_SIZE_MAX - 3] + "...")


def bad_result(results, count):
    """Called by the extension with what a function returned instead of a list of `count` results."""
    wanted = "expected a list of %d result%s, one for each item and in their order" % (count, "" if count == 1 else "s")
    kind = type(results)
    if isinstance(results, (list, tuple)):
        return "returned a %s of %d; %s; return slither.skip() for an item that has no result" % (
            kind.__name__, len(results), wanted)
    if results is None:
        return "returned None; %s; is a return statement missing?" % wanted
    hint = "return a list"
    if hasattr(kind, "tolist"):
        hint = "return list(results) or results.tolist()"
    elif kind.__name__ == "coroutine":
        hint = "make the function itself async, so that it is awaited"
    elif hasattr(kind, "__next__"):
        hint = "return list(results)"
    elif isinstance(results, dict):
        hint = "return list(results.values()), if they are in the order of the items"
    return "returned an object of type %s; %s; %s" % (type_name(kind), wanted, hint)
