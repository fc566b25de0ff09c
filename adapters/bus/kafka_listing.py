"""Which topics a Kafka cluster has now."""

from adapters.bus import kafka_client
from adapters.bus.kafka_client import Cluster, unavailable


async def on_the_cluster(cluster: Cluster) -> frozenset[str]:
    """Those that we may see. Raises Unavailable."""
    with unavailable("topics"):
        admin = kafka_client.admin(cluster)
        try:
            await admin.start()
            return frozenset(await admin.list_topics())
        finally:
            await admin.close()
