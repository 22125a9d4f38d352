GOOD, BAD = {"lovely", "great", "good", "fresh"}, {"bad", "bitter", "broken", "late"}


def mood(text: str) -> dict[str, int]:
    """Count good words less bad ones: a model of yours would stand here."""
    words = set(text.lower().split())
    return {"mood": len(words & GOOD) - len(words & BAD)}
