"""Tests of hello.yaml. The fixture `pipeline` comes with nfrun; its runs stay apart."""

from steps import greet


def test_greet():
    assert greet(["sun"], "Hi") == [{"name": "sun", "text": "Hi, sun!"}]


def test_hello(pipeline):
    result = pipeline("hello.yaml").run(params={"greeting": "Hi"}).check()
    assert result["greetings"]["text"].to_pylist() == ["Hi, world!", "Hi, moon!"]
