//! Memory that is not needed any more goes back to the system. Never: when (`node`, `containers`).

/// Gives back freed memory that the allocator keeps. To be called once, when a process has come to rest after its start.
pub fn give_back() {
    // SAFETY: glibc's own function takes no pointers.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0)
    };
}
