"""Writes the configuration of an instance: nested dicts to the YAML subset."""
import copy
import json


def merge(base, more):
    """A copy of base with more laid over it: dicts merge, everything else replaces; None removes a key."""
    result = copy.deepcopy(base)
    for key, value in (more or {}).items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merge(result[key], value)
        else:
            result[key] = copy.deepcopy(value)
    return result


def scalar(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    return json.dumps(value, ensure_ascii=False)


def flow(value):
    if isinstance(value, dict):
        return "{ " + ", ".join("%s: %s" % (k, flow(v)) for k, v in value.items()) + " }" if value else "{}"
    if isinstance(value, list):
        return "[" + ", ".join(flow(v) for v in value) + "]"
    return scalar(value)


def dump(value, indent=0):
    lines = []
    for key, item in value.items():
        head = " " * indent + key + ":"
        if isinstance(item, dict) and item:
            lines += [head, dump(item, indent + 2)]
        elif isinstance(item, list) and item and all(isinstance(i, dict) for i in item):
            lines.append(head)
            lines += [" " * (indent + 2) + "- " + flow(i) for i in item]
        else:
            lines.append(head + " " + flow(item))
    return "\n".join(lines)
