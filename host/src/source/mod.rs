//! Where events come from: Kafka, files, memory. The only place that names rdkafka.
