//! `assay token`: who may ask over HTTP.

use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Subcommand;

use super::common::{LakeArgs, block_on};
use crate::cli::out::say;
use crate::control::audit::{Act, Actor, Scope, audited};
use crate::control::token::{Request, Role, Token, Tokens};
use crate::environment::now;
use crate::names::Tenant;
use crate::pipeline::answers::moment;
use crate::pipeline::config::parse_duration;
use crate::told::reason;

/// Make, list and revoke the tokens of those who speak to hosts over HTTP
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Make a token and print it, this once: the lake keeps only its hash
    ///
    /// An author stages rules; an approver promotes and rolls back; an operator does both, and
    /// pauses, resumes and deletes. All may read.
    Create {
        /// The tenant that it is for
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        tenant: Option<Tenant>,
        /// It is for all tenants of the lake
        #[arg(long)]
        all: bool,
        /// author, approver or operator
        #[arg(long)]
        role: Role,
        /// Whose it is, for the audit
        #[arg(long, value_parser = named)]
        name: String,
        /// Refuse it after this long, as in 90d
        #[arg(long, value_name = "DURATION", value_parser = days_or_less)]
        expires: Option<Duration>,
        #[command(flatten)]
        lake: LakeArgs,
    },
    /// List the tokens
    List {
        #[command(flatten)]
        lake: LakeArgs,
    },
    /// Have a token be refused; hosts follow within a second
    Revoke {
        /// Its id, as `assay token list` shows it
        id: String,
        #[command(flatten)]
        lake: LakeArgs,
    },
}

/// # Errors
/// No such token, or a lake that can't be used.
pub fn run(args: Args) -> anyhow::Result<()> {
    block_on(async {
        match args.verb {
            Verb::Create {
                tenant,
                all: _,
                role,
                name,
                expires,
                lake,
            } => {
                let lake = lake.named()?;
                let actor = Actor::here();
                let whose = tenant
                    .as_ref()
                    .map_or("all tenants".to_owned(), Tenant::to_string);
                let act = Act::new("token create", format!("{name}: {role} of {whose}"), "");
                let wanted = Request {
                    name,
                    tenant: tenant.clone(),
                    role,
                    lasts: expires,
                };
                let mut tokens = Tokens::new(&lake);
                let change = tokens.create(&wanted, &actor.by);
                let scope = Scope::Lake(tenant.as_ref());
                let token = audited(&lake, scope, &actor, act, change).await??;
                eprintln!("{role} of {whose}; it is shown this once:");
                say!("{token}");
                Ok(())
            }
            Verb::List { lake } => {
                let mut tokens = Tokens::new(&lake.named()?);
                tokens.refresh().await?;
                say!("id\tname\ttenant\trole\tstate\tcreated\tby\texpires");
                for token in tokens.all() {
                    say!("{}", line(token, now()));
                }
                Ok(())
            }
            Verb::Revoke { id, lake } => {
                let lake = lake.named()?;
                let actor = Actor::here();
                let mut tokens = Tokens::new(&lake);
                tokens.refresh().await?;
                let known = tokens.all().iter().find(|token| token.id == id);
                let tenant = known.and_then(|token| token.tenant.clone());
                let act = Act::new("token revoke", id.clone(), "");
                let change = tokens.revoke(&id, &actor.by);
                let scope = Scope::Lake(tenant.as_ref());
                audited(&lake, scope, &actor, act, change).await??;
                say!("token {id} is revoked");
                Ok(())
            }
        }
    })
}

fn line(token: &Token, now: i64) -> String {
    let state = match (token.revoked, token.is_good(now)) {
        (true, _) => "revoked",
        (false, true) => "good",
        (false, false) => "expired",
    };
    let tenant = token.tenant.as_ref().map_or("(all)", Tenant::as_str);
    let expires = token.expires.map_or("never".to_owned(), moment);
    let created = moment(token.at);
    format!(
        "{}\t{}\t{tenant}\t{}\t{state}\t{created}\t{}\t{expires}",
        token.id, token.name, token.role, token.by
    )
}

/// A duration, days included.
fn days_or_less(text: &str) -> anyhow::Result<Duration> {
    const DAY: u64 = 24 * 60 * 60;
    /// A century: what lasts longer need not expire.
    const LONGEST: Duration = Duration::from_secs(36_525 * DAY);
    let lasts = match text.strip_suffix('d') {
        Some(days) => {
            let days: u64 = days
                .parse()
                .context("use a whole number and d, h, m or s, as in 90d")?;
            Duration::from_secs(days.saturating_mul(DAY))
        }
        None => parse_duration(text).map_err(anyhow::Error::msg)?,
    };
    if lasts.is_zero() || lasts > LONGEST {
        bail!(
            "use more than nothing and at most 36525d, or leave it out for one that never expires"
        );
    }
    Ok(lasts)
}

fn named(text: &str) -> Result<String, &'static str> {
    reason(text).map_err(|_| "say whose it is, in one line")
}
