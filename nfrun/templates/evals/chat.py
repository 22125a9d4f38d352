"""Asks models over HTTP, in the form that OpenAI has made usual."""

from typing import Any

import httpx
import nfrun

from stand_in import StandIn


class Chat:
    """An endpoint: one object for each `url`, which is called for each question."""

    def __init__(self, url: str) -> None:
        self.stand_in = None if url else StandIn()
        self.client = httpx.AsyncClient(
            base_url=self.stand_in.url if self.stand_in else url,
            timeout=60,
            trust_env=bool(url),  # no proxy leads to this machine
        )

    async def __call__(
        self, question: str, model: str, template: str, context: Any
    ) -> dict[str, Any]:
        """Return the answer and its tokens. After an error, nfrun calls again.

        It waits as long as the response says (`Retry-After`), or `delay` in evals.yaml.
        """
        key = context.env.get("API_KEY")
        content = template.replace("{question}", question)
        response = await self.client.post(
            "chat/completions",
            headers={"Authorization": f"Bearer {key}"} if key else {},
            json={"model": model, "messages": [{"role": "user", "content": content}]},
        )
        if response.status_code in (401, 403, 404):  # it would say so to each question
            raise nfrun.NoRetry(response.text, every_row=True)
        response.raise_for_status()
        body = response.json()
        return {
            "answer": body["choices"][0]["message"]["content"],
            "tokens_in": body["usage"]["prompt_tokens"],
            "tokens_out": body["usage"]["completion_tokens"],
        }

    async def close(self) -> None:
        """Called by nfrun when nothing is left to ask."""
        await self.client.aclose()
        if self.stand_in:
            self.stand_in.close()
