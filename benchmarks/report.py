"""What was measured, held against what was wanted, as Markdown."""

from __future__ import annotations

import json
import os
import platform
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Target:
    """A promise, and what became of it. `value` None: not measured, and `reason` says why."""

    what: str
    value: float | None
    limit: float
    at_least: bool
    unit: str = ""
    reason: str = ""

    def met(self) -> bool | None:
        if self.value is None:
            return None
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def cells(self) -> list[str]:
        wanted = f"{'>=' if self.at_least else '<='} {self.limit:g}{self.unit}" if self.limit else ""
        verdict = {True: "met", False: "**short of it**", None: f"not measured: {self.reason}"}[self.met()]
        measured = "" if self.value is None else f"{number(self.value)}{self.unit}"
        return [self.what, measured, wanted, verdict]


@dataclass
class Section:
    """One measurement: a table, what must be known to read it, and its targets."""

    title: str
    header: Sequence[str] = ()
    rows: list[Sequence[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)  # where another program is better, one sentence each
    picture: Path | None = None  # in the folder of results; a copy is put beside README.md
    alt: str = ""  # what the picture shows

    def markdown(self) -> str:
        parts = [f"### {self.title}"]
        if self.rows:
            parts.append(table(self.header, self.rows))
        if self.picture:
            parts.append(f"![{self.alt}]({self.picture.name})")
        parts += self.notes
        return "\n\n".join(parts)


def not_measured(what: str, reason: object) -> Section:
    """A section without figures, which stays in the list of targets."""
    return Section(what, notes=[f"Not measured: {reason}."], targets=[Target(what, None, 0, True, "", str(reason))])


def number(value: float) -> str:
    """Four significant digits, without an exponent."""
    digits = 4 - len(str(int(abs(value)))) if abs(value) >= 1 else 3
    return f"{value:,.{max(0, digits)}f}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def targets_table(sections: Iterable[Section]) -> str:
    rows = [target.cells() for section in sections for target in section.targets]
    return table(["target", "measured", "wanted", ""], rows)


def where_others_win(sections: Iterable[Section]) -> str:
    losses = [f"- {loss}" for section in sections for loss in section.losses]
    return "\n".join(["### Where others win", "", *(losses or ["Nowhere in these measurements."])])


def machine() -> str:
    """Name the CPU and what of its instructions matters here."""
    model, flags = platform.processor() or platform.machine(), set[str]()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                model = value.strip()
            elif name.strip() == "flags":
                flags = set(value.split())
                break
    except OSError:
        pass
    wanted = ["avx2", "fma", "avx512f", "avx512bw", "avx512vl", "avx512_bf16", "avx512_vnni"]
    caches = [
        f"L{(i / 'level').read_text().strip()} {(i / 'size').read_text().strip()}"
        for i in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"))
        if (i / "type").read_text().strip() != "Instruction"
    ]
    parts = [model, f"{os.cpu_count()} logical cores", ", ".join(caches), " ".join(f for f in wanted if f in flags)]
    return "; ".join(p for p in parts if p)


def keep(folder: Path, name: str, sections: Sequence[Section], when: str) -> None:
    """Replace what results.json in `folder` has of the measurement `name`, and its pictures."""
    for section in sections:
        if section.picture:
            shutil.copy(section.picture, folder)
    kept = _kept(folder)
    kept[name] = {
        "when": when,
        "sections": [asdict(s) | {"picture": s.picture.name if s.picture else None} for s in sections],
    }
    (folder / "results.json").write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


def write_readme(folder: Path, names: Iterable[str], about: str) -> None:
    """Put the tables of all that is kept, in the order of `names`, between the markers of README.md in `folder`."""
    kept = _kept(folder)
    sections, texts = [], []
    for name in names:
        if name not in kept:
            continue
        for saved in kept[name]["sections"]:
            saved["targets"] = [Target(**t) for t in saved["targets"]]
            saved["picture"] = Path(saved["picture"]) if saved["picture"] else None
            section = Section(**saved)
            sections.append(section)
            texts.append(f"{section.markdown()}\n\nMeasured {kept[name]['when']}.")
    text = "\n\n".join([about, targets_table(sections), where_others_win(sections), *texts])
    _replace_generated(folder / "README.md", text)


def _kept(folder: Path) -> dict[str, Any]:
    file = folder / "results.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def _replace_generated(readme: Path, text: str) -> None:
    """Put `text` between the two markers of `readme`."""
    begin, end = "<!-- generated by make bench: begin -->", "<!-- generated by make bench: end -->"
    old = readme.read_text(encoding="utf-8")
    head, _, rest = old.partition(begin)
    _, found, tail = rest.partition(end)
    if not found:
        raise SystemExit(f"{readme.name} has lost its markers: {begin} and {end}")
    readme.write_text(f"{head}{begin}\n{text}\n{end}{tail}", encoding="utf-8")
