"""Tests of evals.yaml. The fixture `pipeline` comes with nfrun; its runs stay apart."""

from stand_in import StandIn, truth

QUESTION = {"id": 1, "question": "What is 2 + 3?", "expected": "5"}
PRICE = {"id": "small", "dollars_in": 2.0, "dollars_out": 10.0}


def answered(text):
    cell = {"model": "small", "prompt": "short", **QUESTION}
    return [{**cell, "answer": text, "tokens_in": 100, "tokens_out": 10}]


def test_the_last_word_of_an_answer_counts(pipeline):
    evals = pipeline("evals.yaml")
    for text, accuracy in {"5": 1.0, "It is 5.": 1.0, "5 or 6": 0.0}.items():
        scores = evals.node(
            "scores", answers=answered(text), questions=[QUESTION], prices=[PRICE]
        )
        assert scores["accuracy"].to_pylist() == [accuracy]
        assert scores["dollars"].to_pylist() == [0.0003]


def test_truth():
    assert (truth("What is 2 + 3?"), truth("What is 4 * 5?")) == (5, 20)


def test_the_stand_in_is_busy_once_at_most():
    stand_in = StandIn()
    request = {"model": "large", "messages": [{"content": "What is 1 + 1?"}]}
    first, second = stand_in.answer(request), stand_in.answer(request)
    stand_in.close()
    assert first[0] in (200, 429)
    assert second[0] == 200


def test_the_best_is_as_good_as_it_was(pipeline):
    result = pipeline("evals.yaml").run(params={"url": ""}, until="best").check()
    assert result["best"]["accuracy"].to_pylist() == [0.95]
    assert result["best"]["prompt"].to_pylist() == ["steps"]
