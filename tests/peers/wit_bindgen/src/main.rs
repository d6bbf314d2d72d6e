//! `wit-bindgen go --world NAME FOLDER`, as the program of that name does it with the same generator: it writes the bindings into
//! the current folder. The program itself takes minutes to build, for other languages and for its tests.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use wit_bindgen_core::Files;
use wit_bindgen_core::wit_parser::Resolve;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ["go", "--world", world, folder] = arguments.as_slice() else {
        bail!("usage: wit-bindgen go --world NAME FOLDER");
    };
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(folder)?;
    let world = resolve.select_world(&[package], Some(world))?;
    let mut files = Files::default();
    wit_bindgen_go::Opts::default()
        .build()
        .generate(&mut resolve, world, &mut files)?;
    for (name, content) in files.iter() {
        let path = Path::new(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(|| format!("cannot make {folder:?}"))?;
        }
        fs::write(path, content).with_context(|| format!("cannot write {name}"))?;
    }
    Ok(())
}
