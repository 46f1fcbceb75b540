"""The whole product on one machine: the outer world imitated, everything of ours real."""
