"""A real Apache Kafka for development and tests, from Python packages and Maven jars alone; no part of the product."""
