"""The one way of an event into Kafka: checked, with its consent, by the plan, protected; or refused with a reason."""
