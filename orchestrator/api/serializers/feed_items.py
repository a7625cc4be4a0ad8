"""Items of the feed of all jobs."""

from collections.abc import Mapping

from orchestrator.api.serializers.common import moment
from orchestrator.api.serializers.job_cards import need_answer, tree_usage
from orchestrator.engine.service.read_models.feed import FeedItem, FeedKind


def feed_values(item: FeedItem) -> Mapping[str, object]:
    """Return the JSON object of an item."""
    values: dict[str, object] = {
        "job_id": item.job_id,
        "root_job_id": item.root_id,
        "at": moment(item.at).isoformat().replace("+00:00", "Z"),
    }
    if item.kind is FeedKind.NEEDS:
        return {**values, "needs": [need_answer(need).as_json() for need in item.needs]}
    if item.figures is not None:
        counts = dict(item.figures.counts)
        return {**values, "tree_counts": counts, "usage": tree_usage(item.figures).as_json()}
    return {**values, "data": dict(item.data)}
