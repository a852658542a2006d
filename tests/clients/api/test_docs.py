"""What the documents tell a stranger to type works as it stands there."""

import os
import pathlib
import re
import subprocess
import sys
import urllib.request

import pytest

from conftest import Api
from service import BINARY

ROOT = pathlib.Path(__file__).parents[3]
README = (ROOT / "README.md").read_text()
QUICK_START = (ROOT / "docs" / "quick-start.md").read_text()


def blocks(text, language):
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def run(service, tmp_path, command, script, exports=()):
    """In a shell that knows nothing but the documented exports, with the documented address made this service's."""
    script = "\n".join([*exports, script]).replace("http://127.0.0.1:8080", service.endpoint)
    environment = {"PATH": f"{pathlib.Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(tmp_path), "AWS_PAGER": ""}
    return subprocess.run([*command, script], capture_output=True, text=True, timeout=60, env=environment)


def exports(text):
    return [line for line in text.splitlines() if line.startswith("export AWS_")]


@pytest.mark.new
def test_the_commands_of_the_readme(service, tmp_path):
    commands = [block for block in blocks(README, "sh") if block.startswith("aws ")]
    assert commands
    for command in commands:
        answer = run(service, tmp_path, ["bash", "-ec"], command, exports(README))
        assert answer.returncode == 0, answer.stderr
        assert "SignalingUrl" in answer.stdout


@pytest.mark.new
def test_the_commands_of_the_quick_start(service, tmp_path):
    commands = [block for block in blocks(QUICK_START, "sh") if "aws chime-sdk-meetings" in block]
    assert commands
    for command in commands:
        answer = run(service, tmp_path, ["bash", "-ec"], command, exports(QUICK_START))
        assert answer.returncode == 0, answer.stderr


def test_the_python_of_the_readme(service, tmp_path, api):
    today, of_2019 = blocks(README, "python")
    lines = [line.replace("export ", "") for line in exports(README)]
    variables = dict(pair.split("=", 1) for line in lines for pair in line.split())
    variables = {name: value.replace("http://127.0.0.1:8080", service.endpoint) for name, value in variables.items()}
    script = (of_2019 if api.generation == "old" else today).replace("http://127.0.0.1:8080", service.endpoint)
    answer = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), **variables},
    )
    assert answer.returncode == 0, answer.stderr


@pytest.mark.new
def test_the_python_of_the_faults_page(own_service, tmp_path):
    service = own_service().start()
    (script,) = blocks((ROOT / "docs" / "reference" / "faults.md").read_text(), "python")
    script = script.replace("http://127.0.0.1:8080", service.endpoint)
    keys = {"AWS_ACCESS_KEY_ID": service.ready["access_key_id"], "AWS_SECRET_ACCESS_KEY": service.ready["secret_access_key"]}
    answer = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), **keys},
    )
    assert answer.returncode == 0, answer.stderr
    assert "injected_faults_total{operation=\"CreateMeeting\"} 1" in metrics_of(service)


@pytest.mark.new
@pytest.mark.parametrize("page", ["moderation.md", "recording.md"])
def test_the_operators_commands_of_a_page(own_service, tmp_path, page):
    service = own_service().start()
    api = Api(service)
    meeting = api.new_meeting()
    for name in ["ann", "bob", "cleo"]:
        api.new_attendee(meeting, name)
    commands = blocks((ROOT / "docs" / page).read_text(), "sh")
    assert commands
    script = "\n".join(commands)
    environment = {
        "PATH": f"{pathlib.Path(BINARY).parent}:/usr/bin:/bin",
        "CAMPANILE_ENDPOINT": service.endpoint,
        "CAMPANILE_OPERATOR_KEY": service.ready["operator_key"],
    }
    answer = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], capture_output=True, text=True, timeout=120, env=environment
    )
    assert answer.returncode == 0, answer.stderr
    assert meeting["MeetingId"] in answer.stdout or "waits" in answer.stdout
    service.stop()


@pytest.mark.new
def test_the_commands_of_the_page_on_replicas(service, tmp_path):
    commands = "\n".join(blocks((ROOT / "docs" / "replicas.md").read_text(), "sh"))
    answer = run(service, tmp_path, ["bash", "-euo", "pipefail", "-c"], commands, exports(QUICK_START))
    assert answer.returncode == 0, answer.stderr
    assert "bob-on-stage" in answer.stdout and answer.stdout.count("JoinToken") == 2


def metrics_of(service):
    with urllib.request.urlopen(f"{service.endpoint}/metrics", timeout=10) as answer:
        return answer.read().decode()


@pytest.mark.new
def test_every_metric_is_documented():
    documented = set(re.findall(r"`(campanile_[a-z_]+)", (ROOT / "docs" / "reference" / "metrics.md").read_text()))
    sources = [path.read_text() for path in (ROOT / "crates" / "server" / "src").rglob("*.rs")]
    named = {name for text in sources for name in re.findall(r'"(campanile_[a-z_]+)"', text)}
    assert named == documented


@pytest.mark.new
def test_every_setting_is_documented():
    documented = set(re.findall(r"`([a-z]+\.[a-z_]+)`", (ROOT / "docs" / "reference" / "configuration.md").read_text()))
    table, settings = None, set()
    for line in (ROOT / "config" / "example.toml").read_text().splitlines():
        if found := re.match(r"\[([a-z]+)\]$", line):
            table = found.group(1)
        elif found := re.match(r"#?([a-z_]+) = ", line):
            settings.add(f"{table}.{found.group(1)}")
    assert settings and settings <= documented, settings - documented


@pytest.mark.new
def test_links_between_documents_lead_somewhere():
    for document in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "tests" / "clients" / "README.md"]:
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text()):
            if "://" not in target:
                assert (document.parent / target).exists(), f"{document.relative_to(ROOT)} points to {target}"
