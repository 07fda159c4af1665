"""The wait for a target: its verdict, log lines and XCom entries. Without a clock and without I/O."""
