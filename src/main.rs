//! The `haggle` program.

use std::process::ExitCode;

use haggle::allocator::Counting;
use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: Counting<MiMalloc> = Counting(MiMalloc);

fn main() -> ExitCode {
    haggle::cli::run()
}
