//! Parses the command line, runs it, exits.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = slipway::cli::Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("The async runtime can't be started: {error}.");
            return ExitCode::FAILURE;
        }
    };
    let exit = runtime.block_on(slipway::cli::main(cli));
    // Whatever is still under way is recorded; it must not hold up the end.
    runtime.shutdown_background();
    exit
}
