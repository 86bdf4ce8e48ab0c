"""The command line."""

import sys

try:
    from flows.cli.app import main
except ModuleNotFoundError as error:  # of a light install
    from components.common.light import incomplete

    print(f"atelier: {incomplete(error)}", file=sys.stderr)
    sys.exit(2)

__all__ = ["main"]
