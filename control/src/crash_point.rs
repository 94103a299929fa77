//! Where a test may kill this process: at every durable step of what the administration API does. Only builds with debug
//! assertions can, and only where `BASALT_TEST_KILL` names a file: it holds how many steps are still let pass.

#[cfg(debug_assertions)]
pub(crate) fn crash_point() {
    use std::{
        fs,
        path::PathBuf,
        sync::{LazyLock, Mutex, PoisonError},
        thread,
    };

    use rustix::process::{Signal, getpid, kill_process};

    static FILE: LazyLock<Mutex<Option<PathBuf>>> =
        LazyLock::new(|| Mutex::new(std::env::var_os("BASALT_TEST_KILL").map(PathBuf::from)));

    let file = FILE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(file) = &*file else { return };
    // A test that lets everything pass has no such file.
    let left: Option<u64> = fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok());
    match left {
        None => {}
        Some(0) => {
            kill_process(getpid(), Signal::KILL).expect("a process may kill itself");
            loop {
                thread::park();
            }
        }
        Some(left) => fs::write(file, (left - 1).to_string()).expect("the test made the file"),
    }
}

#[cfg(not(debug_assertions))]
pub(crate) const fn crash_point() {}
