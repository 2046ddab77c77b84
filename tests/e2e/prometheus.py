"""A strict reader of the text format of Prometheus, version 0.0.4.

parse(text) gives {family: Family}, or raises Malformed: every line has its
family's HELP and TYPE before it, no sample comes twice, families are not torn
apart, and histograms are sound.
"""
import math
import re

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"')
SAMPLE = re.compile(rf"({NAME})(?:\{{(.*)\}})? (\S+)")
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?([eE][+-]?\d+)?|Inf)|NaN")
SUFFIXES = ("_bucket", "_sum", "_count")


class Malformed(Exception):
    """The text is not in that format, and where."""


def refuse(condition, message):
    if condition:
        raise Malformed(message)


class Family:
    def __init__(self, name, text):
        self.name = name
        self.help = text
        self.type = None
        self.samples = {}       # (name, ((label, value), …)): number

    def get(self, **labels):
        """The one sample with exactly these labels; None if there is none."""
        return self.samples.get((self.name, tuple(sorted(labels.items()))))

    def some(self, suffix="", **labels):
        """{labels: value} of the samples that have these among theirs."""
        return {key: value for (name, key), value in self.samples.items()
                if name == self.name + suffix and
                labels.items() <= dict(key).items()}


def read_labels(text, line):
    found, at = {}, 0
    while at < len(text):
        match = LABEL.match(text, at)
        refuse(match is None, f"labels: {line!r}")
        refuse(match.group(1) in found, f"a label comes twice: {line!r}")
        found[match.group(1)] = re.sub(
            r"\\(.)", lambda m: {"n": "\n"}.get(m.group(1), m.group(1)),
            match.group(2))
        at = match.end()
        if at < len(text):
            refuse(text[at] != "," or at + 1 == len(text),
                   f"labels: {line!r}")
            at += 1
    return tuple(sorted(found.items()))


def read_sample(family, line):
    match = SAMPLE.fullmatch(line)
    refuse(match is None, f"no sample: {line!r}")
    name, labels, number = match.groups()
    names = [family.name + suffix for suffix in SUFFIXES] \
        if family.type == "histogram" else [family.name]
    refuse(name not in names, f"{line!r} below {family.name}")
    refuse(NUMBER.fullmatch(number) is None, f"no number: {line!r}")
    key = (name, read_labels(labels or "", line))
    refuse(key in family.samples, f"it comes twice: {line!r}")
    family.samples[key] = float(number)


def check_histogram(family):
    """Buckets grow, the last one is +Inf and has what _count says."""
    groups = {}
    for key, value in family.some("_bucket").items():
        labels = dict(key)
        bound = labels.pop("le", None)
        refuse(bound is None, f"{family.name}: a bucket without le")
        groups.setdefault(tuple(sorted(labels.items())), []).append(
            (float(bound), value))
    for labels, buckets in groups.items():
        where = f"{family.name}{dict(labels)}"
        refuse(buckets != sorted(buckets), f"{where}: {buckets}")
        counts = [count for _, count in buckets]
        refuse(counts != sorted(counts), f"{where} sinks: {buckets}")
        refuse(buckets[-1][0] != math.inf, f"{where} has no +Inf")
        refuse(family.samples.get((family.name + "_count", labels)) !=
               counts[-1], f"{where}: _count is not the last bucket")
        refuse((family.name + "_sum", labels) not in family.samples,
               f"{where} has no _sum")
    refuse(len(family.some("_count")) != len(groups) or
           len(family.some("_sum")) != len(groups),
           f"{family.name}: sums without buckets")


def parse(text):
    refuse(not text.endswith("\n"), "the last line has no end")
    families, family = {}, None
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            match = re.fullmatch(rf"# HELP ({NAME}) ([^\n]+)", line)
            refuse(match is None, f"{line!r}")
            refuse(match.group(1) in families, f"a family again: {line!r}")
            family = Family(*match.groups())
            families[family.name] = family
        elif line.startswith("# TYPE "):
            match = re.fullmatch(
                rf"# TYPE ({NAME}) (counter|gauge|histogram)", line)
            refuse(match is None or family is None or family.type is not None
                   or family.name != match.group(1), f"{line!r}")
            family.type = match.group(2)
        else:
            refuse(family is None or family.type is None,
                   f"no family yet: {line!r}")
            read_sample(family, line)
    for family in families.values():
        refuse(family.type is None, f"{family.name} has no type")
        refuse(family.type == "counter" and
               not family.name.endswith("_total"), family.name)
        refuse(family.type == "counter" and
               any(value < 0 for value in family.samples.values()),
               f"{family.name} is below 0")
        if family.type == "histogram":
            check_histogram(family)
    return families
