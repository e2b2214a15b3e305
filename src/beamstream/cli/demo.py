"""demo"""


def demo() -> None: ...
