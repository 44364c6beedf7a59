use super::*;

#[test]
fn released_pages_are_zero_and_stay_guarded() {
    let page = page_size();
    for kind in [Guard::Protect, Guard::best()] {
        let base = reserve(page * 4, Access::Open).unwrap();
        // SAFETY: four pages that only this test knows; the guard is put on the first one.
        unsafe {
            guard(base, page, kind).unwrap();
            base.add(page).write_bytes(7, page * 3);
            release(base.add(page), page * 2);
            assert_eq!(base.add(page).read(), 0);
            assert_eq!(base.add(page * 3 - 1).read(), 0);
            assert_eq!(
                base.add(page * 3).read(),
                7,
                "the page beyond the range keeps its bytes"
            );
            unmap(base, page * 4);
        }
    }
}

#[test]
fn ranges_are_released_together_and_no_page_beside_them() {
    let page = page_size();
    for count in [0, 1, 7, 300] {
        let base = reserve(page * (2 * count + 1), Access::Open).unwrap();
        // SAFETY: pages that only this test knows.
        unsafe {
            base.write_bytes(7, page * (2 * count + 1));
            let ranges: Vec<_> = (0..count)
                .map(|number| libc::iovec {
                    iov_base: base.add((2 * number + 1) * page).as_ptr().cast(),
                    iov_len: page,
                })
                .collect();
            release_all(&ranges);
            for number in 0..2 * count + 1 {
                assert_eq!(base.add(number * page + 5).read(), if number % 2 == 0 { 7 } else { 0 });
            }
            unmap(base, page * (2 * count + 1));
        }
    }
}

#[test]
fn populated_pages_keep_their_bytes_and_need_no_fault() {
    const COUNT: usize = 256;
    let page = page_size();
    let base = reserve(page * COUNT, Access::Open).unwrap();
    // SAFETY: pages that only this test knows.
    unsafe {
        base.add(page).write(7);
        populate(base, page * COUNT);
        let before = platform::thread_faults();
        (0..COUNT).for_each(|number| base.add(number * page + 1).write(8));
        // The code of this test may be read from its file meanwhile.
        if cfg!(target_os = "linux") && crate::testing::kernel_version() >= (5, 14) {
            assert!(platform::thread_faults() - before < 16);
        }
        assert_eq!(base.add(page).read(), 7);
        unmap(base, page * COUNT);
    }
}

#[test]
fn closed_pages_open_in_parts() {
    let page = page_size();
    let base = reserve(page * 4, Access::Closed).unwrap();
    // SAFETY: four pages that only this test knows, written only while they are open.
    unsafe {
        open(base, page * 2).unwrap();
        base.write_bytes(7, page * 2);
        close(base.add(page), page).unwrap();
        open(base.add(page), page).unwrap();
        assert_eq!(base.add(page).read(), 7, "closing keeps the bytes");
        unmap(base, page * 4);
    }
}

#[test]
fn no_page_is_huge() {
    if !std::fs::exists("/sys/kernel/mm/transparent_hugepage").unwrap() {
        return;
    }
    let len = 64 << 20;
    for access in [Access::Open, Access::Closed] {
        let base = reserve(len, access).unwrap();
        // SAFETY: a mapping that only this test knows.
        unsafe { open(base.add(len / 2), len / 4) }.unwrap();
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let header = format!("{:x}-", base.as_ptr() as usize + len / 2);
        // With one access for all, the opened part is no map of its own.
        let header = if access == Access::Closed {
            header
        } else {
            format!("{:x}-", base.as_ptr() as usize)
        };
        let map = maps.lines().skip_while(|line| !line.starts_with(&header));
        if let Some(flags) = map.skip(1).find_map(|line| line.strip_prefix("VmFlags:")) {
            assert!(flags.split(' ').any(|flag| flag == "nh"), "{access:?}: {flags}");
        }
        // SAFETY: as above.
        unsafe { unmap(base, len) };
    }
}

#[test]
fn too_large_a_reservation_is_an_error() {
    assert!(reserve(usize::MAX / 4 * 3 / page_size() * page_size(), Access::Closed).is_err());
}

#[test]
fn the_features_are_those_of_the_kernel() {
    let version = crate::testing::kernel_version();
    let features = kernel_features();
    // A sandbox may forbid what its kernel knows, so only the other direction is sure.
    assert!(
        !features.guard_install || version >= (6, 13),
        "{features:?} on {version:?}"
    );
    assert!(
        !features.pagemap_scan || version >= (6, 7),
        "{features:?} on {version:?}"
    );
}
