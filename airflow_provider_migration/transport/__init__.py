"""Run a flow over the network: with ``requests`` on workers, with ``aiohttp`` on the event loop."""
