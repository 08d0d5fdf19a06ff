//! The ONNX Runtime library: where it is, and loading it once.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use ort::environment::Environment;
use parking_lot::Mutex;

use super::StudentError;

/// Names the library for every process, unless the configuration does.
pub const RUNTIME_VARIABLE: &str = "ORT_DYLIB_PATH";

/// The loaded library. ONNX Runtime allows one environment per process, ever: it is kept.
static RUNTIME: Mutex<Option<(PathBuf, Environment)>> = Mutex::new(None);

/// Where ONNX Runtime is: the configured path, else `ORT_DYLIB_PATH`, else `lib/` beside the
/// executable, else `.deps/onnxruntime/` under the working directory.
///
/// # Errors
/// [`StudentError::Runtime`] when a named file does not exist, or none is found.
pub fn find_runtime(configured: Option<&Path>) -> Result<PathBuf, StudentError> {
    let file =
        format!("{}onnxruntime{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let beside = std::env::current_exe().ok();
    let beside = beside.as_deref().and_then(Path::parent).map(|folder| folder.join("lib"));
    let usual = beside.into_iter().chain([PathBuf::from(".deps/onnxruntime")]);
    let usual: Vec<PathBuf> = usual.map(|folder| folder.join(&file)).collect();
    choose_runtime(configured, std::env::var_os(RUNTIME_VARIABLE), &usual)
}

fn choose_runtime(
    configured: Option<&Path>,
    variable: Option<OsString>,
    usual: &[PathBuf],
) -> Result<PathBuf, StudentError> {
    let variable = variable.filter(|value| !value.is_empty()).map(PathBuf::from);
    // A path that somebody gave is the one meant: nothing else is tried in its place.
    let named = configured.map(Path::to_path_buf).or(variable);
    let found = match &named {
        Some(path) => path.is_file().then_some(path),
        None => usual.iter().find(|path| path.is_file()),
    };
    if let Some(path) = found {
        // `ort` reads a relative path as relative to the executable.
        return Ok(std::path::absolute(path).unwrap_or_else(|_| path.clone()));
    }
    let looked: Vec<String> = usual.iter().map(|path| path.display().to_string()).collect();
    Err(match named {
        Some(path) => StudentError::Runtime { path, problem: "there is no such file".to_owned() },
        None => StudentError::Runtime {
            path: usual.last().cloned().unwrap_or_default(),
            problem: format!("not found; looked in {}", looked.join(", ")),
        },
    })
}

/// Loads the library once per process.
pub(super) fn environment(library: &Path) -> Result<Environment, StudentError> {
    let failed = |problem| StudentError::Runtime { path: library.to_path_buf(), problem };
    let mut runtime = RUNTIME.lock();
    if let Some((loaded, environment)) = &*runtime {
        if loaded == library {
            return Ok(environment.clone());
        }
        let loaded = loaded.display();
        return Err(failed(format!("this process already uses {loaded}; restart to change it")));
    }
    let environment = ort::init_from(library)
        .map_err(|error| failed(error.to_string()))?
        .with_name("radstream")
        .with_telemetry(false)
        .build()
        .map_err(|error| failed(error.to_string()))?;
    environment.set_log_level(ort::logging::LogLevel::Warning);
    *runtime = Some((library.to_path_buf(), environment.clone()));
    Ok(environment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_library_is_the_one_meant() {
        let folder = tempfile::tempdir().unwrap();
        let there = folder.path().join("there.so");
        std::fs::write(&there, "").unwrap();
        let missing = folder.path().join("missing.so");
        let usual = [missing.clone(), there.clone()];

        assert_eq!(choose_runtime(None, None, &usual).unwrap(), there);
        assert_eq!(choose_runtime(None, Some("".into()), &usual).unwrap(), there);
        for error in [
            choose_runtime(Some(&missing), Some(there.clone().into()), &usual).unwrap_err(),
            choose_runtime(None, Some(missing.clone().into()), &usual).unwrap_err(),
            choose_runtime(None, None, &usual[..1]).unwrap_err(),
        ] {
            let shown = error.to_string();
            assert!(shown.contains("missing.so") && shown.contains("make deps"), "{shown}");
        }
    }
}
