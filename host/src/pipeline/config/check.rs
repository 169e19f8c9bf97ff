//! What a TOML can get wrong beyond its spelling.

use super::*;
use crate::lake::is_object_store;
use crate::oci::{Reference, in_registry};

impl Config {
    /// What the memory is for, or the first thing that is wrong, and where in the text it stands.
    pub(super) fn check(&self) -> Result<Memory, (usize, String)> {
        if *self.version.get_ref() != 1 {
            let found = self.version.get_ref();
            return Err((
                self.version.span().start,
                format!("version {found} of the format is not known here; write version = 1"),
            ));
        }
        if let Some(uri) = &self.lake.uri
            && !self.lake.options.is_empty()
            && !is_object_store(uri)
        {
            let problem = format!("{uri} is in no object store; remove [lake.options]");
            return Err((0, problem));
        }
        self.check_fields()?;
        self.check_event()?;
        self.check_limits()?;
        let mut names = std::collections::BTreeSet::new();
        for gold in &self.gold {
            let (at, name) = (gold.name.span().start, gold.name.get_ref());
            check_name(name, "gold table").map_err(|e| (at, e.to_string()))?;
            if !names.insert(name) {
                return Err((at, format!("two gold tables are called {name}; rename one")));
            }
        }
        for (name, dimension) in &self.dimension {
            check_name(name, "dimension").map_err(|e| (0, e.to_string()))?;
            if dimension.key.is_empty() {
                return Err((
                    0,
                    format!("dimension {name} has no key; name its key columns"),
                ));
            }
        }
        if self.batch.rows == 0 || self.batch.bytes == Some(0) {
            return Err((0, "[batch] rows and bytes must be more than 0".to_owned()));
        }
        self.quota.check()?;
        self.quota.memory(self.batch.bytes, self.dedup.bytes)
    }

    fn check_limits(&self) -> Result<(), (usize, String)> {
        self.limits.check()?;
        let (share, window) = (&self.breaker.share, &self.breaker.window);
        if !(*share.get_ref() > 0.0 && *share.get_ref() <= 1.0) {
            let problem = format!(
                "share = {} is no share: use more than 0, and at most 1, at which the breaker is off",
                share.get_ref()
            );
            return Err((share.span().start, problem));
        }
        if *window.get_ref() == 0 {
            let problem = "window = 0 holds no rows: use 1 or more".to_owned();
            return Err((window.span().start, problem));
        }
        let gates = [&self.promotion, &self.rollback];
        gates
            .into_iter()
            .flatten()
            .try_for_each(GateConfig::check)?;
        let cpu = &self.shadow.cpu;
        if !(*cpu.get_ref() > 0.0 && *cpu.get_ref() <= 1.0) {
            let problem = format!(
                "cpu = {} is no share of a core: use more than 0, and at most 1",
                cpu.get_ref()
            );
            return Err((cpu.span().start, problem));
        }
        let steps = [&self.cleanse, &self.validate, &self.enrich];
        let rows = steps.into_iter().flatten();
        let rows = rows.map(|used| (&used.component, &used.limits));
        let gold = self.gold.iter();
        let gold = gold.map(|table| (&table.component, &table.limits));
        for (component, limits) in rows.chain(gold) {
            let at = component.span().start;
            if component.get_ref().as_os_str().is_empty() {
                let problem = "component = \"\" names no file; name the component's .wasm";
                return Err((at, problem.to_owned()));
            }
            if let Some(named) = in_registry(component.get_ref()) {
                let named: Result<Reference, _> = named.parse();
                let pinned = named.and_then(|named| named.pinned());
                pinned.map_err(|error| (at, error.to_string()))?;
            }
            limits.check()?;
            limits
                .check_own()
                .map_err(|problem| (component.span().start, problem))?;
        }
        Ok(())
    }

    fn check_fields(&self) -> Result<(), (usize, String)> {
        for (name, field_type) in &self.event.fields {
            let problem = match field_type.as_str().map(str::parse::<FieldType>) {
                None => "a field's type is a text, as in quantity = \"integer\"".to_owned(),
                Some(Err(error)) => error.to_string(),
                Some(Ok(_)) => continue,
            };
            return Err((0, format!("[event.fields] {name}: {problem}")));
        }
        for (name, _) in self.fields() {
            let legal = name.chars().next().is_some_and(|c| c.is_ascii_alphabetic())
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            if !legal || name == "sale_date" || name == "sale_hour" {
                return Err((
                    0,
                    format!(
                        "[event.fields] {name:?} can't be a field: use letters, digits and _, beginning with a letter; sale_date and sale_hour are made by the host"
                    ),
                ));
            }
        }
        Ok(())
    }

    fn check_event(&self) -> Result<(), (usize, String)> {
        let event = &self.event;
        let declared = |name: &str| self.fields().find(|(field, _)| *field == name);
        if event.key.get_ref().is_empty() {
            return Err((
                event.key.span().start,
                "key is empty; name at least one field".into(),
            ));
        }
        for name in event.key.get_ref() {
            if declared(name).is_none() {
                let problem = format!("key names {name}, which [event.fields] does not declare");
                return Err((event.key.span().start, problem));
            }
        }
        let time = event.time.get_ref();
        if declared(time).is_none_or(|(_, field_type)| field_type != FieldType::Timestamp) {
            return Err((
                event.time.span().start,
                format!("time names {time}, which [event.fields] does not declare as a timestamp"),
            ));
        }
        if event.zone.get_ref().parse::<chrono_tz::Tz>().is_err() {
            return Err((
                event.zone.span().start,
                format!(
                    "{:?} is no time zone; use an IANA name, as in Europe/London",
                    event.zone.get_ref()
                ),
            ));
        }
        if let Some(from) = &event.zone_from
            && !self.dimension.contains_key(&from.get_ref().dimension)
        {
            return Err((
                from.span().start,
                format!(
                    "zone_from names dimension {}, which there is not",
                    from.get_ref().dimension
                ),
            ));
        }
        Ok(())
    }
}
