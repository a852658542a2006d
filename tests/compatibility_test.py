#!/usr/bin/env python3
"""tests/compatibility itself: what it reads, and that it can fail."""

import importlib.machinery
import importlib.util
import pathlib
import tempfile
import unittest

loader = importlib.machinery.SourceFileLoader("compatibility", str(pathlib.Path(__file__).with_name("compatibility")))
compatibility = importlib.util.module_from_spec(importlib.util.spec_from_loader("compatibility", loader))
loader.exec_module(compatibility)

CARGO = """
     Running unittests src/lib.rs (/somewhere/debug/deps/campanile_aws-0123456789abcdef)

running 2 tests
test error::tests::the_table ... ok
test sigv4::tests::slow ... ignored
     Running tests/parse.rs (/somewhere/debug/deps/parse-0123456789abcdef)
test nested::pages ... ok
test bounds - should panic ... ok
     Running unittests src/lib.rs (/somewhere/debug/deps/campanile_control-0123456789abcdef)
     Running tests/law.rs (/somewhere/debug/deps/law-0123456789abcdef)
test a_token_makes_one_live_meeting ... FAILED
     Running unittests src/main.rs (/somewhere/debug/deps/campanile-0123456789abcdef)
test keys::tests::one ... ok
     Running tests/sdk.rs (/somewhere/debug/deps/sdk-0123456789abcdef)
test create ... ok
   Doc-tests campanile_aws
test crates/aws/src/lib.rs - page (line 3) ... ok
"""

OLD = """<?xml version="1.0"?><testsuites><testsuite name="pytest">
<testcase classname="api.test_meetings" name="test_create"/>
<testcase classname="api.test_meetings" name="test_bounds[short]"/>
<testcase classname="api.test_meetings" name="test_bounds[long]"><failure message="x"/></testcase>
<testcase classname="api.test_meetings" name="test_old_only"/>
<testcase classname="api.test_meetings" name="test_skipped"><skipped/></testcase>
</testsuite></testsuites>"""

NEW = """<testsuites><testsuite name="pytest">
<testcase classname="api.test_meetings" name="test_create"/>
<testcase classname="api.test_meetings" name="test_setup"><error message="x"/></testcase>
</testsuite></testsuites>"""

NODE = """<?xml version="1.0" encoding="utf-8"?><testsuites>
<testsuite name="the SDK"><testsuite name="a class">
<testcase name="says &amp;quot;no&amp;quot;, once | twice" classname="test"/>
<testcase name="broken" classname="test"><failure type="x"/></testcase>
<testcase name="put off" classname="test"><skipped type="todo"/></testcase>
</testsuite></testsuite>
<testcase name="alone" classname="test"/>
</testsuites>"""


def reports():
    made = compatibility.Reports()
    made.read_cargo(CARGO)
    made.read_pytest(OLD, "old")
    made.read_pytest(NEW, "new")
    made.read_node(NODE, "sdk/v2")
    return made


def document(*rows):
    return "\n".join(["# Doc", "## Rules", "| rule | state | tests |", "|---|---|---|", *rows])


def faults(*rows):
    return compatibility.check(document(*rows), reports())[1]


class Reading(unittest.TestCase):
    def test_cargo(self):
        outcome = reports().fault
        for passed in (
            "aws::error::tests::the_table", "aws/parse::nested::pages", "aws/parse::bounds", "server::keys::tests::one",
            "server/sdk::create",
        ):
            self.assertIsNone(outcome(passed), passed)
        self.assertEqual(outcome("control/law::a_token_makes_one_live_meeting"), "failed")
        self.assertEqual(outcome("aws::sigv4::tests::slow"), "was skipped")
        self.assertIn("did not run", outcome("aws/law::a_token_makes_one_live_meeting"))

    def test_pytest(self):
        outcome = reports().fault
        self.assertIsNone(outcome("api/test_meetings.py::test_create"))
        self.assertIsNone(outcome("api/test_meetings.py::test_create@new"))
        self.assertIsNone(outcome("api/test_meetings.py::test_old_only"))
        self.assertIn("boto3 new", outcome("api/test_meetings.py::test_old_only@new"))
        self.assertEqual(outcome("api/test_meetings.py::test_bounds"), "failed", "one of its cases did")
        self.assertEqual(outcome("api/test_meetings.py::test_setup"), "failed")
        self.assertEqual(outcome("api/test_meetings.py::test_skipped"), "was skipped")

    def test_node(self):
        outcome = reports().fault
        self.assertIsNone(outcome('sdk/v2: says "no", once | twice'))
        self.assertIsNone(outcome("sdk/v2: alone"))
        self.assertEqual(outcome("sdk/v2: broken"), "failed")
        self.assertEqual(outcome("sdk/v2: put off"), "was skipped")
        self.assertEqual(outcome("sdk/v2: a class"), "failed")
        self.assertIn("did not run", outcome("sdk/v3: alone"))

    def test_a_report_that_was_cut_off_is_of_nothing(self):
        made = compatibility.Reports()
        made.read_node(NODE[:200], "sdk/v2")
        self.assertIn("did not run", made.fault("sdk/v2: alone"))

    def test_a_directory(self):
        with tempfile.TemporaryDirectory() as name:
            directory = pathlib.Path(name)
            (directory / "rust.log").write_text(CARGO)
            (directory / "boto3-old.xml").write_text(OLD)
            (directory / "sdk-v2.xml").write_text(NODE)
            made = compatibility.Reports().read(directory)
        for test in ("server/sdk::create", "api/test_meetings.py::test_create@old", "sdk/v2: alone"):
            self.assertIsNone(made.fault(test), test)


class Judging(unittest.TestCase):
    def test_rows_that_hold(self):
        rows = [
            "| a | **yes** | `api/test_meetings.py::test_create@old`, `sdk/v2: alone` |",
            "| b | **later** | |",
            "| c | **part** | `server/sdk::create` |",
            "| d | no | |",
        ]
        self.assertEqual(compatibility.check(document(*rows), reports()), (4, []))

    def test_a_claim_without_a_test(self):
        (fault,) = faults("| a | **yes** | |")
        self.assertIn("names no test", fault)
        self.assertIn("Rules: a", fault)

    def test_tests_that_do_not_hold_name_row_and_test(self):
        for test, why in (
            ("api/test_meetings.py::test_gone", "did not run"),
            ("api/test_meetings.py::test_bounds", "failed"),
            ("sdk/v2: put off", "skipped"),
        ):
            for state in ("**yes**", "**later**"):
                (fault,) = faults(f"| a | {state} | `sdk/v2: alone`, `{test}` |")
                self.assertIn("Rules: a", fault)
                self.assertIn(test, fault)
                self.assertIn(why, fault)

    def test_what_cannot_be_read(self):
        self.assertIn("no state", faults("| a | works | `sdk/v2: alone` |")[0])
        self.assertIn("back quotes", faults("| a | **yes** | `sdk/v2: alone`, and more |")[0])
        self.assertIn("cells", faults("| a | **yes** | x | `sdk/v2: alone` |")[0])
        self.assertIn("column `tests`", compatibility.check("nothing", reports())[1][0])

    def test_a_table_with_states_has_tests(self):
        text = document("| a | **yes** | `sdk/v2: alone` |") + "\n\n| rule | state |\n|---|---|\n| b | **yes** |"
        (fault,) = compatibility.check(text, reports())[1]
        self.assertIn("no column `tests`", fault)

    def test_an_id_stands_once(self):
        text = "| id | call | state | tests |\n|---|---|---|---|\n| C1 | a | no | |\n| C1 | b | no | |"
        (fault,) = compatibility.check(text, reports())[1]
        self.assertIn("C1 (b)", fault)


if __name__ == "__main__":
    unittest.main()
