"""What kustomize makes of the directories in conf/kubernetes: the few of its
fields that they use, and no other.

    build(directory)  the objects of a kustomization.yaml, as dictionaries

An unknown field is an error, so that nobody relies on what is not here; where
kubectl is on the machine, a case compares the two.
"""
import copy

import yaml

# How kustomize finds an element of a list that is patched: by these keys of
# the Kubernetes API, which has them for each list.
MERGE_KEYS = {"containers": "name", "initContainers": "name", "env": "name",
              "volumes": "name", "volumeMounts": "mountPath",
              "ports": "containerPort"}
FIELDS = {"apiVersion", "kind", "resources", "patches", "images"}


def identity(thing):
    return thing["apiVersion"], thing["kind"], thing["metadata"]["name"]


def merge_list(name, old, patch):
    key = MERGE_KEYS.get(name)
    if key is None:
        return copy.deepcopy(patch)
    # What is new comes first.
    known = {element[key]: element for element in old}
    merged = [copy.deepcopy(element) for element in patch
              if element[key] not in known and "$patch" not in element]
    patches = {element[key]: element for element in patch}
    for element in old:
        change = patches.get(element[key])
        if change is None:
            merged.append(element)
        elif change.get("$patch") != "delete":
            merged.append(merge(element, change))
    return merged


def merge(old, patch):
    """A strategic merge of two dictionaries."""
    if patch.get("$patch") == "replace":
        return {key: copy.deepcopy(value) for key, value in patch.items()
                if key != "$patch"}
    merged = dict(old)
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            merged[key] = merge(merged.get(key) or {}, value)
        elif isinstance(value, list):
            merged[key] = merge_list(key, merged.get(key) or [], value)
        else:
            merged[key] = value
    return merged


def name_images(spec, images):
    for container in spec.get("initContainers", []) + spec["containers"]:
        for image in images:
            if container["image"] == image["name"]:
                container["image"] = f"{image['newName']}:{image['newTag']}"


def build(directory):
    what = yaml.safe_load((directory / "kustomization.yaml").read_text())
    unknown = what.keys() - FIELDS
    if unknown:
        raise ValueError(f"{directory}: {unknown} is not known here")
    things = {}
    for name in what["resources"]:
        path = directory / name
        found = build(path) if path.is_dir() else \
            list(yaml.safe_load_all(path.read_text()))
        for thing in found:
            if identity(thing) in things:
                raise ValueError(f"{directory}: {identity(thing)} twice")
            things[identity(thing)] = thing
    for patch in what.get("patches", []):
        change = yaml.safe_load((directory / patch["path"]).read_text())
        things[identity(change)] = merge(things[identity(change)], change)
    for thing in things.values():
        if thing["kind"] == "Deployment":
            name_images(thing["spec"]["template"]["spec"],
                        what.get("images", []))
    return list(things.values())
