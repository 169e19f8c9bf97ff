//! End-to-end tests: the real `assay` command on real files and a real Apache Kafka, read back
//! with readers that are not ours. One test binary.
#![cfg(test)]

mod kafka;

mod place;

mod guest;

mod emulator;

mod till;

/// What a member of a real Kafka's group sees: every message once, and a clear word when that
/// can't be.
mod kafka_source;

/// From Kafka to gold: killed on the way, and with topics that are not what they were.
mod kafka_road;

/// Topics that are made again, expire unread and grow, as often as is asked for.
mod topic_changes;

/// A Kafka that asks for TLS and a password, which no log, error or table may repeat.
mod kafka_secured;

/// From files to gold, once and again, and killed on the way.
mod files;

/// Many small batches that end as few files, with every row in them once.
mod compaction;

/// What a user gets wrong, and what comes in wrong: a clear error or a quarantined row.
mod bad_input;

/// Rules and dimensions that change: between bronze and silver, and while the host runs.
mod rules_change;

/// Rules that are staged, promoted and rolled back under a running host: the switch is exact, and
/// what fails is loud and changes nothing.
mod rules_swap;

/// Many swaps: under load nothing is lost, doubled or judged by two sets, and memory stays as it was.
mod swap_figures;

/// Rule sets that judge beside the active one: what they report comes true, what they break is
/// theirs alone, and promotions are held to it.
mod shadow;

/// What a shadow costs the set that judges.
mod shadow_cost;

/// Components that somebody must vouch for: what is unsigned, wrongly signed or changed since judges
/// nothing.
mod signed;

/// Components in a real OCI registry: pinned by digest, signed as they were, and nothing else taken for
/// them.
mod oci_registry;

/// What the README tells to type is typed.
mod readme;

/// Messages that carry many lines: each line ends in one place, and the cents add up.
mod explode;

/// A lake whose disk is full: said clearly, nothing lost, and on it goes once there is room.
mod full_disk;

mod machine;

/// A disk that breaks in the middle of a write.
mod broken_disk;

/// A wall clock that jumps.
mod clock;

/// A host that wakes up in a log that others cleaned meanwhile.
mod stale;

/// Lakes in object stores: two hosts that get the same keys, and one of them killed.
mod object_store;

mod waits;

/// Several hosts of one tenant, and everything that may happen to them.
mod chaos;

/// A real process over a lake that fails: what is lost, refused, torn or cut short by its death.
mod faults;

/// A real process that dies at each named step, and how often in which phase.
mod phases;

/// Hosts that die in the middle of a rebalance.
mod rebalance;

/// A run that is to end, and another member of its group that stands still.
mod others;

/// Rule sets that fail on the rows that are theirs.
mod rules_fail;

/// Other engines that write while rows flow, and columns that change under them.
mod foreign;

/// Lines that are no events, some of them huge, among many that are.
mod poison;

/// A lake that does not answer for long: memory stays bounded, and so does the farewell.
mod silence;

/// Logs that were damaged, healed for readers that are not ours.
mod repair;

/// The second tenant: a week of real sales under rules of its own.
mod online_retail;

/// Rules of `plugins/sdk/examples`, with reference data that changes on a date.
mod examples;

/// Both tenants in one host: neither waits for the other, nor falls with it.
mod two_tenants;

/// Tenants that flood and loop, among others that behave: nobody waits for them.
mod fairness;

/// Tenants that share a consumer: nobody waits for another, and who comes or goes disturbs nobody.
mod shared_consumer;

/// A gold table that takes long to write: nothing that comes in waits for it.
mod slow_gold;

/// What a tenant more costs a host that has many.
mod many_tenants;

/// Components that mean harm, each a tenant of one host: they harm their own rows and no neighbour.
mod hostile;

/// A host over HTTP: how it does, rules and tenants for those who hold a token, and an audit of it all.
mod serve;

/// Rule authors: from `assay plugin new` to golden cases, and what is shown where they fail.
mod authoring;
