//! stub
use clap::Subcommand;
#[derive(clap::Args)] pub struct Args{#[command(subcommand)] v:V}
#[derive(Subcommand)] enum V{Build{d:Vec<std::path::PathBuf>}}
pub fn run(a:Args)->anyhow::Result<()>{let V::Build{mut d}=a.v; if d.is_empty(){d=crate::author::build::plugins_in(std::path::Path::new("plugins"))?;} for b in crate::author::build::build_all(&d)?{println!("{} {} bytes",b.path.display(),b.size);} Ok(())}
