"""The parts of peers.py. The parent needs the standard library alone; workers run in the peers' environment."""
