"""The table at the end of `make fuzz`."""
import hostile


def pytest_sessionfinish(session):
    if hostile.FAILURES and not session.exitstatus:
        session.exitstatus = 1


def pytest_terminal_summary(terminalreporter):
    if hostile.TIMES:
        terminalreporter.section('hostile inputs')
        terminalreporter.write_line(hostile.table())
        for failure, count in hostile.FAILURES.most_common():
            terminalreporter.write_line(f'{count} x {failure}')
