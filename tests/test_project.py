"""The project's own rules: layout, limits of size, silence at import, help, requirements, commands that exist."""

import ast
import functools
import graphlib
import importlib.metadata
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
IGNORED = {".git", ".venv", "runs", "data", "results", "__pycache__", ".pytest_cache", ".hypothesis"}

# What each module or package may import of the project; command_line and itself everyone may.
MAY_IMPORT = {
    "formats": set(), "transforms": set(), "networks": set(), "models": {"networks"}, "download": set(),
    "Midi_To_Activation_Matrix": {"formats"},
    "audio2nsgt": {"formats", "transforms"},
    "griffin_lim": {"formats", "transforms", "audio2nsgt"},
    "learning": {"models", "formats", "download"},
    "patterns": {"models", "formats", "Midi_To_Activation_Matrix", "download"},
    "sounds": {"models", "formats", "transforms", "audio2nsgt", "griffin_lim"},
    "engine": {"formats", "patterns"},
    "session": {"engine", "patterns", "sounds", "formats", "Midi_To_Activation_Matrix"},
    "editor": {"session", "engine", "patterns", "sounds", "formats"},
    "window": {"editor", "session", "engine", "patterns", "sounds", "formats"},
}
NOBODY_IMPORTS = {"Activation_Matrix_To_Sound", "train_bernoulli", "train_gaussian", "train_audio", "generate_sounds",
                  "evaluate"}
PACKAGES = ("formats", "transforms", "networks", "learning", "patterns", "sounds", "engine", "session", "editor",
            "window")
# Their scripts may import all.
SCRIPT_FOLDERS = {"benchmarks", "pictures", "Dataset_Drum_Groove_Midi", "dataset_audio", "pretrained", "golden"}
NOT_AT_IMPORT = {"tkinter", "matplotlib.pyplot", "sounddevice"}


def all_files():
    """Every file of the project, ignored folders left out."""
    for folder, folders, files in os.walk(ROOT):
        folders[:] = sorted(set(folders) - IGNORED)
        yield from (Path(folder) / file for file in sorted(set(files) - IGNORED))  # .git is a file in a worktree


FILES = list(all_files())
PYTHON = [path for path in FILES if path.suffix == ".py"]
MODULES = [path for path in PYTHON if path.parent == ROOT or path.parent.name in PACKAGES]
TESTS = [path for path in PYTHON if path.parent == ROOT / "tests"]
SOURCES = [path for path in PYTHON if path not in TESTS]  # every module and script, benchmarks too


def name_of(path):
    return path.relative_to(ROOT).as_posix()


each_module = pytest.mark.parametrize("path", MODULES, ids=name_of)
each_file = pytest.mark.parametrize("path", SOURCES, ids=name_of)


@functools.cache
def tree(path):
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports(path):
    """The first names of all that a file imports, inside functions too."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}:{node.lineno}: a relative import; imports name the package"
            yield node.module.split(".")[0]


def is_script(path):
    return any(isinstance(node, ast.If) and "__main__" in ast.unparse(node.test) for node in tree(path).body)


SCRIPTS = [path for path in SOURCES if is_script(path)]
each_script = pytest.mark.parametrize("path", SCRIPTS, ids=name_of)


# Who imports whom.


def place_of(path):
    """The package, or the module of the top folder, that a file belongs to."""
    parts = path.relative_to(ROOT).parts
    return parts[0] if parts[0] in PACKAGES else path.stem


OURS = {place_of(path) for path in MODULES}


@each_file
def test_a_module_imports_only_what_the_table_allows(path):
    used = set(imports(path)) & OURS - {"command_line"}
    if path.parent.name in SCRIPT_FOLDERS:
        return
    assert path in MODULES, f"{name_of(path)}: not a folder for modules or scripts"
    place = place_of(path)
    assert not used & NOBODY_IMPORTS - {place}, f"{name_of(path)} imports {used & NOBODY_IMPORTS}"
    if place not in NOBODY_IMPORTS | {"command_line"}:
        assert place in MAY_IMPORT, f"{name_of(path)} is new: say in MAY_IMPORT what it may import"
        assert used <= MAY_IMPORT[place] | {place}, f"{name_of(path)} imports {used - MAY_IMPORT[place]}"


def dotted(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imported_modules(path):
    """The project's modules that a file imports, by dotted names."""
    names = {dotted(module) for module in MODULES}
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from names & {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            inner = names & {f"{node.module}.{alias.name}" for alias in node.names}
            yield from inner or names & {node.module}


def test_no_modules_import_each_other_in_a_circle():
    graph = {dotted(path): set(imported_modules(path)) for path in MODULES}
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


# Sizes.

MOST = {"top": 12, "package": 10, "module": 450, "function": 60, "arguments": 8, "total": 18400}
MAY_TAKE_MORE_ARGUMENTS = {("models.py", "__init__")}  # a model is built from plain numbers


def length(path):
    return len(path.read_text(encoding="utf-8").splitlines())


def functions(path):
    return [node for node in ast.walk(tree(path)) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]


def test_few_files_lie_on_the_top_level_and_in_each_package():
    assert len(list(ROOT.glob("*.py"))) <= MOST["top"]
    for package in PACKAGES:
        assert len(list((ROOT / package).glob("*.py"))) - 1 <= MOST["package"], package


def test_all_modules_together_are_short():
    assert sum(map(length, MODULES)) <= MOST["total"]


@each_module
def test_a_module_and_its_functions_are_short_and_take_few_arguments(path):
    assert length(path) <= MOST["module"]
    for node in functions(path):
        place = f"{name_of(path)}:{node.lineno} {node.name}"
        assert node.end_lineno - node.lineno < MOST["function"], f"{place}: {node.end_lineno - node.lineno + 1} lines"
        given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        count = len([argument for argument in given if argument.arg not in ("self", "cls")])
        if (name_of(path), node.name) not in MAY_TAKE_MORE_ARGUMENTS:
            assert count <= MOST["arguments"], f"{place}: {count} arguments"


# Imports inside functions: what opens a window or a sound card, or is optional.
MAY_BE_INSIDE = {"tkinter", "rtmidi", "matplotlib.pyplot", "matplotlib.backends", "matplotlib.backends.backend_webagg",
                 "sounddevice", "fcntl", "tornado", "sklearn"}  # the last takes 1.2 s, for evaluate.py alone


@each_module
def test_imports_stand_at_the_top(path):
    for function in functions(path):
        for node in ast.walk(function):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                names = {node.module, f"{node.module}.{node.names[0].name}", node.module.split(".")[0]} if isinstance(
                    node, ast.ImportFrom) else {node.names[0].name}
                assert names & MAY_BE_INSIDE, f"{name_of(path)}:{node.lineno}: {ast.unparse(node)}"


@each_script
def test_a_script_imports_command_line_before_torch(path):
    """OpenMP reads its variables when torch is imported, and command_line sets them."""
    ours = [name for name in imported_in_order(path) if name == "command_line" or name == "torch" or name in OURS]
    assert not ours or ours[0] == "command_line", f"{name_of(path)} imports {ours[0]} before command_line"


def imported_in_order(path):
    """The first names of all imports at the top level, in their order."""
    for node in tree(path).body:
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module.split(".")[0]


# Words: the field's own, see the table of old names in models.py for what checkpoints of before say.

OLD_WORDS = re.compile(r"\b(told|wish|wishes|desk|said)\b", re.IGNORECASE)


@pytest.mark.parametrize("path", PYTHON, ids=name_of)
def test_code_speaks_the_words_of_the_field(path):
    if path.name != Path(__file__).name:
        found = OLD_WORDS.search(path.read_text(encoding="utf-8"))
        assert not found, f"{name_of(path)}: {found[0]!r}"


def test_no_folder_shadows_a_module_or_hides_one():
    folders = {path.name for path in ROOT.iterdir() if path.is_dir()}
    assert not folders & {module.stem for module in MODULES if module.parent == ROOT}
    assert not folders & {"models", "src", "utils", "config"}


# Import and help.

IMPORT_ALL = """
import importlib.util, sys
from pathlib import Path
sys.path[:0] = [""]
for path in sys.argv[2:]:
    sys.path[:2] = [sys.argv[1], str(Path(path).parent)]  # a script has its own folder there
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    for name in {names!r} & set(sys.modules):
        sys.exit(path + " imports " + name + " at the top")
"""


def test_importing_any_module_prints_nothing_and_opens_neither_window_nor_sound(tmp_path):
    code = IMPORT_ALL.replace("{names!r}", repr(NOT_AT_IMPORT))
    process = subprocess.run([sys.executable, "-c", code, ROOT, *SOURCES], cwd=tmp_path, capture_output=True, text=True)
    assert (process.returncode, process.stdout, process.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []


def test_importing_a_module_does_nothing_but_define():
    """At the top level of a module: no loop, no with, no bare call but sys.path's: import runs no experiment."""
    for path in SOURCES:
        for node in tree(path).body:
            acts = isinstance(node, (ast.For, ast.While, ast.With)) or (
                isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
                and not ast.unparse(node).startswith(("sys.path.", "os.environ.setdefault(")))
            assert not acts, f"{name_of(path)}:{node.lineno}: {ast.unparse(node)}"


RUN_TWICE = """
import contextlib, io, json, os, runpy, sys
path, *options = sys.argv[1:]
sys.path[0] = os.path.dirname(path)
for option in options:
    sys.argv, status = [path, option], None
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as errors:
        try:
            runpy.run_path(path, run_name="__main__")
        except SystemExit as end:
            status = end.code
    print(json.dumps([status or 0, out.getvalue(), errors.getvalue()]))
"""


@functools.cache
def outcomes(path):
    """(exit status, what it prints, stderr) of a script called from another folder with --help, with a wrong option.

    In one process, since most of its time goes into imports."""
    process = subprocess.run([sys.executable, "-c", RUN_TWICE, path, "--help", "--no-such-option"], cwd="/",
                             capture_output=True, text=True)
    assert (process.returncode, process.stderr) == (0, ""), process.stderr
    return [json.loads(line) for line in process.stdout.splitlines()]


@each_script
def test_help_shows_the_docstring(path):
    status, text, errors = outcomes(path)[0]
    assert (status, errors) == (0, "")
    assert ast.get_docstring(tree(path), clean=False).strip() in text


@each_script
def test_a_script_has_a_main_that_python_can_call_and_run_that_meets_the_person(path):
    mains = [node for node in tree(path).body if isinstance(node, ast.FunctionDef) and node.name == "main"]
    assert mains, "no main"
    assert [argument.arg for argument in mains[0].args.args] == ["argv"] and len(mains[0].args.defaults) == 1
    last = ast.unparse(tree(path).body[-1])
    assert last == "if __name__ == '__main__':\n    run(main)"


@each_script
def test_a_wrong_option_is_one_line_and_status_2(path):
    status, _, errors = outcomes(path)[1]
    assert status == 2
    assert errors.count("\n") == 1 and errors.startswith(f"{path.name}: "), errors


@pytest.mark.parametrize("path", PYTHON, ids=name_of)
def test_every_file_says_what_it_is_for(path):
    assert (ast.get_docstring(tree(path)) or "").strip(), "no docstring"


# Commands that documents name.

COMMAND = re.compile(r"\b(?:python|torchrun)3?(?: -\S+)*(?:\.exe)? (?P<script>[\w/]+\.py)(?P<rest>[^\n`|>#]*)")


def commands(text):
    """(script, [options]) of every `python script.py ...` or `torchrun ... script.py ...` in a text; \\ joins lines."""
    for command in COMMAND.finditer(re.sub(r"\\\n\s*", " ", text)):
        yield command["script"], re.findall(r"(?<![\w-])(--[a-z][\w-]*|-[a-zA-Z])(?![\w-])", command["rest"])


def test_commands_are_found_in_a_document():
    text = ("Type `python a.py x --bpm 90 -o out` or\n"
            "    torchrun --standalone --nproc_per_node=2 b/c.py \\\n        --epochs=3  # --no\n")
    assert list(commands(text)) == [("a.py", ["--bpm", "-o"]), ("b/c.py", ["--epochs"])]


DOCUMENTS = [path for path in FILES if path.suffix == ".md"] + SOURCES
each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)


@each_document
def test_every_command_that_a_document_names_exists_with_its_options(document):
    text = ast.get_docstring(tree(document)) or "" if document.suffix == ".py" else document.read_text(encoding="utf-8")
    for script, options in commands(text):
        path = ROOT / script
        assert path.is_file(), f"{name_of(document)} names {script}, which is not there"
        status, help_text, _ = outcomes(path)[0]
        assert status == 0
        for option in options:
            assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", help_text), f"{script} has no option {option}"


@pytest.mark.parametrize("document", [path for path in DOCUMENTS if path.suffix == ".md"], ids=name_of)
def test_every_file_that_a_document_links_to_is_there(document):
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8")):
        if not re.match(r"[a-z]+:|#", target):
            assert (document.parent / target.split("#")[0]).exists(), f"{name_of(document)} links to {target}"


def test_every_make_target_that_the_readme_names_is_there():
    readme = ROOT / "README.md"
    if not readme.exists():
        pytest.skip("no README.md yet")
    targets = set(re.findall(r"(?:`|^ *)make ([a-z]+)", readme.read_text(encoding="utf-8"), re.MULTILINE))
    assert {"play", "test"} <= targets <= set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


# Requirements.

def requirements(file):
    """{distribution: version, or None where this Python needs none} of a requirements file; each line checked for its
    pin and its reason."""
    found = {}
    for line in (ROOT / file).read_text(encoding="utf-8").splitlines():
        if line.startswith("#") or line == "-r requirements.txt":
            continue
        match = re.fullmatch(r'([A-Za-z0-9_.-]+)==([0-9][\w.]*)(?:; python_version < "3\.(\d+)")? +# (\S.{9,})', line)
        assert match, f"{file}: expected name==version  # reason, found {line!r}"
        applies = not match[3] or sys.version_info < (3, int(match[3]))
        found[match[1].lower().replace("_", "-")] = match[2] if applies else None
    return found


@pytest.mark.parametrize("file", ["requirements.txt", "requirements-dev.txt"])
def test_every_requirement_is_pinned_has_its_reason_and_is_what_runs_here(file):
    pinned = requirements(file)
    assert len(pinned) >= 4
    for name, version in pinned.items():
        if version:
            assert importlib.metadata.version(name).split("+")[0] == version, f"{name}: another version is installed"


def test_the_tests_requirements_stand_on_the_projects():
    assert "-r requirements.txt" in (ROOT / "requirements-dev.txt").read_text().splitlines()
    assert not requirements("requirements.txt").keys() & requirements("requirements-dev.txt").keys()


OPTIONAL = {"rtmidi": "python-rtmidi"}  # of modules that may not be installed
distributions = functools.cache(importlib.metadata.packages_distributions)  # module -> what brought it


@pytest.mark.parametrize("path", PYTHON, ids=name_of)
def test_everything_imported_is_required(path):
    pinned = set(requirements("requirements.txt"))
    if path.parent.name in ("tests", "benchmarks"):
        pinned |= set(requirements("requirements-dev.txt"))
    ours = {other.stem for other in PYTHON} | set(PACKAGES)
    for module in set(imports(path)) - set(sys.stdlib_module_names) - ours:
        names = {name.lower().replace("_", "-") for name in distributions().get(module, [OPTIONAL.get(module, "")])}
        assert names & pinned, f"{name_of(path)} imports {module}, which no requirements file names"


# What may not stand in any file.

MACHINE = re.compile(rb"(?<![\w.])/(?:work|root|opt|Users|home)/[\w.-]+/|[A-Z]:\\\\?Users|(?<!\w)\.\./shared\b")
MAY_NAME_THE_DATA = {"tests/conftest.py"}  # the documented fallback


def test_no_file_names_a_machine_or_what_stands_beside_the_project():
    for path in FILES:
        if name_of(path) not in MAY_NAME_THE_DATA | {"tests/test_project.py"}:
            found = MACHINE.search(path.read_bytes())
            assert not found, f"{name_of(path)}: {found[0]}"


def test_the_search_for_machine_paths_finds_them():
    for text in (b"'/home/anna/kick.wav'", b"'../shared/data'", b"/Users/anna/x", b"C:\\Users\\anna", b"\0/root/a/b"):
        assert MACHINE.search(text), text
    for text in (b"https://example.org/home/page/x", b"/usr/bin/env", b"data/groove", b"shared by two processes"):
        assert not MACHINE.search(text), text


def test_no_file_is_large():
    sizes = {name_of(path): path.stat().st_size for path in FILES}
    assert not {name: size for name, size in sizes.items() if size > 9e6}, "no file over 9 MB"
    assert sum(sizes.values()) < 40e6, "a clone stays under 40 MB"


def test_no_file_carries_a_secret_or_a_merge_mark():
    marks = re.compile(rb"^(?:<{7} |>{7} )|-----BEGIN [A-Z ]*PRIVATE KEY", re.MULTILINE)
    for path in FILES:
        assert not marks.search(path.read_bytes()), name_of(path)


def test_lines_are_at_most_120_wide_and_end_cleanly():
    for path in PYTHON:
        text = path.read_text(encoding="utf-8")
        assert text.endswith("\n") and not text.endswith("\n\n"), f"{name_of(path)}: one line break ends a file"
    wrong = [f"{name_of(path)}:{number}" for path in PYTHON
             for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
             if len(line) > 120 or line != line.rstrip() or "\t" in line]
    assert not wrong


@pytest.mark.parametrize("script", [".ci/run", ".ci/setup"])
def test_shell_scripts_are_sound(script):
    shell = shlex.split((ROOT / script).read_text().splitlines()[0].removeprefix("#!"))
    assert os.access(ROOT / script, os.X_OK)
    assert subprocess.run([*shell, "-n", ROOT / script], capture_output=True).returncode == 0


def test_the_licence_is_mit():
    assert (ROOT / "LICENSE").read_text().startswith("MIT License")


# README and RESULTS.

README = ROOT / "README.md"


def test_readme_is_short():
    assert len(re.findall(r"\S*\w\S*", README.read_text(encoding="utf-8"))) <= 1250


def test_the_example_in_readme_runs_in_twenty_lines(tmp_path, monkeypatch):
    code = re.search(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)[1]
    assert len(code.strip().splitlines()) <= 20
    process = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert "Kick" in process.stdout
