"""`wordup` and `python -m bot`."""

import gc


def main() -> None:
    """Import with the collector asleep: what is imported stays, and looking through it again and again costs a tenth of the start."""
    gc.disable()
    from bot.cli import app

    app()


if __name__ == "__main__":
    main()
