//! Every kind of error. `main` itself succeeds.

use lunatic as renamed;

mod boxed {
    #[lunatic::main]
    pub fn main() -> Result<(), Box<dyn std::error::Error>> {
        Ok(())
    }
}

mod boxed_send {
    #[lunatic::main]
    pub fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        Ok(())
    }
}

mod text {
    type Outcome = Result<(), String>;

    #[lunatic::main]
    pub fn main() -> Outcome {
        Ok(())
    }
}

mod debug {
    #[derive(Debug)]
    pub struct OnlyDebug;

    #[lunatic::main]
    pub fn main() -> Result<(), OnlyDebug> {
        Ok(())
    }
}

mod never {
    #[lunatic::main]
    pub fn main() -> ! {
        std::process::exit(0)
    }
}

#[lunatic::main(crate = renamed)]
fn main() -> std::io::Result<()> {
    boxed::main();
    boxed_send::main();
    text::main();
    debug::main();
    never::main()
}
