"""What runs each code block of the README, the docs and the examples, or why nothing does.

A page's rows are in the order of its blocks. A new block gets its row here: the test that takes it
from the page and runs it, or the reason why it cannot be run. Prefer the test.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from tests.support.processes import ROOT


class Row(NamedTuple):
    """A block: its language, and ``file::test`` or a sentence."""

    language: str
    proof: str

    @property
    def test(self) -> str:
        """The test that runs it; "" if it is not run."""
        return self.proof if "::" in self.proof else ""

    @property
    def reason(self) -> str:
        """Why it is not run; "" if it is."""
        return "" if "::" in self.proof else self.proof


BLOCKS: Final = "tests/test_code_blocks.py::"
README: Final = "tests/test_readme.py::"
FRAMEWORKS: Final = "tests/agents/{}.py::test_readme_shows_how"
TUTORIAL: Final = "tests/test_tutorial.py::test_page_does_what_it_says"
SERVES: Final = "tests/test_tutorial.py::test_pages_serve_by_one_command"
HOW_TO: Final = "tests/extensions/test_how_to.py::test_page_does_what_it_says"
PROXIES: Final = (
    "tests/extensions/test_how_to.py::test_events_come_one_by_one_through_a_sites_proxy"
)
SITE: Final = "tests/sites/test_{}.py::site"
SITES_COMMAND: Final = "The site's test starts the application by its own ports and options."
ENTRY_POINT: Final = "The site's test writes the same entry point into an environment of its own."
EXAMPLES_INSTALL: Final = "It installs packages; the example's test has them, and serves its app."
HOOKS: Final = "A fragment of a page of the reader's own; tests/clients runs the package's hook."

ROWS: Final[dict[str, list[tuple[str, str]]]] = {
    "README.md": [
        ("sh", README + "server"),
        ("sh", README + "test_make_run_says_what_to_open_and_the_curl_streams"),
        ("text", README + "test_make_run_says_what_to_open_and_the_curl_streams"),
        ("sh", README + "test_cancel_and_delete_commands_work"),
        ("sh", "tests/cli/test_chat.py::test_readmes_commands_work"),
        ("sh", "It is the suite that runs this."),
        ("python", README + "test_first_code_block_is_a_whole_app"),
        ("python", README + "test_second_code_block_mounts_a_model_behind_the_sites_login"),
    ],
    "bench/README.md": [("sh", "It measures for half an hour.")],
    "deploy/README.md": [
        (
            "sh",
            "It installs what `make run` installs; tests/deploy/test_deploy.py takes its token.",
        ),
        ("python", "tests/deploy/test_deploy.py::test_documented_hooks_are_all_there_are"),
        ("apache", "tests/support/proxies.py::apache_proxy"),
        ("haproxy", "tests/support/proxies.py::haproxy"),
        (
            "console",
            "The address is the reader's; tests/cli/doctor runs the command on many set-ups.",
        ),
        ("console", "Its port is fixed; tests/servers/test_servers.py serves by the same option."),
        ("text", "A line with example values; tests/host/test_logs.py reads real ones."),
    ],
    "docs/a2a.md": [
        ("python", "It needs the SDK, which `make test-a2a` has; tests/a2a does this."),
        ("python", BLOCKS + "test_the_agents_card_is_at_the_root"),
    ],
    "docs/agents.md": [
        ("python", "It needs a Postgres; tests/agents/test_graph_example.py runs examples/graph."),
        ("python", BLOCKS + "test_a_frameworks_client_is_ours"),
    ],
    "docs/authentication.md": [("python", BLOCKS + "test_a_login_lets_operators_programs_in")],
    "docs/client.md": [
        ("js", BLOCKS + "test_the_pages_form_asks"),
        ("js", "tests/clients/test_agent_client.py::test_the_example_of_the_page"),
    ],
    "docs/command-line.md": [("sh", BLOCKS + "test_the_command_line_talks")],
    "docs/frameworks.md": [
        ("python", FRAMEWORKS.format("test_langgraph")),
        ("python", FRAMEWORKS.format("test_graphs_client_tools")),
        ("python", FRAMEWORKS.format("openai_agents/test_openai_agents")),
        ("python", FRAMEWORKS.format("pydantic_ai/test_pydantic_ai")),
        ("python", FRAMEWORKS.format("test_agentao")),
        ("python", FRAMEWORKS.format("agentflow/test_agentflow")),
        ("python", FRAMEWORKS.format("test_mcp")),
    ],
    "docs/gevent.md": [("python", BLOCKS + "test_gevents_configuration_has_the_hooks")],
    "docs/how-to/flask-login.md": [
        ("python", HOW_TO),
        *[("sh", HOW_TO), ("sh", HOW_TO), ("text", HOW_TO), ("sh", HOW_TO), ("text", HOW_TO)],
    ],
    "docs/how-to/flask-socketio.md": [
        *[("python", HOW_TO), ("sh", HOW_TO), ("sh", HOW_TO), ("text", HOW_TO)]
    ],
    "docs/how-to/flask-sqlalchemy.md": [
        *[("python", HOW_TO), ("sh", HOW_TO), ("sh", HOW_TO), ("text", HOW_TO)]
    ],
    "docs/how-to/flask-wtf.md": [
        *[("python", HOW_TO), ("sh", HOW_TO), ("sh", HOW_TO), ("text", HOW_TO)],
        *[("sh", HOW_TO), ("text", HOW_TO)],
    ],
    "docs/how-to/kubernetes.md": [("console", "It needs a cluster and a registry.")],
    "docs/how-to/new-relic.md": [
        *[("python", HOW_TO), ("sh", HOW_TO), ("sh", HOW_TO), ("text", HOW_TO)]
    ],
    "docs/how-to/proxies.md": [
        *[("nginx", PROXIES), ("apache", PROXIES), ("haproxy", PROXIES)],
        ("console", "The address is the reader's; tests/cli/doctor measures ways through proxies."),
    ],
    "docs/how-to/sentry.md": [
        *[("python", HOW_TO), ("sh", HOW_TO), ("sh", HOW_TO), ("text", HOW_TO)]
    ],
    "docs/langgraph.md": [
        ("jsx", "A fragment of a page of the reader's own; tests/langgraph runs the hook in one."),
        ("python", BLOCKS + "test_langgraphs_clients"),
        ("python", BLOCKS + "test_langgraphs_clients"),
    ],
    "docs/mcp.md": [
        ("json", "The configuration of a client; tests/clients/test_mcp.py has real ones.")
    ],
    "docs/migration.md": [("sh", "It installs packages; tests/release installs each extra.")],
    "docs/mounting.md": [
        ("python", BLOCKS + "test_a_blueprint_in_a_list"),
        ("python", BLOCKS + "test_a_guard_lets_agents_pass"),
    ],
    "docs/performance.md": [("sh", "It measures for half an hour.")],
    "docs/resuming.md": [
        (
            "text",
            "Frames with example ids; tests/engine/test_turn_outlives_worker.py reads real ones.",
        ),
        ("python", BLOCKS + "test_a_charge_has_its_calls_key"),
        ("python", BLOCKS + "test_a_graph_says_what_a_crash_does"),
        ("python", BLOCKS + "test_steps_run"),
    ],
    "docs/servers.md": [("python", BLOCKS + "test_one_line_serves_by_asgi")],
    "docs/sites/airflow.md": [("python", SITE.format("airflow")), ("sh", SITES_COMMAND)],
    "docs/sites/changedetection.md": [
        ("python", SITE.format("changedetection")),
        ("sh", SITES_COMMAND),
    ],
    "docs/sites/ckan.md": [
        ("python", SITE.format("ckan")),
        ("toml", ENTRY_POINT),
        ("ini", SITES_COMMAND),
    ],
    "docs/sites/ihatemoney.md": [("python", SITE.format("ihatemoney")), ("sh", SITES_COMMAND)],
    "docs/sites/mlflow.md": [
        ("python", SITE.format("mlflow")),
        ("toml", ENTRY_POINT),
        ("sh", SITES_COMMAND),
    ],
    "docs/sites/octoprint.md": [("python", SITE.format("octoprint")), ("sh", SITES_COMMAND)],
    "docs/sites/pgadmin.md": [("python", SITE.format("pgadmin")), ("sh", SITES_COMMAND)],
    "docs/sites/privacyidea.md": [("python", SITE.format("privacyidea")), ("sh", SITES_COMMAND)],
    "docs/sites/superset.md": [("python", SITE.format("superset")), ("sh", SITES_COMMAND)],
    "docs/sites/zou.md": [("python", SITE.format("zou")), ("sh", SITES_COMMAND)],
    "docs/stores.md": [("text", "tests/store/test_redis_rights.py::test_the_rule_is_documented")],
    "docs/tutorial/approval.md": [
        *[("python", TUTORIAL), ("sh", SERVES), ("sh", TUTORIAL), ("text", TUTORIAL)],
        *[("sh", TUTORIAL), ("text", TUTORIAL), ("sh", TUTORIAL), ("text", TUTORIAL)],
    ],
    "docs/tutorial/first-agent.md": [
        *[("python", TUTORIAL), ("sh", SERVES), ("sh", TUTORIAL), ("text", TUTORIAL)],
        ("sh", TUTORIAL),
    ],
    "docs/tutorial/history.md": [
        *[("python", TUTORIAL), ("sh", SERVES), ("sh", TUTORIAL), ("text", TUTORIAL)],
        *[("sh", TUTORIAL), ("text", TUTORIAL), ("sh", TUTORIAL), ("text", TUTORIAL)],
        *[("sh", TUTORIAL), ("text", TUTORIAL)],
    ],
    "docs/tutorial/tools.md": [
        *[("python", TUTORIAL), ("sh", SERVES), ("sh", TUTORIAL), ("text", TUTORIAL)],
    ],
    "docs/wires.md": [("js", HOOKS), ("js", HOOKS)],
    "docs/writing-agents.md": [
        ("text", BLOCKS + "test_the_signature_is_the_built_in_agents"),
        ("python", "tests/test_documentation.py::test_an_example_gives_a_model_tools"),
        ("python", BLOCKS + "test_an_agent_has_another_work_for_it"),
        ("python", BLOCKS + "test_an_agent_looks_at_files"),
        ("python", BLOCKS + "test_an_agent_that_can_be_steered"),
    ],
    "examples/asgi/README.md": [("sh", EXAMPLES_INSTALL)],
    "examples/graph/README.md": [("sh", EXAMPLES_INSTALL)],
    "examples/monolith/README.md": [("sh", EXAMPLES_INSTALL)],
    "examples/node/README.md": [("sh", EXAMPLES_INSTALL)],
}


def pages() -> list[str]:
    """All pages that can have blocks."""
    made = ("reference", "_build", "node_modules")
    folders = [ROOT / folder for folder in ("bench", "deploy", "docs", "examples")]
    found = [path for folder in folders for path in folder.rglob("*.md")]
    kept = [path for path in found if not set(made) & set(path.parts)]
    return sorted(str(path.relative_to(ROOT)) for path in [*ROOT.glob("*.md"), *kept])


def rows_of(name: str) -> list[Row]:
    """A page's rows."""
    return [Row(*row) for row in ROWS.get(name, ())]
