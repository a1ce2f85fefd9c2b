//! `replay TARGET FILE…`: runs a target over inputs that were found, without a fuzzer.

fn main() -> std::io::Result<()> {
    let mut args = std::env::args().skip(1);
    let name = args.next().unwrap_or_default();
    let target = mailmove_fuzz::TARGETS
        .iter()
        .find(|target| target.name == name);
    let Some(target) = target else {
        return Err(std::io::Error::other(format!("no target {name:?}")));
    };
    for file in args {
        (target.check)(&std::fs::read(file)?);
    }
    Ok(())
}
