//! `assay tenant usage`: what the tenants of a host used, by asking it.

use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::Value;
use url::Url;

const PATIENCE: Duration = Duration::from_secs(30);

/// What stands above each column, and where it stands in what the host says.
const COLUMNS: [(&str, &str); 9] = [
    ("tenant", "/tenant"),
    ("state", "/state"),
    ("rows", "/rows/bronze"),
    ("bytes", "/bytes"),
    ("lake bytes", "/usage/lake_bytes"),
    ("CPU ms", "/usage/cpu_seconds"),
    ("CPU wait ms", "/usage/cpu_wait_seconds"),
    ("fuel", "/usage/fuel"),
    ("slowed ms", "/usage/slowed_seconds"),
];

/// Asks a host what its tenants used.
///
/// # Errors
/// A host that does not answer, or that does not know the token.
pub async fn ask(host: &Url, token: Option<&str>) -> anyhow::Result<Vec<Value>> {
    let url = host.join("/v1/tenants").context("make the address")?;
    let client = reqwest::Client::builder().timeout(PATIENCE).build()?;
    let mut request = client.get(url);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let asked = async {
        let answer = request.send().await?;
        anyhow::Ok((answer.status(), answer.bytes().await?))
    };
    let (status, body) = asked.await.with_context(|| {
        format!("ask {host}; a host answers where `assay run --listen` says, and --host names it")
    })?;
    let said: Value = serde_json::from_slice(&body)
        .with_context(|| format!("{host} answers with something that is no host's answer"))?;
    match said {
        Value::Array(tenants) if status.is_success() => Ok(tenants),
        said => {
            let error = said.get("error").and_then(Value::as_str);
            bail!(
                "{host} answers {status}: {}; where it is not on this machine, ASSAY_TOKEN must hold a token",
                error.unwrap_or("nothing more")
            )
        }
    }
}

/// What the tenants used, as columns, and below what is to be said of one.
pub fn table(tenants: &[Value]) -> String {
    let names = COLUMNS.map(|(name, _)| name.to_owned());
    let rows = tenants.iter().map(|tenant| {
        COLUMNS.map(|(name, place)| match tenant.pointer(place) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) if name.ends_with(" ms") => {
                format!("{:.0}", number.as_f64().unwrap_or_default() * 1e3)
            }
            Some(Value::Number(number)) => number.to_string(),
            _ => String::new(),
        })
    });
    let mut lines: Vec<(Vec<String>, Option<&str>)> = vec![(names.to_vec(), None)];
    let reasons = tenants.iter().map(|tenant| tenant.get("reason"));
    for (row, reason) in rows.zip(reasons) {
        lines.push((row.to_vec(), reason.and_then(Value::as_str)));
    }
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|(row, _)| row.get(column));
        cells.map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..COLUMNS.len()).filter_map(width).collect();
    let mut text = String::new();
    for (row, reason) in &lines {
        let cells = row.iter().zip(&widths).enumerate();
        let cells = cells.map(|(column, (cell, width))| match column {
            0 | 1 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
        if let Some(reason) = reason {
            text.push_str(&format!("    {reason}\n"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_tenant_is_a_line_and_what_is_amiss_stands_below_it() {
        let tenant = |name: &str, cpu: f64, reason: Option<&str>| {
            json!({
                "tenant": name, "state": "running", "rows": { "bronze": 12_345 }, "bytes": 99,
                "usage": {
                    "cpu_seconds": cpu, "cpu_wait_seconds": 0.0, "fuel": 7, "lake_bytes": 1,
                    "slowed_seconds": 0,
                },
                "reason": reason,
            })
        };
        let tenants = [
            tenant("retail", 1.5, None),
            tenant("web-shop", 0.001_6, Some("it is slowed")),
        ];
        let text = table(&tenants);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4, "{text}");
        assert!(lines[0].starts_with("tenant    state     rows"), "{text}");
        let cells: Vec<&str> = lines[1].split_whitespace().collect();
        let wanted = [
            "retail", "running", "12345", "99", "1", "1500", "0", "7", "0",
        ];
        assert_eq!(cells, wanted);
        assert!(lines[2].contains("  2  "), "{text}");
        assert_eq!(lines[3], "    it is slowed");
    }
}
