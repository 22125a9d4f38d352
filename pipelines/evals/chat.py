"""Asks a model at an endpoint as OpenAI has it."""

from __future__ import annotations

import os
import time
from typing import Any

import nfrun


class Chat:
    """A model behind an endpoint. `url` is its address, up to the version: https://api.openai.com/v1."""

    def __init__(self, url: str) -> None:
        import httpx  # while the first calls wait for their turn

        headers = {"Authorization": f"Bearer {os.environ['API_KEY']}"}
        self.client = httpx.AsyncClient(base_url=url, headers=headers, timeout=60)

    async def __call__(self, question: str, model: str, template: str, max_tokens: int) -> dict[str, Any]:
        """Return the answer to a question, and what it took. Raises nfrun.NoRetry, ValueError, and errors of httpx."""
        messages = [{"role": "user", "content": template.replace("{question}", question)}]
        request = {"model": model, "messages": messages, "max_tokens": max_tokens, "temperature": 0}
        began = time.perf_counter()
        response = await self.client.post("chat/completions", json=request)
        seconds = time.perf_counter() - began
        status = response.status_code
        if 400 <= status < 500 and status != 429:  # with a wrong key or model, no question has an answer
            raise nfrun.NoRetry(f"status {status}: {response.text}", every_row=status in (401, 403, 404))
        response.raise_for_status()  # nfrun waits as long as Retry-After of the response says
        try:
            found = response.json()
            (choice,), usage = found["choices"], found["usage"]
            return {
                "answer": choice["message"]["content"],
                "finish": choice["finish_reason"],
                "tokens_in": usage["prompt_tokens"],
                "tokens_out": usage["completion_tokens"],
                "seconds": round(seconds, 4),
            }
        except (ValueError, KeyError, TypeError):
            raise ValueError(f"no chat completion: {response.text[:200]}") from None

    async def close(self) -> None:
        await self.client.aclose()
