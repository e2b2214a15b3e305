"""Everything that is wrong with a file is told at once, each in its line, with what to do."""

import pytest

from beamstream.pipeline.document import read
from beamstream.pipeline.files import check

PLUGIN = """
    class Good:
        def __init__(self, gain=1, *, offset):
            if gain < 0:
                raise ValueError("gain must not be negative")

        def apply(self, img, meta):
            return img

    class Short:
        def apply(self, img):
            return img

    class Bare:
        pass

    number = 3

    def process(img, meta=None, low=0, high=1):
        return img
"""

GOOD = '"module": "mine", "class": "Good"'


@pytest.fixture
def said(project):
    """Return a function: the file's text to its complaints, without the file's name."""

    def complaints(text):
        project.plugin(PLUGIN)
        file = project.pipeline(text)
        lines = check(file).document.report().splitlines()
        assert all(line.startswith(f"{file}:") for line in lines), lines
        return [line.removeprefix(f"{file}:").strip() for line in lines]

    return complaints


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"processors": [\n  {"name": "a"},\n]}', "3:1: not JSON: expecting value; delete the comma before it"),
        ('{"processors": [\n  {"name": "a",}]}', "2:16: not JSON: expecting property name enclosed in double quotes"),
        ('{\n  // mine\n}', "2:3: not JSON: expecting property name enclosed in double quotes; JSON has no comments"),
        ("{'processors': []}", "1:2: not JSON: expecting property name enclosed in double quotes; use double quotes"),
        ('{"processors": [], "hot_reload": True}', "1:34: not JSON: expecting value; write true, false or null"),
        ('{"processors": [', "1:17: not JSON: expecting value; the file ends too early"),
        ('{"processors" []}', "1:15: not JSON: expecting ':' delimiter; a comma, quote or bracket"),
        ("", "1:1: not JSON: expecting value; the file ends too early"),
        ('{"processors": []}}', "1:19: not JSON: extra data; a comma, quote or bracket is missing or too many"),
    ],
)  # fmt: skip
def test_broken_json_is_told_by_line_and_column(said, text, words):
    (line,) = said(text)
    assert line.startswith(words)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", '1: no processors; write {"processors": ['),
        ("{}", "1: no processors; write"),
        ('{\n"procesors": []}', '1: no processors; write {"processors": ['),
        ('{"processors": [],\n"pipeline": []}', "2: processors and pipeline are both there; keep one of them"),
        ('{"processors": [],\n\n"hot_relaod": true}', "3: hot_relaod is not a known key; did you mean hot_reload?"),
        ('{"processors": [],\n"hot_reload": 1}', "2: hot_reload = 1 is not known here; give true or false"),
        ('{"processors": {}}', "1: processors = {} is not known here; give a list: […]"),
        ('{"processors": [\n7]}', "2: 7 is no processor; write"),
        ('{"processors": [\n{}]}', '2: a processor has neither name nor module; add "name", "module" and "class"'),
        ('{"pipeline": [\n{"name": "a"}]}', '2: a has no module; add "module"'),
        ('{"processors": [],\n"_top": [NaN]}', "2: NaN is not JSON; give a finite number"),
        ('{"processors": [{"name": "flip",\n"name": "flop",\n"class": "flip"}]}', "2: name is given twice; delete one"),
        ('{"processors": [{"name": "median", "x": 1}]}', "1: x is not a known key; known are name, module, class"),
        ('{"pipeline": [{"module": "mine",\n"kwargs": {}}]}', "2: kwargs is not a known key; known are name"),
        ('{"pipeline": [{"module": "flip"},\n{"module": "flip"}]}', "2: two processors are named flip, here and in"),
        ('{"processors": [{"name": 3,\n"module": "x"}]}', "1: name = 3 is not known here; give a text in quotes"),
        ('{"processors": [{"name": "median",\n"kwargs": [3]}]}', "2: kwargs = [3] is not known here; give an object"),
    ],
)  # fmt: skip
def test_a_wrong_structure_is_told_by_line(said, text, words):
    (line,) = said(text)
    assert line.startswith(words)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ('"module": "mine"', "3: p: class is missing; add one of Good, Short"),
        ('"module": "mien", "class": "Good"', "3: p: there is no module mien in "),
        ('"module": "mine",\n"class": "God"', "4: p: module mine has no class God; did you mean Good?"),
        ('"module": "mine", "class": "number"', "3: p: module mine has no class number; known are Good, Short"),
        ('"module": "mine", "class": "Bare"', "3: p: class Bare has no method apply(img, meta); add it"),
        ('"module": "mine", "class": "Short"', "3: p: apply is called with (img, meta), which does not fit: too many"),
        (GOOD, "2: p: option offset is missing; add it"),
        (GOOD + ',\n"kwargs": {"offset": 1,\n"gian": 2}', "5: p: gian is not an option; did you mean gain?"),
        (GOOD + ', "kwargs": {"offset": 1,\n"gain": -2}', "4: p: ValueError: gain must not be negative ("),
        ('"class": "medain"', "3: p: module is missing, and medain is not known without; add it, or name a known"),
        ('"class": "median", "kwargs": {\n"kernel_size": 4}', "4: p: median: kernel_size = 4 asked for; give an odd"),
        ('"class": "dark", "kwargs": {\n"file": "no.npy"}', "4: p: dark: file = "),
        ('"module": "xml.no", "class": "Good"', "3: p: there is no module xml.no in "),
        ('"module": ".mine", "class": "Good"', "3: p: there is no module .mine in "),
        ('"module": "a\\u0000b.py", "class": "Good"', "3: p: there is no module a\\x00b.py in "),
        ('"module": "json", "class": "Good"', "3: p: module json has no class Good; add it, with a method apply"),
    ],
)  # fmt: skip
def test_a_wrong_processor_is_told_by_name_and_line(said, entry, words):
    (line,) = said('{"processors": [\n{"name": "p",\n' + entry + "}]}")
    assert line.startswith(words)


@pytest.mark.parametrize(
    ("module", "params", "words"),
    [
        ("mine", '{"hihg": 3}', "p: hihg is not an option; did you mean high?"),
        ("mine", '{"img": 3}', "p: img is not an option; known are low, high"),
        ("mine", '{"meta": 3}', "p: meta is not an option; known are low, high"),
        ("other", "{}", "p: module other has no function process(img, meta=None, **params); add it, or write"),
    ],
)  # fmt: skip
def test_a_wrong_function_is_told_by_name(said, project, module, params, words):
    project.plugin("class A:\n    def apply(self, img, meta): return img", "processors/other.py")
    (line,) = said(f'{{"pipeline": [{{"name": "p", "module": "{module}", "params": {params}}}]}}')
    assert line.startswith(f"1: {words}")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (
            "import nothing_of_this_name",
            "ModuleNotFoundError: No module named 'nothing_of_this_name' ({file}:1); install",
        ),
        ("\n\n1 / 0", "ZeroDivisionError: division by zero ({file}:3); correct the file"),
        ("def f(:\n  pass", "SyntaxError: invalid syntax (bad.py, line 1); correct the file"),
        ("raise SystemExit(2)", "SystemExit: 2 ({file}:1); correct the file"),
        ("from mine import Good", "({file}:1); mine lies beside it: import it relatively, from .mine import …"),
    ],
)
def test_a_plugin_that_cannot_be_imported_is_told_with_its_own_line(said, project, source, words):
    file = project.write("processors/bad.py", source)
    (line,) = said('{"processors": [{"name": "p", "module": "bad", "class": "A"}]}')
    assert line.startswith(f"1: p: {file} cannot be imported: ")
    assert words.format(file=file) in line


def test_all_that_is_wrong_is_told_in_the_files_order(said):
    lines = said(
        """{
        "processors": [
          {"name": "a", "class": "median", "kwargs": {"kernel_siz": 3,
            "mode": "x"}, "enabeld": true},
          {"name": "b", "module": "mine", "class": "Godo"},
          {"name": "a", "class": "bin", "kwargs": {"factor": 0}}
        ],
        "hotreload": true
        }"""
    )
    assert [int(line.partition(":")[0]) for line in lines] == [3, 4, 4, 5, 6, 6, 8]


def test_remarks_are_allowed_and_names_may_be_left_out(said):
    assert (
        said('{"_who": "me", "comment": "x", "processors": [{"class": "median", "_why": 1}], "description": 2}') == []
    )
    assert said('{"pipeline": [{"module": "mine"}]}') == []


def test_a_file_with_a_byte_order_mark_is_read_and_others_than_utf_8_are_not(tmp_path):
    file = tmp_path / "a.json"
    file.write_bytes(b'\xef\xbb\xbf{"processors": []}')
    assert read(file).value == {"processors": []}
    file.write_bytes(b'{"processors": ["\xe4"]}')
    assert ":1: not UTF-8 at byte 17 (0xe4, 'ä' in the ANSI text of Windows); save it as UTF-8" in read(file).report()
    file.write_bytes('{"processors": []}'.encode("utf-16"))
    assert "UTF-16 text, " in read(file).report()
    assert "cannot be read: No such file or directory" in read(tmp_path / "none.json").report()
    assert "cannot be read: Is a directory" in read(tmp_path).report()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"processors_dir": "C:\\plugins"}', "write each backslash of a path twice, or / in its place"),
        ("{“processors”: []}", '“ is no quote here, an editor may have put it there; write "'),
        ('{\u00a0"processors": []}', "no-break space (U+00A0), which cannot be seen"),
        ('{"processors_dir": "C:\\new", "processors": []}', "it has the control character"),
    ],
)
def test_paths_of_windows_and_signs_of_editors_are_named_with_what_to_write(tmp_path, text, words):
    file = tmp_path / "a.json"
    file.write_text(text)
    assert words in check(file).document.report()


def test_every_value_knows_its_line(tmp_path):
    file = tmp_path / "a.json"
    file.write_text('{ "a\\"" :\n [1,\n  {"b": {}, "c"\n: [ ]}, "]}"\n ], "d": -1.5e3,\n"e": null }\n')
    assert read(file).lines == {
        (): 1, ('a"',): 1, ('a"', 0): 2, ('a"', 1): 3, ('a"', 1, "b"): 3, ('a"', 1, "c"): 3, ('a"', 2): 4,
        ("d",): 5, ("e",): 6,
    }  # fmt: skip
