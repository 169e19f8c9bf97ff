//! The pipelines' TOMLs as they come, change and go.
//!
//! Folders are looked at over and over, which works on every file system. What changed must look
//! the same twice before it counts: it may be half written, or be about to be replaced.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::super::config::{Config, ConfigError, tomls_in};
use crate::names::Tenant;

/// The length of a file and when it was written.
type Look = (u64, SystemTime);

/// What is new among the TOMLs.
#[derive(Debug)]
pub enum News {
    /// A TOML that was not there, or says something else than before.
    Pipeline(Box<Config>),
    /// A tenant whose TOML is gone, or names another tenant now.
    Gone { tenant: Tenant, path: PathBuf },
    /// A TOML that can't be used.
    Broken(ConfigError),
}

/// The TOMLs of a host.
pub struct Folder {
    paths: Vec<PathBuf>,
    /// As they were when they last counted, with whose they were.
    taken: BTreeMap<PathBuf, (Look, Option<Tenant>)>,
    /// As they looked the last time.
    before: BTreeMap<PathBuf, Look>,
}

impl Folder {
    /// Reads what there is.
    ///
    /// # Errors
    /// A folder that can't be read, a file that was named and can't be used, or no pipeline at
    /// all. A file in a folder that can't be used is news like others: its neighbours count.
    pub fn open(paths: &[PathBuf]) -> Result<(Self, Vec<News>), ConfigError> {
        for path in paths.iter().filter(|path| path.is_dir()) {
            if tomls_in(path)?.is_empty() {
                return Err(ConfigError::NoPipeline { path: path.clone() });
            }
        }
        for path in paths.iter().filter(|path| !path.is_dir()) {
            Config::read(path)?;
        }
        let mut folder = Self {
            paths: paths.to_vec(),
            taken: BTreeMap::new(),
            before: BTreeMap::new(),
        };
        folder.before = folder.looks();
        let mut all = folder.news();
        let broken = |news: &News| matches!(news, News::Broken(_));
        if (all.iter().all(broken) || paths.iter().all(|path| !path.is_dir()))
            && let Some(at) = all.iter().position(broken)
            && let News::Broken(error) = all.swap_remove(at)
        {
            return Err(error);
        }
        Ok((folder, all))
    }

    /// What is new since the last call.
    pub fn news(&mut self) -> Vec<News> {
        let now = self.looks();
        let before = std::mem::replace(&mut self.before, now.clone());
        let mut news = Vec::new();
        let gone: Vec<PathBuf> = self
            .taken
            .keys()
            .filter(|path| !now.contains_key(*path) && !before.contains_key(*path))
            .cloned()
            .collect();
        for path in gone {
            if let Some((_, Some(tenant))) = self.taken.remove(&path) {
                news.push(News::Gone { tenant, path });
            }
        }
        for (path, look) in now {
            let is_steady = before.get(&path) == Some(&look);
            let is_taken = self
                .taken
                .get(&path)
                .is_some_and(|(taken, _)| *taken == look);
            if is_steady && !is_taken {
                self.take(path, look, &mut news);
            }
        }
        news
    }

    fn take(&mut self, path: PathBuf, look: Look, news: &mut Vec<News>) {
        let was = self.taken.get(&path).and_then(|(_, tenant)| tenant.clone());
        match self.read(&path) {
            Ok(config) => {
                if let Some(was) = was.filter(|was| *was != config.tenant) {
                    let path = path.clone();
                    news.push(News::Gone { tenant: was, path });
                }
                self.taken.insert(path, (look, Some(config.tenant.clone())));
                news.push(News::Pipeline(Box::new(config)));
            }
            Err(error) => {
                // Its tenant runs on as it was.
                self.taken.insert(path, (look, was));
                news.push(News::Broken(error));
            }
        }
    }

    fn read(&self, path: &Path) -> Result<Config, ConfigError> {
        let config = Config::read(path)?;
        let others = self.taken.iter().filter(|(other, _)| *other != path);
        let same = others
            .into_iter()
            .find(|(_, (_, tenant))| tenant.as_ref() == Some(&config.tenant));
        match same {
            Some((first, _)) => Err(ConfigError::SameTenant {
                tenant: config.tenant,
                first: first.clone(),
                second: path.to_owned(),
            }),
            None => Ok(config),
        }
    }

    fn looks(&self) -> BTreeMap<PathBuf, Look> {
        let mut files = Vec::new();
        for path in &self.paths {
            match path.is_dir() {
                // A folder that can't be read for now is no folder without files.
                true => match tomls_in(path) {
                    Ok(found) => files.extend(found),
                    Err(_) => return self.before.clone(),
                },
                false => files.push(path.clone()),
            }
        }
        let looks = files.into_iter().filter_map(|file| {
            let found = std::fs::metadata(&file).ok()?;
            Some((file, (found.len(), found.modified().ok()?)))
        });
        let mut looks: BTreeMap<PathBuf, Look> = looks.collect();
        // A file that was named stays until the host ends.
        for path in self.paths.iter().filter(|path| !path.is_dir()) {
            if let (Some((look, _)), false) = (self.taken.get(path), looks.contains_key(path)) {
                looks.insert(path.clone(), *look);
            }
        }
        looks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toml(tenant: &str) -> String {
        format!(
            "version = 1\ntenant = \"{tenant}\"\n[source]\nkind = \"file\"\npath = \"events\"\n\
             [event.fields]\ntransaction_id = \"string\"\ntimestamp = \"timestamp\"\n"
        )
    }

    fn told(news: Vec<News>) -> Vec<String> {
        let told = news.into_iter().map(|news| match news {
            News::Pipeline(config) => format!("+{}", config.tenant),
            News::Gone { tenant, .. } => format!("-{tenant}"),
            News::Broken(_) => "!".to_owned(),
        });
        told.collect()
    }

    #[test]
    fn tomls_count_once_they_are_steady_and_a_broken_one_lets_its_tenant_run_on() {
        let place = tempfile::tempdir().unwrap();
        let file = |name: &str| place.path().join(name);
        let write = |name: &str, text: &str| std::fs::write(file(name), text).unwrap();
        write("a.toml", &toml("north"));
        write("b.toml", "tenant = ");
        let (mut folder, first) = Folder::open(&[place.path().to_owned()]).unwrap();
        assert_eq!(told(first), ["+north", "!"]);
        assert!(folder.news().is_empty());

        write("c.toml", &toml("south"));
        assert!(folder.news().is_empty(), "it was seen once");
        assert_eq!(told(folder.news()), ["+south"]);
        write("d.toml", &toml("south"));
        folder.news();
        assert_eq!(told(folder.news()), ["!"], "a tenant has one pipeline");
        std::fs::remove_file(file("d.toml")).unwrap();
        folder.news();
        assert!(folder.news().is_empty());

        write("a.toml", "tenant = \"north");
        folder.news();
        assert_eq!(told(folder.news()), ["!"]);
        write("b.toml", &toml("west"));
        folder.news();
        assert_eq!(told(folder.news()), ["+west"]);
        write("a.toml", &toml("east"));
        folder.news();
        assert_eq!(told(folder.news()), ["-north", "+east"]);

        std::fs::remove_file(file("c.toml")).unwrap();
        assert!(folder.news().is_empty(), "it may be about to be replaced");
        assert_eq!(told(folder.news()), ["-south"]);
    }
}
