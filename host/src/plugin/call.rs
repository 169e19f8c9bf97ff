//! One call in a fresh instance with its limits, and what went wrong if something did: the
//! component's fault, the clock's, or the host's. Only the first may convict a row.

use std::time::Duration;

use wasmtime::{Store, Trap};

use super::bindings::assay::rules::types as wit;
use super::bindings::exports::assay::rules as exports;
use super::engine::{Exports, Setup};
use super::limits::{Budget, Ledger};
use super::log::{Meter, one_line};
use super::usage::Running;
use super::{Cause, Description, GroupDescription, PluginError, RowDescription, Step, pace, trace};

/// Bytes of what is said about a fault, or by a component about a row.
pub(super) const LONGEST_TEXT: usize = 1_024;

/// What wasmtime says when an answer is larger than the limit; it has no type for it.
const OUTPUT_EXCEEDED: &str = "fuel allocated for hostcalls has been exhausted";

/// What the host keeps for one instance.
pub(super) struct Held {
    pub ledger: Ledger,
    pub meter: Meter,
}

/// Why a call gave no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It would fail in the same way on every machine.
    Guest {
        cause: Cause,
        text: String,
        /// The functions that it trapped in, where they have names.
        trace: Vec<String>,
    },
    Deadline(Duration),
    /// The component's functions are not of the contract's types.
    Contract(String),
    /// The host's own want; says nothing about the component.
    Host(String),
}

impl Fault {
    pub(super) fn guest(cause: Cause, text: String) -> Self {
        Self::Guest {
            cause,
            text,
            trace: Vec::new(),
        }
    }

    pub(super) fn answer(text: &str) -> Self {
        Self::guest(Cause::Answer, one_line(text, LONGEST_TEXT))
    }
}

/// A fresh instance, for one batch.
pub(super) struct Session {
    store: Store<Held>,
    guest: Guest,
    budget: Budget,
    /// Fuel that setting it up took.
    set_up: u64,
    /// Of one that is ready: what it uses is added up when it goes.
    running: Option<Running>,
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.end(self.burnt());
        }
    }
}

enum Guest {
    Cleanse(exports::cleansing::Guest),
    Validate(exports::validation::Guest),
    Enrich(exports::enrichment::Guest),
    Aggregate(exports::aggregation::Guest),
}

/// What a component that works row by row answered.
pub(super) type RowAnswer = Result<wit::Judged, String>;

/// What a component that aggregates answered.
pub(super) type GroupAnswer = Result<wit::BatchResult, String>;

impl Session {
    /// A quiet one writes no log: for calls that repeat others.
    pub(super) fn start(setup: &Setup, budget: &Budget, quiet: bool) -> Result<Self, Fault> {
        let compiled = setup.component.compiled();
        let held = Held {
            ledger: Ledger::new(budget.memory),
            meter: Meter::new(budget.log, quiet),
        };
        let mut store = Store::new(compiled.pre.engine(), held);
        store.limiter(|held| &mut held.ledger);
        store.set_hostcall_fuel(budget.output);
        pace::keep(&mut store, budget.deadline);
        // Setting up is paid for apart, so that the rows have the same fuel whatever the params.
        set_fuel(&mut store, setup.limits.fuel)?;
        let instance = compiled
            .pre
            .instantiate(&mut store)
            .map_err(|error| not_instantiated(&store, budget, &error))?;
        let contract = |error: wasmtime::Error| Fault::Contract(format!("{error:#}"));
        let guest = match &compiled.exports {
            Exports::Cleanse(at) => {
                Guest::Cleanse(at.load(&mut store, &instance).map_err(contract)?)
            }
            Exports::Validate(at) => {
                Guest::Validate(at.load(&mut store, &instance).map_err(contract)?)
            }
            Exports::Enrich(at) => Guest::Enrich(at.load(&mut store, &instance).map_err(contract)?),
            Exports::Aggregate(at) => {
                Guest::Aggregate(at.load(&mut store, &instance).map_err(contract)?)
            }
        };
        Ok(Self {
            store,
            guest,
            budget: *budget,
            set_up: 0,
            running: None,
        })
    }

    /// A fresh instance that is configured, with its full fuel before it.
    pub(super) fn ready(setup: &Setup, budget: &Budget, quiet: bool) -> Result<Self, Fault> {
        // What it logs while it is set up was said when it was configured first.
        let mut session = Self::start(setup, budget, true).map_err(unlike_before)?;
        session
            .configure(&setup.params)
            .map_err(unlike_before)?
            .map_err(|text| unlike_before(Fault::answer(&text)))?;
        session.store.data_mut().meter = Meter::new(budget.log, quiet);
        let left = session.store.get_fuel().unwrap_or_default();
        session.set_up = setup.limits.fuel.saturating_sub(left);
        set_fuel(&mut session.store, budget.fuel)?;
        session.running = Some(Running::begin(&setup.used));
        Ok(session)
    }

    pub(super) fn configure(&mut self, params: &str) -> Result<Result<(), String>, Fault> {
        let store = &mut self.store;
        let said = match &self.guest {
            Guest::Cleanse(guest) => guest.call_configure(store, params),
            Guest::Validate(guest) => guest.call_configure(store, params),
            Guest::Enrich(guest) => guest.call_configure(store, params),
            Guest::Aggregate(guest) => guest.call_configure(store, params),
        };
        said.map_err(|error| self.fault(&error))
    }

    /// The outer error is a fault, the inner one a description that does not hold.
    pub(super) fn describe(&mut self) -> Result<Result<Description, PluginError>, Fault> {
        let store = &mut self.store;
        let rows = |step, said: wasmtime::Result<wit::RowDescription>| {
            said.map(|said| RowDescription::check(step, said).map(Description::Rows))
        };
        let said = match &self.guest {
            Guest::Cleanse(guest) => rows(Step::Cleanse, guest.call_describe(store)),
            Guest::Validate(guest) => rows(Step::Validate, guest.call_describe(store)),
            Guest::Enrich(guest) => rows(Step::Enrich, guest.call_describe(store)),
            Guest::Aggregate(guest) => guest
                .call_describe(store)
                .map(|said| GroupDescription::check(said).map(Description::Groups)),
        };
        said.map_err(|error| self.fault(&error))
    }

    /// Cleanses, validates or enriches.
    pub(super) fn judge(&mut self, rows: &wit::BatchParam<'_>) -> Result<RowAnswer, Fault> {
        let store = &mut self.store;
        let said = match &self.guest {
            Guest::Cleanse(guest) => guest.call_cleanse(store, rows.clone()),
            Guest::Enrich(guest) => guest.call_enrich(store, rows.clone()),
            Guest::Validate(guest) => guest.call_validate(store, rows.clone()).map(|said| {
                said.map(|verdicts| wit::Judged {
                    columns: Vec::new(),
                    verdicts,
                })
            }),
            Guest::Aggregate(_) => return Err(not_its_step()),
        };
        said.map_err(|error| self.fault(&error))
    }

    pub(super) fn fold(
        &mut self,
        rows: &wit::BatchParam<'_>,
        group: &[u32],
        groups: u32,
    ) -> Result<GroupAnswer, Fault> {
        let Guest::Aggregate(guest) = &self.guest else {
            return Err(not_its_step());
        };
        let said = guest.call_fold(&mut self.store, rows.clone(), group, groups);
        said.map_err(|error| self.fault(&error))
    }

    pub(super) fn merge(
        &mut self,
        left: &wit::BatchParam<'_>,
        right: &wit::BatchParam<'_>,
    ) -> Result<GroupAnswer, Fault> {
        let Guest::Aggregate(guest) = &self.guest else {
            return Err(not_its_step());
        };
        let said = guest.call_merge(&mut self.store, left.clone(), right.clone());
        said.map_err(|error| self.fault(&error))
    }

    pub(super) fn finish(&mut self, state: &wit::BatchParam<'_>) -> Result<GroupAnswer, Fault> {
        let Guest::Aggregate(guest) = &self.guest else {
            return Err(not_its_step());
        };
        let said = guest.call_finish(&mut self.store, state.clone());
        said.map_err(|error| self.fault(&error))
    }

    /// Fuel that setting it up and the call used so far.
    pub(super) fn burnt(&self) -> u64 {
        self.set_up.saturating_add(self.worked())
    }

    /// Fuel that the call used so far.
    pub(super) fn worked(&self) -> u64 {
        let left = self.store.get_fuel().unwrap_or_default();
        self.budget.fuel.saturating_sub(left)
    }

    /// Bytes that the instance holds.
    pub(super) fn memory(&self) -> usize {
        self.store.data().ledger.held()
    }

    fn fault(&self, error: &wasmtime::Error) -> Fault {
        fault(&self.store, &self.budget, error).unwrap_or_else(|| {
            // Neither a trap nor a limit: what came back could not be read.
            Fault::answer(&format!("its answer can't be read: {}", error.root_cause()))
        })
    }
}

fn not_its_step() -> Fault {
    Fault::Host("the component is not of this step".into())
}

/// Setting up went well when the component was configured, and is the same each time: that it fails
/// now says nothing about the rows.
fn unlike_before(fault: Fault) -> Fault {
    match fault {
        Fault::Guest { cause, text, .. } => Fault::Host(format!(
            "setting it up failed, though it went well before: {cause}: {text}"
        )),
        other => other,
    }
}

fn set_fuel(store: &mut Store<Held>, fuel: u64) -> Result<(), Fault> {
    let host = |error: wasmtime::Error| Fault::Host(format!("{error:#}"));
    store.set_fuel(fuel).map_err(host)
}

fn not_instantiated(store: &Store<Held>, budget: &Budget, error: &wasmtime::Error) -> Fault {
    fault(store, budget, error).unwrap_or_else(|| Fault::Host(format!("{error:#}")))
}

/// Whose fault an error of wasmtime's is, where that can be told.
fn fault(store: &Store<Held>, budget: &Budget, error: &wasmtime::Error) -> Option<Fault> {
    let Held { ledger, meter } = store.data();
    if let Some(want) = &ledger.host_want {
        return Some(Fault::Host(format!("no memory for an instance: {want}")));
    }
    let guest = |cause, text| Some(Fault::guest(cause, text));
    if let Some(asked) = ledger.refused {
        let text = format!(
            "it asked for {asked} bytes of memory; {} are allowed",
            budget.memory
        );
        return guest(Cause::Memory, text);
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::Interrupt) => return Some(Fault::Deadline(budget.deadline)),
        Some(Trap::OutOfFuel) => {
            let text = format!("it used up its {} units of fuel", budget.fuel);
            return guest(Cause::Fuel, text);
        }
        Some(trap) => {
            return Some(Fault::Guest {
                cause: Cause::Trap,
                text: trap_text(*trap, meter.last_error.as_deref()),
                trace: trace::of(error),
            });
        }
        None => {}
    }
    if error.root_cause().to_string().contains(OUTPUT_EXCEEDED) {
        let text = format!("its answer is larger than {} bytes", budget.output);
        return guest(Cause::Output, text);
    }
    None
}

/// A trap says how, the last error in the log (a panic's message) says why.
fn trap_text(trap: Trap, last_error: Option<&str>) -> String {
    match last_error {
        Some(said) => one_line(&format!("{said} ({trap})"), LONGEST_TEXT),
        None => trap.to_string(),
    }
}
