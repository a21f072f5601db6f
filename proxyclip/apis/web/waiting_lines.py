"""Lines in which the page's requests wait: for the model, and for pictures that are read."""

from typing import Any

MODEL_LINE = "model"
PICTURE_LINE = "picture"
MAX_WAITING = {MODEL_LINE: 16, PICTURE_LINE: 64}
TOO_MANY_REQUESTS = 429  # of which gradio's script shows the sentence; of 503 it has its own


def limit_waiting_lines(blocks: Any, max_waiting: dict[str, int] | None = None) -> None:
    """Let each line refuse requests by its own length, so that a long one for the model stops no upload.

    Args:
        blocks: gradio's, whose events name a line as `concurrency_id`.
    """
    from fastapi import HTTPException

    limits = max_waiting or MAX_WAITING
    queue = blocks._queue
    push = queue.push

    async def push_within_limits(body: Any, request: Any, username: str | None) -> Any:
        event = blocks.fns.get(body.fn_index)
        if event is None or not event.queue:
            raise HTTPException(400, "Expected an event of this page, but got another one: load the page again.")
        line = queue.event_queue_per_concurrency_id.get(event.concurrency_id)
        count = len(line.queue) if line else 0
        if count >= limits[event.concurrency_id]:
            people = "is 1 request" if count == 1 else f"are {count} requests"
            raise HTTPException(
                TOO_MANY_REQUESTS, f"The page is busy: there {people} before this one. Try again in a minute."
            )
        return await push(body, request, username)

    queue.push = push_within_limits
