"""Range checks that settings share; nan fails every one of them."""


def at_least(name: str, value: float, low: float) -> None:
    """ValueError unless value >= low."""
    if not value >= low:
        raise ValueError(f"{name} must be at least {low}, got {value}")


def in_unit(name: str, value: float) -> None:
    """ValueError unless 0 <= value <= 1."""
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must be in [0, 1], got {value}")
