"""Why the node service, or its first files, cannot be."""


class NodeStartError(Exception):
    """The service cannot start; `problems` holds one line for each reason, naming a setting."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
