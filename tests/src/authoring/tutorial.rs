//! The tutorial of plugins/README.md, done as it says.

use super::{share_builds, shell};
use crate::place::repository;

/// A fenced block, and the last `path` in code before it.
struct Block {
    language: String,
    file: String,
    text: String,
}

fn blocks(section: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut rest = section;
    while let Some((before, after)) = rest.split_once("```") {
        let (language, after) = after.split_once('\n').unwrap();
        let (text, after) = after.split_once("```").unwrap();
        let mut codes: Vec<&str> = before.split('`').skip(1).step_by(2).collect();
        codes.retain(|code| code.contains('/'));
        blocks.push(Block {
            language: language.to_owned(),
            file: codes.last().copied().unwrap_or_default().to_owned(),
            text: text.to_owned(),
        });
        rest = after;
    }
    blocks
}

#[test]
fn the_authors_page_leads_from_an_idea_to_a_tested_rule() {
    let page = std::fs::read_to_string(repository().join("plugins/README.md")).unwrap();
    let (_, section) = page
        .split_once("## From an idea to a tested rule\n")
        .unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();

    let place = tempfile::tempdir().unwrap();
    let mut folder = place.path().to_owned();
    let mut said = String::new();
    let mut compared = 0;
    for Block {
        language,
        file,
        text,
    } in blocks(section)
    {
        match language.as_str() {
            "sh" => {
                said.clear();
                for line in text.lines() {
                    match line.strip_prefix("cd ") {
                        Some(into) => {
                            folder.push(into);
                            share_builds(&folder);
                        }
                        None => said.push_str(&shell(&folder, line).well()),
                    }
                }
            }
            "text" => {
                for line in text.lines() {
                    assert!(said.lines().any(|l| l == line), "{line}\n{said}");
                    compared += 1;
                }
            }
            "rust" | "csv" | "json" => {
                let path = folder.join(&file);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text).unwrap();
            }
            // What it says there is held against the components' own tests.
            "toml" => {}
            other => panic!("what is to be done with a block of {other:?}?"),
        }
    }
    assert_eq!(compared, 8, "the page shows what comes out, twice");
    assert!(folder.join("check-recalls.wasm").is_file());
}
