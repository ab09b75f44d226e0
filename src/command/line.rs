//! placeholder
use super::{Arguments, Path};
pub struct NoNames;
pub fn parse(_l: &str, _n: &NoNames) -> Result<(Path, Arguments), ()> {
    Err(())
}
