pub(crate) const PAGE_SIZE: usize = 4096;
pub(crate) fn resident_pages(bytes: &[u8]) -> Vec<u32> { (0..(bytes.len() / PAGE_SIZE) as u32).filter(|p| bytes[*p as usize * PAGE_SIZE..][..PAGE_SIZE].iter().any(|b| *b != 0)).collect() }
pub(crate) fn release(bytes: &mut [u8]) { bytes.fill(0) }
pub(crate) fn thread_number() -> usize { thread_local!{static N: u8 = const {0}}; N.with(|n| n as *const u8 as usize) }
pub(crate) fn thread_faults() -> u64 {
    // SAFETY: all-zero is a valid rusage; getrusage fills it.
    unsafe { let mut u: libc::rusage = std::mem::zeroed(); libc::getrusage(libc::RUSAGE_THREAD, &mut u); (u.ru_minflt + u.ru_majflt) as u64 }
}
