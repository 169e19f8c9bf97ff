//! Whether a rule set's components are signed by those whom the tenant trusts. Asked before a set
//! judges or is told to, and not of rows that another set judged before.

use super::registry::Registry;
use super::store::RuleSetError;
use crate::medallion::definition::Definition;
use crate::medallion::rules::RulesError;
use crate::names::RuleSetNumber;
use crate::trust::Trust;

impl Registry {
    /// Sets whose signatures count from now on. Without it, no component needs one.
    pub fn set_trust(&mut self, trust: Trust) {
        self.trust = trust;
    }

    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Holds what would judge to the keys that are trusted.
    ///
    /// # Errors
    /// `Rules`, which names the component.
    pub fn check_trust(
        &self,
        number: RuleSetNumber,
        definition: &Definition,
    ) -> Result<(), RuleSetError> {
        for (step, used) in definition.rules() {
            let judged = self.trust.judge(used.component, &used.signature);
            judged.map_err(|source| RuleSetError::Rules {
                number,
                source: RulesError::Untrusted {
                    step,
                    name: used.name.clone(),
                    source,
                },
            })?;
        }
        Ok(())
    }

    /// The same of a set that there is.
    ///
    /// # Errors
    /// `NoSuch`, or as [`Self::check_trust`].
    pub fn check_trust_in(&self, number: RuleSetNumber) -> Result<(), RuleSetError> {
        self.check_trust(number, &self.set(number)?.definition)
    }
}
