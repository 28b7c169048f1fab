"""Settings of every test."""

import os

import hypothesis
import pytest

# No test depends on how fast the machine is.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


def _demand_sandbox(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Fails what was skipped for want of the sandbox, where that is promised (.ci/run does)."""
    if not (report.skipped and os.environ.get("CODELLAMA_JAX_REQUIRE_SANDBOX")):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if "bubblewrap" in reason.lower() or "sandbox" in reason.lower():
        report.outcome = "failed"
        report.longrepr = f"skipped, but CODELLAMA_JAX_REQUIRE_SANDBOX is set: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if not hasattr(report, "wasxfail"):
        _demand_sandbox(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    report = yield
    _demand_sandbox(report)
    return report
