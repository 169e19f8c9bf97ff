//! Components that are in use: whoever uses the same bytes shares their code, which takes more memory
//! than all else that an idle tenant has.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::Step;
use super::engine::Compiled;
use crate::names::Digest;

/// By a component's bytes and what was asked of it.
type Name = (Digest, Option<Step>);

/// What is compiled, as long as anybody holds it.
#[derive(Default)]
pub(super) struct Known(Mutex<HashMap<Name, Weak<Compiled>>>);

impl Known {
    pub(super) fn get(&self, name: &Name) -> Option<Arc<Compiled>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(name)?.upgrade()
    }

    /// Keeps a component in mind; answers with the one that another brought meanwhile, if any.
    pub(super) fn put(&self, name: Name, compiled: Arc<Compiled>) -> Arc<Compiled> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, compiled| compiled.strong_count() > 0);
        if let Some(first) = known.get(&name).and_then(Weak::upgrade) {
            return first;
        }
        known.insert(name, Arc::downgrade(&compiled));
        compiled
    }
}
